# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""volume_connection_info and volume_backend_info on backends in memory."""

from __future__ import annotations

from typing import Any, Optional

import pytest

from ansible_collections.brickwork.storage.plugins.module_utils.controller import (
    backend_info,
    connection_info,
    registry,
)
from ansible_collections.brickwork.storage.plugins.module_utils.controller.backend import Backend, Holder, Volume
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.tests.unit.controller.memory import GIB, MemoryBackend

HOST1, HOST2 = Holder("host1", "i1", True), Holder("host2", "i2", False)
BROKEN = StorageError("unavailable", "The volume group is gone.")


class Controller:
    """Its backends by name; a failure in place of one that cannot be opened."""

    def __init__(self, **backends: Backend | StorageError) -> None:
        self.backends = backends

    def open(self, path: str, name: Optional[str], seconds: float) -> dict[str, Backend | StorageError]:
        return self.backends if name is None else {name: self.backends[name]}

    def volumes(self, *names: str, backend: Optional[str] = None) -> dict[str, Any]:
        asked = {"volumes": list(names) or None, "backend": backend, "config": "unused"}
        return connection_info.info(asked, False)


@pytest.fixture
def controller(monkeypatch: pytest.MonkeyPatch) -> Controller:
    memory = MemoryBackend(
        Volume("b", "id-of-b", GIB, "memory", holders=(HOST1, HOST2), shared=True),
        Volume("a", "id-of-a", GIB, "memory"),
    )
    memory.strangers["root"] = "It was not made here."
    found = Controller(memory=memory)
    for module in (connection_info, backend_info):
        monkeypatch.setattr(module, "open_backends", found.open)
    return found


def memory(controller: Controller) -> MemoryBackend:
    found = controller.backends["memory"]
    assert isinstance(found, MemoryBackend)
    return found


def problems_of(result: dict[str, Any]) -> str:
    [volume] = result["volumes"]
    return " ".join(volume["problems"])


def test_all_volumes_with_their_holders(controller: Controller) -> None:
    memory(controller).live["b"] = {"i1": ["192.0.2.12", "192.0.2.11"]}
    result = controller.volumes()
    assert not result["changed"]
    assert "failed" not in result
    assert [volume["name"] for volume in result["volumes"]] == ["a", "b"]
    assert result["volumes"][1] == {
        "name": "b",
        "id": "id-of-b",
        "size_bytes": GIB,
        "backend": "memory",
        "wwn": None,
        "shared": True,
        "deleting": False,
        "holders": [
            {"host": "host1", "initiator": "i1", "multipath": True, "sessions": ["192.0.2.11", "192.0.2.12"]},
            {"host": "host2", "initiator": "i2", "multipath": False, "sessions": []},
        ],
        "export": {"initiators": ["i1", "i2"]},
        "problems": [],
    }
    assert result["strangers"] == [{"name": "root", "backend": "memory", "msg": "It was not made here."}]


def test_named_volumes_in_the_order_given(controller: Controller) -> None:
    result = controller.volumes("b", "a")
    assert [volume["name"] for volume in result["volumes"]] == ["b", "a"]
    assert result["strangers"] == []


def test_stranger_that_is_asked_for(controller: Controller) -> None:
    result = controller.volumes("root")
    assert (result["volumes"], len(result["strangers"]), result.get("failed")) == ([], 1, None)


def test_unknown_volume(controller: Controller) -> None:
    memory(controller).volumes["db-data"] = Volume("db-data", "id", GIB, "memory")
    memory(controller).exports["db-data"] = None
    result = controller.volumes("a", "db-dta")
    assert (result["failed"], result["error_code"], result["candidates"]) == (True, "not_found", ["db-data"])
    assert [volume["name"] for volume in result["volumes"]] == ["a"]


def test_volumes_of_one_name_in_two_backends(controller: Controller) -> None:
    other = MemoryBackend(Volume("a", "other-a", GIB, "other"))
    controller.backends["other"] = other
    assert [volume["id"] for volume in controller.volumes("a")["volumes"]] == ["id-of-a", "other-a"]
    assert [volume["id"] for volume in controller.volumes("a", backend="other")["volumes"]] == ["other-a"]


def test_backend_that_cannot_be_read_does_not_hide_the_others(controller: Controller) -> None:
    controller.backends["broken"] = BROKEN
    result = controller.volumes("a", "elsewhere-perhaps")
    assert (result["failed"], result["error_code"], result["backend"]) == (True, "unavailable", "broken")
    assert [volume["name"] for volume in result["volumes"]] == ["a"]
    # It may be in the one that cannot be read.
    assert len(result["errors"]) == 1


def test_export_that_does_not_fit_the_record(controller: Controller) -> None:
    memory(controller).exports["b"] = {"initiators": ["i1"]}
    assert "host1, host2 need" in problems_of(controller.volumes("b"))


def test_export_that_nobody_holds(controller: Controller) -> None:
    memory(controller).exports["a"] = {"initiators": ["i9"]}
    assert "no host holds it" in problems_of(controller.volumes("a"))


def test_session_of_somebody_who_does_not_hold_it(controller: Controller) -> None:
    memory(controller).live["b"] = {"i1": ["192.0.2.11"], "i9": ["192.0.2.99"]}
    found = problems_of(controller.volumes("b"))
    assert found.startswith("i9 uses it from 192.0.2.99")
    assert "i1" not in found


def test_deletion_that_did_not_end(controller: Controller) -> None:
    memory(controller).begin_deletion([memory(controller).volumes["a"]])
    assert "deletion has begun" in problems_of(controller.volumes("a"))


def test_backends(controller: Controller) -> None:
    controller.backends["broken"] = BROKEN
    usable, broken = backend_info.info({"backend": None, "drivers": False, "config": "unused"}, False)["backends"]
    assert usable == {
        "name": "memory",
        "usable": True,
        "driver": "memory",
        "protocol": "memory",
        "capabilities": ["clone", "grow", "share", "snapshot"],
        "total_bytes": 100 * GIB,
        "free_bytes": 100 * GIB,
        "volumes": 2,
        "error": None,
    }
    assert broken.keys() == usable.keys()
    assert (broken["usable"], broken["error"]["error_code"]) == (False, "unavailable")


def test_section_that_is_wrong_does_not_hide_the_others(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "backends.conf"
    path.write_text("[DEFAULT]\nenabled_backends = one, two\n[one]\nvolume_driver = lmv\n[two]\nvolume_driver = lvm\n")
    opened = MemoryBackend()
    monkeypatch.setitem(registry.DRIVERS, "lvm", lambda section, deadline: opened)
    found = registry.open_backends(str(path), None, 1)
    assert found["two"] is opened
    assert isinstance(found["one"], StorageError)
    assert found["one"].facts["candidates"] == ["lvm"]
    with pytest.raises(StorageError, match="enables no backend three"):
        registry.open_backends(str(path), "three", 1)


@pytest.mark.parametrize("times", [2, 1000])
def test_a_volume_that_another_call_is_changing_is_read_again(
    controller: Controller, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    backend, asked = memory(controller), 0
    export = backend.export

    def changing(volume: Volume) -> Any:
        nonlocal asked
        asked += 1
        if asked <= times:
            raise StorageError("aborted", "changed meanwhile")
        return export(volume)

    monkeypatch.setattr(backend, "export", changing)
    monkeypatch.setattr(connection_info, "CHANGE_SECONDS", 0.5)
    monkeypatch.setattr(connection_info, "CHANGE_POLL_SECONDS", 0.01)
    result = controller.volumes("b")
    assert [volume["name"] for volume in result["volumes"]] == (["b"] if times == 2 else [])
    assert result.get("error_code") == (None if times == 2 else "aborted")


def test_names_that_are_unknown_cost_no_look_each(controller: Controller, monkeypatch: pytest.MonkeyPatch) -> None:
    backend, looks = memory(controller), 0
    inventory = backend.inventory

    def counted() -> Any:
        nonlocal looks
        looks += 1
        return inventory()

    monkeypatch.setattr(backend, "inventory", counted)
    result = controller.volumes("x", "y", "aa")
    assert [error["error_code"] for error in result["errors"]] == ["not_found"] * 3
    assert result["errors"][2]["candidates"] == ["a"]
    assert looks == 1
