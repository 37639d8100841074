# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names and addresses of everything in a lab. Pure: nothing here looks at the machine it runs on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

MANAGEMENT = "management"
STORAGE_NETWORKS = ("a", "b")
NETWORKS = (MANAGEMENT, *STORAGE_NETWORKS)
CONTROLLER = "controller"
MAXIMUM_HOSTS = 40

# What a machine runs; `system.py` says what that is. The controller runs the newer one.
DEBIAN13, DEBIAN12 = "debian13", "debian12"
# The same without anything of storage; a lab has one of each or none, named after it.
BARE13, BARE12 = "bare13", "bare12"
BARE = (BARE13, BARE12)

# A network's number is the third byte of its addresses. All labs use the same ones, each in a namespace of its own.
_SUBNET = "10.77.{network}.{machine}"
_FIRST_MACHINE = 10


@dataclass(frozen=True)
class Interface:
    """A machine's network card: `name` inside the machine, `tap` in the lab's namespace."""

    network: str
    name: str
    tap: str
    mac: str
    address: str


@dataclass(frozen=True)
class Machine:
    name: str
    system: str
    interfaces: tuple[Interface, ...]

    @property
    def is_controller(self) -> bool:
        return self.name == CONTROLLER

    @property
    def is_bare(self) -> bool:
        return self.system in BARE

    @property
    def address(self) -> str:
        """The address for ssh, which no cut of a storage network touches."""
        return self.on(MANAGEMENT).address

    def on(self, network: str) -> Interface:
        return next(interface for interface in self.interfaces if interface.network == network)


def lab_id(checkout: Path) -> str:
    """What tells this checkout's lab from all others on the same computer."""
    return hashlib.sha256(str(checkout).encode()).hexdigest()[:10]


def namespace(lab: str) -> str:
    return f"brickwork-{lab}"


def bridge(network: str) -> str:
    return f"net-{network}"


def gateway() -> str:
    """The namespace's own address, from which Ansible reaches the machines."""
    return _SUBNET.format(network=0, machine=1)


def systems(there: Sequence[str], hosts: int, debian12: int, bare: bool = False) -> list[str]:
    """The system of each host: of those that are there already, and of what is missing of `hosts`.

    The hosts are `debian12` of Debian 12 at least, the last ones in a new lab, and others of Debian 13. Those that are bare come on top.
    """
    older = max(0, debian12 - there.count(DEBIAN12))
    newer = max(0, hosts - sum(system not in BARE for system in there) - older)
    return [*there, *[DEBIAN13] * newer, *[DEBIAN12] * older, *(one for one in BARE if bare and one not in there)]


def machines(hosts: Sequence[str]) -> tuple[Machine, ...]:
    """The controller and a host for each of these systems, in the order of their addresses."""
    usual = [system for system in hosts if system not in BARE]
    if not 1 <= len(usual) <= MAXIMUM_HOSTS:
        raise ValueError(f"a lab has 1 to {MAXIMUM_HOSTS} hosts, not {len(usual)}")
    named = [(CONTROLLER, DEBIAN13), *((f"host{number}", system) for number, system in enumerate(usual, start=1))]
    numbered = [(name, system, _FIRST_MACHINE + index) for index, (name, system) in enumerate(named)]
    # Behind all hosts that there may ever be.
    first = _FIRST_MACHINE + MAXIMUM_HOSTS + 1
    numbered += [(system, system, first + index) for index, system in enumerate(BARE) if system in hosts]
    return tuple(_machine(*one) for one in numbered)


def _machine(name: str, system: str, number: int) -> Machine:
    return Machine(
        name,
        system,
        tuple(
            Interface(
                network=network,
                name="mgmt" if network == MANAGEMENT else f"storage-{network}",
                tap=f"{name}-{network[0]}",
                mac=f"52:54:00:77:{index:02x}:{number:02x}",
                address=_SUBNET.format(network=index, machine=number),
            )
            for index, network in enumerate(NETWORKS)
        ),
    )
