# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The view of a host, on trees captured from the lab. What is expected was read off the machines with other tools."""

from __future__ import annotations

from typing import Optional

import pytest

from ansible_collections.brickwork.storage.plugins.module_utils.host.sysfs import (
    Disk,
    MultipathMap,
    Session,
    Sysfs,
    scsi_wwid,
)
from ansible_collections.brickwork.storage.tests.unit.host.examples import (
    CAPTURE_SIZE,
    CAPTURE_TARGET,
    CAPTURE_WWN,
    PORTAL_A,
    PORTAL_B,
)
from ansible_collections.brickwork.storage.tests.unit.host.tree import Capture


def test_multipath_by_two_paths(capture: Capture) -> None:
    view = capture("multipath").view
    over_b, over_a = view.sessions()
    assert over_b == Session(1, CAPTURE_TARGET, PORTAL_B, "LOGGED_IN", 0)
    assert over_a == Session(2, CAPTURE_TARGET, PORTAL_A, "LOGGED_IN", 1)
    assert view.disks(over_a) == [Disk("sda", "8:0", 0, PORTAL_A, "running", CAPTURE_WWN, CAPTURE_SIZE)]
    assert view.disks(over_b) == [Disk("sdb", "8:16", 0, PORTAL_B, "running", CAPTURE_WWN, CAPTURE_SIZE)]
    both = MultipathMap(
        "dm-0",
        "mpatha",
        CAPTURE_WWN,
        CAPTURE_SIZE,
        False,
        {"8:0": "running", "8:16": "running"},
        {"8:0": "sda", "8:16": "sdb"},
    )
    assert view.map_over("sda") == view.map_over("sdb") == view.map_of(CAPTURE_WWN) == both
    assert view.maps() == [both]
    assert view.holders("sda") == ["dm-0"]
    assert view.holders("dm-0") == []


def test_path_down(capture: Capture) -> None:
    view = capture("path_down").view
    assert [(session.portal, session.state) for session in view.sessions()] == [
        (PORTAL_B, "FREE"),
        (PORTAL_A, "LOGGED_IN"),
    ]
    states = {disk.name: disk.state for session in view.sessions() for disk in view.disks(session)}
    assert states == {"sda": "running", "sdb": "transport-offline"}
    over = view.map_over("sdb")
    assert over
    assert over.path_states == {"8:0": "running", "8:16": "failed"}


def test_map_whose_paths_have_all_failed(capture: Capture) -> None:
    over = capture("dead_map").view.map_of(CAPTURE_WWN)
    assert over
    assert over.path_states == {"8:0": "failed", "8:16": "failed"}


def test_map_that_has_lost_its_disks(capture: Capture) -> None:
    view = capture("map_without_paths").view
    assert [view.disks(session) for session in view.sessions()] == [[], []]
    assert view.map_of(CAPTURE_WWN) == MultipathMap("dm-0", "mpatha", CAPTURE_WWN, CAPTURE_SIZE, False, {}, {})


def test_paths_without_multipathd_are_under_no_map(capture: Capture) -> None:
    view = capture("two_paths_without_map").view
    disks = [disk for session in view.sessions() for disk in view.disks(session)]
    assert sorted(disk.name for disk in disks) == ["sda", "sdb"]
    assert {disk.wwid for disk in disks} == {CAPTURE_WWN}
    assert [view.map_over(disk.name) for disk in disks] == [None, None]
    assert view.map_of(CAPTURE_WWN) is None


def test_empty_host(capture: Capture) -> None:
    view = capture("empty").view
    assert view.sessions() == []
    assert view.map_of(CAPTURE_WWN) is None
    assert view.map_over("sda") is None
    assert view.maps() == []
    assert view.number("sda") == ""
    assert view.link_target(f"/dev/disk/by-id/wwn-0x{CAPTURE_WWN[1:]}") is None


def test_host_without_open_iscsi(capture: Capture) -> None:
    tree = capture("empty")
    tree.remove("/etc")
    assert tree.view.initiator_name() is None


def test_session_on_its_way_out_is_none(capture: Capture) -> None:
    tree = capture("multipath")
    tree.remove(tree.resolve("/sys/class/iscsi_session/session1/device/connection1:0"))
    assert [session.portal for session in tree.view.sessions()] == [PORTAL_A]


@pytest.mark.parametrize("attribute", ["size", "dev"])
def test_disk_on_its_way_out_is_none(capture: Capture, attribute: str) -> None:
    tree = capture("multipath")
    tree.remove(tree.resolve(f"/sys/block/sda/{attribute}"))
    assert tree.view.disks(tree.session(PORTAL_A)) == []


def test_sessions_are_in_the_order_of_their_numbers(capture: Capture) -> None:
    # By name session10 would come before session2.
    tree = capture("multipath")
    tree.put("/sys/class/iscsi_session/session10", {"link": tree.link("/sys/class/iscsi_session/session1")})
    tree.remove("/sys/class/iscsi_session/session1")
    assert [session.number for session in tree.view.sessions()] == [2, 10]


def test_portal_with_an_ipv6_address_is_written_in_brackets(capture: Capture) -> None:
    tree = capture("multipath")
    connection = "/sys/class/iscsi_session/session2/device/connection2:0/iscsi_connection/connection2:0"
    tree.put(tree.resolve(f"{connection}/persistent_address"), "2001:db8::10\n")
    assert tree.view.sessions()[1].portal == "[2001:db8::10]:3260"


def test_map_that_does_not_answer_counts_its_paths_as_running(capture: Capture) -> None:
    # As on a kernel that does not let this process ask device-mapper.
    tree = capture("path_down")
    tree.map_status.clear()
    over = tree.view.map_of(CAPTURE_WWN)
    assert over
    assert over.path_states == {"8:0": "running", "8:16": "running"}


def test_other_device_mapper_devices_are_no_maps(capture: Capture) -> None:
    tree = capture("multipath")
    tree.put(tree.resolve("/sys/block/dm-0/dm/uuid"), "LVM-kV0nZU6fTr3oSs\n")
    assert tree.view.multipath_map("dm-0") is None
    assert tree.view.map_over("sda") is None


def test_read_only_map(capture: Capture) -> None:
    tree = capture("multipath")
    tree.put(tree.resolve("/sys/block/dm-0/ro"), "1\n")
    over = tree.view.map_of(CAPTURE_WWN)
    assert over
    assert over.read_only


def test_links(capture: Capture) -> None:
    view = capture("multipath").view
    assert view.link_target(f"/dev/disk/by-id/dm-uuid-mpath-{CAPTURE_WWN}") == "dm-0"
    assert view.link_target(f"/dev/disk/by-id/wwn-0x{CAPTURE_WWN[1:]}") == "dm-0"
    assert view.link_target("/dev/disk/by-id/dm-uuid-mpath-3600140500000000") is None


def test_link_to_a_device_that_is_gone(capture: Capture) -> None:
    tree = capture("multipath")
    tree.remove("/dev/dm-0")
    assert tree.view.link_target(f"/dev/disk/by-id/dm-uuid-mpath-{CAPTURE_WWN}") is None


def test_attributes_to_write_are_under_the_root(capture: Capture) -> None:
    tree = capture("multipath")
    assert tree.view.attribute_path("block/sda/device/delete") == f"{tree.root}/sys/block/sda/device/delete"
    assert Sysfs().attribute_path("class/scsi_host/host3/scan") == "/sys/class/scsi_host/host3/scan"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("InitiatorName=iqn.2026-11.org.example:host2\n", "iqn.2026-11.org.example:host2"),
        ("## comment\n#InitiatorName=iqn.old\n InitiatorName = iqn.new  \n", "iqn.new"),
        ("GenerateName=yes\n", None),
        ("", None),
    ],
)
def test_initiator_name(capture: Capture, text: str, name: Optional[str]) -> None:
    tree = capture("empty")
    tree.put("/etc/iscsi/initiatorname.iscsi", text)
    assert tree.view.initiator_name() == name


@pytest.mark.parametrize(
    ("text", "wwid"),
    [
        ("naa.6001405a735a1659bb843b1aafdf4555", "36001405a735a1659bb843b1aafdf4555"),
        ("naa.6001405A735A1659BB843B1AAFDF4555", "36001405a735a1659bb843b1aafdf4555"),
        ("eui.0025385b71b00b13", "20025385b71b00b13"),
        ("t10.ATA     QEMU HARDDISK   QM00001", None),
        ("", None),
    ],
)
def test_wwid_as_multipath_writes_it(text: str, wwid: Optional[str]) -> None:
    assert scsi_wwid(text) == wwid


def test_glance_is_of_one_moment(capture: Capture) -> None:
    tree = capture("multipath")
    now, session = tree.view.glance(), tree.session(PORTAL_A)
    before = [now.sessions(), now.disks(session), now.map_names()]
    tree.remove("/sys/class/iscsi_session")
    tree.remove(tree.resolve("/sys/block/dm-0") + "/dm")
    assert [now.sessions(), now.disks(session), now.map_names()] == before
    later = now.glance()
    assert [later.sessions(), later.disks(session), later.map_names()] == [[], [], {}]
    assert [tree.view.sessions(), tree.view.disks(session), tree.view.map_names()] == [[], [], {}]


def test_glance_tells_the_disks_of_sessions_apart(capture: Capture) -> None:
    now = capture("multipath").view.glance()
    assert [disk.name for session in now.sessions() for disk in now.disks(session)] == ["sdb", "sda"]
