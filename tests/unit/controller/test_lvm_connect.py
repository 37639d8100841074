# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections that fail half-way: whatever fails, no volume stays with a host that cannot use it."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from ansible_collections.brickwork.storage.plugins.module_utils import commands, waiting
from ansible_collections.brickwork.storage.plugins.module_utils.commands import Finished
from ansible_collections.brickwork.storage.plugins.module_utils.controller import batches, rules
from ansible_collections.brickwork.storage.plugins.module_utils.controller.backend import Failures, Holder, Volume
from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm import backend, lio, lvm2
from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm.exporter import Portal
from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm.iscsi import Iscsi
from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm.provisioning import Provisioning
from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm.settings import Settings
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline

HOLDER = Holder("host1", "iqn.1993-08.org.debian:01:a", False)


class Controller:
    """LVM with two volumes, which remembers their tags, and LIO, which can be made to fail.

    Args:
        directory: of the locks.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.tags = {
            name: {f"brickwork.id=00000000-0000-4000-8000-00000000000{number}"} for number, name in enumerate("ab")
        }
        self.broken: set[str] = set()
        self.withdrawn: list[str] = []

    def run(self, argv: Sequence[str], deadline: Deadline) -> Finished:
        """LVM's commands."""
        program, *arguments = argv
        if program == "lvchange" and "--activate" in arguments and "activate" in self.broken:
            return Finished(tuple(argv), 5, "", "cannot activate")
        names = [argument.partition("/")[2] for argument in arguments if argument.startswith("vg0/")]
        for option, tag in zip(arguments, arguments[1:]):
            for name in names:
                if option == "--addtag":
                    self.tags[name].add(tag)
                elif option == "--deltag":
                    self.tags[name].discard(tag)
        volumes = [
            {
                "lv_name": name,
                "lv_uuid": name,
                "vg_uuid": "vg",
                "lv_size": "1024",
                "lv_tags": ",".join(tags),
                "lv_active": "",
                "lv_device_open": "",
                "origin": "",
                "pool_lv": "",
                "lv_layout": "linear",
            }
            for name, tags in self.tags.items()
        ]
        # A program that is killed may have done its work.
        return Finished(tuple(argv), None if deadline.passed else 0, json.dumps({"report": [{"lv": volumes}]}), "")

    def realise(self, volume: Volume, device: str) -> None:
        if "realise" in self.broken:
            raise OSError("no such address")

    def withdraw(self, volume: Volume) -> None:
        if "withdraw" in self.broken:
            raise OSError("no way back")
        self.withdrawn.append(volume.id)

    def save(self, volume_ids: Sequence[str]) -> None:
        if "save" in self.broken:
            raise OSError("no space left on device")
        if "file" in self.broken:
            raise StorageError("failed_precondition", "not JSON")

    def open(self) -> backend.LvmBackend:
        return backend.LvmBackend(
            "lvm",
            Settings(
                "vg0",
                "iscsi",
                (Portal("192.0.2.1", 3260),),
                "iqn.2026-11.org:",
                Provisioning(thin=False, over_subscription=1.0, volume_clear="zero"),
            ),
            Deadline(5),
        )

    def connect(self, deadline: Deadline) -> Failures:
        opened = self.open()
        found = opened.inventory().volumes
        changes = [(volume, rules.connected(volume, HOLDER, False, ())) for volume in found.values()]
        return opened.until(deadline).connect(changes)

    @property
    def held(self) -> bool:
        return any(tag.startswith("brickwork.connection") for tags in self.tags.values() for tag in tags)


@pytest.fixture
def controller(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Controller:
    found = Controller(tmp_path)
    monkeypatch.setattr(commands, "run", found.run)
    monkeypatch.setattr(backend, "exclusive", functools.partial(waiting.exclusive, directory=tmp_path))
    monkeypatch.setattr(lio, "library", lambda name: SimpleNamespace(RTSLibError=ArithmeticError))
    for name in ("realise", "withdraw", "save"):
        monkeypatch.setattr(Iscsi, name, getattr(found, name))
    return found


def test_what_succeeds_stays(controller: Controller) -> None:
    assert controller.connect(Deadline(5)) == {}
    assert controller.held


@pytest.mark.parametrize(
    ("broken", "code"),
    [
        ("activate", "unavailable"),
        ("realise", "unavailable"),
        ("save", "unavailable"),
        ("file", "failed_precondition"),
    ],
)
def test_what_fails_is_taken_back(controller: Controller, broken: str, code: str) -> None:
    controller.broken = {broken}
    failures = controller.connect(Deadline(5))
    assert {name: error.code for name, error in failures.items()} == {"a": code, "b": code}
    assert not controller.held
    assert len(controller.withdrawn) == (0 if broken == "activate" else 2)


def test_waiting_in_vain_for_lio_is_taken_back(controller: Controller) -> None:
    with waiting.exclusive("lio", "another call", Deadline(1), controller.directory):
        failures = controller.connect(Deadline(0.1))
    assert {name: error.code for name, error in failures.items()} == {"a": "aborted", "b": "aborted"}
    assert not controller.held


def test_a_call_whose_time_is_up_takes_back_what_it_can_have_done(controller: Controller) -> None:
    assert {error.code for error in controller.connect(Deadline(0)).values()} == {"deadline_exceeded"}
    assert not controller.held


def test_what_cannot_be_taken_back_is_said(controller: Controller) -> None:
    controller.broken = {"realise", "withdraw"}
    failures = controller.connect(Deadline(5))
    assert "no such address" in failures["a"].message
    assert "no way back" in failures["a"].message
    assert "state absent" in failures["a"].message
    assert controller.held


def exporting(monkeypatch: pytest.MonkeyPatch, device: Path) -> None:
    """Have LIO export this under every volume's id."""
    monkeypatch.setattr(lvm2, "DEVICES", f"{device.parent}/")
    monkeypatch.setattr(Iscsi, "export", lambda self, volume_id: {"device": str(device)})


def test_a_copy_of_a_volume_group_does_not_change_the_exports_of_what_it_is_a_copy_of(
    controller: Controller, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    copied = tmp_path / "othervgb"
    exporting(monkeypatch, copied)
    opened = controller.open()
    volumes = list(opened.inventory().volumes.values())
    # Somebody has put something else behind the target, and has taken that away.
    assert [opened.export(volume) for volume in volumes] == [{"device": str(copied)}] * 2
    copied.touch()
    failures: Failures = {}
    batches._begin_deletion(opened, list(volumes), failures)
    assert {name: error.code for name, error in failures.items()} == dict.fromkeys("ab", "failed_precondition")
    assert controller.withdrawn == []
    assert "lvchange --deltag brickwork.id=00000000-0000-4000-8000-000000000000 --addtag" in failures["a"].message


def test_a_volumes_own_device_is_no_other(
    controller: Controller, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own = tmp_path / "vga"
    own.touch()
    exporting(monkeypatch, own)
    opened = controller.open()
    volumes = opened.inventory().volumes
    assert opened.export(volumes["a"]) == {"device": str(own)}
    with pytest.raises(StorageError, match="is exported under the id of volume b"):
        opened.export(volumes["b"])
