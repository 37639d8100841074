# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names and addresses: two labs never meet, and neither do two machines."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.brickwork.storage.tests.lab import plan


def hosts(number: int) -> list[str]:
    return [plan.DEBIAN13] * number


def test_each_checkout_has_a_lab_of_its_own() -> None:
    assert plan.lab_id(Path("/home/a/storage")) != plan.lab_id(Path("/home/b/storage"))
    assert plan.lab_id(Path("/home/a/storage")) == plan.lab_id(Path("/home/a/storage"))


def test_machines_are_the_controller_and_its_hosts() -> None:
    assert [machine.name for machine in plan.machines(hosts(3))] == ["controller", "host1", "host2", "host3"]
    assert [machine.is_controller for machine in plan.machines(hosts(2))] == [True, False, False]


@pytest.mark.parametrize("number", [0, plan.MAXIMUM_HOSTS + 1])
def test_impossible_number_of_hosts(number: int) -> None:
    with pytest.raises(ValueError, match=f"1 to {plan.MAXIMUM_HOSTS} hosts, not {number}"):
        plan.machines(hosts(number))


@pytest.mark.parametrize("attribute", ["address", "mac", "tap"])
def test_nothing_is_used_twice(attribute: str) -> None:
    machines = plan.machines(hosts(plan.MAXIMUM_HOSTS))
    found = [getattr(interface, attribute) for machine in machines for interface in machine.interfaces]
    assert len(found) == len(set(found)) == 3 * (plan.MAXIMUM_HOSTS + 1)


def test_names_fit_the_kernel() -> None:
    for interface in plan.machines(hosts(plan.MAXIMUM_HOSTS))[-1].interfaces:
        assert len(interface.tap) <= 15
        assert len(interface.name) <= 15


def test_more_hosts_leave_the_addresses_of_the_first_alone() -> None:
    assert plan.machines(hosts(5))[:3] == plan.machines(hosts(2))


def test_ssh_takes_a_network_that_nobody_cuts() -> None:
    controller = plan.machines(hosts(1))[0]
    assert controller.address not in {controller.on(network).address for network in plan.STORAGE_NETWORKS}


D13, D12 = plan.DEBIAN13, plan.DEBIAN12


@pytest.mark.parametrize(
    ("there", "hosts", "debian12", "systems"),
    [
        ([], 2, 0, [D13, D13]),
        ([], 3, 1, [D13, D13, D12]),
        ([], 1, 1, [D12]),
        # What is there stays what it is; what is missing comes after it.
        ([D13, D13], 3, 1, [D13, D13, D12]),
        ([D13, D13, D12], 2, 0, [D13, D13, D12]),
        ([D13, D13, D12], 3, 1, [D13, D13, D12]),
        ([D13, D13, D12], 4, 1, [D13, D13, D12, D13]),
        # None of those that are there runs Debian 12, so there is one more host than was asked for.
        ([D13, D13], 2, 1, [D13, D13, D12]),
    ],
)
def test_systems(there: list[str], hosts: int, debian12: int, systems: list[str]) -> None:
    assert plan.systems(there, hosts, debian12) == systems


B13, B12 = plan.BARE13, plan.BARE12


@pytest.mark.parametrize(
    ("there", "hosts", "bare", "systems"),
    [
        ([], 1, True, [D13, B13, B12]),
        ([D13], 1, True, [D13, B13, B12]),
        # They are no hosts that others can take the place of, and stay.
        ([D13, B13, B12], 2, True, [D13, B13, B12, D13]),
        ([D13, B13, B12], 1, False, [D13, B13, B12]),
    ],
)
def test_bare_machines_come_on_top(there: list[str], hosts: int, bare: bool, systems: list[str]) -> None:
    assert plan.systems(there, hosts, 0, bare) == systems


def test_bare_machines_are_named_after_their_system_and_leave_the_hosts_addresses_alone() -> None:
    machines = plan.machines([D13, B13, B12, D13])
    assert [machine.name for machine in machines] == ["controller", "host1", "host2", B13, B12]
    assert [machine.is_bare for machine in machines] == [False, False, False, True, True]
    assert machines[:3] == plan.machines([D13, D13])
    everybody = plan.machines([*hosts(plan.MAXIMUM_HOSTS), B13, B12])
    assert machines[3:] == everybody[-2:]
    assert len({machine.address for machine in everybody}) == plan.MAXIMUM_HOSTS + 3


def test_the_controller_runs_the_newer_system() -> None:
    assert [machine.system for machine in plan.machines([D12, D13])] == [D13, D12, D13]
