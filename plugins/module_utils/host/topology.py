# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The view of a host as a whole: what brings volumes to it by any protocol, and what stands on its block devices.

It reads the kernel's and udev's files and nothing else. It opens no device and asks no file system, so that nothing that is dead
can hold it up.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Optional

from ansible_collections.brickwork.storage.plugins.module_utils.host.files import entries, text
from ansible_collections.brickwork.storage.plugins.module_utils.host.sysfs import (
    MultipathMap,
    Sysfs,
)


@dataclass(frozen=True)
class Image:
    """A RADOS image that the kernel has made a block device of.

    Args:
        device: the kernel's name, C(rbd0).
        name: of the image with its pool and namespace, C(volumes/db-data).
        size_bytes: as the kernel sees it now.
    """

    device: str
    name: str
    size_bytes: int


@dataclass(frozen=True)
class Content:
    """What udev has found on a block device; None where it found nothing, or where there is no udev.

    Args:
        fstype: C(ext4), C(LVM2_member), C(crypto_LUKS).
        uuid: of the file system, the physical volume or the like.
        label: of the file system.
    """

    fstype: Optional[str] = None
    uuid: Optional[str] = None
    label: Optional[str] = None


class Topology(Sysfs):
    """The view."""

    def images(self) -> list[Image]:
        """Every RADOS image."""
        found = []
        for entry in entries(self._sys / "bus/rbd/devices"):
            parts = [text(entry / "pool"), text(entry / "pool_ns"), text(entry / "name")]
            name = "/".join(part for part in parts if part)
            snapshot = text(entry / "current_snap")
            if snapshot not in ("", "-"):
                name += f"@{snapshot}"
            size = self.size_bytes(f"rbd{entry.name}")
            if name and size is not None:
                found.append(Image(f"rbd{entry.name}", name, size))
        return found

    def maps(self) -> list[MultipathMap]:
        """Every multipath map."""
        return [found for found in (self.multipath_map(name) for name in self._names("dm-")) if found]

    def is_read_only(self, name: str) -> bool:
        """Whether the kernel refuses writes to a block device."""
        return text(self._sys / "class/block" / name / "ro") == "1"

    def is_suspended(self, name: str) -> bool:
        """Whether device-mapper holds back what is written to a block device."""
        return self.dm(name, "suspended") == "1"

    def is_partition(self, name: str) -> bool:
        """Whether a block device is a partition that the kernel made."""
        return bool(text(self._sys / "class/block" / name / "partition"))

    def is_raid(self, name: str) -> bool:
        """Whether a block device is a software RAID."""
        return (self._sys / "class/block" / name / "md").is_dir()

    def content(self, name: str) -> Content:
        """What udev has found on a block device."""
        lines = text(self.root / "run/udev/data" / f"b{self.number(name)}").splitlines()
        told = dict(line[2:].partition("=")[::2] for line in lines if line.startswith("E:"))
        label = re.sub(r"\\x([0-9a-f]{2})", lambda code: chr(int(code[1], 16)), told.get("ID_FS_LABEL_ENC", ""))
        return Content(told.get("ID_FS_TYPE") or None, told.get("ID_FS_UUID") or None, label or None)

    def _names(self, prefix: str) -> list[str]:
        return [entry.name for entry in entries(self._sys / "class/block") if entry.name.startswith(prefix)]
