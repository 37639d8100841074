# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Fibre Channel ports of this host, and those that they see: read-only, and without starting a program."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from ansible_collections.brickwork.storage.plugins.module_utils.host.files import entries, text
from ansible_collections.brickwork.storage.plugins.module_utils.host.sysfs import Sysfs

ONLINE = "Online"
# The kernel keeps the number of a port that has left, for when it comes back.
GONE = "Not Present"


@dataclass(frozen=True)
class RemotePort:
    """A port of a target, as one port of this host sees it.

    Args:
        name: the kernel's, C(rport-2:0-1).
        initiator: the WWPN of this host's port.
        wwpn: its own.
        state: the kernel's, C(Online) where it works.
        scsi_host: the number in C(/sys/class/scsi_host/hostN).
        channel: on that SCSI host.
        target: its number there; None where it serves no LUNs.
    """

    name: str
    initiator: str
    wwpn: str
    state: str
    scsi_host: int
    channel: int
    target: Optional[int]

    @property
    def works(self) -> bool:
        return self.state == ONLINE and self.target is not None

    @property
    def may_have_disks(self) -> bool:
        return self.state != GONE and self.target is not None

    @property
    def directory(self) -> str:
        """Where its disks are, relative to C(/sys)."""
        return f"class/fc_remote_ports/{self.name}/device"


@dataclass(frozen=True)
class Ports:
    """What there is at one moment.

    Args:
        local: the state of each port of this host, C(Online) where it works, by WWPN.
        remote: the ports that they see, or have seen a moment ago.
    """

    local: dict[str, str]
    remote: tuple[RemotePort, ...]


def ports_of(view: Sysfs) -> Ports:
    """The ports of a host, and those that they see."""
    local, initiators = {}, {}
    for entry in entries(Path(view.attribute_path("class/fc_host"))):
        wwpn = normal_wwpn(text(entry / "port_name"))
        if wwpn:
            local[wwpn] = text(entry / "port_state")
            initiators[entry.name] = wwpn
    remote = []
    for entry in entries(Path(view.attribute_path("class/fc_remote_ports"))):
        numbers = re.fullmatch(r"rport-(\d+):(\d+)-\d+", entry.name)
        initiator = initiators.get(f"host{numbers.group(1)}") if numbers else None
        wwpn, target = normal_wwpn(text(entry / "port_name")), text(entry / "scsi_target_id")
        if numbers and initiator and wwpn:
            remote.append(
                RemotePort(
                    entry.name,
                    initiator,
                    wwpn,
                    text(entry / "port_state"),
                    int(numbers.group(1)),
                    int(numbers.group(2)),
                    int(target) if target.isdigit() else None,
                )
            )
    return Ports(local, tuple(remote))


def normal_wwpn(written: str) -> Optional[str]:
    """A WWPN as os-brick writes it, 16 lower-case hexadecimal digits, from any of the usual forms; None for what is none."""
    digits = re.sub(r"^(0x|naa\.)|[:-]", "", written.strip().lower())
    return digits if re.fullmatch("[0-9a-f]{16}", digits) else None
