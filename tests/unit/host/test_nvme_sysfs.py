# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel says of NVMe controllers and their namespaces, on hosts that are made up."""

from __future__ import annotations

import pytest

from ansible_collections.brickwork.storage.plugins.module_utils.host.nvme_sysfs import (
    controllers,
    controllers_by_any_transport,
    portal_of,
)
from ansible_collections.brickwork.storage.plugins.module_utils.host.sysfs import Namespace, Session
from ansible_collections.brickwork.storage.tests.unit.host import made_up
from ansible_collections.brickwork.storage.tests.unit.host.made_up import NQN, NVME_WWID, SIZE
from ansible_collections.brickwork.storage.tests.unit.host.tree import Capture


def test_namespace_that_the_kernel_put_together(capture: Capture) -> None:
    tree = capture("empty")
    first = made_up.nvme_controller(tree, 0, "192.0.2.10")
    second = made_up.nvme_controller(tree, 1, "192.0.3.10", state="connecting")
    made_up.nvme_namespace(tree, first, second)
    over_a, over_b = controllers_by_any_transport(tree.view)
    assert over_a.session == Session(0, NQN, "192.0.2.10:4420", "live")
    assert over_b.session.state == "connecting"
    namespace = Namespace("nvme0n1", NVME_WWID, SIZE, read_only=False)
    assert [(path.name, path.state, path.namespace) for path in (*over_a.paths, *over_b.paths)] == [
        ("nvme0c0n1", "running", namespace),
        ("nvme0c1n1", "connecting", namespace),
    ]


@pytest.mark.parametrize(
    ("access", "state"),
    [("optimized", "running"), ("non-optimized", "running"), ("inaccessible", "inaccessible"), ("change", "change")],
)
def test_access_by_an_nvme_path(capture: Capture, access: str, state: str) -> None:
    tree = capture("empty")
    made_up.nvme_namespace(tree, made_up.nvme_controller(tree, 0, "192.0.2.10"), access=(access,))
    (controller,) = controllers_by_any_transport(tree.view)
    assert [path.state for path in controller.paths] == [state]


def test_namespace_of_one_controller(capture: Capture) -> None:
    tree = capture("empty")
    made_up.nvme_device(tree, made_up.nvme_controller(tree, 3, "192.0.2.10"), "259:5")
    (controller,) = controllers_by_any_transport(tree.view)
    (path,) = controller.paths
    assert (path.name, path.number, path.wwid, path.size_bytes) == ("nvme3n1", "259:5", NVME_WWID, SIZE)
    assert (path.state, path.namespace) == ("running", None)


def test_controllers_that_bring_no_volume(capture: Capture) -> None:
    tree = capture("empty")
    tree.put(f"{made_up.nvme_controller(tree, 0, '')}/transport", "pcie\n")
    tree.put(f"{made_up.nvme_controller(tree, 1, '192.0.2.10')}/cntrltype", "discovery\n")
    # A kernel that does not tell the type.
    old = made_up.nvme_controller(tree, 2, "192.0.2.10", nqn="nqn.2014-08.org.nvmexpress.discovery")
    tree.remove(f"{old}/cntrltype")
    assert controllers_by_any_transport(tree.view) == []


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
    assert portal_of(address) == portal


def test_what_is_attached_over_tcp_alone(capture: Capture) -> None:
    tree = capture("empty")
    made_up.nvme_controller(tree, 0, "192.0.2.10")
    tree.put(f"{made_up.nvme_controller(tree, 1, '192.0.2.10')}/transport", "rdma\n")
    assert [controller.session.number for controller in controllers(tree.view)] == [0]
    assert [controller.transport for controller in controllers_by_any_transport(tree.view)] == ["tcp", "rdma"]
