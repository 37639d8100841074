# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Cinder's targets on this controller are given, in a directory that stands for configfs."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder import driver as drivers
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder import local_target
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder.store import Store
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder.translation import Secrets
from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm import lio
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline

PREFIX = "iqn.2010-10.org.openstack"


@pytest.fixture
def configfs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two exports as cinder-rtstool makes them."""
    monkeypatch.setattr(lio, "CONFIGFS", tmp_path)
    for number, name in enumerate(("volume-1", "volume-2")):
        storage_object = tmp_path / f"core/iblock_{number}/{PREFIX}:{name}"
        (storage_object / "wwn").mkdir(parents=True)
        serial(tmp_path, number).write_text("made up")
        lun = tmp_path / f"iscsi/{PREFIX}:{name}/tpgt_1/lun/lun_0"
        lun.mkdir(parents=True)
        (lun / "alua_tg_pt_gp").write_text("default")
        (lun / "1a2b3c").symlink_to(storage_object)
    return tmp_path


def serial(configfs: Path, number: int) -> Path:
    return next(configfs.glob(f"core/iblock_{number}/*")) / "wwn/vpd_unit_serial"


def test_the_serial_is_set_where_it_is_asked_for_and_the_lun_is_there_again(configfs: Path) -> None:
    local_target.set_serial("volume-2", "id-of-2")
    assert serial(configfs, 1).read_text() == "id-of-2"
    assert serial(configfs, 0).read_text() == "made up"
    [link] = [path for path in configfs.glob("iscsi/*:volume-2/tpgt_1/lun/lun_0/*") if path.is_symlink()]
    assert link.resolve() == serial(configfs, 1).parents[1]


def test_the_lun_is_away_while_the_serial_changes(configfs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def write_text(path: Path, text: str, encoding: str) -> None:
        seen.append([link.name for link in configfs.glob("iscsi/*:volume-1/tpgt_1/lun/lun_0/*") if link.is_symlink()])

    monkeypatch.setattr(Path, "write_text", write_text)
    local_target.set_serial("volume-1", "id-of-1")
    assert seen == [[]]


def test_an_export_that_the_driver_did_not_remove_is_removed_all_the_same(
    configfs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cinder's driver passes over a target that it fails to look for, and says nothing of that."""
    monkeypatch.setattr(drivers, "context", lambda: None)
    monkeypatch.setattr(drivers, "_kept_volume", lambda store: None)
    removed: list[str] = []

    class LioAdm:
        def remove_iscsi_target(self, _tid: int, _lun: int, _volume_id: str, name: str) -> None:
            removed.append(name)

    passing_over: Any = SimpleNamespace(target_driver=LioAdm(), remove_export=lambda _context, _volume: None)
    found = drivers.CinderDriver(passing_over, None, Store(Deadline(1)), Secrets())
    volumes = {str(number): SimpleNamespace(id=str(number), name=f"volume-{number}") for number in (2, 3)}
    monkeypatch.setattr(found, "_volume", volumes.get)
    for number in volumes:
        found.remove_export(number, again=False)
    assert removed == ["volume-2"]


def test_an_export_that_is_elsewhere_is_left_alone(configfs: Path) -> None:
    local_target.set_serial("volume-3", "id-of-3")
    assert {serial(configfs, number).read_text() for number in (0, 1)} == {"made up"}
