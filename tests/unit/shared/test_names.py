# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.names import names_of, names_of_volumes


def test_names_are_stripped_and_each_is_there_once() -> None:
    assert names_of_volumes([" b", "a ", "b"]) == ["b", "a"]


@pytest.mark.parametrize("given", [[], [""], ["a", " "], ["{'name': 'a'}"], ["['a']"]])
def test_refuses_what_is_no_name(given: list[str]) -> None:
    with pytest.raises(StorageError) as failure:
        names_of_volumes(given)
    assert (failure.value.code, failure.value.facts["field"]) == ("invalid_argument", "volumes")


def test_names_the_option_that_is_wrong() -> None:
    with pytest.raises(StorageError, match="names of snapshots") as failure:
        names_of("snapshots", [""])
    assert failure.value.facts["field"] == "snapshots"
