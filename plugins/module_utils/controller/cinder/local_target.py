# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a volume's target is there, and who is logged in to it, where that target is LIO on this controller, as with Cinder's LVM driver
and lioadm.

No driver of Cinder tells it, and most targets are elsewhere; there the host has to have been looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder.store import (
    CONNECTED,
    OPEN,
    VolumeRecord,
)
from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm import lio


def sessions(record: VolumeRecord) -> dict[str, list[str]]:
    """The initiators that use the volume, each with the addresses that the kernel shows of it."""
    found: dict[str, list[str]] = {}
    for target in sorted(set(_targets(record))):
        for acl in (lio.CONFIGFS / "iscsi" / target).glob("tpgt_*/acls/*"):
            told = _told(acl / "info")
            if told and not told.startswith("No active"):
                addresses = found.setdefault(acl.name.lower(), [])
                addresses += sorted(set(re.findall(r"Address (\S+)", told)))
    return found


def is_lost(record: VolumeRecord) -> bool:
    """Whether LIO lacks a target of an open export, or what is to be behind it: a reboot takes away what nobody restores."""
    if record.export != OPEN:
        return False
    targets = [lio.CONFIGFS / "iscsi" / target for target in set(_targets(record))]
    return not all(any(link.is_symlink() for link in target.glob("tpgt_*/lun/lun_*/*")) for target in targets)


def kept_out(record: VolumeRecord) -> frozenset[str]:
    """The hosts of connections on record that LIO does not let in to a target that it has."""
    targets = set(_targets(record))
    if not targets:
        return frozenset()
    let_in = {
        acl.name.lower()
        for target in targets
        for acl in (lio.CONFIGFS / "iscsi" / target).glob("tpgt_*/acls/*")
        if (acl / "lun_0").exists()
    }
    return frozenset(one.host for one in record.attachments if one.state == CONNECTED and one.initiator not in let_in)


def is_there(volume_name: str) -> bool:
    """Whether LIO has something of an export, whatever is on record of it."""
    return any(_storage_objects(volume_name))


def set_serial(volume_name: str, serial: str) -> None:
    """Give the device behind an export that nobody is let in to yet a serial that it will always have, and with it a WWN.

    LIO makes one up. After an export was lost and made again, hosts that still have the volume would take it for another one.
    """
    for storage_object in _storage_objects(volume_name):
        # The kernel does not change it while there are LUNs over it.
        links = [
            link
            for link in (lio.CONFIGFS / "iscsi" / storage_object.name).glob("tpgt_*/lun/lun_*/*")
            if link.is_symlink() and link.resolve() == storage_object.resolve()
        ]
        for link in links:
            link.unlink()
        (storage_object / "wwn/vpd_unit_serial").write_text(serial, encoding="ascii")
        for link in links:
            link.symlink_to(storage_object)


def _storage_objects(volume_name: str) -> Iterable[Path]:
    return lio.CONFIGFS.glob(f"core/iblock_*/*{volume_name}")


def _targets(record: VolumeRecord) -> Iterable[str]:
    # Portals, target and LUN; there before the first host is let in.
    located = str(record.model.get("provider_location") or "").split(" ")
    if len(located) > 1 and "/" not in located[1]:
        yield located[1]
    for attachment in record.attachments:
        data: dict[str, Any] = (attachment.connection_info or {}).get("data") or {}
        names = data.get("target_iqns") if "target_iqns" in data else [data.get("target_iqn")]
        yield from (name for name in names or () if isinstance(name, str) and "/" not in name)


def _told(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:  # released just now
        return ""
