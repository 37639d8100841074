# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A volume that is a block device of this host already: what a connection_info must hold, and what the device says of itself."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from ansible_collections.brickwork.storage.plugins.module_utils.errors import invalid
from ansible_collections.brickwork.storage.plugins.module_utils.host.files import text
from ansible_collections.brickwork.storage.plugins.module_utils.host.found import Found, FoundPath
from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols.export import Export, Portal
from ansible_collections.brickwork.storage.plugins.module_utils.host.sysfs import (
    MPATH_UUID_PREFIX,
    SECTOR_BYTES,
    Sysfs,
    scsi_wwid,
)


@dataclass(frozen=True)
class LocalExport(Export):
    """A device; it was there before it was attached, and stays when it is detached."""

    device_path: str = ""

    engine = "local"
    has_wwn = False
    several_paths = False
    record_decides = True

    def find(self, view: Sysfs, wwn: Optional[str]) -> Found:
        device = view.link_target(self.device_path)
        block = Path(view.attribute_path("class/block")) / (device or "-")
        size = text(block / "size")
        if not device or not size:
            return Found()
        state = text(block / "device/state")
        path = FoundPath(
            device,
            self.device_path,
            state if state and state != "live" else "running",
            _wwid(block),
            int(size) * SECTOR_BYTES,
            False,
        )
        return Found(paths=(path,))

    def links(self, wwid: Optional[str], multipath: bool) -> list[str]:
        return [self.device_path]

    def attach_info(self, found: Found) -> dict[str, Any]:
        return {"type": "local", "path": self.device_path}


def validate(data: dict[str, Any], where: str, secret_needed: bool) -> LocalExport:
    """Check the C(data) of a local connection_info.

    Args:
        data: in os-brick's form.
        where: the field's name in messages, C(connections[0].connection_info.data).
        secret_needed: not used: there is none.

    Raises:
        StorageError: C(invalid_argument), naming the field.
    """
    given = data.get("device_path")
    if not isinstance(given, str) or not re.fullmatch(r"/dev(/(?!\.\.?(/|$))[^/\s\x00]+)+", given):
        raise invalid(f"{where}.device_path", "the path of a block device, as in /dev/vg0/db-data", given)
    return LocalExport((Portal(given, ""),), given)


def _wwid(block: Path) -> Optional[str]:
    uuid = text(block / "dm/uuid")
    if uuid.startswith(MPATH_UUID_PREFIX):
        return uuid[len(MPATH_UUID_PREFIX) :]
    return scsi_wwid(text(block / "device/wwid")) or text(block / "wwid") or None
