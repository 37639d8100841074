# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fibre Channel ports of the lab's machines, made of their network cards."""

from __future__ import annotations

from ansible_collections.brickwork.storage.tests.integration.lab import CHECKOUT, Lab

SERVICE = (CHECKOUT / "tests/lab/services/fcoe").read_text(encoding="utf-8")
# One on each of the two networks, which are two fabrics.
CARDS = ("storage-a", "storage-b")


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
