# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from ansible_collections.brickwork.storage.plugins.module_utils import commands
from ansible_collections.brickwork.storage.plugins.module_utils.commands import Finished
from ansible_collections.brickwork.storage.plugins.module_utils.controller import rules
from ansible_collections.brickwork.storage.plugins.module_utils.controller.backend import Capacity, Holder
from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm import backend as backend_module
from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm import lio, lvm2, usage
from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm.backend import LvmBackend
from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm.exporter import Portal
from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm.nvmet import Nvmet
from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm.provisioning import Provisioning
from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm.settings import Settings
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline

ID = "5f0c1c5e-4a3b-4d37-9d0a-0f7a5f1f6f3a"
GROUP_UUID = "kV0nZU-6fTr-3oSs-0001-qqqq-wwww-eeeeee"
UUID = "aaaaaa-bbbb-cccc-dddd-eeee-ffff-gggggg"


class Commands:
    """Answers instead of LVM, and remembers what was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []
        self.answer = Finished(("lvs",), 0, "", "")

    def run(self, argv: Sequence[str], deadline: Deadline) -> Finished:
        self.asked.append(tuple(argv))
        return self.answer


@pytest.fixture
def lvm(monkeypatch: pytest.MonkeyPatch) -> Commands:
    found = Commands()
    monkeypatch.setattr(commands, "run", found.run)
    return found


def rows(**tags: str) -> str:
    volumes = [
        {
            "lv_name": name,
            "lv_uuid": UUID,
            "vg_uuid": GROUP_UUID,
            "lv_size": "1073741824",
            "lv_tags": value,
            "lv_active": "active",
            "lv_device_open": "open" if name == "opened" else "",
            "origin": "",
            "pool_lv": "",
            "lv_layout": "linear",
        }
        for name, value in tags.items()
    ]
    return json.dumps({"report": [{"lv": volumes}], "log": []})


def changes(lvm: Commands) -> list[list[str]]:
    """What was asked of LVM but to read."""
    around = {*commands.ENDS_WITH_US, "--config"}
    asked = [[word for word in command if word not in around] for command in lvm.asked if command[0] != "lvs"]
    return [[word for word in command if not word.startswith("devices/")] for command in asked]


def a_backend(target_protocol: str = "iscsi") -> LvmBackend:
    return LvmBackend(
        "lvm",
        Settings(
            "vg0",
            target_protocol,
            (Portal("192.0.2.1", 3260),),
            "iqn.2026-11.org.brickwork:",
            Provisioning(thin=False, over_subscription=1.0, volume_clear="zero"),
        ),
        Deadline(5),
    )


def test_reads_volumes_and_their_holders(lvm: Commands) -> None:
    tags = f"brickwork.connection=host1/1/iqn.1993-08.org.debian:01:a,brickwork.id={ID},brickwork.shared"
    lvm.answer = Finished(("lvs",), 0, rows(data=tags, root="", broken="brickwork.id=5"), "")
    inventory = a_backend().inventory()
    volume = inventory.volumes["data"]
    assert (volume.id, volume.size_bytes, volume.shared, volume.deleting) == (ID, 1024**3, True, False)
    assert volume.holders == (Holder("host1", "iqn.1993-08.org.debian:01:a", True),)
    assert set(inventory.volumes) == {"data"}
    assert "lvchange --addtag brickwork.id=$(uuidgen) vg0/root" in inventory.strangers["root"]
    assert set(inventory.strangers) == {"root", "broken"}
    assert len(lvm.asked) == 1
    assert any(
        "log/report_command_log=0" in word for word in lvm.asked[0]
    )  # else LVM says what failed where nobody looks


def test_target_that_is_told_of_growth(lvm: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until it was told the volume is marked, so that the same call does it then."""
    told: list[str] = []

    def refuse(_exporter: Nvmet, _volume_id: str) -> None:
        raise OSError(5, "Input/output error")

    lvm.answer = Finished(("lvs",), 0, rows(data=f"brickwork.id={ID}"), "")
    backend = a_backend("nvmet_tcp")
    volume = backend.inventory().volumes["data"]
    monkeypatch.setattr(Nvmet, "grown", refuse)
    with pytest.raises(StorageError):
        backend.grow(volume, 2 * 1024**3)
    assert changes(lvm) == [
        ["lvchange", "--addtag", "brickwork.growing", "vg0/data"],
        ["lvextend", "--yes", "-L", "2147483648b", "vg0/data"],
    ]
    lvm.answer = Finished(("lvs",), 0, rows(data=f"brickwork.growing,brickwork.id={ID}"), "")
    volume = backend.inventory().volumes["data"]
    assert volume.growing
    lvm.asked.clear()
    monkeypatch.setattr(Nvmet, "grown", lambda _exporter, volume_id: told.append(volume_id))
    backend.grow(volume, volume.size_bytes)
    assert changes(lvm) == [["lvchange", "--deltag", "brickwork.growing", "vg0/data"]]
    assert told == [ID]


def test_target_that_sees_growth_by_itself(lvm: Commands) -> None:
    lvm.answer = Finished(("lvs",), 0, rows(data=f"brickwork.id={ID}"), "")
    backend = a_backend()
    backend.grow(backend.inventory().volumes["data"], 2 * 1024**3)
    assert changes(lvm) == [["lvextend", "--yes", "-L", "2147483648b", "vg0/data"]]


def test_two_logical_volumes_with_one_id_are_both_left_alone(lvm: Commands) -> None:
    lvm.answer = Finished(("lvs",), 0, rows(data=f"brickwork.id={ID}", copy=f"brickwork.id={ID}"), "")
    inventory = a_backend().inventory()
    assert inventory.volumes == {}
    assert "data and copy of volume group vg0" in inventory.strangers["data"]


def test_the_device_is_named_by_uuids(lvm: Commands) -> None:
    lvm.answer = Finished(("lvs",), 0, rows(data=""), "")
    (volume,) = lvm2.VolumeGroup("vg0", Deadline(5)).logical_volumes()
    joined = (GROUP_UUID + UUID).replace("-", "")
    assert volume.device == f"/dev/disk/by-id/dm-uuid-LVM-{joined}"


@pytest.mark.parametrize(
    ("stderr", "status", "code"),
    [
        ('  Volume group "vg0" not found\n  Cannot process volume group vg0\n', 5, "not_found"),
        ('  Volume group "vg0" has insufficient free space (3 extents): 256 required.\n', 5, "resource_exhausted"),
        ("  Logical volume vg0/data in use.\n", 5, "failed_precondition"),
        ("  Couldn't find device with uuid x.\n", 5, "unavailable"),
        ("", None, "deadline_exceeded"),
    ],
)
def test_failures_of_lvm(lvm: Commands, stderr: str, status: int | None, code: str) -> None:
    lvm.answer = Finished(("lvs",), status, "", stderr)
    with pytest.raises(StorageError) as failure:
        a_backend().inventory()
    assert failure.value.code == code


def test_a_device_that_is_gone_meanwhile(lvm: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lio, "library", lambda name: SimpleNamespace(RTSLibError=ArithmeticError))
    lvm.answer = Finished(("lvs",), 0, rows(data=f"brickwork.id={ID}"), "")
    backend = a_backend()
    volume = backend.inventory().volumes["data"]
    with pytest.raises(StorageError) as failure:
        backend.users(volume)
    assert failure.value.code == "aborted"


@pytest.fixture
def opened(lvm: Commands, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> LvmBackend:
    """A backend with one volume, whose device something has open."""
    monkeypatch.setattr(usage, "users", lambda number: [])
    monkeypatch.setattr(usage, "device_number", lambda path: (253, 5))
    monkeypatch.setattr(lio, "CONFIGFS", tmp_path)
    monkeypatch.setattr(backend_module, "SETTLE_SECONDS", 0.1)
    monkeypatch.setattr(backend_module, "SETTLE_POLL_SECONDS", 0.01)
    lvm.answer = Finished(("lvs",), 0, rows(opened=f"brickwork.id={ID}"), "")
    return a_backend()


def test_what_has_a_device_open_uses_it(opened: LvmBackend) -> None:
    assert opened.users(opened.inventory().volumes["opened"]) == [backend_module.SOMETHING]


def test_our_own_export_is_no_user(opened: LvmBackend, tmp_path: Path) -> None:
    (tmp_path / "core" / "iblock_0" / ID).mkdir(parents=True)
    assert opened.users(opened.inventory().volumes["opened"]) == []


def test_a_deletion_that_has_begun_is_no_user(opened: LvmBackend) -> None:
    assert opened.users(replace(opened.inventory().volumes["opened"], deleting=True)) == []


def test_what_only_looks_at_a_device_is_waited_for(
    opened: LvmBackend, lvm: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = opened.inventory().volumes["opened"]
    closed = lvm.answer.stdout.replace('"lv_device_open": "open"', '"lv_device_open": ""')
    monkeypatch.setattr(time, "sleep", lambda seconds: setattr(lvm, "answer", Finished(("lvs",), 0, closed, "")))
    assert opened.users(volume) == []


@pytest.mark.parametrize("name", ["db-data", "a", "a.b_c+d-e", "0", "x" * 100])
def test_names_that_can_be(name: str) -> None:
    a_backend().check_name(name, "volumes")


@pytest.mark.parametrize(
    "name", ["-a", ".", "..", "a/b", "a b", "ä", "snapshot1", "pvmove0", "a_tmeta", "x" * 127, "-" * 3, "a-" * 60]
)
def test_names_that_cannot_be(name: str) -> None:
    with pytest.raises(StorageError) as failure:
        a_backend().check_name(name, "volumes")
    assert (failure.value.code, failure.value.facts["field"]) == ("invalid_argument", "volumes")


def test_sizes_are_rounded_up_to_extents(lvm: Commands) -> None:
    space = {"report": [{"vg": [{"vg_extent_size": "4194304", "vg_size": "16777216", "vg_free": "8388608"}]}]}
    lvm.answer = Finished(("vgs",), 0, json.dumps(space), "")
    assert a_backend().rounded(1) == 4194304
    assert a_backend().rounded(4194304) == 4194304
    assert a_backend().rounded(4194305) == 8388608
    assert a_backend().capacity() == Capacity(16777216, 8388608)


def test_a_new_volume_is_tagged_in_the_same_transaction(lvm: Commands) -> None:
    a_backend().create("data", 4194304)
    ((program, *arguments),) = lvm.asked
    assert program == "lvcreate"
    assert arguments[arguments.index("--addtag") + 1].startswith("brickwork.id=")


def test_alike_changes_of_tags_are_one_command(lvm: Commands) -> None:
    tags = {name: f"brickwork.id=00000000-0000-4000-8000-00000000000{index}" for index, name in enumerate("abc")}
    tags["c"] += ",brickwork.connection=host1/0/iqn.a"
    lvm.answer = Finished(("lvs",), 0, rows(**tags), "")
    backend = a_backend()
    found = backend.inventory().volumes
    after = {name: rules.connected(volume, Holder("host2", "iqn.b", True), True, ()) for name, volume in found.items()}
    lvm.asked.clear()
    backend._retag([(found[name], after[name]) for name in found])
    added = ("--addtag", "brickwork.connection=host2/1/iqn.b", "--addtag", "brickwork.shared")
    assert changes(lvm) == [["lvchange", *added, "vg0/a", "vg0/b", "vg0/c"]]
    # Or each connection would leave the whole metadata in /etc/lvm/archive.
    assert any("backup/archive=0" in word for word in lvm.asked[0])
    lvm.asked.clear()
    backend._retag([(after[name], found[name]) for name in found])
    removed = [word.replace("--addtag", "--deltag") for word in added]
    assert changes(lvm) == [["lvchange", *removed, "vg0/a", "vg0/b", "vg0/c"]]
    lvm.asked.clear()
    backend._retag([(found["a"], found["a"])])
    assert lvm.asked == []


def test_a_change_of_tags_does_not_outlive_who_began_it(tmp_path: Path) -> None:
    """The next call has read who holds the volume, and decided, when what the killed one began would have changed that."""
    lvchange = tmp_path / "lvchange"
    lvchange.write_text(f"#!/bin/sh\ntouch {tmp_path}/begun\nsleep 1\ntouch {tmp_path}/done\n")
    lvchange.chmod(0o755)
    module = f"""
from {lvm2.__name__} import Deadline, VolumeGroup
VolumeGroup("vg0", Deadline(60)).tag(["data"], add=["brickwork.shared"])
"""
    variables = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen([sys.executable, "-c", module], env=variables)
    patience = Deadline(20)
    while not (tmp_path / "begun").exists():
        assert not patience.passed
        time.sleep(0.02)
    process.kill()
    process.wait()
    time.sleep(1.5)
    assert not (tmp_path / "done").exists()


@pytest.mark.parametrize(
    "connector",
    [
        {"host": "host1"},
        {"host": "host1", "initiator": 5},
        {"host": "host1", "initiator": ""},
        {"host": "host1", "initiator": "host1"},
        {"host": "host1", "initiator": None},
    ],
)
def test_a_connector_without_an_initiator(connector: dict[str, object]) -> None:
    with pytest.raises(StorageError) as failure:
        a_backend().holder(connector)
    assert (failure.value.code, failure.value.facts["field"]) == ("invalid_argument", "connector.initiator")


def test_initiators_are_compared_in_lower_case() -> None:
    holder = a_backend().holder({"host": "host1", "initiator": "IQN.1993-08.org.debian:01:A", "multipath": True})
    assert holder == Holder("host1", "iqn.1993-08.org.debian:01:a", True)


def test_lvm_looks_at_no_more_names_of_devices_than_it_must(lvm: Commands) -> None:
    lvm.answer = Finished(("lvs",), 0, rows(), "")
    lvm2.VolumeGroup("a-b+c", Deadline(5)).logical_volumes()
    settings = lvm.asked[0][lvm.asked[0].index("--config") + 1]
    # A plus would be an operator of LVM's patterns.
    assert '"^/dev/disk/by-id/dm-name-a--b.c-"' in settings
