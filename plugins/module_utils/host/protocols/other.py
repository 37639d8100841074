# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Protocols that pass through os-brick as they are: what they must hold is os-brick's to say. Untested here.

The device is where os-brick said when it connected the volume.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Optional

from ansible_collections.brickwork.storage.plugins.module_utils.errors import invalid
from ansible_collections.brickwork.storage.plugins.module_utils.host import shares
from ansible_collections.brickwork.storage.plugins.module_utils.host.files import text
from ansible_collections.brickwork.storage.plugins.module_utils.host.found import Found, FoundPath
from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols.export import BrickExport, Export, Portal
from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols.registry import FILE_SYSTEMS, MOUNTED
from ansible_collections.brickwork.storage.plugins.module_utils.host.sysfs import SECTOR_BYTES, Sysfs


@dataclass(frozen=True)
class OtherExport(BrickExport):
    """A volume of which nothing is known but where it came.

    Args:
        path: of the device or file; None before it has come.
        boot_id: of the boot in which it came there, where the path may be another device's in the next.
    """

    path: Optional[str] = None
    boot_id: Optional[str] = None

    has_wwn = False
    several_paths = False

    def knowing(self, attach_info: Mapping[str, Any]) -> Export:
        path = attach_info.get("path")
        return replace(self, path=path, boot_id=attach_info.get("boot_id")) if isinstance(path, str) else self

    def to_keep(self, view: Sysfs, device: dict[str, Any]) -> dict[str, Any]:
        directory, _slash, name = str(device.get("path")).rpartition("/")
        if directory == "/dev" and view.link_target(f"/dev/{name}") == name:
            return {**device, "boot_id": _boot_id(view)}
        return device

    def find(self, view: Sysfs, wwn: Optional[str]) -> Found:
        if self.path is None or self.boot_id not in (None, _boot_id(view)):
            return Found()
        address = self.portals[0].address
        # Asking for a file of a file system whose server is dead may never end.
        device = view.link_target(self.path) if self.path.startswith("/dev/") else None
        size = text(Path(view.attribute_path("class/block")) / (device or "-") / "size")
        if device and size:
            return Found(paths=(FoundPath(device, address, "running", None, int(size) * SECTOR_BYTES, False),))
        state = shares.state_of(view, self.path)
        if state == shares.MISSING:
            return Found()
        path = FoundPath(os.path.basename(self.path), address, state.state, None, state.size_bytes, False)
        return Found(paths=(path,), file=self.path)

    def links(self, wwid: Optional[str], multipath: bool) -> list[str]:
        return [self.path] if self.path else []

    def attach_info(self, found: Found) -> dict[str, Any]:
        return {"path": self.path}


class FileSystemExport(OtherExport):
    """A file of a file system that os-brick leaves as it is when it disconnects the volume."""

    record_decides = True
    stays_mounted = True


def _boot_id(view: Sysfs) -> str:
    return text(view.root / "proc/sys/kernel/random/boot_id")


def kind_of(protocol: str) -> type[OtherExport]:
    return FileSystemExport if protocol in FILE_SYSTEMS else OtherExport


def validate(protocol: str, data: dict[str, Any], where: str) -> OtherExport:
    """Check the C(data) of a protocol's connection_info, as far as it can be checked here."""
    if protocol == "vzstorage" and ":" in str(data.get("export", "")).rpartition("/")[2]:
        # It would be kept with the export; the message must not repeat it.
        raise invalid(f"{where}.export", "no password in it: let the host join with pstorage auth-node once", "***")
    settings = {f"{protocol}_mount_point_base": shares.DIRECTORY} if protocol in MOUNTED else {}
    return kind_of(protocol)((Portal(protocol, ""),), data, protocol.upper(), settings)
