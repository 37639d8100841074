# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.results import Outcome, batch_result


def result_of(name: str) -> dict[str, Any]:
    return {"volume": {"name": name}}


def test_order_is_the_one_given() -> None:
    outcomes = [Outcome(name, result_of(name), changed=name != "a") for name in ("c", "a", "b")]
    assert batch_result("attachments", outcomes) == {
        "changed": True,
        "changed_volumes": ["c", "b"],
        "warnings": [],
        "attachments": [result_of("c"), result_of("a"), result_of("b")],
        "diff": {"before": {"c": {}, "b": {}}, "after": {"c": {}, "b": {}}},
    }


def test_nothing_changed() -> None:
    found = batch_result("volumes", [Outcome("a", result_of("a"), before={"x": 1}, after={"x": 1})])
    assert found["changed"] is False
    assert "diff" not in found


def test_diff_shows_what_changed_alone() -> None:
    changed = Outcome("a", result_of("a"), True, {"paths": []}, {"paths": ["sda"]})
    found = batch_result("attachments", [changed, Outcome("b", result_of("b"), False, {"paths": ["sdb"]})])
    assert found["diff"] == {"before": {"a": {"paths": []}}, "after": {"a": {"paths": ["sda"]}}}


def test_no_volumes() -> None:
    assert batch_result("volumes", []) == {"changed": False, "changed_volumes": [], "warnings": [], "volumes": []}


def test_warnings_of_all_in_order() -> None:
    outcomes = [Outcome("a", warnings=["1", "2"]), Outcome("b", error=StorageError("aborted", "x"), warnings=["3"])]
    assert batch_result("volumes", outcomes)["warnings"] == ["1", "2", "3"]


def test_one_volume_fails_alone() -> None:
    error = StorageError("failed_precondition", "It is in use.", users=["mount point /srv"])
    found = batch_result("attachments", [Outcome("a", result_of("a"), error=error)])
    assert found["failed"] is True
    assert found["msg"] == "It is in use."
    assert found["error_code"] == "failed_precondition"
    assert found["users"] == ["mount point /srv"]
    assert found["volume"] == "a"
    assert found["attachments"] == []
    assert found["errors"] == [error.concerning("volume", "a").as_dict()]


def test_worst_failure_decides_and_the_rest_is_kept() -> None:
    outcomes = [
        Outcome("a", error=StorageError("not_found", "No a.", candidates=["aa"])),
        Outcome("b", result_of("b"), True),
        Outcome("c", error=StorageError("data_loss", "Not c.", expected="3600")),
        Outcome("d", error=StorageError("unavailable", "No portal of d-2 answers.")),
    ]
    found = batch_result("attachments", outcomes)
    assert (found["error_code"], found["volume"], found["expected"]) == ("data_loss", "c", "3600")
    assert "candidates" not in found
    assert found["msg"] == "3 of 4 volumes failed. No a. Not c. d: No portal of d-2 answers."
    assert [error["volume"] for error in found["errors"]] == ["a", "c", "d"]
    assert found["attachments"] == [result_of("b")]
    assert (found["changed"], found["changed_volumes"]) == (True, ["b"])


def test_failure_that_changed_something_says_so() -> None:
    found = batch_result("volumes", [Outcome("a", changed=True, error=StorageError("internal", "x"))])
    assert (found["failed"], found["changed"], found["changed_volumes"]) == (True, True, ["a"])
