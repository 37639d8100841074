# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an iSCSI connection_info must hold, and where its volume is found in the captured trees."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Optional, cast

import pytest

from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.host import attachment
from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols.export import Portal
from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols.iscsi import IscsiExport, validate
from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols.registry import validate as validate_by
from ansible_collections.brickwork.storage.tests.unit.host.examples import (
    CAPTURE_SIZE,
    CAPTURE_TARGET,
    CAPTURE_WWN,
    EXCHANGED_WWN,
    HOST,
    PORTAL_A,
    PORTAL_B,
    SECRET,
    SHARED_TARGET,
    SHARED_WWNS,
    connection_data,
    export,
)
from ansible_collections.brickwork.storage.tests.unit.host.tree import Capture

SINGULAR = {"target_portals": None, "target_iqns": None, "target_luns": None}


def test_both_portals_the_singular_one_first() -> None:
    found = validate(connection_data(target_portal=PORTAL_B), "data", True)
    assert found.portals == (Portal(PORTAL_B, CAPTURE_TARGET, 0), Portal(PORTAL_A, CAPTURE_TARGET, 0))
    assert (found.username, found.password) == (HOST, SECRET)


def test_singular_keys_suffice() -> None:
    assert validate(connection_data(**SINGULAR), "data", True).addresses == [PORTAL_A]


def test_numbers_may_come_as_strings() -> None:
    # As templates make them.
    found = validate(connection_data(target_lun="0", target_luns=["0", " 0 "]), "data", True)
    assert [portal.lun for portal in found.portals] == [0, 0]


def test_targets_and_luns_may_differ_from_portal_to_portal() -> None:
    data = connection_data(target_iqns=[CAPTURE_TARGET, f"{CAPTURE_TARGET}-b"], target_luns=[0, 3])
    found = {(portal.target, portal.lun) for portal in validate(data, "data", True).portals}
    assert found == {(CAPTURE_TARGET, 0), (f"{CAPTURE_TARGET}-b", 3)}


@pytest.mark.parametrize(
    ("address", "host_and_port"),
    [
        ("192.0.2.1:3260", ("192.0.2.1", 3260)),
        ("[2001:db8::1]:3260", ("2001:db8::1", 3260)),
        ("[fe80::1%eth0]:860", ("fe80::1%eth0", 860)),
        ("storage.example.org:1", ("storage.example.org", 1)),
        (" 192.0.2.1:65535 ", ("192.0.2.1", 65535)),
    ],
)
def test_portals(address: str, host_and_port: tuple[str, int]) -> None:
    (only,) = validate(connection_data(**SINGULAR, target_portal=address), "data", True).portals
    assert only.host_and_port == host_and_port


BAD_PORTALS = ["192.0.2.1", "192.0.2.1:", ":3260", "192.0.2.1:0", "192.0.2.1:65536", "2001:db8::1:3260"]
BAD_PORTALS += [
    "[2001:db8::1]",
    "192.0.2.1:3260,1",
    "192.0.2.1: 3260",
    "a b:3260",
    "../../tmp/x:3260",
    "*:3260",
    "[zz]:3260",
    "",
]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("target_portal", value) for value in [None, 3260, ["192.0.2.1:3260"], *BAD_PORTALS]),
        *(
            ("target_iqn", value)
            for value in [None, 1, "", "host2", "iqn.", "iqn.x/../../etc", "iqn.with blank", f"{CAPTURE_TARGET}\n"]
        ),
        *(("target_lun", value) for value in [None, -1, 16384, "one", "", 1.5, True, [0]]),
        *(("target_portals", value) for value in ["192.0.2.1:3260", [], {}]),
        ("target_iqns", CAPTURE_TARGET),
        ("target_luns", 0),
        ("auth_method", "SRP"),
        *(("auth_username", value) for value in [None, "", "two words", f"{HOST}\n", 5]),
        *(("auth_password", value) for value in [None, ""]),
    ],
)
def test_wrong_and_missing_fields_are_named(field: str, value: Any) -> None:
    with pytest.raises(StorageError) as caught:
        validate(connection_data(**{field: value}), "connections[1].connection_info.data", True)
    assert caught.value.code == "invalid_argument"
    assert caught.value.facts["field"] == f"connections[1].connection_info.data.{field}"
    assert "expected" in caught.value.message


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("target_portals", [PORTAL_A, "nonsense"], "target_portals[1]"),
        ("target_iqns", [CAPTURE_TARGET, None], "target_iqns[1]"),
        ("target_luns", [0, "x"], "target_luns[1]"),
        ("target_portals", [PORTAL_A], "target_iqns"),
        ("target_iqns", [CAPTURE_TARGET], "target_iqns"),
        ("target_luns", [0, 0, 0], "target_luns"),
        ("target_luns", None, "target_luns"),
    ],
)
def test_wrong_entries_of_the_lists_are_named(field: str, value: Any, named: str) -> None:
    with pytest.raises(StorageError) as caught:
        validate(connection_data(**{field: value}), "data", True)
    assert caught.value.facts["field"] == f"data.{named}"


@pytest.mark.parametrize("secret", ["with blank", f"{SECRET} ", f"{SECRET}\n", 8675309, [SECRET], {"secret": SECRET}])
def test_a_wrong_secret_is_not_repeated(secret: Any) -> None:
    with pytest.raises(StorageError) as caught:
        validate(connection_data(auth_password=secret), "data", True)
    assert caught.value.facts["field"] == "data.auth_password"
    assert SECRET not in str(caught.value.as_dict())
    assert "8675309" not in str(caught.value.as_dict())
    assert "blank'" not in str(caught.value.as_dict())


def test_the_secret_is_in_no_representation() -> None:
    assert SECRET not in repr(validate(connection_data(), "data", True))


def test_iser_is_iscsi_by_another_transport() -> None:
    by_tcp = validate_by("iscsi", connection_data(), "data", True)
    assert validate_by("iser", connection_data(), "data", True) == replace(cast(IscsiExport, by_tcp), transport="iser")


def test_without_chap() -> None:
    found = validate(connection_data(auth_method=None, auth_username=None, auth_password=None), "data", True)
    assert (found.username, found.password) == (None, None)


def test_a_detach_needs_no_secret() -> None:
    found = validate(connection_data(auth_password=None), "data", False)
    assert (found.username, found.password) == (HOST, None)


def test_find_with_multipath(capture: Capture) -> None:
    found = export().find(capture("multipath").view, CAPTURE_WWN)
    assert [(path.device, path.portal, path.state, path.in_map) for path in found.paths] == [
        ("sda", PORTAL_A, "running", True),
        ("sdb", PORTAL_B, "running", True),
    ]
    assert found.own_map
    assert (found.device, found.wwid, found.size_bytes) == ("dm-0", CAPTURE_WWN, CAPTURE_SIZE)
    assert found.wwids == {CAPTURE_WWN}


def test_find_with_a_path_down(capture: Capture) -> None:
    found = export().find(capture("path_down").view, CAPTURE_WWN)
    assert [(path.device, path.state) for path in found.paths] == [("sda", "running"), ("sdb", "transport-offline")]
    assert [path.device for path in found.running_paths] == ["sda"]


def test_path_that_device_mapper_alone_has_given_up(capture: Capture) -> None:
    tree = capture("path_down")
    tree.put(tree.resolve("/sys/block/sdb/device/state"), "running\n")
    found = export().find(tree.view, CAPTURE_WWN)
    assert [(path.device, path.state) for path in found.paths] == [("sda", "running"), ("sdb", "failed")]


def test_path_that_scsi_alone_has_given_up(capture: Capture) -> None:
    tree = capture("multipath")
    tree.put(tree.resolve("/sys/block/sdb/device/state"), "blocked\n")
    found = export().find(tree.view, CAPTURE_WWN)
    assert [(path.device, path.state) for path in found.paths] == [("sda", "running"), ("sdb", "blocked")]


def test_find_of_a_dead_map(capture: Capture) -> None:
    found = export().find(capture("dead_map").view, CAPTURE_WWN)
    assert found.running_paths == []
    assert found.device == "dm-0"


@pytest.mark.parametrize(("wwn", "device"), [(CAPTURE_WWN, "dm-0"), (None, None)])
def test_map_without_paths_is_found_by_its_wwn_alone(
    capture: Capture, wwn: Optional[str], device: Optional[str]
) -> None:
    found = export().find(capture("map_without_paths").view, wwn)
    assert found.paths == ()
    assert len(found.sessions) == 2
    assert found.device == device
    assert found.anything


def test_find_without_multipathd(capture: Capture) -> None:
    view = capture("single_path").view
    found = export().find(view, CAPTURE_WWN)
    assert [path.portal for path in found.paths] == [PORTAL_A]
    assert found.multipath_map is None
    assert found.device == found.paths[0].device
    assert attachment.stable_link(view, export(), found) == f"/dev/disk/by-id/wwn-0x{CAPTURE_WWN[1:]}"


def test_nothing_there(capture: Capture) -> None:
    found = export().find(capture("empty").view, CAPTURE_WWN)
    assert not found.anything
    assert (found.device, found.wwid, found.size_bytes) == (None, None, None)


@pytest.mark.parametrize(
    ("lun", "disks", "device"), [(0, ["sda", "sdb"], "dm-0"), (1, ["sdc", "sdd"], "dm-1"), (2, [], None)]
)
def test_volumes_of_a_shared_target_are_told_apart(
    capture: Capture, lun: int, disks: list[str], device: Optional[str]
) -> None:
    found = export(target=SHARED_TARGET, lun=lun).find(capture("shared_target").view, None)
    assert len(found.sessions) == 2
    assert [path.device for path in found.paths] == disks
    assert found.device == device
    assert found.wwid == (SHARED_WWNS[lun] if device else None)


def test_paths_by_other_portals_are_not_the_volumes(capture: Capture) -> None:
    found = export(PORTAL_A).find(capture("multipath").view, CAPTURE_WWN)
    assert [path.portal for path in found.paths] == [PORTAL_A]
    assert [path.device for path in found.others] == ["sdb"]
    assert found.multipath_map
    assert found.own_map is None  # not to be removed with this portal


def test_leftover_device_tells_its_old_wwn(capture: Capture) -> None:
    found = export(target=SHARED_TARGET, lun=1).find(capture("leftover_device").view, EXCHANGED_WWN)
    assert found.wwids == {SHARED_WWNS[1]}
    assert found.device == "dm-1"


def test_smallest_size_counts(capture: Capture) -> None:
    # A path that has not seen the volume grow, or shrink.
    tree = capture("multipath")
    tree.put(tree.resolve("/sys/block/sdb/size"), "2048\n")
    assert export().find(tree.view, CAPTURE_WWN).size_bytes == 1024**2


def test_stable_link_to_the_map(capture: Capture) -> None:
    view = capture("multipath").view
    link = attachment.stable_link(view, export(), export().find(view, CAPTURE_WWN))
    assert link == f"/dev/disk/by-id/dm-uuid-mpath-{CAPTURE_WWN}"


def test_stable_link_to_either_of_two_paths_without_a_map(capture: Capture) -> None:
    # udev gave the link to sdb, the path that it saw last.
    view = capture("two_paths_without_map").view
    found = export().find(view, CAPTURE_WWN)
    assert [path.device for path in found.paths] == ["sda", "sdb"]
    assert attachment.stable_link(view, export(), found) == f"/dev/disk/by-id/wwn-0x{CAPTURE_WWN[1:]}"


def test_no_stable_link_while_it_leads_elsewhere(capture: Capture) -> None:
    tree = capture("multipath")
    tree.put("/dev/dm-7", "")
    tree.put(f"/dev/disk/by-id/dm-uuid-mpath-{CAPTURE_WWN}", {"link": "../../dm-7"})
    assert attachment.stable_link(tree.view, export(), export().find(tree.view, CAPTURE_WWN)) is None
