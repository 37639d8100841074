# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Optional

import pytest

from ansible_collections.brickwork.storage.plugins.module_utils.controller.backend import Holder, Volume
from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm import fibre_channel, lio, tags
from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm.fibre_channel import FibreChannel
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError

ID = "5f0c1c5e-4a3b-4d37-9d0a-0f7a5f1f6f3a"
# Looking for a LUN begins at the same place.
ALIKE = "5f0c1c5e-4a3b-4d37-9d0a-0f7a5f1f7039"
DEVICE = "/dev/disk/by-id/dm-uuid-LVM-abc"
TARGETS = ["2000000000000001", "2000000000000002"]
HOST1 = Holder("host1", "1000000000000001+1000000000000002", True)
HOST2 = Holder("host2", "1000000000000003", False)


class Lio:
    """rtslib over a directory that stands for configfs: storage objects, targets, and what it dumps of them.

    Args:
        root: where the directory is.
    """

    RTSLibError = ArithmeticError

    def __init__(self, root: Path) -> None:
        self.configfs = root / "configfs"
        self.root = SimpleNamespace(default_save_file=str(root / "target/saveconfig.json"))

    def RTSRoot(self) -> None:  # noqa: N802
        (self.configfs / "core").mkdir(parents=True, exist_ok=True)

    def FabricModule(self, name: str) -> Any:  # noqa: N802
        return SimpleNamespace(name=name)

    def Target(self, fabric: Any, wwn: str, mode: str = "any") -> Any:  # noqa: N802
        path = self.configfs / "fc" / ":".join(wwn[4:][i : i + 2] for i in range(0, 16, 2))
        return SimpleNamespace(wwn=wwn, path=str(path), dump=lambda: self.dumped(wwn, path / "tpgt_1"))

    def TPG(self, target: Any, tag: int) -> Any:  # noqa: N802
        path = Path(target.path) / f"tpgt_{tag}"
        if not path.is_dir():
            # As in the kernel, it is there with all that belongs to it or not at all.
            whole = self.configfs / "whole"
            for name in ("lun", "acls"):
                (whole / name).mkdir(parents=True, exist_ok=True)
            path.parent.mkdir(parents=True, exist_ok=True)
            whole.rename(path)
        return SimpleNamespace(path=str(path), enable=False)

    def BlockStorageObject(  # noqa: N802
        self, name: str, dev: Optional[str] = None, wwn: Optional[str] = None, index: int = 0
    ) -> Any:
        path = self.configfs / "core" / f"iblock_{index}" / name
        if dev is None and not path.is_dir():
            raise self.RTSLibError
        path.mkdir(parents=True, exist_ok=True)
        if dev:
            (path / "udev_path").write_text(dev)

        def delete() -> None:
            for lun in self.configfs.glob("fc/*/tpgt_1/lun/lun_*"):
                if fibre_channel._tied_to(lun) == name:
                    for mapped in lun.parents[1].glob("acls/*/lun_*"):
                        if fibre_channel._tied_to(mapped) == lun.name:
                            fibre_channel._untie(mapped)
                    fibre_channel._untie(lun)
            shutil.rmtree(path)

        return SimpleNamespace(
            path=str(path),
            wwn=name,
            udev_path=(path / "udev_path").read_text(),
            is_configured=lambda: True,
            delete=delete,
            dump=lambda: {"name": name},
        )

    def dumped(self, wwn: str, group: Path) -> dict[str, Any]:
        luns = [
            {"index": int(lun.name[4:]), "storage_object": f"/backstores/block/{fibre_channel._tied_to(lun)}"}
            for lun in sorted((group / "lun").iterdir())
        ]
        acls = [
            {
                "node_wwn": f"naa.{acl.name.replace(':', '')}",
                "mapped_luns": [
                    {"index": int(lun.name[4:]), "tpg_lun": int(str(fibre_channel._tied_to(lun))[4:])}
                    for lun in sorted(acl.iterdir())
                ],
            }
            for acl in sorted((group / "acls").iterdir())
        ]
        return {"wwn": wwn, "fabric": "tcm_fc", "tpgs": [{"tag": 1, "luns": luns, "node_acls": acls}]}

    @property
    def saved(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(Path(self.root.default_save_file).read_text(encoding="utf-8"))
        return found


def add_port(sysfs: Path, number: int, wwpn: str, link: str, to: str) -> None:
    """A port of the controller, as the kernel shows one of this subsystem or driver."""
    host = sysfs / f"devices/{number}/host{number}/fc_host/host{number}"
    host.mkdir(parents=True)
    (host / "port_name").write_text(f"0x{wwpn}\n")
    (sysfs / f"devices/{number}" / link).symlink_to(sysfs / to)
    (sysfs / "class/fc_host").mkdir(parents=True, exist_ok=True)
    (sysfs / f"class/fc_host/host{number}").symlink_to(host)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Lio:
    found = Lio(tmp_path)
    monkeypatch.setattr(lio, "CONFIGFS", found.configfs)
    monkeypatch.setattr(lio, "UNSAVED", tmp_path / "unsaved")
    monkeypatch.setattr(lio, "library", lambda name: found)
    monkeypatch.setattr(lio, "_allow_discard", lambda storage_object, device: None)
    monkeypatch.setattr(fibre_channel, "SYSFS", tmp_path / "sys")
    for number, wwpn in enumerate(TARGETS):
        add_port(tmp_path / "sys", number, wwpn, "subsystem", "bus/fcoe")
    return found


@pytest.fixture
def exports(kernel: Lio) -> FibreChannel:
    return FibreChannel(())


def see(tmp_path: Path, *pairs: tuple[str, str], state: str = "Online") -> None:
    """Have ports of the controller see those of hosts."""
    for number, (own, other) in enumerate(pairs):
        host = tmp_path / "sys/class/fc_host" / f"host{number}"
        remote = tmp_path / "sys/class/fc_remote_ports" / f"rport-{number}:0-1"
        for directory, name in ((host, own), (remote, other)):
            directory.mkdir(parents=True, exist_ok=True)
            (directory / "port_name").write_text(f"0x{name}\n")
        (remote / "port_state").write_text(f"{state}\n")


def volume(*holders: Holder, volume_id: str = ID) -> Volume:
    return Volume("data", volume_id, 1024, "lvm", holders=holders, shared=len(holders) > 1)


def connect(exports: FibreChannel, wanted: Volume) -> None:
    exports.realise(wanted, DEVICE)
    exports.save([wanted.id])


def release(exports: FibreChannel, wanted: Volume) -> None:
    exports.withdraw(wanted)
    exports.save([wanted.id])


def lun(exports: FibreChannel, holder: Holder, volume_id: str = ID) -> Any:
    return exports.connection_info(volume(holder, volume_id=volume_id), holder)["data"]["target_lun"]


def test_an_export_is_as_wanted_and_goes_as_a_whole(exports: FibreChannel, kernel: Lio) -> None:
    assert exports.export(ID) is None
    wanted = exports.wanted(volume(HOST1), DEVICE)
    assert wanted == {"device": DEVICE, "ports": {wwpn: sorted(HOST1.names) for wwpn in TARGETS}, "saved": True}
    connect(exports, volume(HOST1))
    assert exports.export(ID) == wanted == exports.wanted(volume(HOST1), DEVICE)
    release(exports, volume())
    assert exports.export(ID) is None
    # The host has logged in, and does not do so anew.
    assert len(list(kernel.configfs.glob("fc/*/tpgt_1/acls/*"))) == 4
    assert not list(kernel.configfs.rglob("lun_*"))


def test_only_ports_that_see_each_other_are_paired_and_stay_so(exports: FibreChannel, tmp_path: Path) -> None:
    first, second = sorted(HOST1.names)
    see(tmp_path, (TARGETS[0], first), (TARGETS[1], second))
    connect(exports, volume(HOST1))
    data = exports.connection_info(volume(HOST1), HOST1)["data"]
    assert data["target_wwn"] == TARGETS
    assert data["initiator_target_map"] == {first: [TARGETS[0]], second: [TARGETS[1]]}
    see(tmp_path, (TARGETS[0], first), (TARGETS[1], second), state="Not Present")
    assert exports.connection_info(volume(HOST1), HOST1)["data"] == data
    assert exports.export(ID) == exports.wanted(volume(HOST1), DEVICE)


def test_a_host_sees_each_volume_by_a_number_of_its_own(exports: FibreChannel) -> None:
    connect(exports, volume(HOST1))
    connect(exports, volume(HOST1, volume_id=ALIKE))
    numbers = lun(exports, HOST1), lun(exports, HOST1, ALIKE)
    assert numbers[1] == numbers[0] + 1
    assert all(0 < number <= 255 for number in numbers)
    connect(exports, volume(HOST1, HOST2, volume_id=ALIKE))
    assert lun(exports, HOST2, ALIKE) == numbers[0]
    assert lun(exports, HOST1, ALIKE) == numbers[1]


def test_the_number_is_known_before_the_connection_is_made(exports: FibreChannel) -> None:
    connect(exports, volume(HOST1))
    predicted = exports.connection_info(volume(HOST1, volume_id=ALIKE), HOST1)
    connect(exports, volume(HOST1, volume_id=ALIKE))
    assert exports.connection_info(volume(HOST1, volume_id=ALIKE), HOST1) == predicted


def test_a_number_that_is_saved_is_not_free(exports: FibreChannel, kernel: Lio) -> None:
    connect(exports, volume(HOST1))
    taken = lun(exports, HOST1)
    shutil.rmtree(kernel.configfs)
    connect(exports, volume(HOST1, volume_id=ALIKE))
    assert lun(exports, HOST1, ALIKE) == taken + 1


def test_what_is_lost_is_made_again_by_the_same_numbers(exports: FibreChannel, kernel: Lio) -> None:
    connect(exports, volume(HOST1))
    connect(exports, volume(HOST1, volume_id=ALIKE))
    release(exports, volume())
    number, saved = lun(exports, HOST1, ALIKE), kernel.saved
    shutil.rmtree(kernel.configfs)
    assert lun(exports, HOST1, ALIKE) == number
    connect(exports, volume(HOST1, volume_id=ALIKE))
    assert kernel.saved == saved


def test_no_free_number(exports: FibreChannel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fibre_channel, "FIRST_LUNS", 1)
    monkeypatch.setattr(fibre_channel, "MOST_LUN", 1)
    connect(exports, volume(HOST1))
    with pytest.raises(StorageError, match="no free LUN") as failure:
        exports.realise(volume(HOST1, volume_id=ALIKE), DEVICE)
    assert failure.value.code == "resource_exhausted"
    release(exports, volume(volume_id=ALIKE))
    assert exports.export(ALIKE) is None


def test_releasing_one_host_leaves_the_other(exports: FibreChannel) -> None:
    connect(exports, volume(HOST1, HOST2))
    before = lun(exports, HOST2)
    reduced = exports.reduced(volume(HOST2))
    release(exports, volume(HOST2))
    assert exports.export(ID) == reduced == exports.wanted(volume(HOST2), DEVICE)
    assert lun(exports, HOST2) == before


def test_saving_leaves_what_others_saved(exports: FibreChannel, kernel: Lio) -> None:
    connect(exports, volume(HOST1))
    before = kernel.saved
    # Another call was killed before it saved: that volume is not saved with this one.
    exports.realise(volume(HOST1, volume_id=ALIKE), DEVICE)
    lio.mark(ID)
    exports.save([ID])
    assert kernel.saved == before
    exports.save([ALIKE])
    assert {entry["name"] for entry in kernel.saved["storage_objects"]} == {ID, ALIKE}
    release(exports, volume(volume_id=ALIKE))
    assert kernel.saved == before
    release(exports, volume())
    assert kernel.saved["storage_objects"] == []
    assert [tpg["luns"] for target in kernel.saved["targets"] for tpg in target["tpgs"]] == [[], []]


def test_what_a_killed_call_left_unfinished_is_taken_away(exports: FibreChannel, kernel: Lio) -> None:
    connect(exports, volume(HOST1))
    group = next(iter(kernel.configfs.glob("fc/*/tpgt_1")))
    mapped = next(iter(kernel.configfs.glob("fc/*/tpgt_1/acls/*/lun_*")))
    for left in (group / "lun/lun_9", next(iter((group / "acls").iterdir())) / "lun_9"):
        left.mkdir()
    fibre_channel._untie(mapped)
    assert exports.export(ID) != exports.wanted(volume(HOST1), DEVICE)
    connect(exports, volume(HOST1))
    assert exports.export(ID) == exports.wanted(volume(HOST1), DEVICE)
    assert not list(kernel.configfs.rglob("lun_9"))


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("ending", ["repeat", "negate"])
@pytest.mark.parametrize("beginning", ["connect", "release"])
def test_killed_at_every_change(
    exports: FibreChannel, monkeypatch: pytest.MonkeyPatch, kernel: Lio, beginning: str, ending: str
) -> None:
    held, free = volume(HOST1, HOST2), volume()
    numbers = [lun(exports, holder) for holder in held.holders]
    left: Optional[int] = None

    def counting(really: Any) -> Any:
        def change(*arguments: Any, **options: Any) -> Any:
            nonlocal left
            if left is not None and "/fc/" in "".join(map(str, arguments)) and "dir_fd" not in options:
                left -= 1
                if left < 0:
                    raise Killed
            return really(*arguments, **options)

        return change

    for name in ("mkdir", "symlink", "rmdir", "unlink"):
        monkeypatch.setattr(os, name, counting(getattr(os, name)))
    for moment in range(200):
        if beginning == "release":
            connect(exports, held)
        left = moment
        try:
            connect(exports, held) if beginning == "connect" else release(exports, free)
            break
        except Killed:
            left = None
        connected = (beginning == "connect") == (ending == "repeat")
        wanted = exports.wanted(held, DEVICE) if connected else exports.reduced(free)
        if exports.export(ID) != wanted:
            connect(exports, held) if connected else release(exports, free)
        assert exports.export(ID) == (wanted if connected else None), moment
        assert not connected or [lun(exports, holder) for holder in held.holders] == numbers, moment
        if connected:
            release(exports, free)
        assert not list(kernel.configfs.rglob("lun_*")), moment
        assert kernel.saved["storage_objects"] == []
    assert moment > 5


def test_discard_is_allowed_where_a_call_was_killed_before(
    exports: FibreChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(storage_object: Any, device: str) -> None:
        raise Killed

    allowed = []
    monkeypatch.setattr(lio, "_allow_discard", killed)
    with pytest.raises(Killed):
        connect(exports, volume(HOST1))
    monkeypatch.setattr(lio, "_allow_discard", lambda storage_object, device: allowed.append(device))
    connect(exports, volume(HOST1))
    assert allowed == [DEVICE]


def test_another_device_is_not_exchanged_under_a_host(exports: FibreChannel) -> None:
    connect(exports, volume(HOST1))
    with pytest.raises(StorageError, match="something else than /dev/other"):
        exports.realise(volume(HOST1), "/dev/other")


def test_ports_that_the_controller_lacks(kernel: Lio, tmp_path: Path) -> None:
    assert list(FibreChannel(TARGETS[:1]).wanted(volume(HOST1), DEVICE)["ports"]) == TARGETS[:1]
    with pytest.raises(StorageError, match="no Fibre Channel port 5000") as failure:
        FibreChannel(["5000000000000000"]).wanted(volume(HOST1), DEVICE)
    assert (failure.value.code, failure.value.facts["field"]) == ("unavailable", "target_wwpns")
    shutil.rmtree(tmp_path / "sys")
    with pytest.raises(StorageError, match="it has none"):
        FibreChannel(()).wanted(volume(HOST1), DEVICE)


def test_ports_are_told_apart_by_their_drivers(kernel: Lio, tmp_path: Path) -> None:
    add_port(tmp_path / "sys", 7, "2000000000000007", "driver", "bus/pci/drivers/qla2xxx")
    add_port(tmp_path / "sys", 8, "2000000000000008", "driver", "bus/pci/drivers/lpfc")
    assert fibre_channel._own_ports() == {**dict.fromkeys(TARGETS, "tcm_fc"), "2000000000000007": "qla2xxx"}


def test_a_holder_survives_being_a_tag(exports: FibreChannel) -> None:
    wwpns = ["10:00:00:00:00:00:00:02", "0x1000000000000001", "1000000000000002"]
    holder = exports.holder({"host": "host1", "wwpns": wwpns, "multipath": True})
    assert holder == HOST1
    assert tags.decode(tags.encode(holder)) == HOST1
    assert exports.knows(holder.initiator)
    assert not exports.knows("iqn.2026-11.org.example:a")


@pytest.mark.parametrize("wwpns", [None, [], "1000000000000001", ["x"], [5], ["1000000000000001", None]])
def test_what_is_no_connector(exports: FibreChannel, wwpns: Any) -> None:
    with pytest.raises(StorageError) as failure:
        exports.holder({"host": "host1", "wwpns": wwpns})
    assert (failure.value.code, failure.value.facts["field"]) == ("invalid_argument", "connector.wwpns")


def test_one_port_in_common_is_one_identity() -> None:
    assert replace(HOST2, initiator="1000000000000002").names & HOST1.names


def test_another_volume_that_goes_meanwhile_is_in_nobodys_way(
    exports: FibreChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(exports, volume(HOST1))
    connect(exports, volume(HOST1, volume_id=ALIKE))
    present, really = exports.export(ID), os.readlink

    def readlink(path: Any) -> str:
        found = str(really(path))
        if found.endswith(ALIKE):
            os.unlink(path)
            return str(really(path))
        return found

    monkeypatch.setattr(os, "readlink", readlink)
    assert exports.export(ID) == present


@pytest.mark.parametrize("login_only", [None, "0", "1"])
def test_a_port_that_gives_everything_to_everybody_gets_no_volume(
    exports: FibreChannel, kernel: Lio, login_only: Optional[str]
) -> None:
    connect(exports, volume(HOST1, volume_id=ALIKE))
    for group in kernel.configfs.glob("fc/*/tpgt_1"):
        (group / "attrib").mkdir()
        (group / "attrib/generate_node_acls").write_text("1\n")
        if login_only:
            (group / "attrib/demo_mode_login_only").write_text(f"{login_only}\n")
    if login_only == "1":
        connect(exports, volume(HOST1))
        return
    with pytest.raises(StorageError, match="to every host") as failure:
        exports.realise(volume(HOST1), DEVICE)
    assert (failure.value.code, failure.value.facts["field"]) == ("failed_precondition", "target_wwpns")
    assert exports.export(ID) == {"device": None, "ports": {}, "saved": False}
    release(exports, volume(volume_id=ALIKE))
    release(exports, volume())
    assert exports.export(ID) is None
