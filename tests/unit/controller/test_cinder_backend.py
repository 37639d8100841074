# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The backend of Cinder's drivers: the modules' work on it, and a kill at every step. The driver is the one of cinder_double.py."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import json
import shutil
import threading
import time
from pathlib import Path
from typing import Any, Callable, Optional

import pytest

from ansible_collections.brickwork.storage.plugins.module_utils import waiting
from ansible_collections.brickwork.storage.plugins.module_utils.controller import (
    batches,
    config,
    connection_info,
    connections,
    registry,
    snapshots,
    volumes,
)
from ansible_collections.brickwork.storage.plugins.module_utils.controller.backend import Backend
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder import backend as cinder
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder import environment, local_target
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder import store as stores
from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm import lio
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline
from ansible_collections.brickwork.storage.tests.unit.controller.cinder_double import (
    CinderError,
    FakeDriver,
    InProcess,
    Storage,
)

GIB = 1024**3
SECTION = "[DEFAULT]\nenabled_backends = fake\n[fake]\nvolume_driver = cinder.volume.drivers.fake.FakeDriver\n"
HOST1 = {"host": "host1", "initiator": "iqn.2026-11.org.example:one", "multipath": True, "ip": "192.0.2.11"}
HOST2 = {"host": "host2", "initiator": "iqn.2026-11.org.example:two", "multipath": False}


class Killed(BaseException):
    """As by kill -9: nothing is done any more."""


class Controller:
    """A controller with one backend, and what its storage has."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "backends.conf"
        self.path.write_text(SECTION, encoding="utf-8")
        self.store = stores.Store(Deadline(10))
        self.storage = Storage()
        self.driver = FakeDriver(self.storage)
        self.worker = InProcess(self.driver, self.store)

    def open(self, deadline: Optional[Deadline] = None) -> Backend:
        return registry.open_backend(str(self.path), None, deadline or Deadline(10))

    def volume(self, *names: str, check_mode: bool = False, **given: Any) -> dict[str, Any]:
        params: dict[str, Any] = {"volumes": list(names), "size": None, "backend": None, "state": "present"}
        params.update(snapshot=None, source_volume=None, config=str(self.path))
        return volumes.work({**params, **given}, check_mode)

    def snapshot(self, *names: str, **given: Any) -> dict[str, Any]:
        params: dict[str, Any] = {"snapshots": list(names), "volume": None, "backend": None, "state": "present"}
        return snapshots.work({**params, "config": str(self.path), **given}, False)

    def connection(self, *names: str, check_mode: bool = False, **given: Any) -> dict[str, Any]:
        params: dict[str, Any] = {"volumes": list(names), "connector": None, "host": None, "backend": None}
        params.update(shared=False, all_hosts=False, fenced=False, state="present", timeout=5, config=str(self.path))
        return connections.work({**params, **given}, check_mode)

    def release(self, *names: str, **given: Any) -> dict[str, Any]:
        return self.connection(*names, state="absent", **given)

    def record(self, name: str) -> stores.VolumeRecord:
        return next(record for record in self.store.volumes("fake") if record.name == name)


@pytest.fixture
def controller(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Controller:
    monkeypatch.setattr(stores, "PATH", tmp_path / "cinder.sqlite")
    monkeypatch.setattr(stores, "exclusive", functools.partial(waiting.exclusive, directory=tmp_path))
    for module in (connections, batches):
        monkeypatch.setattr(module, "exclusive", functools.partial(waiting.exclusive, directory=tmp_path))
    found = Controller(tmp_path)
    monkeypatch.setattr(cinder, "_worker", lambda section, store: found.worker)
    return found


def succeeded(result: dict[str, Any]) -> dict[str, Any]:
    assert "errors" not in result, result
    return result


def secret_of(result: dict[str, Any]) -> str:
    [connection] = succeeded(result)["connections"]
    return str(connection["connection_info"]["data"]["auth_password"])


# What a usual life is


def test_a_volume_from_its_creation_to_its_end(controller: Controller) -> None:
    created = succeeded(controller.volume("db", size="1GiB"))
    assert (created["changed"], created["volumes"][0]["size_bytes"]) == (True, GIB)
    assert not succeeded(controller.volume("db", size="1GiB"))["changed"]
    connected = succeeded(controller.connection("db", connector=HOST1))
    [connection] = connected["connections"]
    assert (connection["connected"], connection["host"]) == (True, "host1")
    data = connection["connection_info"]["data"]
    target = f"iqn.2010-10.org.openstack:volume-{created['volumes'][0]['id']}"
    assert data["target_iqns"] == [data["target_iqn"]] == [target]
    assert data["target_portals"] == [data["target_portal"]] == ["192.0.2.1:3260"]
    assert data["target_luns"] == [data["target_lun"]] == [0]
    assert controller.storage.targets == {target: {HOST1["initiator"]: data["auth_password"]}}
    assert succeeded(controller.volume("db", size="3GiB"))["volumes"][0]["size_bytes"] == 3 * GIB
    assert controller.volume("db", state="absent")["error_code"] == "failed_precondition"
    assert succeeded(controller.release("db", host="host1"))["changed"]
    assert controller.storage.targets == {}
    assert not succeeded(controller.release("db", host="host1"))["changed"]
    assert succeeded(controller.volume("db", state="absent"))["changed"]
    assert controller.storage.listing() == Storage().listing()
    assert controller.store.volumes("fake") == []


def test_a_repeat_asks_no_driver_and_returns_the_same(controller: Controller) -> None:
    controller.volume("db", size="1GiB")
    first = controller.connection("db", connector=HOST1)
    asked, started = list(controller.worker.asked), controller.worker.started
    again = controller.connection("db", connector={**HOST1, "ip": "198.51.100.9"})
    assert (again["changed"], again["connections"][0]["connection_info"]) == (
        False,
        first["connections"][0]["connection_info"],
    )
    assert controller.volume("db", size="1GiB")["changed"] is False
    told = connection_info.info({"config": str(controller.path), "backend": None, "volumes": None}, False)
    assert told["volumes"][0]["problems"] == []
    assert (controller.worker.asked, controller.worker.started) == (asked, started)


def test_an_export_is_kept_until_the_last_host_is_gone(controller: Controller) -> None:
    controller.volume("db", size="1GiB")
    controller.connection("db", connector=HOST1, shared=True)
    other = controller.connection("db", connector=HOST2, shared=True)
    succeeded(controller.release("db", host="host1"))
    # The driver says here that nobody is left.
    assert not controller.release("db", host="host1")["changed"]
    assert [list(hosts) for hosts in controller.storage.targets.values()] == [[HOST2["initiator"]]]
    assert secret_of(controller.connection("db", connector=HOST2, shared=True)) == secret_of(other)
    succeeded(controller.release("db", host="host2"))
    assert controller.storage.targets == {}


def test_a_host_gets_another_secret_than_the_one_before_it(controller: Controller) -> None:
    controller.volume("db", size="1GiB")
    first = secret_of(controller.connection("db", connector=HOST1))
    controller.release("db", host="host1")
    assert secret_of(controller.connection("db", connector=HOST2)) != first


def test_two_hosts_without_shared_and_a_driver_that_cannot_share(controller: Controller) -> None:
    controller.volume("db", size="1GiB")
    controller.connection("db", connector=HOST1)
    refused = controller.connection("db", connector=HOST2)
    assert (refused["error_code"], refused["holders"]) == ("failed_precondition", ["host1"])
    changed = controller.connection("db", connector={**HOST1, "multipath": False})
    assert changed["error_code"] == "already_exists"
    controller.path.write_text(f"{SECTION}volume_backend_name = other\n", encoding="utf-8")
    controller.driver.multiattach = False
    with pytest.raises(StorageError) as failure:
        controller.connection("db", connector=HOST1, shared=True)
    assert failure.value.code == "unimplemented"


def test_snapshots_and_copies(controller: Controller) -> None:
    controller.volume("db", size="2GiB")
    made = succeeded(controller.snapshot("monday", volume="db"))
    assert made["snapshots"][0]["size_bytes"] == 2 * GIB
    assert not controller.snapshot("monday", volume="db")["changed"]
    assert succeeded(controller.volume("old", snapshot="monday"))["volumes"][0]["size_bytes"] == 2 * GIB
    assert succeeded(controller.volume("copy", source_volume="db", size="3GiB"))["volumes"][0]["size_bytes"] == 3 * GIB
    assert not controller.volume("copy", source_volume="db")["changed"]
    assert sorted(controller.storage.volumes.values()) == [2, 2, 3]
    assert controller.volume("db", state="absent")["error_code"] == "failed_precondition"
    succeeded(controller.snapshot("monday", state="absent"))
    succeeded(controller.volume("db", "old", "copy", state="absent"))
    assert controller.storage.listing() == Storage().listing()


def test_sizes_are_whole_gibibytes(controller: Controller) -> None:
    assert controller.volume("db", size="1500MiB")["volumes"][0]["size_bytes"] == 2 * GIB
    assert not controller.volume("db", size="1500MiB")["changed"]


def test_a_check_changes_nothing(controller: Controller) -> None:
    assert controller.volume("db", size="1GiB", check_mode=True)["changed"]
    assert not controller.store.path.exists()
    controller.volume("db", size="1GiB")
    records = controller.store.volumes("fake")
    [predicted] = controller.connection("db", connector=HOST1, check_mode=True)["connections"]
    assert (predicted["connected"], predicted["connection_info"]["data"]) == (False, None)
    assert (controller.store.volumes("fake"), controller.storage.targets) == (records, {})


def test_a_volume_that_is_connected_and_cannot_grow_so(controller: Controller) -> None:
    controller.driver.online_extend = False
    controller.volume("db", size="1GiB")
    controller.connection("db", connector=HOST1)
    refused = controller.volume("db", size="2GiB")
    assert (refused["error_code"], refused["holders"]) == ("failed_precondition", ["host1"])


def test_a_volume_that_is_connected_and_cannot_be_copied_so(controller: Controller) -> None:
    controller.driver.copies_connected = False
    controller.volume("db", size="1GiB")
    succeeded(controller.snapshot("then", volume="db"))
    controller.connection("db", connector=HOST1)
    for refused in (
        controller.snapshot("now", volume="db"),
        controller.snapshot("then", state="absent"),
        controller.volume("copy", source_volume="db"),
    ):
        assert (refused["error_code"], refused["holders"]) == ("failed_precondition", ["host1"])
    succeeded(controller.volume("clone", snapshot="then"))
    controller.release("db", host="host1")
    succeeded(controller.snapshot("then", state="absent"))


@pytest.mark.parametrize("connector", [{"host": "host1"}, {"host": "host1", "initiator": "nobody"}])
def test_a_connector_that_lacks_what_the_protocol_needs(controller: Controller, connector: dict[str, str]) -> None:
    controller.volume("db", size="1GiB")
    with pytest.raises(StorageError) as failure:
        controller.connection("db", connector=connector)
    assert (failure.value.code, failure.value.facts["field"]) == ("invalid_argument", "connector.initiator")


def test_a_section_with_another_driver_does_not_get_the_volumes(controller: Controller) -> None:
    controller.volume("db", size="1GiB")
    controller.path.write_text(SECTION.replace("FakeDriver", "OtherDriver"), encoding="utf-8")
    with pytest.raises(StorageError, match="has volumes that") as failure:
        controller.open()
    assert failure.value.facts["field"] == "volume_driver"


def test_a_changed_section_is_looked_at_by_the_driver_again(controller: Controller) -> None:
    controller.volume("db", size="1GiB")
    asked = controller.worker.asked.count("describe")
    controller.open()
    assert controller.worker.asked.count("describe") == asked
    controller.path.write_text(f"{SECTION}san_ip = 192.0.2.1\n", encoding="utf-8")
    controller.open()
    assert controller.worker.asked.count("describe") == asked + 1


def test_a_host_that_is_logged_in_to_a_target_of_this_controller_is_not_cut_off(
    controller: Controller, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(lio, "CONFIGFS", tmp_path / "target")
    monkeypatch.setattr(connections, "LOGOUT_SECONDS", 0)
    controller.volume("db", size="1GiB")
    result = controller.connection("db", connector=HOST1)
    target = result["connections"][0]["connection_info"]["data"]["target_iqn"]
    info = tmp_path / "target" / "iscsi" / target / "tpgt_1" / "acls" / HOST1["initiator"] / "info"
    info.parent.mkdir(parents=True)
    info.write_text("InitiatorName: x\nConnection 0: Address 192.0.2.11 TCP  StatSN: 0x1\n", encoding="ascii")
    refused = controller.release("db", host="host1")
    assert (refused["error_code"], refused["holders"]) == ("failed_precondition", ["host1"])
    assert "192.0.2.11" in refused["msg"]
    assert controller.storage.targets[target]
    info.write_text("No active iSCSI Session for Initiator Endpoint: x\n", encoding="ascii")
    succeeded(controller.release("db", host="host1"))
    assert controller.storage.targets == {}


def test_a_host_that_is_logged_in_and_dead_can_be_fenced(
    controller: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "LOGOUT_SECONDS", 0)
    controller.volume("db", size="1GiB")
    controller.connection("db", connector=HOST1)
    monkeypatch.setattr(local_target, "sessions", lambda record: {HOST1["initiator"]: ["192.0.2.11"]})
    assert controller.release("db", host="host1")["failed"]
    succeeded(controller.release("db", host="host1", fenced=True))


class Kernel:
    """LIO on the controller, with what the storage exports."""

    def __init__(self, directory: Path, storage: Storage) -> None:
        self._directory = directory / "iscsi"
        self._storage = storage

    def follow(self, _step: str = "") -> None:
        shutil.rmtree(self._directory, ignore_errors=True)
        for target, initiators in self._storage.targets.items():
            lun = self._directory / target / "tpgt_1" / "lun" / "lun_0"
            lun.mkdir(parents=True)
            (lun / "1a2b3c").symlink_to(self._directory)
            for initiator in initiators:
                (self._directory / target / "tpgt_1" / "acls" / initiator / "lun_0").mkdir(parents=True)


@pytest.fixture
def kernel(controller: Controller, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Kernel:
    monkeypatch.setattr(lio, "CONFIGFS", tmp_path / "target")
    controller.path.write_text(f"{SECTION}target_helper = lioadm\n", encoding="utf-8")
    found = Kernel(tmp_path / "target", controller.storage)

    def step(name: str) -> None:
        if name.startswith("after"):
            found.follow()

    controller.worker.step = step
    return found


def lose_everything(controller: Controller, kernel: Kernel) -> None:
    controller.storage.targets.clear()
    controller.storage.secrets.clear()
    kernel.follow()


def test_an_export_that_the_kernel_lost_is_made_again_with_its_secret(controller: Controller, kernel: Kernel) -> None:
    controller.volume("db", size="1GiB")
    for connector in (HOST1, HOST2):
        connected = succeeded(controller.connection("db", connector=connector, shared=True))
    exported = controller.storage.hosts()
    assert not controller.connection("db", connector=HOST2, shared=True)["changed"]
    lose_everything(controller, kernel)
    [seen] = connection_info.info({"backend": None, "volumes": None, "config": str(controller.path)}, False)["volumes"]
    assert seen["problems"]
    again = succeeded(controller.connection("db", connector=HOST2, shared=True))
    assert (again["changed"], again["connections"]) == (True, connected["connections"])
    assert controller.storage.hosts() == exported
    assert not controller.connection("db", connector=HOST1, shared=True)["changed"]


def test_an_export_that_the_kernel_lost_is_released(controller: Controller, kernel: Kernel) -> None:
    controller.volume("db", size="1GiB")
    for connector in (HOST1, HOST2):
        controller.connection("db", connector=connector, shared=True)
    lose_everything(controller, kernel)
    succeeded(controller.release("db", host="host1"))
    assert not controller.release("db", host="host1")["changed"]
    assert controller.connection("db", connector=HOST2, shared=True)["changed"]
    lose_everything(controller, kernel)
    succeeded(controller.release("db", host="host2"))
    assert (controller.storage.targets, controller.record("db").export) == ({}, "none")
    succeeded(controller.volume("db", state="absent"))


def test_an_export_that_the_kernel_lost_is_seen_also_where_all_backends_share_the_target(
    controller: Controller, kernel: Kernel
) -> None:
    controller.path.write_text(f"{SECTION}[backend_defaults]\ntarget_helper = lioadm\n", encoding="utf-8")
    controller.volume("db", size="1GiB")
    succeeded(controller.connection("db", connector=HOST1))
    exported = controller.storage.hosts()
    lose_everything(controller, kernel)
    assert succeeded(controller.connection("db", connector=HOST1))["changed"]
    assert controller.storage.hosts() == exported
    lose_everything(controller, kernel)
    succeeded(controller.release("db", host="host1"))
    assert controller.record("db").export == "none"


def test_a_connection_by_another_protocol_is_not_looked_for_in_the_kernel(
    controller: Controller, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = {"driver_volume_type": "rbd", "data": {"name": "volumes/db"}}
    monkeypatch.setattr(FakeDriver, "create_export", lambda *_arguments: {})
    monkeypatch.setattr(FakeDriver, "initialize_connection", lambda *_arguments: answer)
    controller.volume("db", size="1GiB")
    succeeded(controller.connection("db", connector=HOST1))
    assert not succeeded(controller.connection("db", connector=HOST1))["changed"]


def lose_one(controller: Controller, kernel: Kernel, connector: dict[str, Any]) -> None:
    [let_in] = controller.storage.targets.values()
    del let_in[connector["initiator"]]
    kernel.follow()


def test_a_host_whose_access_the_kernel_lost_is_let_in_again_and_no_other_is_cut_off(
    controller: Controller, kernel: Kernel
) -> None:
    controller.volume("db", size="1GiB")
    for connector in (HOST1, HOST2):
        connected = succeeded(controller.connection("db", connector=connector, shared=True))
    exported = controller.storage.hosts()
    lose_one(controller, kernel, HOST2)
    [seen] = connection_info.info({"backend": None, "volumes": None, "config": str(controller.path)}, False)["volumes"]
    assert seen["problems"]
    asked = len(controller.worker.asked)
    again = succeeded(controller.connection("db", connector=HOST2, shared=True))
    assert (again["changed"], again["connections"]) == (True, connected["connections"])
    assert set(controller.worker.asked[asked:]) == {
        "validate_connector",
        "terminate_connection",
        "initialize_connection",
    }
    assert controller.storage.hosts() == exported
    assert not controller.connection("db", connector=HOST2, shared=True)["changed"]


def test_a_host_is_released_also_where_the_kernel_lost_the_access_of_another(
    controller: Controller, kernel: Kernel
) -> None:
    controller.volume("db", size="1GiB")
    for connector in (HOST1, HOST2):
        controller.connection("db", connector=connector, shared=True)
    lose_one(controller, kernel, HOST2)
    succeeded(controller.release("db", host="host1"))
    assert list(controller.storage.hosts().values()) == [[]]
    succeeded(controller.release("db", host="host2"))
    assert (controller.storage.targets, controller.record("db").export) == ({}, "none")


@pytest.mark.parametrize("negate", [False, True], ids=["repeated", "negated"])
@pytest.mark.parametrize("case", ["connect", "share", "release", "release one"])
def test_the_power_failed_at_every_step(
    case: str, negate: bool, again: Callable[[str], Controller], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(lio, "CONFIGFS", tmp_path / "target")
    for number, step in enumerate(steps_of(case, again, monkeypatch), 1):
        controller = again(case)
        controller.path.write_text(f"{SECTION}target_helper = lioadm\n", encoding="utf-8")
        kernel = Kernel(tmp_path / "target", controller.storage)
        kernel.follow()
        with monkeypatch.context() as patch:
            Kills(number, patch, controller)
            with contextlib.suppress(Killed):
                CALLS[case](controller)
        controller.worker.step = kernel.follow
        lose_everything(controller, kernel)
        finish = OPPOSITES[case] if negate else CALLS[case]
        succeeded(finish(controller))
        assert not succeeded(finish(controller))["changed"], f"the power failed at {step}"
        succeeded(controller.release("db", all_hosts=True))
        assert (controller.storage.targets, controller.record("db").export) == ({}, "none"), step


# What goes wrong


def test_what_the_driver_refuses_is_not_on_record(controller: Controller) -> None:
    controller.driver.fails["create_volume"] = CinderError("insufficient free space")
    refused = controller.volume("db", size="1GiB")
    assert (refused["error_code"], controller.store.volumes("fake")) == ("resource_exhausted", [])
    controller.driver.fails.clear()
    controller.volume("db", size="1GiB")
    for method in ("validate_connector", "create_export", "initialize_connection"):
        before = controller.record("db")
        controller.driver.fails[method] = CinderError("the array is on fire")
        refused = controller.connection("db", connector=HOST1)
        assert "on fire" in refused["msg"]
        after = controller.record("db")
        assert (after.attachments, after.export, after.shared) == (before.attachments, before.export, before.shared)
        assert controller.storage.targets == {}
        controller.driver.fails.clear()


def test_a_target_that_could_not_be_made_whole_is_not_left(
    controller: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(driver: FakeDriver, _context: Any, volume: Any, _connector: Any) -> Any:
        # As cinder-rtstool where the address of a portal is not this machine's.
        controller.storage.targets.setdefault(driver.iqn(volume), {})
        raise CinderError("cannot bind")

    controller.volume("db", size="1GiB")
    with monkeypatch.context() as patch:
        patch.setattr(FakeDriver, "create_export", half)
        assert "cannot bind" in controller.connection("db", connector=HOST1)["msg"]
    assert (controller.storage.targets, controller.record("db").attachments) == ({}, ())
    succeeded(controller.volume("db", state="absent"))


def test_a_failure_for_the_second_host_leaves_the_first_alone(controller: Controller) -> None:
    controller.volume("db", size="1GiB")
    first = secret_of(controller.connection("db", connector=HOST1))
    controller.driver.fails["initialize_connection"] = CinderError("no")
    assert controller.connection("db", connector=HOST2, shared=True)["failed"]
    assert [one.host for one in controller.record("db").attachments] == ["host1"]
    assert controller.record("db").shared is False
    assert secret_of(controller.connection("db", connector=HOST1)) == first
    assert len(controller.storage.targets) == 1


def test_what_fails_late_is_taken_back_all_the_same(controller: Controller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cinder, "UNDO_SECONDS", 0.5)
    controller.volume("db", size="1GiB")

    def step(name: str) -> None:
        if name == "before initialize_connection":
            time.sleep(0.6)
            controller.driver.fails["initialize_connection"] = CinderError("it hung")

    controller.worker.step = step
    refused = controller.connection("db", connector=HOST1)
    assert "it hung" in refused["msg"]
    assert (controller.storage.targets, controller.record("db").attachments) == ({}, ())


def test_what_is_taken_back_waits_for_others_to_write_also_after_the_time_of_the_call(controller: Controller) -> None:
    controller.volume("db", size="1GiB")
    written = threading.Event()

    def write() -> None:
        with stores.Store(Deadline(5), controller.store.path)._writing():
            written.set()
            time.sleep(0.7)

    other = threading.Thread(target=write)

    def step(name: str) -> None:
        if name == "before initialize_connection":
            time.sleep(1)
            controller.driver.fails["initialize_connection"] = CinderError("it hung")
            other.start()
            written.wait(5)

    controller.worker.step = step
    refused = controller.connection("db", connector=HOST1, timeout=1)
    other.join()
    assert "taken back" not in refused["msg"]
    assert (controller.storage.targets, controller.record("db").attachments) == ({}, ())


def test_what_cannot_be_taken_back_stays_on_record_and_can_be_released(controller: Controller) -> None:
    controller.volume("db", size="1GiB")
    controller.driver.fails = {"initialize_connection": CinderError("no"), "remove_export": CinderError("never")}
    refused = controller.connection("db", connector=HOST1)
    assert "never" in refused["msg"]
    assert "state absent" in refused["msg"]
    assert controller.record("db").attachments[0].host == "host1"
    controller.driver.fails.clear()
    succeeded(controller.release("db", host="host1"))
    assert (controller.storage.targets, controller.record("db").attachments) == ({}, ())


def test_a_volume_whose_turn_comes_too_late_is_not_touched(controller: Controller) -> None:
    controller.volume("db", "log", size="1GiB")

    def step(name: str) -> None:
        if name == "after initialize_connection":
            time.sleep(1.1)

    controller.worker.step = step
    result = controller.connection("db", "log", connector=HOST1, timeout=1)
    assert (result["error_code"], result["volume"]) == ("deadline_exceeded", "log")
    assert [connection["volume"]["name"] for connection in result["connections"]] == ["db"]
    assert controller.record("log").attachments == ()


def test_a_copy_that_is_being_deleted_is_not_taken_for_whole(controller: Controller) -> None:
    controller.volume("db", size="1GiB")

    def step(name: str) -> None:
        if name == "after create_from_volume":
            controller.store.update(stores.VolumeRecord, controller.record("copy").id, state=stores.DELETING)

    controller.worker.step = step
    assert controller.volume("copy", source_volume="db")["error_code"] == "aborted"
    assert controller.record("copy").state == stores.DELETING


def test_a_copy_whose_deletion_begins_before_it_is_tried_again_is_not_tried_again(controller: Controller) -> None:
    controller.volume("db", size="1GiB")

    def kill(name: str) -> None:
        if name == "after create_from_volume":
            raise Killed

    controller.worker.step = kill
    with pytest.raises(Killed):
        controller.volume("copy", source_volume="db")

    def delete(name: str) -> None:
        if name == "after delete_volume":
            controller.store.update(stores.VolumeRecord, controller.record("copy").id, state=stores.DELETING)

    controller.worker.step = delete
    assert controller.volume("copy", source_volume="db")["error_code"] == "aborted"
    assert controller.record("copy").state == stores.DELETING


def test_a_copy_that_is_to_be_larger_while_it_is_made_becomes_so(controller: Controller) -> None:
    controller.volume("db", size="1GiB")

    def step(name: str) -> None:
        if name == "after create_from_volume":
            backend = controller.open()
            backend.grow(backend.inventory().volumes["copy"], 3 * GIB)

    controller.worker.step = step
    made = succeeded(controller.volume("copy", source_volume="db"))
    assert made["volumes"][0]["size_bytes"] == 3 * GIB
    record = controller.record("copy")
    assert (record.size_gib, record.growing_gib) == (3, None)
    assert controller.storage.volumes[f"volume-{record.id}"] == 3


def test_a_host_that_was_not_let_in_is_released_also_where_the_driver_would_not(
    controller: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminate = FakeDriver.terminate_connection

    def strict(driver: FakeDriver, volume: Any, connector: Any, **kwargs: Any) -> bool:
        if connector["initiator"] not in controller.storage.targets[driver.iqn(volume)]:
            raise CinderError("there is no such mapping")
        return terminate(driver, volume, connector, **kwargs)

    monkeypatch.setattr(FakeDriver, "terminate_connection", strict)
    controller.volume("db", size="1GiB")

    def step(name: str) -> None:
        if name == "before initialize_connection":
            raise Killed

    controller.worker.step = step
    with pytest.raises(Killed):
        controller.connection("db", connector=HOST1)
    controller.worker.step = lambda name: None
    succeeded(controller.release("db", host="host1"))
    assert (controller.storage.targets, controller.record("db").attachments) == ({}, ())


def test_a_growth_that_is_refused_is_not_tried_for_ever(controller: Controller) -> None:
    controller.volume("db", size="1GiB")
    controller.driver.fails["extend_volume"] = CinderError("not enough space")
    assert controller.volume("db", size="2GiB")["error_code"] == "resource_exhausted"
    assert not succeeded(controller.volume("db", size="1GiB"))["changed"]


def test_the_secret_is_in_the_result_and_in_the_store_and_nowhere_else(controller: Controller) -> None:
    controller.volume("db", size="1GiB")
    result = controller.connection("db", connector=HOST1)
    secret = secret_of(result)
    assert secret.encode() in controller.store.path.read_bytes()
    del result["connections"]
    assert secret not in json.dumps(result, default=str)
    assert secret not in repr(controller.record("db"))


# Interrupted

PREPARED: dict[str, list[Callable[[Controller], Any]]] = {
    "create": [],
    "grow": [lambda on: on.volume("db", size="1GiB")],
    "delete": [lambda on: on.volume("db", size="1GiB")],
    "snapshot": [lambda on: on.volume("db", size="1GiB")],
    "delete a snapshot": [lambda on: on.volume("db", size="1GiB"), lambda on: on.snapshot("s", volume="db")],
    "from a snapshot": [lambda on: on.volume("db", size="1GiB"), lambda on: on.snapshot("s", volume="db")],
    "clone": [lambda on: on.volume("db", size="1GiB")],
    "connect": [lambda on: on.volume("db", size="1GiB")],
    "share": [lambda on: on.volume("db", size="1GiB"), lambda on: on.connection("db", connector=HOST1)],
    "release": [lambda on: on.volume("db", size="1GiB"), lambda on: on.connection("db", connector=HOST1)],
    "release one": [
        lambda on: on.volume("db", size="1GiB"),
        lambda on: on.connection("db", connector=HOST1, shared=True),
        lambda on: on.connection("db", connector=HOST2, shared=True),
    ],
}
CALLS: dict[str, Callable[[Controller], Any]] = {
    "create": lambda on: on.volume("db", size="1GiB"),
    "grow": lambda on: on.volume("db", size="2GiB"),
    "delete": lambda on: on.volume("db", state="absent"),
    "snapshot": lambda on: on.snapshot("s", volume="db"),
    "delete a snapshot": lambda on: on.snapshot("s", state="absent"),
    "from a snapshot": lambda on: on.volume("copy", snapshot="s", size="2GiB"),
    "clone": lambda on: on.volume("copy", source_volume="db"),
    "connect": lambda on: on.connection("db", connector=HOST1),
    "share": lambda on: on.connection("db", connector=HOST2, shared=True),
    "release": lambda on: on.release("db", host="host1"),
    "release one": lambda on: on.release("db", host="host1"),
}
OPPOSITES: dict[str, Callable[[Controller], Any]] = {
    "create": lambda on: on.volume("db", state="absent"),
    "grow": lambda on: on.volume("db", state="absent"),
    "delete": lambda on: on.volume("db", size="1GiB"),
    "snapshot": lambda on: on.snapshot("s", state="absent"),
    "delete a snapshot": lambda on: on.snapshot("s", volume="db"),
    "from a snapshot": lambda on: on.volume("copy", state="absent"),
    "clone": lambda on: on.volume("copy", state="absent"),
    "connect": lambda on: on.release("db", host="host1"),
    "share": lambda on: on.release("db", host="host2"),
    "release": lambda on: on.connection("db", connector=HOST1),
    "release one": lambda on: on.connection("db", connector=HOST1, shared=True),
}


class Kills:
    """Kills a call at one of its steps: at the driver's, before and after what they do, and at the store's, before and after each
    transaction."""

    def __init__(self, at: Optional[int], monkeypatch: pytest.MonkeyPatch, controller: Controller) -> None:
        self.at = at
        self.seen: list[str] = []
        controller.worker.step = self.step
        original = stores.Store._writing

        def writing(store: stores.Store) -> Any:
            return self._around(original(store))

        monkeypatch.setattr(stores.Store, "_writing", writing)

    def step(self, name: str) -> None:
        self.seen.append(name)
        if self.at == len(self.seen):
            raise Killed(name)

    def _around(self, transaction: Any) -> Any:
        kills = self

        class Around:
            def __enter__(self) -> Any:
                kills.step("before a transaction")
                return transaction.__enter__()

            def __exit__(self, *error: Any) -> Any:
                swallowed = transaction.__exit__(*error)
                if error[0] is None:
                    kills.step("after a transaction")
                return swallowed

        return Around()


def shape(controller: Controller) -> Any:
    """The storage's own listing and the records, with names in place of ids, and without secrets."""
    records = controller.store.volumes("fake")
    known = {f"volume-{record.id}": record.name for record in records}
    known.update({f"snapshot-{record.id}": record.name for record in controller.store.snapshots("fake")})
    for record in records:
        # The kernel and the records know the same secrets.
        target = controller.storage.targets.get(f"iqn.2010-10.org.openstack:volume-{record.id}", {})
        told = {one.initiator: (one.connection_info or {})["data"]["auth_password"] for one in record.attachments}
        assert target == told, record
    return (
        {known[name]: size for name, size in controller.storage.volumes.items()},
        {known[name]: known[volume] for name, volume in controller.storage.snapshots.items()},
        {known[target.partition(":")[2]]: hosts for target, hosts in controller.storage.hosts().items()},
        [
            (record.name, record.size_gib, record.state, record.growing_gib, record.shared, record.export)
            for record in records
        ],
        [(record.name, record.state) for record in controller.store.snapshots("fake")],
        [[(one.host, one.state) for one in record.attachments] for record in records],
    )


@pytest.fixture
def again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Controller]:
    """A new controller each time, with what a case needs."""
    count = iter(range(1000))

    def make(case: str) -> Controller:
        directory = tmp_path / str(next(count))
        directory.mkdir()
        monkeypatch.setattr(stores, "PATH", directory / "cinder.sqlite")
        for module in (stores, connections, batches):
            monkeypatch.setattr(module, "exclusive", functools.partial(waiting.exclusive, directory=directory))
        found = Controller(directory)
        monkeypatch.setattr(cinder, "_worker", lambda section, store: found.worker)
        for prepare in PREPARED[case]:
            succeeded(prepare(found))
        return found

    return make


def steps_of(case: str, again: Callable[[str], Controller], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    with monkeypatch.context() as patch:
        controller = again(case)
        kills = Kills(None, patch, controller)
        succeeded(CALLS[case](controller))
        return kills.seen


@pytest.mark.parametrize("negate", [False, True], ids=["repeated", "negated"])
@pytest.mark.parametrize("case", list(CALLS))
def test_killed_at_every_step(
    case: str, negate: bool, again: Callable[[str], Controller], monkeypatch: pytest.MonkeyPatch
) -> None:
    controller = again(case)
    succeeded(CALLS[case](controller))
    if negate:
        succeeded(OPPOSITES[case](controller))
    expected = shape(controller)
    steps = steps_of(case, again, monkeypatch)
    assert len(steps) > 4
    for number, step in enumerate(steps, 1):
        controller = again(case)
        with monkeypatch.context() as patch:
            Kills(number, patch, controller)
            with pytest.raises(Killed):
                CALLS[case](controller)
        controller.worker.step = lambda name: None
        finish = OPPOSITES[case] if negate else CALLS[case]
        succeeded(finish(controller))
        if case == "share" and negate and not controller.record("db").shared:
            # Killed before it was on record; the one host that is left is as it was.
            controller.store.update(stores.VolumeRecord, controller.record("db").id, shared=True)
        assert shape(controller) == expected, f"killed at {step}, step {number} of {len(steps)}"
        assert not succeeded(finish(controller))["changed"], f"killed at {step}"


def test_an_unknown_driver_of_cinder_is_told_by_cinder(tmp_path: Path) -> None:
    path = tmp_path / "backends.conf"
    path.write_text(SECTION.replace("cinder.volume.drivers.fake", "cinder.drivers"), encoding="utf-8")
    with pytest.raises(StorageError, match=r"cinder\.volume\.drivers\.…"):
        registry.open_backend(str(path), None, Deadline(1))


def test_without_cinder_it_says_what_installs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "PATH", tmp_path / "cinder.sqlite")
    monkeypatch.setattr(environment, "ENVIRONMENT", str(tmp_path / "no"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    path = tmp_path / "backends.conf"
    path.write_text(SECTION, encoding="utf-8")
    with pytest.raises(StorageError, match="controller_setup") as failure:
        registry.open_backend(str(path), None, Deadline(5))
    assert failure.value.code == "failed_precondition"
    assert config.enabled(str(path), None).digest
