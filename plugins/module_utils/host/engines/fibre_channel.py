# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fibre Channel: the kernel is told to look for exactly the LUNs that are wanted, by exactly the ports that are to see them.

os-brick does the same, one volume after another. But where it sees none of the target's ports it looks for the LUN by every port
that there is, which may bring a volume that nobody asked for.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import cast

from ansible_collections.brickwork.storage.plugins.module_utils.apart import NAME, write_attributes
from ansible_collections.brickwork.storage.plugins.module_utils.host import processes
from ansible_collections.brickwork.storage.plugins.module_utils.host.attempt import Attempt
from ansible_collections.brickwork.storage.plugins.module_utils.host.engines.engine import WRITE_SECONDS, Engine
from ansible_collections.brickwork.storage.plugins.module_utils.host.fibre_channel_ports import (
    ONLINE,
    Ports,
    RemotePort,
    ports_of,
)
from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols.fibre_channel import (
    FibreChannelExport,
    PortPair,
)
from ansible_collections.brickwork.storage.plugins.module_utils.host.removal import POLL_SECONDS, Removal, remaining
from ansible_collections.brickwork.storage.plugins.module_utils.host.scsi_removal import remove_disks, remove_maps
from ansible_collections.brickwork.storage.plugins.module_utils.host.sysfs import Sysfs
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline

# A switch may just have been told to let two ports see each other.
SEEING_SECONDS = 8.0
# A LUN that was not there at the first look; without multipath, when the next port gets its turn.
RESCAN_SECONDS = 2.0
LUN_SECONDS = 10.0
# A scan that a killed call has left; one that takes longer hangs on a dead port, and brings nothing.
SETTLE_SECONDS = 10.0


class FibreChannel(Engine):
    """One process for all the scans of a batch."""

    def __init__(self, view: Sysfs, deadline: Deadline) -> None:
        super().__init__(view, deadline)
        self._began = time.monotonic()
        self._scanned_first: dict[tuple[str, str], float] = {}
        self._scanned_last: dict[tuple[str, str], float] = {}

    @classmethod
    def require(cls) -> None:
        """Nothing: all is the kernel's own."""

    def start(self, attempts: list[Attempt]) -> None:
        for attempt in attempts:
            attempt.start({})

    def go_on(self, attempts: list[Attempt]) -> None:
        ports = ports_of(self._view)
        writes = [write for attempt in attempts for write in self.scans(attempt, ports)]
        write_attributes(list(dict.fromkeys(writes)), self._deadline.within(WRITE_SECONDS))

    def end(self, attempts: list[Attempt]) -> None:
        """Nothing: at boot the ports see each other again, and the kernel takes every volume that they show it."""

    def settle(self, removals: list[Removal]) -> None:
        limit = self._deadline.within(SETTLE_SECONDS)
        while NAME in processes.names(self._view) and not limit.passed:
            time.sleep(POLL_SECONDS)

    def take_away(self, removals: list[Removal]) -> None:
        remove_maps(removals, self._view, self._deadline)
        remove_disks(remaining(removals), self._view, self._deadline)

    def scans(self, attempt: Attempt, ports: Ports) -> Iterator[tuple[str, str]]:
        """The writes that make the kernel look for the LUN where a port has not brought it; what is hopeless is noted."""
        now = time.monotonic()
        with_disk = {path.portal for path in attempt.found.paths}
        for portal in cast("list[PortPair]", attempt.tried):  # which grows when the next port gets its turn
            if portal.address in with_disk or portal.address in attempt.failures:
                continue
            working = [port for port in ports.remote if port.works and portal.leads_to(port)]
            if not working:
                if (
                    is_hopeless(portal, cast(FibreChannelExport, attempt.export).portals, ports)
                    or now - self._began > SEEING_SECONDS
                ):
                    attempt.failures[portal.address] = why_unseen(portal, ports)
                    attempt.next_logins()
                continue
            writes = [write for port in working for write in self._writes(attempt, portal, port)]
            first = min(self._scanned_first.setdefault(write, now) for write in writes)
            if now - first > LUN_SECONDS and attempt.next_logins():
                attempt.failures[portal.address] = f"its LUN did not appear within {LUN_SECONDS:g} s"
            for write in writes:
                if now - self._scanned_last.get(write, -RESCAN_SECONDS) >= RESCAN_SECONDS:
                    self._scanned_last[write] = now
                    yield write

    def _writes(self, attempt: Attempt, portal: PortPair, port: RemotePort) -> Iterator[tuple[str, str]]:
        path = self._view.attribute_path(f"class/scsi_host/host{port.scsi_host}/scan")
        for number in cast(FibreChannelExport, attempt.export).numbers(portal.lun):
            yield path, f"{port.channel} {port.target} {number}"


def is_hopeless(portal: PortPair, pairs: Iterable[PortPair], ports: Ports) -> bool:
    """Whether a pair of ports that do not see each other will not soon: waiting for it would hold up all others.

    That is so where this host's port does not work, and where each of the two sees another one of the volume's: then they are on
    separate fabrics, and whoever made the connection did not know.
    """
    if not ports.local:
        return True
    if portal.initiator is None:
        return False
    if ports.local.get(portal.initiator) != ONLINE:
        return True
    seeing = [(port.initiator, port.wwpn) for port in ports.remote if port.works]
    seeing = [(initiator, target) for initiator, target in seeing if target in {pair.target for pair in pairs}]
    return portal.initiator in [initiator for initiator, _target in seeing] and portal.target in [
        target for _initiator, target in seeing
    ]


def why_unseen(portal: PortPair, ports: Ports) -> str:
    """In words, why no port of this host sees the target's."""
    if not ports.local:
        return "this host has no Fibre Channel port"
    if portal.initiator and portal.initiator not in ports.local:
        return "this host has no such port"
    if portal.initiator and ports.local[portal.initiator] != ONLINE:
        return f"this host's port is {ports.local[portal.initiator]}"
    states = {port.state for port in ports.remote if portal.leads_to(port)}
    if states:
        return "the target's port " + ("serves no LUNs" if ONLINE in states else f"is {', '.join(sorted(states))}")
    return "this host's port does not see the target's" if portal.initiator else "no port of this host sees it"
