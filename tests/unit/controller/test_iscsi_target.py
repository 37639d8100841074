# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""iSCSI exports as configfs shows them, in a directory that stands for it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from ansible_collections.brickwork.storage.plugins.module_utils.controller.backend import Holder, Volume
from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm import lio
from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm.exporter import Portal
from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm.iscsi import ATTRIBUTES, Iscsi

ID = "5f0c1c5e-4a3b-4d37-9d0a-0f7a5f1f6f3a"
TARGET = f"iqn.2026-11.org.brickwork:{ID}"
DEVICE = "/dev/disk/by-id/dm-uuid-LVM-abc"
HOST1 = Holder("host1", "iqn.2026-11.org.example:host1", True)
VOLUME = Volume("data", ID, 1024, "lvm", holders=(HOST1,))


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n", encoding="utf-8")


def link(lun: Path, to: Path) -> None:
    lun.mkdir(parents=True, exist_ok=True)
    (lun / "a1b2c3").symlink_to(os.path.relpath(to, lun))


@pytest.fixture
def configfs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """One volume, exported to one host."""

    def refuse(name: str) -> NoReturn:
        raise AssertionError(f"{name} is imported only to read")

    root = tmp_path / "target"
    monkeypatch.setattr(lio, "CONFIGFS", root)
    monkeypatch.setattr(lio, "UNSAVED", tmp_path / "unsaved")
    monkeypatch.setattr(lio, "library", refuse)
    storage_object = root / "core/iblock_7" / ID
    write(storage_object / "enable", "1")
    write(storage_object / "wwn/vpd_unit_serial", f"T10 VPD Unit Serial Number: {ID}")
    write(storage_object / "udev_path", DEVICE)
    group = root / "iscsi" / TARGET / "tpgt_1"
    write(group / "enable", "1")
    for name, value in ATTRIBUTES.items():
        write(group / "attrib" / name, value)
    link(group / "lun/lun_0", storage_object)
    for portal in ("192.0.2.1:3260", "[2001:db8::1]:3260"):
        (group / "np" / portal).mkdir(parents=True)
    acl = group / "acls" / HOST1.initiator
    write(acl / "auth/userid", "host1")
    write(acl / "auth/password", "secret")
    write(acl / "info", "No active iSCSI Session for Initiator Endpoint: " + HOST1.initiator)
    link(acl / "lun_0", group / "lun/lun_0")
    return root


@pytest.fixture
def exports() -> Iscsi:
    return Iscsi("iqn.2026-11.org.brickwork:", [Portal("2001:db8::1", 3260), Portal("192.0.2.1", 3260)])


def test_a_complete_export_is_as_wanted(configfs: Path, exports: Iscsi) -> None:
    assert exports.export(ID) == exports.wanted(VOLUME, DEVICE) == exports.reduced(VOLUME)
    data = exports.connection_info(VOLUME, HOST1)["data"]
    assert (data["auth_username"], data["auth_password"]) == ("host1", "secret")
    assert exports.has_open(ID)
    assert exports.sessions(ID) == {}


SPOILT: dict[str, Callable[[Path], Any]] = {
    "no LUN": lambda group: shutil.rmtree(group / "lun/lun_0"),
    "a LUN that is no link": lambda group: (group / "lun/lun_0/a1b2c3").unlink(),
    "a storage object that is not enabled": lambda group: write(
        group.parents[2] / "core/iblock_7" / ID / "enable", "0"
    ),
    "another device": lambda group: write(group.parents[2] / "core/iblock_7" / ID / "udev_path", "/dev/other"),
    "another serial": lambda group: write(group.parents[2] / "core/iblock_7" / ID / "wwn/vpd_unit_serial", "T10: x"),
    "a portal less": lambda group: (group / "np/192.0.2.1:3260").rmdir(),
    "another host": lambda group: shutil.copytree(
        group / "acls" / HOST1.initiator, group / "acls/iqn.2026-11.org.example:host2", symlinks=True
    ),
    "no user": lambda group: write(group / "acls" / HOST1.initiator / "auth/userid", "NULL"),
    "no secret": lambda group: write(group / "acls" / HOST1.initiator / "auth/password", ""),
    "no mapped LUN": lambda group: shutil.rmtree(group / "acls" / HOST1.initiator / "lun_0"),
    "a mapped LUN that is no link": lambda group: (group / "acls" / HOST1.initiator / "lun_0/a1b2c3").unlink(),
    "another number": lambda group: (group / "acls" / HOST1.initiator / "lun_0").rename(
        group / "acls" / HOST1.initiator / "lun_1"
    ),
    "a second number": lambda group: link(group / "acls" / HOST1.initiator / "lun_1", group / "lun/lun_0"),
    "no CHAP": lambda group: write(group / "attrib/authentication", "0"),
    "a target that takes no logins": lambda group: write(group / "enable", "0"),
    "no portal group": shutil.rmtree,
    "no target": lambda group: shutil.rmtree(group.parent),
    "a change that is not saved": lambda group: lio.mark(ID),
}


@pytest.mark.parametrize("spoilt", SPOILT)
def test_an_export_that_is_not_complete_differs(configfs: Path, exports: Iscsi, spoilt: str) -> None:
    SPOILT[spoilt](configfs / "iscsi" / TARGET / "tpgt_1")
    assert exports.export(ID) is not None
    assert exports.export(ID) != exports.wanted(VOLUME, DEVICE)


def test_sessions_are_told_with_their_addresses(configfs: Path, exports: Iscsi) -> None:
    info = "InitiatorName: x\nSession State: TARG_SESS_STATE_LOGGED_IN\n   Address 192.0.2.11 TCP  StatSN: 0x1\n"
    write(configfs / "iscsi" / TARGET / "tpgt_1/acls" / HOST1.initiator / "info", info)
    assert exports.sessions(ID) == {HOST1.initiator: ["192.0.2.11"]}


def test_nothing_there(configfs: Path, exports: Iscsi) -> None:
    shutil.rmtree(configfs)
    assert exports.export(ID) is None
    assert exports.sessions(ID) == {}
    assert exports.connection_info(VOLUME, HOST1)["data"]["auth_password"] is None


def test_numbers_of_storage_objects(configfs: Path) -> None:
    assert lio._free_number() == 0
    for name in ("iblock_0", "fileio_1", "rd_mcp_3", "alua"):
        (configfs / "core" / name).mkdir()
    assert lio._free_number() == 2


def test_what_a_killed_call_left_empty_is_taken_away_by_the_next(configfs: Path, exports: Iscsi) -> None:
    (configfs / "core/iblock_9").mkdir()
    exports._begin(ID)
    assert (configfs / "core/iblock_9").is_dir()
    exports._begin(ID)
    assert [path.name for path in (configfs / "core").iterdir()] == ["iblock_7"]
