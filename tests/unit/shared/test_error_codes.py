# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import random
from typing import Any

import pytest

from ansible_collections.brickwork.storage.plugins.module_utils.errors import ERROR_CODES, StorageError, invalid, worst

# The contract's order, worst first.
CONTRACT = [
    "data_loss",
    "internal",
    "failed_precondition",
    "already_exists",
    "permission_denied",
    "resource_exhausted",
    "unavailable",
    "deadline_exceeded",
    "aborted",
    "unimplemented",
    "not_found",
    "invalid_argument",
]


def test_codes_are_the_contracts() -> None:
    assert list(ERROR_CODES) == CONTRACT


def test_other_codes_are_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="misspelt"):
        raise StorageError("misspelt", "never shown")


@pytest.mark.parametrize("position", range(len(CONTRACT)))
def test_worst(position: int) -> None:
    errors = [StorageError(code, "message") for code in CONTRACT[position:]]
    random.Random(position).shuffle(errors)
    found = worst(errors)
    assert found
    assert found.code == CONTRACT[position]


def test_first_of_equals_decides() -> None:
    first, second = StorageError("aborted", "first"), StorageError("aborted", "second")
    assert worst([first, second]) is first


def test_nothing_is_worst_of_none() -> None:
    assert worst([]) is None


def test_what_a_module_returns() -> None:
    error = StorageError("failed_precondition", "It is held.", holders=["host1"], users=None, field=None)
    assert error.as_dict() == {"msg": "It is held.", "error_code": "failed_precondition", "holders": ["host1"]}
    assert str(error) == "It is held."


def test_empty_facts_are_facts() -> None:
    assert StorageError("unavailable", "message", portals=[]).as_dict()["portals"] == []


def test_volume_is_named_and_the_rest_kept() -> None:
    error = StorageError("failed_precondition", "It is held.", holders=["host1"])
    named = error.concerning("volume", "a")
    assert named.as_dict() == {**error.as_dict(), "volume": "a"}
    assert "volume" not in error.facts
    # Who failed knows better than who passes it on.
    assert named.concerning("volume", "b").facts["volume"] == "a"


@pytest.mark.parametrize(
    ("found", "said"), [(None, "size is missing"), ("x", "size is 'x'"), (0, "size is 0"), ("", "size is ''")]
)
def test_invalid(found: Any, said: str) -> None:
    error = invalid("size", "a number", found)
    assert error.as_dict() == {
        "msg": f"{said}; expected a number.",
        "error_code": "invalid_argument",
        "field": "size",
    }
