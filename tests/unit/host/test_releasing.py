# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What may be taken away, and what stays."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Optional

import pytest

from ansible_collections.brickwork.storage.plugins.module_utils.host.detach import removal_of
from ansible_collections.brickwork.storage.plugins.module_utils.host.engines.iscsi import ending, going_with_session
from ansible_collections.brickwork.storage.plugins.module_utils.host.records import Record
from ansible_collections.brickwork.storage.plugins.module_utils.host.removal import Removal, refusal
from ansible_collections.brickwork.storage.tests.unit.host.examples import (
    CAPTURE_TARGET,
    CAPTURE_WWN,
    EXCHANGED_WWN,
    PORTAL_A,
    PORTAL_B,
    SHARED_TARGET,
    connection_data,
    export,
    parsed,
    portal,
    record,
    volume,
)
from ansible_collections.brickwork.storage.tests.unit.host.tree import Capture, Tree

WHOLE = Removal("capture1", export(), CAPTURE_WWN, export().portals)
BY_ONE_PORTAL = replace(WHOLE, portals=(portal(PORTAL_B),))


def refused(removal: Removal, tree: Tree) -> Optional[str]:
    error = refusal(tree.view, removal, removal.find(tree.view))
    return error.code if error else None


@pytest.mark.parametrize(
    ("name", "removal", "code"),
    [
        ("multipath", WHOLE, None),
        ("single_path", WHOLE, None),
        ("path_down", WHOLE, None),
        ("empty", WHOLE, None),
        ("dead_map", WHOLE, "unavailable"),
        ("map_without_paths", WHOLE, "unavailable"),
        ("dead_map", replace(WHOLE, force=True), None),
        ("map_without_paths", replace(WHOLE, force=True), None),
        # A path less does not lose anything, whatever the state of the others.
        ("dead_map", BY_ONE_PORTAL, None),
    ],
)
def test_refusal(capture: Capture, name: str, removal: Removal, code: Optional[str]) -> None:
    assert refused(removal, capture(name)) == code


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize(
    ("lun", "users"), [(0, ["swap on /dev/dm-2", "volume group data-group"]), (1, ["mount point /mnt/with blank"])]
)
def test_device_in_use_is_refused_whatever_force_says(
    capture: Capture, lun: int, users: list[str], force: bool
) -> None:
    exported = export(target=SHARED_TARGET, lun=lun)
    removal = Removal("v", exported, None, exported.portals, force=force)
    view = capture("in_use").view
    error = refusal(view, removal, removal.find(view))
    assert error
    assert error.code == "failed_precondition"
    assert error.facts["users"] == users
    assert all(user in error.message for user in users)


def test_path_of_a_device_in_use_may_leave(capture: Capture) -> None:
    exported = export(target=SHARED_TARGET)
    removal = Removal("v", exported, None, exported.portals[1:])
    assert refused(removal, capture("in_use")) is None


def test_dead_paths_are_named(capture: Capture) -> None:
    view = capture("dead_map").view
    error = refusal(view, WHOLE, WHOLE.find(view))
    assert error
    assert error.facts["portals"] == [PORTAL_A, PORTAL_B]
    assert f"{PORTAL_A} transport-offline" in error.message
    assert "force" in error.message


@pytest.mark.parametrize(
    ("removal", "ended"),
    [
        (WHOLE, [PORTAL_A, PORTAL_B]),
        (BY_ONE_PORTAL, [PORTAL_B]),
        (replace(WHOLE, kept_portals=frozenset({PORTAL_A})), [PORTAL_B]),
        (replace(WHOLE, needed_elsewhere=frozenset({(PORTAL_A, CAPTURE_TARGET)})), [PORTAL_B]),
        (replace(WHOLE, needed_elsewhere=frozenset({(PORTAL_A, SHARED_TARGET)})), [PORTAL_A, PORTAL_B]),
        (replace(WHOLE, portals=export(target=SHARED_TARGET).portals), []),
    ],
)
def test_sessions_that_end(capture: Capture, removal: Removal, ended: list[str]) -> None:
    sessions = capture("multipath").view.sessions()
    assert sorted(session.portal for session in sessions if removal.ends(session)) == ended


@pytest.mark.parametrize(("removal", "whole"), [(WHOLE, True), (BY_ONE_PORTAL, False)])
def test_whole(removal: Removal, whole: bool) -> None:
    assert removal.whole is whole


def of_shared_target(name: str, lun: int) -> dict[str, Any]:
    data = connection_data(target_iqn=SHARED_TARGET, target_lun=lun)
    data.update(target_iqns=[SHARED_TARGET] * 2, target_luns=[lun] * 2)
    info = {"driver_volume_type": "iscsi", "data": data}
    return {"volume": volume(name=name, id=name, wwn=None), "connection_info": info}


def test_shared_target_stays_for_the_volumes_that_stay(capture: Capture) -> None:
    leaving = parsed(**of_shared_target("a", 0))
    staying = record(connection=parsed(**of_shared_target("b", 1)).without_secrets())
    sessions = capture("shared_target").view.sessions()
    alone, beside = removal_of(leaving, None, []), removal_of(leaving, None, [staying])
    assert [alone.ends(session) for session in sessions] == [True, True]
    assert [beside.ends(session) for session in sessions] == [False, False]


def kept_path(*portals: str) -> list[Removal]:
    return [replace(WHOLE, kept_portals=frozenset(portals))]


def of_shared(*luns: int) -> list[Removal]:
    return [removal_of(parsed(**of_shared_target(str(lun), lun)), None, []) for lun in luns]


@pytest.mark.parametrize(
    ("name", "removals", "ended"),
    [
        ("multipath", [WHOLE], [PORTAL_A, PORTAL_B]),
        ("multipath", kept_path(PORTAL_A), [PORTAL_B]),
        ("multipath", [BY_ONE_PORTAL], [PORTAL_B]),
        # By another LUN of the target a volume comes that stays.
        ("shared_target", of_shared(0), []),
        ("shared_target", of_shared(0, 1), [PORTAL_A, PORTAL_B]),
        ("empty", [WHOLE], []),
    ],
)
def test_sessions_without_another_volume(
    capture: Capture, name: str, removals: list[Removal], ended: list[str]
) -> None:
    found = ending(removals, capture(name).view)
    assert sorted(session.portal for session in found) == ended


@pytest.mark.parametrize(
    ("name", "removals", "going"),
    [
        ("multipath", [WHOLE], 2),
        ("path_down", [WHOLE], 1),
        ("dead_map", [WHOLE], 0),
        ("shared_target", of_shared(0), 0),
        ("shared_target", of_shared(0, 1), 4),
    ],
)
def test_disks_that_go_with_their_session(capture: Capture, name: str, removals: list[Removal], going: int) -> None:
    assert len(going_with_session(removals, capture(name).view)) == going


@pytest.mark.parametrize(
    ("wwn", "recorded", "expected", "kept"),
    [
        (CAPTURE_WWN, None, CAPTURE_WWN, set()),
        (None, record(kept_portals=[PORTAL_A]), CAPTURE_WWN, {PORTAL_A}),
        (EXCHANGED_WWN, record(), EXCHANGED_WWN, set()),
        (None, None, None, set()),
    ],
)
def test_removal_of(wwn: Optional[str], recorded: Optional[Record], expected: Optional[str], kept: set[str]) -> None:
    removal = removal_of(parsed(volume=volume(wwn=wwn)), recorded, [])
    assert (removal.wwn, set(removal.kept_portals), removal.whole) == (expected, kept, True)
