# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is done to a namespace in any state that a crash can leave."""

from __future__ import annotations

import pytest

from ansible_collections.brickwork.storage.tests.lab import plan
from ansible_collections.brickwork.storage.tests.lab.network import Link, missing_steps

MACHINES = plan.machines([plan.DEBIAN13])
UP = Link(up=True)
COMPLETE = {
    "lo": UP,
    **{plan.bridge(network): UP for network in plan.NETWORKS},
    **{
        interface.tap: Link(up=True, master=plan.bridge(interface.network))
        for machine in MACHINES
        for interface in machine.interfaces
    },
}


def steps(links: dict[str, Link]) -> list[list[str]]:
    return list(missing_steps(links, MACHINES))


def test_complete_namespace_is_left_alone() -> None:
    assert steps(COMPLETE) == []


def test_new_namespace_gets_everything() -> None:
    lines = [line for batch in steps({"lo": Link(up=False)}) for line in batch]
    assert lines[0] == "link set lo up"
    assert [line for line in lines if " type bridge " in line] == [
        f"link add net-{network} type bridge forward_delay 0 mcast_snooping 0" for network in ("management", "a", "b")
    ]
    assert [line for line in lines if line.startswith("tuntap")] == [
        f"tuntap add dev {machine}-{network} mode tap" for machine in ("controller", "host1") for network in "mab"
    ]
    assert not [line for line in lines if "delete" in line]


def test_only_the_management_network_has_an_address_of_the_namespace() -> None:
    lines = [line for batch in steps({"lo": UP}) for line in batch if line.startswith("address")]
    assert lines == [f"address add {plan.gateway()}/24 dev net-management"]


def test_half_made_bridge_is_made_again() -> None:
    assert steps({**COMPLETE, "net-a": Link(up=False)}) == [
        [
            "link delete net-a",
            "link add net-a type bridge forward_delay 0 mcast_snooping 0",
            "link set net-a up",
        ]
    ]


@pytest.mark.parametrize("link", [Link(up=False), Link(up=False, master="net-a")])
def test_half_made_tap_is_made_again(link: Link) -> None:
    assert steps({**COMPLETE, "host1-a": link}) == [
        [
            "link delete host1-a",
            "tuntap add dev host1-a mode tap",
            "link set host1-a master net-a",
            "link set host1-a up",
        ]
    ]


def test_cut_path_stays_cut() -> None:
    assert steps({**COMPLETE, "host1-a": Link(up=True)}) == []
