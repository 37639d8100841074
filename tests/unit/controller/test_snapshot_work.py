# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module volume_snapshot's work, and volume's with a source, on a backend in memory."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.brickwork.storage.plugins.module_utils import waiting
from ansible_collections.brickwork.storage.plugins.module_utils.controller import batches, rules, snapshots, volumes
from ansible_collections.brickwork.storage.plugins.module_utils.controller.backend import Holder, Source, Volume
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.tests.unit.controller.memory import EXTENT, GIB, MemoryBackend

A, B = Volume("a", "id-of-a", GIB, "memory"), Volume("b", "id-of-b", GIB, "memory")


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> MemoryBackend:
    found = MemoryBackend(A, B)
    for module in (snapshots, volumes):
        monkeypatch.setattr(module, "open_backend", lambda path, name, deadline: found)
    monkeypatch.setattr(batches, "exclusive", functools.partial(waiting.exclusive, directory=tmp_path))
    return found


def take(check_mode: bool = False, **given: Any) -> dict[str, Any]:
    params = {"snapshots": ["s"], "volume": "a", "backend": None, "state": "present", "config": "unused"}
    return snapshots.work({**params, **given}, check_mode)


def drop(*names: str, **given: Any) -> dict[str, Any]:
    return take(snapshots=list(names), state="absent", **{"volume": None, **given})


def make(*names: str, check_mode: bool = False, **given: Any) -> dict[str, Any]:
    params = {"volumes": list(names), "size": None, "backend": None, "state": "present", "config": "unused"}
    return volumes.work({**params, "snapshot": None, "source_volume": None, **given}, check_mode)


class TestSnapshots:
    def test_takes_and_repeats(self, backend: MemoryBackend) -> None:
        predicted = take(check_mode=True)
        assert backend.calls == []
        first = take()
        assert first["snapshots"] == [
            {
                "name": "s",
                "id": "id-of-s",
                "volume": "a",
                "volume_id": "id-of-a",
                "size_bytes": GIB,
                "backend": "memory",
            }
        ]
        assert predicted["snapshots"] == [{**first["snapshots"][0], "id": None}]
        assert predicted["changed_snapshots"] == first["changed_snapshots"] == ["s"]
        assert (predicted["diff"]["before"], predicted["diff"]["after"]["s"]["volume"]) == ({"s": {}}, "a")
        again = take()
        assert (again["changed"], again["snapshots"]) == (False, first["snapshots"])
        assert backend.calls == ["snapshot s of a"]

    def test_one_of_a_held_volume(self, backend: MemoryBackend) -> None:
        backend.volumes["a"] = replace(A, holders=(Holder("host1", "i1", False),))
        assert take()["changed"]

    def test_deletes_clearing_first_and_repeats(self, backend: MemoryBackend) -> None:
        take()
        backend.calls.clear()
        assert drop("s", check_mode=True)["changed"]
        assert backend.calls == []
        deleted = drop("s")
        assert (deleted["changed"], backend.calls) == (True, ["begin s", "clear s", "delete s"])
        assert deleted["snapshots"] == [
            dict.fromkeys(deleted["snapshots"][0], None) | {"name": "s", "backend": "memory"}
        ]
        assert not drop("s")["changed"]

    def test_of_another_volume_is_a_conflict(self, backend: MemoryBackend) -> None:
        take()
        for result in (take(volume="b"), drop("s", volume="b")):
            assert (result["error_code"], result["snapshot"]) == ("already_exists", "s")
            assert "is of volume a" in result["msg"]

    def test_of_an_unknown_volume(self, backend: MemoryBackend) -> None:
        backend.volumes["db-data"] = replace(A, name="db-data")
        result = take(volume="db-dta")
        assert (result["error_code"], result["candidates"], result["snapshot"]) == ("not_found", ["db-data"], "s")

    @pytest.mark.parametrize(
        "volume", [replace(A, deleting=True), replace(A, source=Source("volume", "b"), unfinished=True)]
    )
    def test_of_a_volume_whose_data_is_not_whole(self, backend: MemoryBackend, volume: Volume) -> None:
        backend.volumes["a"] = volume
        assert take()["error_code"] == "failed_precondition"
        assert backend.calls == []

    def test_names_are_unique_in_a_backend(self, backend: MemoryBackend) -> None:
        backend.strangers = {"root": "not ours"}
        for name in ("b", "root"):
            assert take(snapshots=[name])["error_code"] == "already_exists"
            assert drop(name)["error_code"] == "not_found"
        take()
        assert make("s", size="1GiB")["error_code"] == "already_exists"
        assert make("s", state="absent")["error_code"] == "not_found"
        assert make("c", source_volume="s")["error_code"] == "not_found"
        assert make("c", snapshot="b")["error_code"] == "not_found"

    def test_room_is_counted_over_the_batch(self, backend: MemoryBackend) -> None:
        backend.free = GIB
        result = take(snapshots=["s", "t"])
        assert (result["changed_snapshots"], result["error_code"], result["snapshot"]) == (
            ["s"],
            "resource_exhausted",
            "t",
        )

    def test_a_deletion_that_was_cut_short_is_completed_first(self, backend: MemoryBackend) -> None:
        take()
        backend.snapshots["s"] = replace(backend.snapshots["s"], id="earlier", deleting=True)
        backend.calls.clear()
        assert make("c", snapshot="s")["error_code"] == "failed_precondition"
        taken = take()
        assert "s is a new snapshot" in taken["warnings"][0]
        assert backend.calls == ["begin s", "clear s", "delete s", "snapshot s of a"]

    def test_what_the_controller_itself_uses_is_not_deleted(self, backend: MemoryBackend) -> None:
        take()
        backend.used["s"] = ["/mnt"]
        result = drop("s")
        assert (result["error_code"], result["users"]) == ("failed_precondition", ["/mnt"])

    def test_keep_their_volume_from_being_deleted(self, backend: MemoryBackend) -> None:
        take(snapshots=["t", "s"])
        for check_mode in (True, False):
            result = make("a", "b", state="absent", check_mode=check_mode)
            assert (result["error_code"], result["snapshots"]) == ("failed_precondition", ["s", "t"])
            assert result["changed_volumes"] == ["b"]

    def test_a_backend_that_has_none_says_so(self, backend: MemoryBackend) -> None:
        backend.capabilities = frozenset()
        for call in (take, functools.partial(make, "c", source_volume="a")):
            with pytest.raises(StorageError) as failure:
                call()
            assert failure.value.code == "unimplemented"

    @pytest.mark.parametrize(("given", "field"), [({"snapshots": []}, "snapshots"), ({"volume": ""}, "volume")])
    def test_bad_input_names_the_field(self, backend: MemoryBackend, given: dict[str, Any], field: str) -> None:
        with pytest.raises(StorageError) as failure:
            take(**given)
        assert (failure.value.code, failure.value.facts["field"]) == ("invalid_argument", field)


@pytest.mark.parametrize("source", [{"snapshot": "s"}, {"source_volume": "a"}])
class TestVolumesFromOthers:
    @pytest.fixture(autouse=True)
    def snapshot(self, backend: MemoryBackend) -> None:
        take()
        backend.calls.clear()

    def test_have_the_size_of_their_source_and_repeat(self, backend: MemoryBackend, source: dict[str, Any]) -> None:
        predicted = make("c", check_mode=True, **source)
        assert backend.calls == []
        made = make("c", **source)
        assert predicted["changed_volumes"] == made["changed_volumes"] == ["c"]
        assert [volume["size_bytes"] for volume in (*predicted["volumes"], *made["volumes"])] == [GIB, GIB]
        assert made["diff"]["after"]["c"]["source"] in ("snapshot s", "volume a")
        assert not make("c", **source)["changed"]
        assert not make("c")["changed"]
        assert len(backend.calls) == 1

    def test_are_larger_and_grow_but_are_never_smaller(self, backend: MemoryBackend, source: dict[str, Any]) -> None:
        refused = make("c", size=str(GIB - EXTENT), **source)
        assert (refused["error_code"], refused["field"]) == ("invalid_argument", "size")
        assert make("c", size="2GiB", **source)["volumes"][0]["size_bytes"] == 2 * GIB
        assert make("c", size="3GiB", **source)["volumes"][0]["size_bytes"] == 3 * GIB
        assert backend.calls[1:] == ["grow c"]

    def test_stay_when_their_source_is_gone(self, backend: MemoryBackend, source: dict[str, Any]) -> None:
        make("c", **source)
        drop("s")
        assert make("a", state="absent")["changed"]
        assert not make("c", **source)["changed"]

    def test_another_source_is_a_conflict(self, backend: MemoryBackend, source: dict[str, Any]) -> None:
        made_empty = make("b", **source)
        assert (made_empty["error_code"], "not made from anything" in made_empty["msg"]) == ("already_exists", True)
        make("c", **source)
        other = make("c", source_volume="b")
        assert (other["error_code"], "is made from" in other["msg"]) == ("already_exists", True)

    def test_need_room(self, backend: MemoryBackend, source: dict[str, Any]) -> None:
        backend.free = 2 * GIB - 1
        assert make("c", **source)["error_code"] == "resource_exhausted"
        assert backend.calls == []

    def test_are_copied_without_the_lock_where_that_takes_long(
        self, backend: MemoryBackend, source: dict[str, Any]
    ) -> None:
        backend.copies_slowly = True
        # complete() takes the lock itself, which would not work if it were held.
        assert make("c", **source)["changed"]
        assert backend.calls[-1].startswith("complete c from")
        assert not backend.volumes["c"].unfinished
        assert not make("c", **source)["changed"]

    def test_are_completed_by_a_repeat(self, backend: MemoryBackend, source: dict[str, Any]) -> None:
        backend.copies_slowly = backend.copying_fails = True
        assert make("c", **source)["error_code"] == "unavailable"
        assert make("c", check_mode=True, **source)["changed"]
        cut_short = make("c")
        assert (cut_short["error_code"], "all the data" in cut_short["msg"]) == ("failed_precondition", True)
        backend.copying_fails = False
        assert make("c", **source)["changed"]
        assert [call.split()[0] for call in backend.calls] == ["begin", "complete"]
        assert not make("c", **source)["changed"]

    def test_have_room_for_a_source_that_has_grown_since_the_copy_was_begun(
        self, backend: MemoryBackend, source: dict[str, Any]
    ) -> None:
        backend.copies_slowly = backend.copying_fails = True
        make("c", **source)
        backend.volumes["a"] = replace(A, size_bytes=2 * GIB)
        backend.snapshots["s"] = replace(backend.snapshots["s"], size_bytes=2 * GIB)
        backend.copying_fails = False
        assert make("c", **source)["volumes"][0]["size_bytes"] == 2 * GIB
        assert backend.calls[-2] == "grow c"

    def test_are_nobodys_as_long_as_they_are_not_whole(self, backend: MemoryBackend, source: dict[str, Any]) -> None:
        backend.copies_slowly = backend.copying_fails = True
        make("c", **source)
        with pytest.raises(StorageError, match="does not have all the data") as failure:
            rules.connected(backend.volumes["c"], Holder("host1", "i1", False), False, ())
        assert failure.value.code == "failed_precondition"
        assert take(snapshots=["t"], volume="c")["error_code"] == "failed_precondition"
        assert make("d", source_volume="c")["error_code"] == "failed_precondition"
        # What it is made from stays, unless it goes.
        kept = drop("s") if "snapshot" in source else make("a", state="absent")
        assert kept["error_code"] == "failed_precondition"
        assert make("c", state="absent")["changed"]
        assert drop("s")["changed"]

    def test_one_that_another_call_is_deleting_is_not_completed(
        self, backend: MemoryBackend, source: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        backend.copies_slowly = True
        begin = backend.create_from

        def create_from(name: str, *arguments: Any) -> None:
            begin(name, *arguments)
            backend.volumes[name] = replace(backend.volumes[name], deleting=True)

        monkeypatch.setattr(backend, "create_from", create_from)
        assert make("c", **source)["error_code"] == "failed_precondition"
        assert backend.volumes["c"].unfinished

    def test_are_only_made_where_something_is_to_be_present(
        self, backend: MemoryBackend, source: dict[str, Any]
    ) -> None:
        with pytest.raises(StorageError) as failure:
            make("c", state="absent", **source)
        assert (failure.value.code, failure.value.facts["field"]) == ("invalid_argument", *source)


def test_a_volume_that_cannot_grow_now_says_so_in_check_mode_too(backend: MemoryBackend) -> None:
    backend.cannot_grow = {"a"}
    for check_mode in (True, False):
        assert make("a", size="2GiB", check_mode=check_mode)["error_code"] == "failed_precondition"
    assert not make("a", size="1GiB")["changed"]
