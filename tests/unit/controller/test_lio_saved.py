# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

import pytest

from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm.saved import Entries, Entry, Saved
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError

OBJECTS = [{"name": "a", "dev": "/dev/a"}, {"name": "b", "note": 'not a, nor [ or ], "targets": ['}]
TARGETS = [{"wwn": "iqn.x:a", "tpgs": [{"luns": [{"alias": "a"}]}]}]
OTHERS = {"fabric_modules": [{"name": "iscsi"}], "version": 1}


def is_a(entry: Entry) -> bool:
    return entry.get("name") == "a"


@pytest.mark.parametrize("others", [{}, OTHERS], ids=["alone", "with others"])
@pytest.mark.parametrize("objects", [[], OBJECTS[:1], OBJECTS], ids=["none", "one", "two"])
def test_is_the_json_of_rtslib_however_often_it_is_written(objects: list[Entry], others: Entry) -> None:
    found = {"storage_objects": objects, "targets": TARGETS, **others}
    # As targetctl writes it.
    text = json.dumps(found, indent=2, sort_keys=True)
    for _time in range(3):
        text = Saved.parsed(text).text()
        assert json.loads(text) == found
        assert text.endswith("}\n")


def test_a_file_without_either_list() -> None:
    assert json.loads(Saved.parsed("{}").text()) == {"storage_objects": [], "targets": []}


def test_what_is_no_json() -> None:
    with pytest.raises(ValueError, match="Expecting value"):
        Saved.parsed("targets:")


def test_replaces_what_is_concerned_alone() -> None:
    text = Saved.parsed(json.dumps({"storage_objects": OBJECTS, "targets": TARGETS})).text()
    replaced = Saved.parsed(text).storage_objects.replaced(["a"], is_a, [{"name": "a", "new": True}])
    assert [json.loads(line) for line in replaced.lines] == [OBJECTS[1], {"name": "a", "new": True}]


def test_takes_only_lines_apart_in_which_a_word_stands() -> None:
    text = Saved(Entries(['{"name": "one"}', '{"name": broken}'])).text()
    objects = Saved.parsed(text).storage_objects
    assert list(objects.with_any(["one"])) == [{"name": "one"}]
    with pytest.raises(StorageError, match="not JSON") as failure:
        list(objects.with_any(["broken"]))
    assert failure.value.code == "failed_precondition"
