# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be done, for what is wanted and what is found."""

from __future__ import annotations

from typing import Any, Optional

import pytest

from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.host.found import Found
from ansible_collections.brickwork.storage.plugins.module_utils.host.plan import (
    AttachPlan,
    Wanted,
    check_identity,
    describe,
    describe_planned,
    is_too_small,
    missing_portals,
    plan_attach,
    portals_at_boot,
    record_of,
    too_few_paths,
)
from ansible_collections.brickwork.storage.plugins.module_utils.host.records import Record
from ansible_collections.brickwork.storage.tests.unit.host.examples import (
    CAPTURE_SIZE,
    CAPTURE_TARGET,
    CAPTURE_WWN,
    EXCHANGED_WWN,
    INITIATOR,
    PORTAL_A,
    PORTAL_B,
    SECRET,
    SHARED_TARGET,
    SHARED_WWNS,
    connection_data,
    export,
    parsed,
    record,
    volume,
    wanted,
)
from ansible_collections.brickwork.storage.tests.unit.host.tree import Capture

SINGLE = wanted(multipath=False)
DOUBLE = wanted()
BOTH = wanted(min_paths=2)


def plan(
    capture: Capture,
    tree: str,
    asked: Wanted = DOUBLE,
    recorded: Optional[Record] = None,
    map_possible: bool = True,
    linked: bool = True,
) -> AttachPlan:
    volume = asked.connection.volume
    found = asked.export.find(capture(tree).view, volume.wwn or (recorded.wwn if recorded else None))
    return plan_attach(asked, recorded, found, map_possible, linked)


@pytest.mark.parametrize(
    ("tree", "asked", "recorded", "settings", "reasons", "login"),
    [
        # nothing there
        ("empty", DOUBLE, None, {}, ["not attached"], [PORTAL_A, PORTAL_B]),
        ("empty", SINGLE, None, {}, ["not attached"], [PORTAL_A, PORTAL_B]),
        ("empty", DOUBLE, record(), {}, ["not attached"], [PORTAL_A, PORTAL_B]),
        ("shared_target", DOUBLE, None, {}, ["not attached"], [PORTAL_A, PORTAL_B]),
        # complete
        ("multipath", DOUBLE, record(), {}, [], []),
        ("multipath", BOTH, record(), {}, [], []),
        ("single_path", SINGLE, record(multipath=False), {"map_possible": False}, [], []),
        ("two_paths_without_map", DOUBLE, record(), {"map_possible": False}, [], []),
        # degraded: above, at and below min_paths
        ("path_down", DOUBLE, record(), {}, [], []),
        ("path_down", BOTH, record(), {}, ["1 of 2 paths"], []),
        ("dead_map", DOUBLE, record(), {}, ["0 of 1 paths"], []),
        ("map_without_paths", DOUBLE, record(), {}, ["not attached"], []),
        ("single_path", BOTH, record(), {"map_possible": False}, ["1 of 2 paths"], [PORTAL_B]),
        # all there but what udev and multipathd add
        ("two_paths_without_map", DOUBLE, record(), {}, ["no multipath map"], []),
        ("multipath", DOUBLE, record(), {"linked": False}, ["no stable link"], []),
        # there, but not ours, or not wholly
        ("multipath", DOUBLE, None, {}, ["attached, but not by this collection"], []),
        ("multipath", DOUBLE, record(attached=False), {}, ["an earlier attach was interrupted"], []),
        # persistent
        ("multipath", wanted(persistent=True), record(), {}, ["persistent"], []),
        ("multipath", DOUBLE, record(persistent=True), {}, ["not persistent"], []),
        ("multipath", wanted(persistent=True), record(persistent=True), {}, [], []),
        # size: a volume that has grown without the host; one that is larger than told is right
        (
            "multipath",
            wanted(volume=volume(size_bytes=2 * CAPTURE_SIZE)),
            record(),
            {},
            [f"{CAPTURE_SIZE} of {2 * CAPTURE_SIZE} bytes"],
            [],
        ),
        ("multipath", wanted(volume=volume(size_bytes=CAPTURE_SIZE // 2)), record(), {}, [], []),
        ("multipath", wanted(volume=volume(size_bytes=None)), record(), {}, [], []),
        # The WWN is known from the first attach alone.
        ("multipath", wanted(volume=volume(wwn=None)), record(), {}, [], []),
    ],
)
def test_plan(
    capture: Capture,
    tree: str,
    asked: Wanted,
    recorded: Optional[Record],
    settings: dict[str, bool],
    reasons: list[str],
    login: list[str],
) -> None:
    found = plan(capture, tree, asked, recorded, **settings)
    assert list(found.reasons) == reasons
    assert found.needed == bool(reasons)
    assert [portal.address for portal in found.login] == login


@pytest.mark.parametrize(
    ("asked", "map_possible", "with_map"),
    [(DOUBLE, True, True), (DOUBLE, False, False), (SINGLE, True, False), (SINGLE, False, False)],
)
def test_map_is_waited_for_where_it_can_come(
    capture: Capture, asked: Wanted, map_possible: bool, with_map: bool
) -> None:
    assert plan(capture, "empty", asked, None, map_possible).multipath_map is with_map


def test_single_path_whose_session_has_failed_is_tried_by_the_others(capture: Capture) -> None:
    tree = capture("single_path")
    session = tree.session(PORTAL_A)
    tree.put(tree.resolve(f"/sys/class/iscsi_session/session{session.number}/state"), "FAILED\n")
    found = SINGLE.export.find(tree.view, CAPTURE_WWN)
    assert [portal.address for portal in plan_attach(SINGLE, None, found, False, True).login] == [PORTAL_B]


@pytest.mark.parametrize(
    ("asked", "most"),
    [
        (wanted(min_paths=0), 2),
        (wanted(min_paths=-1), 2),
        (wanted(min_paths=3), 2),
        (wanted(multipath=False, min_paths=2), 1),
    ],
)
def test_min_paths_out_of_range(capture: Capture, asked: Wanted, most: int) -> None:
    with pytest.raises(StorageError) as caught:
        plan(capture, "empty", asked)
    assert (caught.value.code, caught.value.facts["field"]) == ("invalid_argument", "min_paths")
    assert f"from 1 to {most}" in caught.value.message


RENAMED = wanted(connector={"initiator": "iqn.2026-11.org.example:renamed"})


@pytest.mark.parametrize(
    ("asked", "recorded", "field", "said"),
    [
        (SINGLE, record(), "multipath", "multipath is true"),
        (DOUBLE, record(multipath=False), "multipath", "multipath is false"),
        (RENAMED, record(), "connector.initiator", INITIATOR),
    ],
)
def test_attached_in_another_way(capture: Capture, asked: Wanted, recorded: Record, field: str, said: str) -> None:
    with pytest.raises(StorageError) as caught:
        plan(capture, "multipath", asked, recorded)
    assert (caught.value.code, caught.value.facts["field"]) == ("already_exists", field)
    assert said in caught.value.message


@pytest.mark.parametrize(
    ("tree", "asked", "recorded"),
    [
        # recorded, but gone: after a reboot, say
        ("empty", SINGLE, record()),
        # begun in another way, never finished
        ("multipath", SINGLE, record(attached=False)),
        # a connection that does not tell an initiator
        ("multipath", wanted(connector=None), record()),
        ("multipath", DOUBLE, record(connection=parsed(connector=None).without_secrets())),
        # what does not count
        ("multipath", wanted(connector={"initiator": INITIATOR, "ip": "192.0.2.9", "uuid": "new"}), record()),
    ],
)
def test_another_way_that_does_not_count(capture: Capture, tree: str, asked: Wanted, recorded: Record) -> None:
    plan(capture, tree, asked, recorded)


def leftover(wwn: Optional[str]) -> Wanted:
    data = connection_data(target_iqn=SHARED_TARGET, target_lun=1)
    data.update(target_iqns=[SHARED_TARGET] * 2, target_luns=[1, 1])
    info = {"driver_volume_type": "iscsi", "data": data}
    return wanted(volume=volume(wwn=wwn, size_bytes=None), connection_info=info)


@pytest.mark.parametrize(
    ("wwn", "recorded"),
    [
        (EXCHANGED_WWN, None),
        (None, record(wwn=EXCHANGED_WWN)),
        # The connection knows better than the record.
        (EXCHANGED_WWN, record(wwn=SHARED_WWNS[1])),
    ],
)
def test_leftover_device_is_refused(capture: Capture, wwn: Optional[str], recorded: Optional[Record]) -> None:
    asked = leftover(wwn)
    found = asked.export.find(capture("leftover_device").view, wwn)
    with pytest.raises(StorageError) as caught:
        plan_attach(asked, recorded, found, True, True)
    assert caught.value.code == "data_loss"
    assert caught.value.facts["expected"] == EXCHANGED_WWN
    assert caught.value.facts["found"] == [SHARED_WWNS[1]]
    assert all(word in caught.value.message for word in ("sdc", "sdd", EXCHANGED_WWN, SHARED_WWNS[1]))


def test_leftover_device_under_a_map_of_the_right_name_is_refused(capture: Capture) -> None:
    # One path shows another volume than the others.
    tree = capture("multipath")
    tree.put(tree.resolve("/sys/block/sdb/device/wwid"), f"naa.{EXCHANGED_WWN[1:]}\n")
    with pytest.raises(StorageError, match="sdb"):
        check_identity(DOUBLE.connection.volume, None, export().find(tree.view, CAPTURE_WWN))


def test_paths_that_differ_are_refused_where_no_wwn_is_known(capture: Capture) -> None:
    tree = capture("two_paths_without_map")
    tree.put(tree.resolve("/sys/block/sdb/device/wwid"), f"naa.{EXCHANGED_WWN[1:]}\n")
    unknown = wanted(volume=volume(wwn=None)).connection.volume
    with pytest.raises(StorageError) as caught:
        check_identity(unknown, None, export().find(tree.view, None))
    assert caught.value.code == "data_loss"


@pytest.mark.parametrize("tree", ["empty", "map_without_paths", "single_path", "multipath"])
@pytest.mark.parametrize("wwn", [CAPTURE_WWN, None])
def test_right_device_is_accepted(capture: Capture, tree: str, wwn: Optional[str]) -> None:
    check_identity(wanted(volume=volume(wwn=wwn)).connection.volume, None, export().find(capture(tree).view, wwn))


@pytest.mark.parametrize(
    ("size", "too_small"),
    [(CAPTURE_SIZE, False), (CAPTURE_SIZE + 1, True), (CAPTURE_SIZE - 1, False), (None, False)],
)
def test_size(capture: Capture, size: Optional[int], too_small: bool) -> None:
    found = export().find(capture("multipath").view, CAPTURE_WWN)
    asked = parsed(volume=volume(size_bytes=size)).volume
    assert is_too_small(asked, found) is too_small
    assert not is_too_small(asked, Found())


@pytest.mark.parametrize(
    ("tree", "asked", "missing"),
    [
        ("multipath", DOUBLE, []),
        ("path_down", DOUBLE, [PORTAL_B]),
        ("dead_map", DOUBLE, [PORTAL_A, PORTAL_B]),
        ("empty", DOUBLE, [PORTAL_A, PORTAL_B]),
        ("single_path", DOUBLE, [PORTAL_B]),
        ("single_path", SINGLE, []),
    ],
)
def test_missing_portals(capture: Capture, tree: str, asked: Wanted, missing: list[str]) -> None:
    assert missing_portals(asked, asked.export.find(capture(tree).view, CAPTURE_WWN)) == missing


DOWN = "no route to host"


@pytest.mark.parametrize(
    ("tree", "failures", "refused", "code"),
    [
        ("empty", {PORTAL_A: DOWN, PORTAL_B: DOWN}, False, "unavailable"),
        ("empty", {PORTAL_A: DOWN, PORTAL_B: "authorization failure"}, True, "permission_denied"),
        ("empty", {PORTAL_A: DOWN}, False, "deadline_exceeded"),
        ("empty", {}, False, "deadline_exceeded"),
        ("path_down", {PORTAL_B: DOWN}, False, "deadline_exceeded"),
        ("path_down", {PORTAL_A: DOWN, PORTAL_B: DOWN}, False, "deadline_exceeded"),
    ],
)
def test_too_few_paths(capture: Capture, tree: str, failures: dict[str, str], refused: bool, code: str) -> None:
    error = too_few_paths(BOTH, BOTH.export.find(capture(tree).view, None), failures, refused)
    assert error.code == code
    assert error.facts["portals"] == sorted(failures)
    assert all(f"{address}: {why}" in error.message for address, why in failures.items())
    assert "of at least 2 paths" in error.message


def test_first_record_keeps_sessions_of_others_and_no_secret(capture: Capture) -> None:
    found = export().find(capture("single_path").view, CAPTURE_WWN)
    written = record_of(wanted(persistent=True), None, found, [])
    assert written.kept_portals == [PORTAL_A]
    assert (written.attached, written.multipath, written.persistent) == (False, True, True)
    assert SECRET not in str(written)


@pytest.mark.parametrize(
    ("tree", "recorded", "attached", "kept"),
    [
        # An interrupted attach is repeated: the session is ours now as it was then.
        ("single_path", record(attached=False, kept_portals=[]), False, []),
        ("single_path", record(attached=False, kept_portals=[PORTAL_A]), False, [PORTAL_A]),
        # A repair of what is there
        ("path_down", record(kept_portals=[PORTAL_B]), True, [PORTAL_B]),
        # Gone since, by a reboot: an attach from the beginning
        ("empty", record(), False, []),
        ("empty", record(kept_portals=[PORTAL_A]), False, []),
        ("single_path", record(attached=False, kept_portals=[PORTAL_A, PORTAL_B]), False, [PORTAL_A]),
    ],
)
def test_record_of_a_repeat(capture: Capture, tree: str, recorded: Record, attached: bool, kept: list[str]) -> None:
    written = record_of(DOUBLE, recorded, export().find(capture(tree).view, CAPTURE_WWN), [])
    assert (written.attached, written.kept_portals) == (attached, kept)
    assert written.wwn == CAPTURE_WWN  # of the first attach
    assert bool(written.attach_info) is attached


def test_portals_that_are_needed_at_boot() -> None:
    staying = record(persistent=True, kept_portals=[PORTAL_B])
    assert portals_at_boot([staying]) == {(PORTAL_A, CAPTURE_TARGET)}
    assert portals_at_boot([record(), record(persistent=True, attached=False)]) == set()


def test_record_takes_the_newest_connection(capture: Capture) -> None:
    found = export().find(capture("multipath").view, CAPTURE_WWN)
    grown = wanted(volume=volume(size_bytes=2 * CAPTURE_SIZE))
    assert record_of(grown, record(), found, []).volume["size_bytes"] == 2 * CAPTURE_SIZE


SESSIONS = [f"{PORTAL_A} {CAPTURE_TARGET}", f"{PORTAL_B} {CAPTURE_TARGET}"]


@pytest.mark.parametrize(
    ("tree", "shown"),
    [
        ("empty", {"sessions": [], "paths": [], "multipath": False, "size_bytes": None}),
        (
            "path_down",
            {
                "sessions": SESSIONS,
                "paths": [f"{PORTAL_A} running", f"{PORTAL_B} transport-offline"],
                "multipath": True,
                "size_bytes": CAPTURE_SIZE,
            },
        ),
    ],
)
def test_diff_of_what_is_found(capture: Capture, tree: str, shown: dict[str, Any]) -> None:
    assert describe(export().find(capture(tree).view, CAPTURE_WWN)) == shown


@pytest.mark.parametrize(("tree", "asked", "with_map"), [("multipath", DOUBLE, True), ("single_path", SINGLE, False)])
def test_diff_predicted_is_what_a_run_brings(capture: Capture, tree: str, asked: Wanted, with_map: bool) -> None:
    found = asked.export.find(capture(tree).view, CAPTURE_WWN)
    assert describe_planned(asked, with_map) == describe(found)


def test_path_that_is_dead_is_told_among_the_failures(capture: Capture) -> None:
    error = too_few_paths(BOTH, BOTH.export.find(capture("path_down").view, None), {}, False)
    assert (error.code, error.facts["portals"]) == ("deadline_exceeded", [PORTAL_B])
    assert "transport-offline" in error.message
