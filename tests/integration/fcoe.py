# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fibre Channel ports of the lab's machines, made of their network cards."""

from __future__ import annotations

from ansible_collections.brickwork.storage.tests.integration.lab import CHECKOUT, Lab

SERVICE = (CHECKOUT / "tests/lab/services/fcoe").read_text(encoding="utf-8")
# One on each of the two networks, which are two fabrics.
CARDS = ("storage-a", "storage-b")
VOLUME = "test-fcoe"


def make_ports(lab: Lab, machine: str) -> None:
    """Make them, anew where there are any: the other side sees the machine come."""
    lab.ssh(machine, f"set -- make {' '.join(CARDS)}\n{SERVICE}")


def destroy_ports(lab: Lab, machine: str) -> None:
    """Take them away."""
    lab.ssh(machine, f"set -- destroy {' '.join(CARDS)}\n{SERVICE}")


def wwpns(lab: Lab, machine: str) -> list[str]:
    """Their names, in the order of the networks."""
    addresses = lab.ssh(machine, f"cd /sys/class/net; cat {' '.join(f'{card}/address' for card in CARDS)}").split()
    return [f"2000{address.replace(':', '')}" for address in addresses]


def introduce(lab: Lab, config: str, *hosts: str) -> None:
    """Make the ports of the controller and of hosts, and have its targets know the hosts.

    With software FCoE a host sees no LUN before it comes to a target that knows it.
    """
    for machine in ("controller", *hosts):
        make_ports(lab, machine)
    lab.succeed("controller", "volume", volumes=[VOLUME], size="4MiB", config=config)
    for host in hosts:
        lab.connect(host, VOLUME, config=config)
        lab.disconnect(host, VOLUME, config=config)
    lab.succeed("controller", "volume", volumes=[VOLUME], state="absent", config=config)
    for host in hosts:
        make_ports(lab, host)
