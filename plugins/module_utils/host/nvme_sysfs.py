# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel says of NVMe over a network: controllers, and the namespaces that each of them shows. Read-only."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from ansible_collections.brickwork.storage.plugins.module_utils.host.files import entries, text
from ansible_collections.brickwork.storage.plugins.module_utils.host.sysfs import (
    SECTOR_BYTES,
    Namespace,
    Session,
    Sysfs,
)

# What the target says of the access by one controller; without ANA it says nothing.
ACCESSIBLE = ("optimized", "non-optimized", "")
# Of controllers that are in this host; empty for one that is on its way out.
LOCAL_TRANSPORTS = ("", "pcie", "loop")
HOST_NQN = "etc/nvme/hostnqn"
HOST_ID = "etc/nvme/hostid"


@dataclass(frozen=True)
class NvmePath:
    """A namespace as one controller shows it.

    Args:
        name: the kernel's: C(nvme0n1), or C(nvme0c1n1) where it is a path of a namespace that the kernel put together.
        number: major and minor, C(259:0); empty for a path that has no device of its own.
        nsid: its number in the subsystem.
        uuid: hexadecimal digits alone; empty where it has none.
        nguid: the same.
        wwid: as sysfs writes it, C(uuid.5f0c...).
        size_bytes: as the kernel sees it now.
        state: C(running), or what is wrong with the controller or with the access by it.
        namespace: over this path and the others; None where each controller has a device of its own.
    """

    name: str
    number: str
    nsid: str
    uuid: str
    nguid: str
    wwid: Optional[str]
    size_bytes: int
    state: str
    namespace: Optional[Namespace]

    @property
    def device(self) -> str:
        """The kernel's name of the device that is used."""
        return self.namespace.name if self.namespace else self.name


@dataclass(frozen=True)
class Controller:
    """A connection of this host to a subsystem, by one portal.

    Args:
        session: what it has in common with the sessions of other protocols.
        transport: C(tcp), C(rdma) or C(fc).
        host_nqn: by which the target knows this host; empty where the kernel does not tell.
        paths: its namespaces, by name.
    """

    session: Session
    transport: str
    host_nqn: str
    paths: tuple[NvmePath, ...]


def controllers(view: Sysfs) -> list[Controller]:
    """Every controller that was reached over TCP and serves namespaces, by number."""
    return [controller for controller in controllers_by_any_transport(view) if controller.transport == "tcp"]


def controllers_by_any_transport(view: Sysfs) -> list[Controller]:
    """Every controller that was reached over a network and serves namespaces, by number."""
    found = []
    for entry in entries(view.root / "sys/class/nvme"):
        number, target = entry.name[len("nvme") :], text(entry / "subsysnqn")
        transport = text(entry / "transport")
        if transport in LOCAL_TRANSPORTS or not (number.isdigit() and target):
            continue
        if text(entry / "cntrltype") == "discovery" or target.endswith(".discovery"):
            continue
        session = Session(int(number), target, portal_of(text(entry / "address")), text(entry / "state"))
        found.append(Controller(session, transport, text(entry / "hostnqn"), tuple(_paths(view, entry, session))))
    return sorted(found, key=lambda controller: controller.session.number)


def joins_paths(view: Sysfs) -> bool:
    """Whether the kernel makes one device of a namespace's paths; it does unless it says otherwise."""
    if not (view.root / "sys/module/nvme_core").exists():
        return True  # not loaded yet
    return text(view.root / "sys/module/nvme_core/parameters/multipath") == "Y"


def host_id(view: Sysfs, host_nqn: str) -> Optional[str]:
    """The identifier that goes with a host's NQN, as nvme-cli finds it; None where the kernel is to take its own."""
    if host_nqn == view.host_nqn():
        written = text(view.root / HOST_ID)
        if written:
            return written
    uuid = re.search(r":uuid:([0-9A-Fa-f-]{36})$", host_nqn)
    return uuid[1] if uuid else None


def portal_of(address: str) -> str:
    """A controller's C(address) attribute, C(traddr=10.0.0.1,trsvcid=4420,src_addr=...), as connections write a portal.

    Over Fibre Channel there is no port, and the address is the target's names: C(nn-0x1000:pn-0x2000).
    """
    parts = dict(part.strip().partition("=")[::2] for part in address.split(","))
    host, port = parts.get("traddr", ""), parts.get("trsvcid", "").strip()
    try:
        return portal_at(host, int(port))
    except ValueError:
        return host


def portal_at(host: str, port: int) -> str:
    """A portal in the one form that is compared.

    Raises:
        ValueError: where the host is not an IP address.
    """
    address = ipaddress.ip_address(host.strip().strip("[]"))
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


def digits(identifier: str) -> str:
    """A UUID or NGUID without the hyphens that some write."""
    return identifier.replace("-", "").lower()


def _paths(view: Sysfs, controller: Path, session: Session) -> list[NvmePath]:
    found = []
    for block in entries(controller):
        named = re.fullmatch(r"(nvme\d+)(c\d+)?(n\d+)", block.name)
        size = text(block / "size")
        if not named or not size:
            continue  # on its way out
        access = text(block / "ana_state")
        found.append(
            NvmePath(
                block.name,
                text(block / "dev"),
                text(block / "nsid"),
                digits(text(block / "uuid")),
                digits(text(block / "nguid")),
                text(block / "wwid") or None,
                int(size) * SECTOR_BYTES,
                session.state if not session.works else "running" if access in ACCESSIBLE else access,
                _namespace(view, named[1] + named[3]) if named[2] else None,
            )
        )
    return found


def _namespace(view: Sysfs, name: str) -> Optional[Namespace]:
    block = view.root / "sys/class/block" / name
    size = text(block / "size")
    if not size:
        return None
    return Namespace(name, text(block / "wwid") or None, int(size) * SECTOR_BYTES, text(block / "ro") == "1")
