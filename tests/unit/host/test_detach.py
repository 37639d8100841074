# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a detach looks for, and what it leaves to others."""

from __future__ import annotations

import errno
import os
import socket
from itertools import zip_longest
from pathlib import Path
from typing import Any, Optional

import pytest

from ansible_collections.brickwork.storage.plugins.module_utils.commands import Finished
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.host import detach, releasing, usage
from ansible_collections.brickwork.storage.plugins.module_utils.host.connection import recorded
from ansible_collections.brickwork.storage.plugins.module_utils.host.detach import absent, removal_of
from ansible_collections.brickwork.storage.plugins.module_utils.host.encryption import name_of
from ansible_collections.brickwork.storage.plugins.module_utils.host.engines.iscsi import in_its_place
from ansible_collections.brickwork.storage.plugins.module_utils.host.records import Record, Records
from ansible_collections.brickwork.storage.plugins.module_utils.host.removal import Removal, refusal
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline
from ansible_collections.brickwork.storage.tests.unit.host import nvme_examples
from ansible_collections.brickwork.storage.tests.unit.host.examples import (
    CAPTURE_ID,
    CAPTURE_WWN,
    HOST,
    PORTAL_A,
    PORTAL_B,
    SHARED_TARGET,
    SHARED_WWNS,
    connection,
    connection_data,
    export,
    parsed,
    record,
    volume,
)
from ansible_collections.brickwork.storage.tests.unit.host.tree import Capture, Tree

FIRST = {"target_portal": PORTAL_A, "target_portals": None, "target_iqns": None, "target_luns": None}


@pytest.fixture(autouse=True)
def host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: HOST)
    monkeypatch.setattr(detach, "own_names", lambda view, key: frozenset())


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return Records(tmp_path / "records")


def of_shared_target(name: str, lun: int, wwn: Optional[str] = None) -> dict[str, Any]:
    data = connection_data(
        target_iqn=SHARED_TARGET, target_lun=lun, target_iqns=[SHARED_TARGET] * 2, target_luns=[lun] * 2
    )
    info = {"driver_volume_type": "iscsi", "data": data}
    return connection(volume=volume(name=name, id=name, wwn=wwn), connection_info=info)


def predicted(tree: Tree, records: Records, **params: Any) -> dict[str, Any]:
    asked = {"timeout": 5, "connections": None, "volumes": None, "backend": None, "force": False, **params}
    return absent(asked, True, tree.view, records)


def test_all_that_the_record_tells_leaves(capture: Capture) -> None:
    # Else the volume would stay by the other portal, and nobody would know.
    by_first = {"driver_volume_type": "iscsi", "data": connection_data(**FIRST)}
    removal = removal_of(parsed(connection_info=by_first), record(), [])
    assert [portal.address for portal in removal.portals] == [PORTAL_A, PORTAL_B]
    assert removal.whole
    assert removal.find(capture("multipath").view).own_map


@pytest.mark.parametrize("lun", [0, 1])
def test_portals_beyond_the_record_leave_too(lun: int) -> None:
    by_first = {"driver_volume_type": "iscsi", "data": connection_data(**FIRST)}
    attached = record(connection=parsed(connection_info=by_first).without_secrets())
    named = {"driver_volume_type": "iscsi", "data": connection_data(target_lun=lun, target_luns=[lun, lun])}
    removal = removal_of(parsed(connection_info=named), attached, [])
    assert [(portal.address, portal.lun) for portal in removal.portals] == [(PORTAL_A, 0), (PORTAL_B, lun)]
    assert removal.whole


def test_volume_that_others_brought_by_further_portals_is_not_gone(
    capture: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported = export(PORTAL_A)
    removal = Removal("capture1", exported, CAPTURE_WWN, exported.portals)
    monkeypatch.setattr(releasing, "by_engine", lambda *batch: [])
    monkeypatch.setattr(releasing, "flush", lambda nodes, deadline: [None] * len(nodes))
    releasing.release([removal], capture("multipath").view, Deadline(1))
    assert removal.error
    assert removal.error.code == "failed_precondition"
    assert "/dev/sdb" in removal.error.message


def test_volume_that_got_the_lun_since_stays(capture: Capture, records: Records) -> None:
    tree = capture("shared_target")
    old_wwn = SHARED_WWNS[0][:-4] + "dead"
    for name, wwn in (("old", old_wwn), ("new", SHARED_WWNS[0])):
        records.write(Record(of_shared_target(name, 0, wwn), True, False, attached=True, wwn=wwn))
    new, old = (removal_of(recorded(one.connection), one, []) for one in records.all())  # by name
    assert (old.find(tree.view).node, len(old.find(tree.view).sessions)) == (None, 2)
    assert len(new.find(tree.view).paths) == 2


@pytest.mark.parametrize(("wwn", "told"), [(SHARED_WWNS[0][:-4] + "dead", True), (SHARED_WWNS[0], False)])
def test_another_volume_in_its_place_is_told(capture: Capture, wwn: str, told: bool) -> None:
    exported = recorded(of_shared_target("old", 0, wwn)).export
    removal = Removal("old", exported, wwn, exported.portals)
    warnings = in_its_place(removal, capture("shared_target").view)
    assert bool(warnings) is told
    assert not told or "another volume" in warnings[0]


def test_repeat_while_another_volume_keeps_the_sessions(capture: Capture, records: Records) -> None:
    assert predicted(capture("shared_target"), records, connections=[of_shared_target("gone", 5)])["changed"] is False


def test_volume_without_a_record_leaves(capture: Capture, records: Records) -> None:
    assert predicted(capture("shared_target"), records, connections=[of_shared_target("there", 0)])["changed"] is True


def test_session_that_brings_nothing_is_ended(capture: Capture, records: Records) -> None:
    tree = capture("shared_target")
    for disk in [disk for session in tree.view.sessions() for disk in tree.view.disks(session)]:
        tree.remove(tree.resolve(f"/sys/block/{disk.name}"))
    assert predicted(tree, records, connections=[of_shared_target("gone", 5)])["changed"] is True


@pytest.mark.parametrize(("mounted", "code"), [(False, None), (True, "failed_precondition")])
def test_nvme_volume_that_is_only_visible(
    capture: Capture, records: Records, mounted: bool, code: Optional[str]
) -> None:
    tree = capture("nvme_shared")
    other = nvme_examples.parsed(nvme_examples.OTHER_UUID).without_secrets()
    records.write(Record(other, True, False, attached=True))
    given = nvme_examples.parsed(nvme_examples.UUID)
    if mounted:
        found = given.export.find(tree.view, None)
        number = tree.view.number(str(found.device))
        tree.put("/proc/1/mountinfo", f"99 25 {number} / /srv/log rw - ext4 {found.node} rw\n")
    removal = removal_of(given, None, records.all())
    now = tree.view.glance()
    assert detach._is_there(removal, removal.find(now), now) is mounted
    error = refusal(now, removal, removal.find(now))
    assert (error.code if error else None) == code


def test_opened_device_in_use_is_named(capture: Capture) -> None:
    tree, name = capture("empty"), name_of(CAPTURE_ID)
    for attribute, text in {
        "dm/name": name,
        "dm/uuid": f"CRYPT-LUKS2-abc-{name}",
        "dev": "254:9",
        "size": "2048",
    }.items():
        tree.put(f"/sys/devices/virtual/block/dm-9/{attribute}", f"{text}\n")
    for place in ("/sys/block", "/sys/class/block"):
        tree.put(f"{place}/dm-9", {"link": "../" * (place.count("/") - 1) + "devices/virtual/block/dm-9"})
    tree.put("/proc/1/mountinfo", "600 1 254:9 / /data rw - ext4 /dev/mapper/x rw\n")
    removal = removal_of(parsed(), record(), [])
    error = refusal(tree.view, removal, removal.find(tree.view))
    assert isinstance(error, StorageError)
    assert error.message.startswith("/dev/dm-9 is in use: mount point /data")


class Told:
    """Takes the place of the programs that a detach calls."""

    def __init__(self, table: str) -> None:
        self.lines: list[list[str]] = []
        self._table = table

    def run(self, line: list[str], deadline: Deadline) -> Finished:
        self.lines.append(line)
        return Finished(tuple(line), 0, self._table, "")


DEAD = "0 262144 multipath 1 {} 0 1 1 service-time 0 1 2 8:0 1 1"
FAIL = ["dmsetup", "message", "mpatha", "0", "fail_if_no_path"]
QUEUE = [*FAIL[:-1], "queue_if_no_path"]


def held_by_the_kernel(device: str) -> None:
    raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), device)


@pytest.mark.parametrize(
    ("feature", "held", "messages", "warnings"),
    [
        ("queue_if_no_path", False, [FAIL], ["is lost"]),
        ("queue_if_no_path", True, [FAIL, QUEUE], ["waits for a path again"]),
        ("retain_attached_hw_handler", False, [FAIL], ["is lost"]),
        ("retain_attached_hw_handler", True, [FAIL], []),
    ],
)
def test_map_that_is_given_up(
    capture: Capture,
    monkeypatch: pytest.MonkeyPatch,
    feature: str,
    held: bool,
    messages: list[list[str]],
    warnings: list[str],
) -> None:
    tree, programs = capture("dead_map"), Told(DEAD.format(feature))
    tree.put(tree.resolve("/sys/block/dm-0/dm/name"), "mpatha\n")
    tree.map_status["mpatha"] = next(iter(tree.map_status.values()))
    monkeypatch.setattr(releasing, "run", programs.run)
    monkeypatch.setattr(releasing, "by_engine", lambda *batch: [])
    monkeypatch.setattr(releasing, "_left", lambda removal, now: None)
    monkeypatch.setattr(releasing, "PATIENCE_SECONDS", 0.0)
    if held:
        monkeypatch.setattr(usage, "_open_alone", held_by_the_kernel)
    removal = Removal("capture1", export(), CAPTURE_WWN, export().portals, force=True)
    releasing.release([removal], tree.view, Deadline(5))
    assert (removal.error.code if removal.error else None) == ("failed_precondition" if held else None)
    assert [line for line in programs.lines if line[1] == "message"] == messages
    assert [text in warning for text, warning in zip_longest(warnings, removal.warnings)] == [True] * len(warnings)


@pytest.mark.parametrize(("timeout", "least", "most"), [(300.0, 260.0, 270.0), (20.0, 9.0, 10.0), (5.0, 4.0, 5.0)])
def test_forced_flush_has_the_time_that_there_is(
    capture: Capture, monkeypatch: pytest.MonkeyPatch, timeout: float, least: float, most: float
) -> None:
    given: list[float] = []

    def flush(nodes: list[str], deadline: Deadline) -> list[None]:
        given.append(deadline.remaining())
        return [None] * len(nodes)

    monkeypatch.setattr(releasing, "flush", flush)
    view = capture("multipath").view
    removal = Removal("capture1", export(), CAPTURE_WWN, export().portals, force=True)
    removal.found = removal.find(view)
    releasing._flush([removal], view, Deadline(timeout))
    assert least <= given[0] <= most


@pytest.mark.parametrize("protocol", ["glusterfs", "quobyte", "vzstorage", "gpfs"])
def test_file_system_that_os_brick_leaves_mounted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    tree = Tree(tmp_path / "host")
    tree.put("/srv/volumes/db-data", "")
    info = {"driver_volume_type": protocol, "data": {"export": "192.0.2.1:/volumes", "name": "db-data"}}
    given = parsed(volume=volume(wwn=None), connection_info=info)
    attached = record(
        connection=given.without_secrets(), multipath=False, wwn=None, attach_info={"path": "/srv/volumes/db-data"}
    )
    removal = removal_of(given, attached, [])
    monkeypatch.setattr(releasing, "by_engine", lambda *batch: [])
    monkeypatch.setattr(releasing, "flush", lambda nodes, deadline: [None] * len(nodes))
    releasing.release([removal], tree.view, Deadline(1))
    assert removal.error is None
    [warning] = removal.warnings
    assert "stays mounted" in warning
