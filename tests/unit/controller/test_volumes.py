# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module volume's work on a backend in memory."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

import pytest

from ansible_collections.brickwork.storage.plugins.module_utils import waiting
from ansible_collections.brickwork.storage.plugins.module_utils.controller import batches, volumes
from ansible_collections.brickwork.storage.plugins.module_utils.controller.backend import Holder, Volume
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.tests.unit.controller.memory import EXTENT, GIB, MemoryBackend


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> MemoryBackend:
    found = MemoryBackend(Volume("a", "id-of-a", GIB, "memory"))
    monkeypatch.setattr(volumes, "open_backend", lambda path, name, deadline: found)
    monkeypatch.setattr(batches, "exclusive", functools.partial(waiting.exclusive, directory=tmp_path))
    return found


def ask(check_mode: bool = False, **given: Any) -> dict[str, Any]:
    params: dict[str, Any] = {"volumes": ["a"], "size": None, "backend": None, "state": "present"}
    params.update(snapshot=None, source_volume=None, config="unused")
    return volumes.work({**params, **given}, check_mode)


def test_creates_and_repeats(backend: MemoryBackend) -> None:
    predicted = ask(volumes=["new"], size="1GiB", check_mode=True)
    assert backend.calls == []
    first = ask(volumes=["new"], size="1GiB")
    assert first["volumes"] == [{"name": "new", "id": "id-of-new", "size_bytes": GIB, "backend": "memory", "wwn": None}]
    assert predicted["volumes"] == [{**first["volumes"][0], "id": None}]
    assert predicted["changed_volumes"] == first["changed_volumes"] == ["new"]
    again = ask(volumes=["new"], size="1GiB")
    assert not again["changed"]
    assert again["volumes"] == first["volumes"]
    assert backend.calls == ["create new"]


def test_a_size_that_rounds_to_the_present_one_changes_nothing(backend: MemoryBackend) -> None:
    assert not ask(size=str(GIB - EXTENT + 1))["changed"]
    assert ask(size=str(GIB + 1))["volumes"][0]["size_bytes"] == GIB + EXTENT
    assert backend.calls == ["grow a"]


@pytest.mark.parametrize("size", [None, "1GiB", "2GiB"])
def test_growth_that_was_interrupted_is_completed(backend: MemoryBackend, size: Optional[str]) -> None:
    backend.volumes["a"] = replace(backend.volumes["a"], growing=True)
    assert ask(size=size)["changed_volumes"] == ["a"]
    assert not ask(size=size)["changed"]
    assert backend.calls == ["grow a"]


def test_without_size_a_volume_keeps_its_own(backend: MemoryBackend) -> None:
    assert not ask()["changed"]
    missing = ask(volumes=["new"])
    assert (missing["error_code"], missing["field"]) == ("invalid_argument", "size")


def test_refuses_to_shrink(backend: MemoryBackend) -> None:
    result = ask(size=str(GIB - EXTENT))
    assert (result["error_code"], result["field"]) == ("invalid_argument", "size")


def test_room_is_counted_over_the_batch(backend: MemoryBackend) -> None:
    backend.free = 3 * GIB
    for check_mode in (True, False):
        result = ask(volumes=["a", "b", "c"], size="2GiB", check_mode=check_mode)
        assert result["changed_volumes"] == ["a", "b"]
        assert (result["error_code"], result["volume"]) == ("resource_exhausted", "c")
        assert (result["free_bytes"], result["wanted_bytes"]) == (0, 2 * GIB)


def test_what_the_backend_did_not_make_is_left_alone(backend: MemoryBackend) -> None:
    backend.strangers = {"root": "not ours"}
    assert ask(volumes=["root"], size="1GiB")["error_code"] == "already_exists"
    assert ask(volumes=["root"], state="absent")["error_code"] == "not_found"
    assert backend.calls == []


def test_a_name_that_cannot_be_is_refused(backend: MemoryBackend) -> None:
    result = ask(volumes=["a/b", "c"], size="1GiB")
    assert (result["error_code"], result["field"], result["changed_volumes"]) == ("invalid_argument", "volumes", ["c"])


def test_deletes_clearing_first_and_repeats(backend: MemoryBackend) -> None:
    predicted = ask(state="absent", check_mode=True)
    assert predicted["changed"]
    assert backend.calls == []
    deleted = ask(state="absent")
    assert deleted["changed"]
    assert backend.calls == ["begin a", "clear a", "delete a"]
    again = ask(state="absent")
    assert not again["changed"]
    assert predicted["volumes"] == deleted["volumes"] == again["volumes"]
    assert again["volumes"] == [{"name": "a", "id": None, "size_bytes": None, "backend": "memory", "wwn": None}]


def test_others_may_use_the_backend_while_a_volume_is_cleared(
    backend: MemoryBackend, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def clear(volume: Volume) -> None:
        with waiting.exclusive("backend-memory", "another call", waiting.Deadline(0.1), tmp_path):
            backend.calls.append("another call")

    monkeypatch.setattr(backend, "clear", clear)
    assert ask(state="absent")["changed"]
    assert backend.calls == ["begin a", "another call", "delete a"]


def test_a_volume_that_cannot_be_cleared_stays_and_can_be_deleted_again(backend: MemoryBackend) -> None:
    backend.refuses = {"a"}
    assert ask(state="absent")["error_code"] == "unavailable"
    assert backend.volumes["a"].deleting
    assert ask(size="1GiB")["error_code"] == "unavailable"
    assert backend.volumes["a"].deleting
    backend.refuses = set()
    assert ask(state="absent")["changed"]
    assert backend.volumes == {}


def test_a_volume_whose_deletion_was_cut_short_is_made_anew(backend: MemoryBackend) -> None:
    earlier = replace(backend.volumes["a"], id="earlier", deleting=True)
    backend.volumes["a"] = earlier
    assert ask()["error_code"] == "failed_precondition"  # without a size there is nothing to make
    predicted = ask(size="1GiB", check_mode=True)
    assert (predicted["changed"], backend.volumes["a"]) == (True, earlier)
    made = ask(size="1GiB")
    assert made["changed"]
    assert "is a new volume, with nothing of the earlier one" in made["warnings"][0]
    assert backend.volumes["a"].id != earlier.id
    assert not backend.volumes["a"].deleting
    assert backend.calls.index("delete a") < backend.calls.index("create a")
    assert not ask(size="1GiB")["changed"]


def test_a_volume_that_cannot_be_cleared_does_not_keep_others(backend: MemoryBackend) -> None:
    ask(volumes=["b"], size="1GiB")
    backend.refuses = {"a"}
    result = ask(volumes=["a", "b"], state="absent")
    assert (result["changed_volumes"], [error["volume"] for error in result["errors"]]) == (["b"], ["a"])
    assert set(backend.volumes) == {"a"}


def test_a_held_volume_is_not_deleted(backend: MemoryBackend) -> None:
    backend.volumes["a"] = replace(backend.volumes["a"], holders=(Holder("host1", "i1", False),))
    for check_mode in (True, False):
        result = ask(state="absent", check_mode=check_mode)
        assert (result["error_code"], result["holders"]) == ("failed_precondition", ["host1"])
    assert backend.calls == []


def test_what_the_controller_itself_uses_is_not_deleted(backend: MemoryBackend) -> None:
    backend.used["a"] = ["/mnt"]
    result = ask(state="absent")
    assert (result["error_code"], result["users"]) == ("failed_precondition", ["/mnt"])
    assert backend.calls == []


def test_a_volume_that_another_call_is_deleting_is_looked_at_again(
    backend: MemoryBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def users(volume: Volume) -> list[str]:
        del backend.volumes["a"]
        raise StorageError("aborted", "changed meanwhile")

    monkeypatch.setattr(backend, "users", users)
    result = ask(state="absent")
    assert (result["changed"], result["volumes"][0]["id"]) == (False, None)


def test_what_is_left_of_an_export_goes_before_the_volume(backend: MemoryBackend) -> None:
    backend.exports["a"] = {"initiators": ["i1"]}
    assert ask(state="absent")["changed"]
    assert backend.calls[0] == "change a"
    assert backend.volumes == {}


def test_a_volume_made_anew_under_the_name_meanwhile_is_not_deleted(
    backend: MemoryBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def clear(volume: Volume) -> None:
        backend.volumes["a"] = replace(volume, id="another", deleting=False)

    monkeypatch.setattr(backend, "clear", clear)
    ask(state="absent")
    assert backend.volumes["a"].id == "another"


@pytest.mark.parametrize("given", [{"size": "ten"}, {"size": "10GB"}, {"volumes": []}])
def test_bad_input_names_the_field(backend: MemoryBackend, given: dict[str, Any]) -> None:
    with pytest.raises(StorageError) as failure:
        ask(**given)
    assert (failure.value.code, failure.value.facts["field"]) == ("invalid_argument", next(iter(given)))


def test_backend_that_cannot_grow_volumes(backend: MemoryBackend) -> None:
    backend.capabilities = frozenset({"share"})
    refused = ask(size="200GiB")
    assert (refused["failed"], refused["error_code"], backend.calls) == (True, "unimplemented", [])
    assert not ask()["changed"]
