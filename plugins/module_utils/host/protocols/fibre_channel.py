# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fibre Channel: what a connection_info must hold, and where the volume is found on this host."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Optional

from ansible_collections.brickwork.storage.plugins.module_utils.errors import invalid
from ansible_collections.brickwork.storage.plugins.module_utils.host import scsi
from ansible_collections.brickwork.storage.plugins.module_utils.host.fibre_channel_ports import (
    RemotePort,
    normal_wwpn,
    ports_of,
)
from ansible_collections.brickwork.storage.plugins.module_utils.host.found import Found
from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols.export import Export, Portal
from ansible_collections.brickwork.storage.plugins.module_utils.host.sysfs import Disk, Sysfs

WWPN = "a WWPN, 16 hexadecimal digits as in 500a098280cba500"
# Two levels of addressing at 16 bits each, as the kernel numbers them.
MOST_LUN = 2**32 - 1
# SCSI has several ways to write a LUN: the first 256 as they are, more with this bit set for the flat address space.
PERIPHERAL_LUNS = 256
FLAT = 1 << 14
MODES = ("transparent", "SAM", "SAM2", "SAM3-flat")


@dataclass(frozen=True)
class PortPair(Portal):
    """A way from a port of this host to a port of the target.

    Args:
        initiator: the WWPN of this host's port; None for whichever sees the target's.
    """

    initiator: Optional[str] = None

    def leads_to(self, port: RemotePort) -> bool:
        return self.target == port.wwpn and self.initiator in (None, port.initiator)


@dataclass(frozen=True)
class FibreChannelExport(Export):
    """A LUN of one or several target ports.

    Args:
        addressing_mode: how the LUNs above 255 are numbered, in os-brick's words; None where nobody says.
    """

    portals: tuple[PortPair, ...]
    addressing_mode: Optional[str] = None

    engine = "fibre_channel"
    known_by = "wwpns"
    can_persist = True

    def names(self, connector: Any) -> frozenset[str]:
        return frozenset(normal_wwpn(name) or name for name in super().names(connector))

    def for_host(self, names: frozenset[str]) -> FibreChannelExport:
        own = tuple(portal for portal in self.portals if portal.initiator is None or portal.initiator in names)
        return replace(self, portals=own) if own else self

    def find(self, view: Sysfs, wwn: Optional[str]) -> Found:
        return scsi.found(view, self._disks(view, wwn), wwn)

    def find_own(self, view: Sysfs, wwn: Optional[str]) -> Found:
        return scsi.found(view, scsi.of_volume(view, self._disks(view, wwn), wwn), wwn)

    def _disks(self, view: Sysfs, wwn: Optional[str]) -> list[Disk]:
        numbers = {number for portal in self.portals for number in self.numbers(portal.lun)}
        ours: list[Disk] = []
        others: list[Disk] = []
        for port in ports_of(view).remote:
            portal = next((portal for portal in self.portals if portal.leads_to(port)), None)
            if portal:
                ours += view.disks_below(port.directory, portal.address, self.numbers(portal.lun))
            else:
                others += view.disks_below(port.directory, address(port.wwpn, port.initiator), numbers)
        # The kernel itself takes a volume by every port that shows it, also by those that the connection does not name.
        known = {wwn} if wwn else {disk.wwid for disk in ours if disk.wwid}
        return [*ours, *(disk for disk in others if disk.wwid in known)]

    def numbers(self, lun: int) -> list[int]:
        """How the kernel may number a LUN, the likeliest first."""
        flat = self.addressing_mode == "SAM3-flat" or (self.addressing_mode == "SAM2" and lun >= PERIPHERAL_LUNS)
        if flat:
            return [lun + FLAT]
        if self.addressing_mode is None and PERIPHERAL_LUNS <= lun < FLAT:
            return [lun, lun + FLAT]
        return [lun]

    def links(self, wwid: Optional[str], multipath: bool) -> list[str]:
        return scsi.links(wwid, multipath)

    def attach_info(self, found: Found) -> dict[str, Any]:
        # os-brick's connector for Fibre Channel returns a link where that for iSCSI returns a device.
        links = self.links(found.wwid, found.multipath_map is not None)
        return {**scsi.attach_info(found), "path": links[0] if links else found.node}

    def takes_map(self, view: Sysfs) -> bool:
        return True

    def rescans(self, view: Sysfs, found: Found) -> list[tuple[str, str]]:
        return scsi.rescans(view, found)


def address(target: str, initiator: Optional[str]) -> str:
    """A way to the volume in words: who sees whom."""
    return f"{initiator}->{target}" if initiator else target


def validate(data: dict[str, Any], where: str, secret_needed: bool) -> FibreChannelExport:
    """Check the C(data) of a Fibre Channel connection_info.

    Args:
        data: in os-brick's form, numbers possibly as strings, WWPNs in any of the usual forms.
        where: the field's name in messages, C(connections[0].connection_info.data).
        secret_needed: Fibre Channel has no secret.

    Returns:
        The export. Its portals are the pairs of C(initiator_target_map), or where there is none the target's ports, in the
        order given.

    Raises:
        StorageError: C(invalid_argument), naming the field.
    """
    key = "target_wwns" if data.get("target_wwns") else "target_wwn"
    targets = _wwpns(data.get(key), f"{where}.{key}")
    luns = _luns(data, where, len(targets))
    mode = data.get("addressing_mode")
    if mode is not None and mode not in MODES:
        raise invalid(f"{where}.addressing_mode", f"one of {', '.join(MODES)}, or nothing", mode)
    initiators = _initiators(data.get("initiator_target_map"), f"{where}.initiator_target_map", targets)
    pairs = [
        PortPair(address(target, initiator), target, lun, initiator)
        for target, lun in dict(zip(targets, luns)).items()
        for initiator in initiators[target]
    ]
    return FibreChannelExport(tuple(pairs), mode)


def _luns(data: dict[str, Any], where: str, count: int) -> list[int]:
    """A LUN for each target port."""
    key = "target_luns" if data.get("target_luns") else "target_lun"
    given = data.get(key)
    named = [(f"{where}.{key}", given)]
    if isinstance(given, list):
        named = [(f"{where}.{key}[{index}]", one) for index, one in enumerate(given)]
    luns = [_lun(one, name) for name, one in named]
    if len(luns) not in (1, count):
        raise invalid(f"{where}.{key}", f"one LUN, or one for each of the {count} target ports", given)
    return luns if len(luns) == count else luns * count


def _lun(value: Any, where: str) -> int:
    if isinstance(value, str) and value.strip().isdigit():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST_LUN:
        raise invalid(where, f"a LUN, a number from 0 to {MOST_LUN}", value)
    return value


def _initiators(given: Any, where: str, targets: Iterable[str]) -> dict[str, list[Optional[str]]]:
    """The ports of this host that are to see each of the target's; whichever does where nobody says."""
    if given is None:
        return {target: [None] for target in targets}
    if not isinstance(given, dict) or not given:
        raise invalid(where, "the WWPNs of target ports by the WWPN of the host's port", given)
    found: dict[str, list[Optional[str]]] = {target: [] for target in targets}
    for initiator, seen in given.items():
        (port,) = _wwpns(initiator, where)
        for target in _wwpns(seen, f"{where}.{initiator}"):
            # Some drivers name ports that the volume is not exported by.
            if target in found and port not in found[target]:
                found[target].append(port)
    if not any(found.values()):
        raise invalid(where, f"some of the target ports {', '.join(found)}", given)
    return found


def _wwpns(given: Any, where: str) -> list[str]:
    """One WWPN or several, as os-brick writes them."""
    listed = given if isinstance(given, list) else [given]
    found = [normal_wwpn(one) if isinstance(one, str) else None for one in listed]
    wwpns = [wwpn for wwpn in found if wwpn]
    if not wwpns or len(wwpns) != len(listed):
        wrong = [one for one, wwpn in zip(listed, found) if not wwpn]
        raise invalid(where, WWPN if not isinstance(given, list) else f"a list, each {WWPN}", wrong or given)
    return wwpns
