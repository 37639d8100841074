# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Optional

import pytest

from ansible_collections.brickwork.storage.plugins.module_utils import commands
from ansible_collections.brickwork.storage.plugins.module_utils.commands import Finished
from ansible_collections.brickwork.storage.plugins.module_utils.controller.backend import Holder, Volume
from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm import exporter, nvmet, nvmet_boot, tags
from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm.exporter import Portal
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline

ID = "5f0c1c5e-4a3b-4d37-9d0a-0f7a5f1f6f3a"
OTHER_ID = "00000000-0000-4000-8000-000000000000"
PREFIX = "nqn.2026-11.org.brickwork:"
DEVICE = "/dev/disk/by-id/dm-uuid-LVM-abc"
PORTALS = (Portal("192.0.2.1", 4420), Portal("2001:db8::1", 4420))
HOST1 = Holder("host1", "nqn.2014-08.org.nvmexpress:uuid:1", True)
HOST2 = Holder("host2", "nqn.2014-08.org.nvmexpress:uuid:2", True)
# What the kernel puts into a new directory: attributes with their values, and directories.
PORT = {**dict.fromkeys(("addr_adrfam", "addr_trtype", "addr_trsvcid", "addr_traddr"), ""), "subsystems": None}
NEW: dict[str, dict[str, Optional[str]]] = {
    "subsystems": {"attr_allow_any_host": "0", "attr_serial": "random", "allowed_hosts": None, "namespaces": None},
    "namespaces": {
        "device_path": "(null)",
        "device_uuid": "11111111-1111-4111-8111-111111111111",
        "device_nguid": "0",
        "enable": "0",
        "revalidate_size": "",
    },
    "ports": {**PORT},
    "hosts": {"dhchap_key": ""},
}


class Killed(BaseException):
    """The process ends here."""


class Kernel:
    """The configfs of nvmet, in a directory, and what changes it; the Nth change can be the last.

    Args:
        root: of the file system.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.configfs = root / "configfs"
        self.changes: list[str] = []
        self.ends_before: Optional[int] = None
        self.unreachable: set[str] = set()
        self.commands: list[tuple[str, ...]] = []
        for name in ("subsystems", "hosts", "ports"):
            (self.configfs / name).mkdir(parents=True)
        (root / "etc/systemd/system/multi-user.target.wants").mkdir(parents=True)

    def count(self, what: str) -> None:
        if self.ends_before is not None and len(self.changes) >= self.ends_before:
            raise Killed
        self.changes.append(what)

    def make(self, path: Path) -> None:
        if path.is_dir():
            return
        self.count(f"make {path}")
        path.mkdir()
        for name, value in NEW[path.parent.name].items():
            if value is None:
                (path / name).mkdir()
            else:
                (path / name).write_text(f"{value}\n", encoding="ascii")

    def remove(self, path: Path) -> None:
        self.count(f"remove {path}")
        if any(link.resolve() == path for link in self.configfs.rglob("*") if link.is_symlink()):
            raise OSError(errno.EBUSY, "busy")
        for directory in (path / "subsystems", path / "allowed_hosts", path / "namespaces"):
            if directory.is_dir() and os.listdir(directory):
                raise OSError(errno.ENOTEMPTY, "not empty")
        shutil.rmtree(path)

    def link(self, path: Path, target: Path) -> None:
        if path.is_symlink():
            return
        self.count(f"link {path}")
        port = path.parent.parent
        if (port / "addr_traddr").exists() and nvmet._text(port / "addr_traddr") in self.unreachable:
            raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")
        path.symlink_to(target)

    def unlink(self, path: Path) -> None:
        if path.is_symlink():
            self.count(f"unlink {path}")
            path.unlink()

    def set(self, path: Path, value: str) -> None:
        if nvmet._text(path) != value:
            self.count(f"set {path} {value}")
            assert path.exists(), path
            namespace = path.parent
            assert path.name == "enable" or nvmet._text(namespace / "enable") != "1", "the kernel refuses that"
            path.write_text(value, encoding="ascii")

    def write(self, path: Path, text: str, mode: int = 0o600) -> None:
        self.count(f"write {path}")
        exporter.write_durably(path, text, mode)

    def write_all(self, texts: Mapping[Path, str]) -> None:
        for path in texts:
            self.count(f"write {path}")
        exporter.write_all_durably(texts)

    def run(self, argv: Sequence[str], deadline: Deadline) -> Finished:
        """systemctl."""
        self.count(" ".join(argv))
        self.commands.append(tuple(argv))
        enabled = self.root / nvmet_boot.ENABLED
        if "enable" in argv and not enabled.is_symlink():
            enabled.symlink_to(self.root / nvmet_boot.UNIT_FILE)
        if "disable" in argv:
            enabled.unlink(missing_ok=True)
        return Finished(tuple(argv), 0, "", "")

    def replace(self, new: Path, old: Path) -> None:
        self.count(f"replace {old}")
        new.rename(old)

    def tree(self) -> list[str]:
        """Everything there is, with what it holds; not what the number of a port is."""
        left = []
        for path in sorted(self.root.rglob("*")):
            if path.is_file() or path.is_symlink() or path.parent.parent == self.configfs:
                left.append(str(path.relative_to(self.root)))
                if path.is_file() and not path.is_symlink():
                    left[-1] += f"={path.read_text(encoding='utf-8')}"
        return left


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Kernel:
    found = Kernel(tmp_path)
    monkeypatch.setattr(nvmet, "CONFIGFS", found.configfs)
    monkeypatch.setattr(nvmet, "DEBUGFS", tmp_path / "debugfs")
    monkeypatch.setattr(nvmet_boot, "ROOT", tmp_path)
    monkeypatch.setattr(commands, "run", found.run)
    monkeypatch.setattr(nvmet_boot, "write_durably", found.write)
    monkeypatch.setattr(os, "replace", found.replace)
    monkeypatch.setattr(nvmet_boot, "write_all_durably", found.write_all)
    for name in ("make", "remove", "link", "unlink", "set"):
        monkeypatch.setattr(nvmet, f"_{name}", getattr(found, name))
    return found


@pytest.fixture
def exports(kernel: Kernel) -> nvmet.Nvmet:
    return nvmet.Nvmet(PREFIX, PORTALS)


def volume(*holders: Holder, volume_id: str = ID) -> Volume:
    return Volume("data", volume_id, 1024, "lvm", holders=holders, shared=len(holders) > 1)


def connect(exports: nvmet.Nvmet, wanted: Volume) -> None:
    exports.realise(wanted, DEVICE)
    exports.save([wanted.id])


def release(exports: nvmet.Nvmet, wanted: Volume) -> None:
    exports.withdraw(wanted)
    exports.save([wanted.id])


def test_an_export_is_as_wanted_and_a_repeat_changes_nothing(exports: nvmet.Nvmet, kernel: Kernel) -> None:
    assert exports.export(ID) is None
    wanted = exports.wanted(volume(HOST1), DEVICE)
    connect(exports, volume(HOST1))
    assert exports.export(ID) == wanted
    subsystem = kernel.configfs / "subsystems" / f"{PREFIX}{ID}:host1"
    assert nvmet._text(subsystem / "attr_allow_any_host") == "0"
    assert os.listdir(subsystem / "allowed_hosts") == [HOST1.initiator]
    assert nvmet._text(subsystem / "attr_serial") == "5f0c1c5e4a3b4d379d0a"
    assert [nvmet._text(subsystem / "namespaces/1" / name) for name in ("device_uuid", "device_nguid")] == [ID, ID]
    kernel.changes.clear()
    exports.realise(volume(HOST1), DEVICE)
    assert kernel.changes == []


def test_ports_are_shared_and_go_with_the_last(exports: nvmet.Nvmet, kernel: Kernel) -> None:
    before = kernel.tree()
    connect(exports, volume(HOST1))
    connect(exports, volume(HOST2, volume_id=OTHER_ID))
    assert sorted(os.listdir(kernel.configfs / "ports")) == ["1", "2"]
    release(exports, volume())
    assert exports.export(ID) is None
    assert exports.export(OTHER_ID) == exports.wanted(volume(HOST2, volume_id=OTHER_ID), DEVICE)
    release(exports, volume(volume_id=OTHER_ID))
    assert kernel.tree() == before


def test_releasing_one_host_touches_no_other(exports: nvmet.Nvmet, kernel: Kernel) -> None:
    connect(exports, volume(HOST1, HOST2))
    kernel.changes.clear()
    reduced = exports.reduced(volume(HOST2))
    release(exports, volume(HOST2))
    assert exports.export(ID) == reduced == exports.wanted(volume(HOST2), DEVICE)
    assert not [change for change in kernel.changes if ":host2" in change]


def test_what_others_export_stays(exports: nvmet.Nvmet, kernel: Kernel) -> None:
    port, theirs = kernel.configfs / "ports/7", kernel.configfs / "subsystems/nqn.2020-01.org.example:theirs"
    kernel.make(port)
    for name, value in {"adrfam": "ipv4", "trtype": "tcp", "trsvcid": "4420", "traddr": "192.0.2.1"}.items():
        kernel.set(port / f"addr_{name}", value)
    kernel.make(theirs)
    kernel.link(port / "subsystems" / theirs.name, theirs)
    secret = kernel.configfs / "hosts/nqn.2020-01.org.example:secret"
    kernel.make(secret)
    kernel.set(secret / "dhchap_key", "DHHC-1:00:x:")
    before = kernel.tree()
    connect(exports, volume(HOST1))
    assert sorted(os.listdir(kernel.configfs / "ports")) == ["1", "7"]
    release(exports, volume())
    assert kernel.tree() == before


@pytest.mark.parametrize(
    "spoil",
    [
        lambda subsystem: (subsystem / "attr_allow_any_host").write_text("1"),
        lambda subsystem: (subsystem / "namespaces/1/enable").write_text("0"),
        lambda subsystem: (subsystem / "namespaces/1/device_path").write_text("/dev/other"),
        lambda subsystem: (subsystem / "allowed_hosts" / HOST1.initiator).unlink(),
        lambda subsystem: (subsystem.parents[1] / "ports/2/subsystems" / subsystem.name).unlink(),
    ],
)
def test_what_was_changed_by_hand_is_seen_and_repaired(
    exports: nvmet.Nvmet, kernel: Kernel, spoil: Callable[[Path], object]
) -> None:
    connect(exports, volume(HOST1))
    wanted = exports.wanted(volume(HOST1), DEVICE)
    spoil(kernel.configfs / "subsystems" / f"{PREFIX}{ID}:host1")
    assert exports.export(ID) != wanted
    connect(exports, volume(HOST1))
    assert exports.export(ID) == wanted


def test_another_device_is_not_exchanged_under_a_session(exports: nvmet.Nvmet, kernel: Kernel) -> None:
    connect(exports, volume(HOST1))
    controller = kernel.root / "debugfs" / f"{PREFIX}{ID}:host1" / "ctrl1"
    controller.mkdir(parents=True)
    (controller / "hostnqn").write_text(f"{HOST1.initiator}\n")
    (controller / "host_traddr").write_text("192.0.2.9\n")
    assert exports.sessions(ID) == {HOST1.initiator: ["192.0.2.9"]}
    with pytest.raises(StorageError, match="there are sessions"):
        exports.realise(volume(HOST1), "/dev/other")


def test_an_address_that_the_controller_lacks(exports: nvmet.Nvmet, kernel: Kernel) -> None:
    before = kernel.tree()
    kernel.unreachable = {"2001:db8::1"}
    with pytest.raises(StorageError, match=r"nvmet cannot listen on \[2001:db8::1\]:4420") as failure:
        exports.realise(volume(HOST1), DEVICE)
    assert (failure.value.code, failure.value.facts["field"]) == ("unavailable", "target_ip_address")
    release(exports, volume())
    assert kernel.tree() == before


def test_what_was_lost_or_not_saved_is_no_complete_export(exports: nvmet.Nvmet, kernel: Kernel) -> None:
    exports.realise(volume(HOST1), DEVICE)
    present = exports.export(ID)
    assert present is not None
    assert not present["saved"]
    exports.save([ID])
    for name in ("subsystems", "ports", "hosts"):
        shutil.rmtree(kernel.configfs / name)
        (kernel.configfs / name).mkdir()
    assert exports.export(ID) == {"subsystems": {}, "saved": False}
    connect(exports, volume(HOST1))
    assert exports.export(ID) == exports.wanted(volume(HOST1), DEVICE)


def test_the_file_for_the_boot(exports: nvmet.Nvmet, kernel: Kernel) -> None:
    connect(exports, volume(HOST1, HOST2))
    saved = kernel.root / nvmet_boot.DIRECTORY / ID
    rest = f"{ID} {DEVICE} ipv4,192.0.2.1,4420 ipv6,2001:db8::1,4420"
    assert saved.read_text() == (
        f"{PREFIX}{ID}:host1 {HOST1.initiator} {rest}\n{PREFIX}{ID}:host2 {HOST2.initiator} {rest}\n"
    )
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600
    assert [command for command in kernel.commands if "enable" in command] == [
        ("systemctl", "--quiet", "enable", nvmet_boot.UNIT)
    ]


@pytest.mark.parametrize("fitting", [0, 1])
def test_a_full_disk_saves_nothing_for_any_volume(
    exports: nvmet.Nvmet, kernel: Kernel, monkeypatch: pytest.MonkeyPatch, fitting: int
) -> None:
    connect(exports, volume(HOST1))
    directory = kernel.root / nvmet_boot.DIRECTORY
    before = {path.name: path.read_text() for path in directory.iterdir()}
    monkeypatch.setattr(nvmet_boot, "write_all_durably", exporter.write_all_durably)
    written: list[int] = []

    def fsync(file: int) -> None:
        if len(written) >= fitting:
            raise OSError(errno.ENOSPC, "no space left on device")
        written.append(file)

    monkeypatch.setattr(os, "fsync", fsync)
    exports.realise(volume(HOST1, HOST2), DEVICE)
    exports.realise(volume(HOST2, volume_id=OTHER_ID), DEVICE)
    with pytest.raises(OSError, match="no space"):
        exports.save([ID, OTHER_ID])
    # A reboot must not let in a host whose connection is taken back for that.
    assert {path.name: path.read_text() for path in directory.iterdir()} == before


def test_what_goes_is_forgotten_though_something_else_cannot_be_saved(
    exports: nvmet.Nvmet, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(exports, volume(HOST1, HOST2))
    connect(exports, volume(HOST2, volume_id=OTHER_ID))
    exports.withdraw(volume(HOST1))
    exports.withdraw(volume(volume_id=OTHER_ID))

    def full(texts: Mapping[Path, str]) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(nvmet_boot, "write_all_durably", full)
    with pytest.raises(OSError, match="no space"):
        exports.save([ID, OTHER_ID])
    assert os.listdir(kernel.root / nvmet_boot.DIRECTORY) == [ID]


def test_systemd_that_refuses_the_unit(exports: nvmet.Nvmet, kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "run", lambda argv, deadline: Finished(tuple(argv), 1, "", "no such bus"))
    exports.realise(volume(HOST1), DEVICE)
    with pytest.raises(StorageError, match="no such bus") as failure:
        exports.save([ID])
    assert failure.value.code == "failed_precondition"
    present = exports.export(ID)
    assert present is not None
    assert not present["saved"]


def interrupted(kernel: Kernel, work: Callable[[], None], at: int) -> bool:
    """Whether the work was killed at its Nth change."""
    kernel.changes.clear()
    kernel.ends_before = at
    try:
        work()
    except Killed:
        return True
    finally:
        kernel.ends_before = None
    return False


@pytest.mark.parametrize("ending", ["repeat", "negate"])
@pytest.mark.parametrize("beginning", ["connect", "release"])
def test_killed_at_every_change(exports: nvmet.Nvmet, kernel: Kernel, beginning: str, ending: str) -> None:
    held, free = volume(HOST1, HOST2), volume()
    before = kernel.tree()
    at = 0
    while True:
        if beginning == "release":
            connect(exports, held)
        work = (lambda: connect(exports, held)) if beginning == "connect" else (lambda: release(exports, free))
        if not interrupted(kernel, work, at):
            break
        connected = (beginning == "connect") == (ending == "repeat")
        # What the backend does only where the export differs from what is wanted.
        wanted = exports.wanted(held, DEVICE) if connected else exports.reduced(free)
        if exports.export(ID) != wanted:
            connect(exports, held) if connected else release(exports, free)
        assert exports.export(ID) == (exports.wanted(held, DEVICE) if connected else None), at
        if connected:
            release(exports, free)
        assert kernel.tree() == before, at
        at += 1
    assert at > 15


def test_a_grown_volume_is_measured_anew(exports: nvmet.Nvmet, kernel: Kernel) -> None:
    exports.grown(ID)
    connect(exports, volume(HOST1))
    exports.grown(ID)
    namespace = kernel.configfs / "subsystems" / f"{PREFIX}{ID}:host1" / "namespaces/1"
    assert nvmet._text(namespace / "revalidate_size") == "1"


def test_a_subsystem_keeps_its_name(exports: nvmet.Nvmet) -> None:
    connect(exports, volume(HOST1))
    renamed = nvmet.Nvmet("nqn.2026-11.org.example:", PORTALS)
    assert renamed.connection_info(volume(HOST1), HOST1)["data"]["target_nqn"] == f"{PREFIX}{ID}:host1"
    assert renamed.wanted(volume(HOST1), DEVICE) == exports.export(ID)


def test_what_the_host_gets(exports: nvmet.Nvmet) -> None:
    assert exports.connection_info(volume(HOST1), HOST1) == {
        "driver_volume_type": "nvmeof",
        "data": {
            "target_nqn": f"{PREFIX}{ID}:host1",
            "vol_uuid": ID,
            "ns_id": "1",
            "portals": [["192.0.2.1", 4420, "tcp"], ["2001:db8::1", 4420, "tcp"]],
        },
    }
    assert exports.wwn(ID) == f"uuid.{ID}"


def test_a_holder_survives_being_a_tag(exports: nvmet.Nvmet) -> None:
    holder = exports.holder({"host": "host1", "nqn": HOST1.initiator, "multipath": True})
    assert holder == HOST1
    assert holder.names == {HOST1.initiator}
    assert tags.decode(tags.encode(holder)) == HOST1


@pytest.mark.parametrize(
    ("connector", "field"),
    [
        ({"host": "a"}, "connector.nqn"),
        ({"host": "a", "nqn": 5}, "connector.nqn"),
        ({"host": "a", "nqn": "host1"}, "connector.nqn"),
        ({"host": "a", "nqn": "nqn.2014-08.org.example:a/b"}, "connector.nqn"),
        ({"host": "a", "nqn": "nqn.2014-08.org.example:a+b"}, "connector.nqn"),
        ({"host": "a", "nqn": "nqn.2014-08.org.example:a,b"}, "connector.nqn"),
        ({"host": "a", "nqn": "nqn.2014-08.org.example:" + "a" * 200}, "connector.nqn"),
        ({"host": "a" * 200, "nqn": HOST1.initiator}, "connector.host"),
    ],
)
def test_what_is_no_connector(exports: nvmet.Nvmet, connector: dict[str, Any], field: str) -> None:
    with pytest.raises(StorageError) as failure:
        exports.holder(connector)
    assert (failure.value.code, failure.value.facts["field"]) == ("invalid_argument", field)


def test_the_message_about_a_changed_nqn_names_the_field(exports: nvmet.Nvmet) -> None:
    assert replace(HOST1, known_by="nqn") == HOST1
    assert exports.holder({"host": "a", "nqn": HOST1.initiator}).known_by == "nqn"
