# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a failed attach takes away: what it has brought, and nothing that was there before or is another volume's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

import pytest

from ansible_collections.brickwork.storage.plugins.module_utils.commands import Finished
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.host import attach, releasing
from ansible_collections.brickwork.storage.plugins.module_utils.host.attempt import Attempt
from ansible_collections.brickwork.storage.plugins.module_utils.host.found import Found, FoundPath
from ansible_collections.brickwork.storage.plugins.module_utils.host.plan import AttachPlan, Wanted, record_of
from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols.fibre_channel import FibreChannelExport
from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols.iscsi import IscsiExport
from ansible_collections.brickwork.storage.plugins.module_utils.host.records import Record, Records
from ansible_collections.brickwork.storage.plugins.module_utils.host.removal import Removal
from ansible_collections.brickwork.storage.plugins.module_utils.host.sysfs import Sysfs
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline
from ansible_collections.brickwork.storage.tests.unit.host.examples import (
    CAPTURE_WWN,
    EXCHANGED_WWN,
    PORTAL_A,
    PORTAL_B,
    export,
    parsed,
    portal,
    record,
    volume,
    wanted,
)
from ansible_collections.brickwork.storage.tests.unit.host.fibre_channel_examples import PAIR_B
from ansible_collections.brickwork.storage.tests.unit.host.fibre_channel_examples import WWN as FIBRE_CHANNEL_WWN
from ansible_collections.brickwork.storage.tests.unit.host.tree import Capture, Tree

LATE, WRONG = StorageError("deadline_exceeded", "late"), StorageError("data_loss", "another volume")


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return Records(tmp_path / "records")


@pytest.fixture
def released(monkeypatch: pytest.MonkeyPatch) -> list[Removal]:
    """What was to be taken away; each went with a warning."""
    found: list[Removal] = []

    def release(removals: list[Removal], view: Sysfs, deadline: Deadline) -> None:
        for removal in removals:
            removal.warnings.append("gone")
            found.append(removal)

    monkeypatch.setattr(releasing, "release", release)
    return found


def failed(
    records: Records,
    tree: Tree,
    error: StorageError,
    recorded: Optional[Record],
    asked: Optional[Wanted] = None,
    brought: Optional[Found] = None,
) -> attach._Job:
    """A volume whose attempt tried both portals, and failed; it is undone."""
    asked = asked or wanted()
    found = asked.export.find(tree.view, CAPTURE_WWN)
    job = attach._Job("capture1", asked, recorded, found)
    written = record_of(asked, recorded, found, [])
    records.write(written)
    attempt = Attempt(asked, AttachPlan(("not attached",), asked.portals, True), written, error=error)
    attempt.tried, attempt.found = list(asked.portals), found if brought is None else brought
    attach._undo([(job, attempt)], tree.view, records)
    assert job.error is error
    return job


@pytest.mark.parametrize("name", ["map_without_paths", "single_path", "dead_map"])
def test_what_was_attached_before_stays_with_what_has_come(
    capture: Capture, records: Records, released: list[Removal], name: str
) -> None:
    grown = wanted(volume=volume(size_bytes=2**30))
    job = failed(records, capture(name), LATE, record(), grown)
    assert (released, job.warnings) == ([], [])
    assert records.all() == [replace(record(), connection=grown.connection.without_secrets())]


@pytest.mark.parametrize(
    ("name", "recorded", "error"),
    [
        ("single_path", record(), WRONG),
        ("map_without_paths", record(), WRONG),
        ("single_path", None, LATE),
        ("single_path", record(attached=False), LATE),
    ],
)
def test_only_what_was_tried_leaves_a_device_that_was_there(
    capture: Capture,
    records: Records,
    released: list[Removal],
    name: str,
    recorded: Optional[Record],
    error: StorageError,
) -> None:
    failed(records, capture(name), error, recorded)
    [removal] = released
    assert (removal.portals, removal.whole, removal.force) == (wanted().portals, False, False)
    assert records.all() == ([recorded] if recorded else [])


def test_what_came_anew_leaves_wholly(capture: Capture, records: Records, released: list[Removal]) -> None:
    brought = export().find(capture("multipath").view, None)
    job = failed(records, capture("empty"), LATE, None, wanted(volume=volume(wwn=None)), brought)
    [removal] = released
    assert (removal.whole, removal.force, removal.wwn) == (True, True, CAPTURE_WWN)
    assert job.warnings == ["gone"]
    assert records.all() == []


def test_what_only_the_record_decides_leaves_wholly(
    capture: Capture, records: Records, released: list[Removal], monkeypatch: pytest.MonkeyPatch
) -> None:
    # An image, a file: whether it was mapped or mounted here cannot be seen on the device.
    monkeypatch.setattr(IscsiExport, "record_decides", True)
    failed(records, capture("empty"), LATE, None)
    [removal] = released
    assert (removal.portals, removal.whole, removal.force) == (wanted().portals, True, True)


OTHER = record(connection=parsed(volume=volume(name="other", id="2")).without_secrets(), wwn=EXCHANGED_WWN)
PATH = FoundPath("sdb", PORTAL_B, "running", EXCHANGED_WWN, 2**20, True)


@pytest.mark.parametrize(
    ("brought", "staying"),
    [
        (Found(paths=(PATH,), others=(replace(PATH, device="sda", portal=PORTAL_A),)), None),
        (Found(paths=(PATH,)), OTHER),
    ],
)
def test_another_volume_that_came_loses_no_path_but_that(
    capture: Capture, records: Records, released: list[Removal], brought: Found, staying: Optional[Record]
) -> None:
    if staying:
        records.write(staying)
    failed(records, capture("empty"), WRONG, None, brought=brought)
    [removal] = released
    assert (removal.whole, removal.force, removal.wwn) == (False, False, CAPTURE_WWN)
    assert records.all() == ([staying] if staying else [])


def test_map_of_another_volume_that_the_array_shows_by_one_port_stays(
    capture: Capture, records: Records, released: list[Removal]
) -> None:
    brought = FibreChannelExport((PAIR_B,)).find(capture("fc_multipath").view, CAPTURE_WWN)
    assert (brought.wwid, len(brought.paths)) == (FIBRE_CHANNEL_WWN, 1)
    failed(records, capture("empty"), WRONG, None, brought=brought)
    [removal] = released
    assert (removal.whole, removal.wwn) == (False, CAPTURE_WWN)


@pytest.mark.parametrize(("by_both", "given_up"), [(True, True), (False, False)])
def test_a_map_with_paths_of_others_is_not_given_up(
    capture: Capture, monkeypatch: pytest.MonkeyPatch, by_both: bool, given_up: bool
) -> None:
    ran: list[Any] = []

    def run(argv: list[str], deadline: Deadline) -> Finished:
        ran.append(argv)
        return Finished(tuple(argv), 0, "", "")

    monkeypatch.setattr(releasing, "run", run)
    portals = export().portals if by_both else (portal(PORTAL_B),)
    removal = Removal("capture1", replace(export(), portals=portals), CAPTURE_WWN, portals, force=True)
    view = capture("dead_map").view
    assert bool(removal.find(view).others) is not by_both
    assert bool(releasing._give_up([removal], view, Deadline(5))) is bool(ran) is given_up
