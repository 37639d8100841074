# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""iSCSI: what a connection_info must hold, and where the volume is found on this host."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any, Optional

from ansible_collections.brickwork.storage.plugins.module_utils.errors import invalid
from ansible_collections.brickwork.storage.plugins.module_utils.host import scsi
from ansible_collections.brickwork.storage.plugins.module_utils.host.found import Found
from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols.export import Export, Portal
from ansible_collections.brickwork.storage.plugins.module_utils.host.sysfs import Disk, Session, Sysfs

# open-iscsi makes a file of this name.
PORTAL = re.compile(r"^(\[[0-9A-Fa-f:.]+(?:%\w+)?\]|[A-Za-z0-9._-]+):(\d{1,5})$", re.ASCII)


@dataclass(frozen=True)
class IscsiExport(Export):
    """A LUN of one or several targets; C(password) is None where it is not known, C(transport) is C(tcp) or C(iser)."""

    transport: str = "tcp"
    username: Optional[str] = None
    password: Optional[str] = field(default=None, repr=False)

    engine = "iscsi"
    known_by = "initiator"
    has_sessions = True
    can_persist = True

    def find(self, view: Sysfs, wwn: Optional[str]) -> Found:
        sessions, disks = self._seen(view)
        return scsi.found(view, disks, wwn, sessions)

    def find_own(self, view: Sysfs, wwn: Optional[str]) -> Found:
        sessions, disks = self._seen(view)
        return scsi.found(view, scsi.of_volume(view, disks, wwn), wwn, sessions)

    def _seen(self, view: Sysfs) -> tuple[list[Session], list[Disk]]:
        wanted = {(portal.address, portal.target): portal.lun for portal in self.portals}
        sessions: list[Session] = []
        disks: list[Disk] = []
        for session in view.sessions():
            lun = wanted.get((session.portal, session.target))
            if lun is not None:
                sessions.append(session)
                disks += [disk for disk in view.disks(session) if disk.lun == lun]
        return sessions, disks

    def links(self, wwid: Optional[str], multipath: bool) -> list[str]:
        return scsi.links(wwid, multipath)

    def attach_info(self, found: Found) -> dict[str, Any]:
        return scsi.attach_info(found)

    def takes_map(self, view: Sysfs) -> bool:
        return True

    def rescans(self, view: Sysfs, found: Found) -> list[tuple[str, str]]:
        return scsi.rescans(view, found)


def validate(data: dict[str, Any], where: str, secret_needed: bool) -> IscsiExport:
    """Check the C(data) of an iSCSI connection_info.

    Args:
        data: in os-brick's form, numbers possibly as strings.
        where: the field's name in messages, C(connections[0].connection_info.data).
        secret_needed: whether a secret for CHAP must be there; one that is missing is None.

    Returns:
        The export, the singular portal first: that is the one for a single path.

    Raises:
        StorageError: C(invalid_argument), naming the field.
    """
    first = Portal(
        _portal(data.get("target_portal"), f"{where}.target_portal"),
        _target(data.get("target_iqn"), f"{where}.target_iqn"),
        _lun(data.get("target_lun"), f"{where}.target_lun"),
    )
    portals = [first]
    plural = ("target_portals", "target_iqns", "target_luns")
    given = [key for key in plural if data.get(key) is not None]
    if given:
        lists = [data.get(key) for key in plural]
        for key, value in zip(plural, lists):
            if not isinstance(value, list) or not value:
                raise invalid(f"{where}.{key}", "a list with one entry for each portal", value)
            if len(value) != len(lists[0] or []):
                raise invalid(f"{where}.{key}", f"as many entries as target_portals has ({len(lists[0] or [])})", value)
        addresses, targets, luns = lists
        for index, (address, target, lun) in enumerate(zip(addresses or [], targets or [], luns or [])):
            portal = Portal(
                _portal(address, f"{where}.target_portals[{index}]"),
                _target(target, f"{where}.target_iqns[{index}]"),
                _lun(lun, f"{where}.target_luns[{index}]"),
            )
            if portal not in portals:
                portals.append(portal)
    username, password = _authentication(data, where, secret_needed)
    return IscsiExport(tuple(portals), username=username, password=password)


def validate_iser(data: dict[str, Any], where: str, secret_needed: bool) -> IscsiExport:
    """The same data for iSCSI over RDMA."""
    return replace(validate(data, where, secret_needed), transport="iser")


def _portal(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise invalid(where, "an address and a port, as in 192.0.2.1:3260", value)
    matched = PORTAL.match(value.strip())
    if not matched or not 0 < int(matched.group(2)) < 65536:
        raise invalid(where, "an address and a port, as in 192.0.2.1:3260 or [2001:db8::1]:3260", value)
    return value.strip()


def _target(value: Any, where: str) -> str:
    # open-iscsi makes a directory of this name.
    if not isinstance(value, str) or not re.fullmatch(r"(iqn|eui|naa)\.[^/\s]+", value):
        raise invalid(where, "the name of a target, as in iqn.2026-11.org.example:db-data", value)
    return value


def _lun(value: Any, where: str) -> int:
    if isinstance(value, str) and value.strip().isdigit():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 16383:
        raise invalid(where, "a LUN, a number from 0 to 16383", value)
    return value


def _authentication(data: dict[str, Any], where: str, secret_needed: bool) -> tuple[Optional[str], Optional[str]]:
    method = data.get("auth_method")
    if method is None:
        return None, None
    if method != "CHAP":
        raise invalid(f"{where}.auth_method", "CHAP, or nothing", method)
    username, password = data.get("auth_username"), data.get("auth_password")
    if not isinstance(username, str) or not re.fullmatch(r"\S+", username):
        raise invalid(f"{where}.auth_username", "the name for CHAP", username)
    if password is None and not secret_needed:
        return username, None
    # The value is a secret: the message must not repeat it.
    if not isinstance(password, str) or not re.fullmatch(r"\S+", password):
        raise invalid(
            f"{where}.auth_password", "the secret for CHAP, text without blanks", None if password is None else "***"
        )
    return username, password
