# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The view of a host as a whole: controllers, ports and images, and what udev found."""

from __future__ import annotations

import pytest

from ansible_collections.brickwork.storage.plugins.module_utils.host.sysfs import Disk, Namespace, Session
from ansible_collections.brickwork.storage.plugins.module_utils.host.topology import (
    Content,
    Image,
    NvmePath,
    RemotePort,
    nvme_portal,
)
from ansible_collections.brickwork.storage.tests.unit.host import made_up
from ansible_collections.brickwork.storage.tests.unit.host.made_up import FC_WWN, NQN, NVME_WWID, SIZE, WWPN
from ansible_collections.brickwork.storage.tests.unit.host.tree import Capture


def test_nothing_on_an_empty_host(capture: Capture) -> None:
    view = capture("empty").topology
    assert (view.controllers(), view.remote_ports(), view.images(), view.maps()) == ([], [], [], [])
    assert view.content("sda") == Content()


def test_namespace_that_the_kernel_put_together(capture: Capture) -> None:
    tree = capture("empty")
    first = made_up.nvme_controller(tree, 0, "192.0.2.10")
    second = made_up.nvme_controller(tree, 1, "192.0.3.10", state="connecting")
    made_up.nvme_namespace(tree, first, second)
    over_a, over_b = tree.topology.controllers()
    assert over_a == Session(0, NQN, "192.0.2.10:4420", "live")
    assert over_b.state == "connecting"
    namespace = Namespace("nvme0n1", NVME_WWID, SIZE, read_only=False)
    assert tree.topology.nvme_paths(over_a) == [NvmePath("nvme0c0n1", NVME_WWID, SIZE, "running", namespace)]
    assert tree.topology.nvme_paths(over_b) == [NvmePath("nvme0c1n1", NVME_WWID, SIZE, "connecting", namespace)]


@pytest.mark.parametrize(
    ("access", "state"),
    [("optimized", "running"), ("non-optimized", "running"), ("inaccessible", "inaccessible"), ("change", "change")],
)
def test_access_by_an_nvme_path(capture: Capture, access: str, state: str) -> None:
    tree = capture("empty")
    made_up.nvme_namespace(tree, made_up.nvme_controller(tree, 0, "192.0.2.10"), access=(access,))
    view = tree.topology
    assert [path.state for path in view.nvme_paths(view.controllers()[0])] == [state]


def test_namespace_of_one_controller(capture: Capture) -> None:
    tree = capture("empty")
    made_up.nvme_device(tree, made_up.nvme_controller(tree, 3, "192.0.2.10"), "259:5")
    view = tree.topology
    assert view.nvme_paths(view.controllers()[0]) == [NvmePath("nvme3n1", NVME_WWID, SIZE, "running", None)]


def test_controllers_that_bring_no_volume(capture: Capture) -> None:
    tree = capture("empty")
    tree.put(f"{made_up.nvme_controller(tree, 0, '')}/transport", "pcie\n")
    tree.put(f"{made_up.nvme_controller(tree, 1, '192.0.2.10')}/cntrltype", "discovery\n")
    # A kernel that does not tell the type.
    old = made_up.nvme_controller(tree, 2, "192.0.2.10", nqn="nqn.2014-08.org.nvmexpress.discovery")
    tree.remove(f"{old}/cntrltype")
    assert tree.topology.controllers() == []


@pytest.mark.parametrize(
    ("address", "portal"),
    [
        ("traddr=192.0.2.10,trsvcid=4420", "192.0.2.10:4420"),
        ("traddr=192.0.2.10,trsvcid=4420,host_traddr=192.0.2.21,src_addr=192.0.2.21", "192.0.2.10:4420"),
        ("traddr=2001:db8::10,trsvcid=4420", "[2001:db8::10]:4420"),
        ("traddr=nn-0x1000:pn-0x2000,trsvcid=none", "nn-0x1000:pn-0x2000"),
        ("traddr=nn-0x1000:pn-0x2000,host_traddr=nn-0x3:pn-0x4", "nn-0x1000:pn-0x2000"),
        ("", ""),
    ],
)
def test_addresses_of_nvme_controllers(address: str, portal: str) -> None:
    assert nvme_portal(address) == portal


def test_fibre_channel(capture: Capture) -> None:
    tree = capture("empty")
    made_up.fc_port(tree, 2, disk="sdb")
    view = tree.topology
    port = RemotePort("rport-2:0-0", f"{WWPN[:-1]}2", "Online")
    assert view.remote_ports() == [port]
    assert view.port_disks(port) == [Disk("sdb", "8:16", 3, port.wwpn, "running", FC_WWN, SIZE)]


def test_ports_that_serve_nothing(capture: Capture) -> None:
    tree = capture("empty")
    made_up.fc_port(tree, 2, roles="FCP Initiator")
    made_up.fc_port(tree, 3, state="Not Present")
    assert tree.topology.remote_ports() == []


def test_rados_images(capture: Capture) -> None:
    tree = capture("empty")
    made_up.rados_image(tree, 0, "db-data")
    made_up.rados_image(tree, 1, "db-log", namespace="prod", snapshot="before")
    assert tree.topology.images() == [
        Image("rbd0", "volumes/db-data", SIZE),
        Image("rbd1", "volumes/prod/db-log@before", SIZE),
    ]


def test_what_udev_found(capture: Capture) -> None:
    view = capture("stacked").topology
    # As lsblk showed it.
    assert view.content("dm-2") == Content("ext4", "781b92f2-08c2-49a4-8153-8c506a28de1e", "db data")
    assert view.content("dm-3") == Content("LVM2_member", "r5q3X1-JU6N-BbL6-Q3Cl-2AQP-wAXV-FGeMeb")
    assert view.content("dm-0") == Content()
