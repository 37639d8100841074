# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What udev has found on the block devices of a host. It opens none of them, so that none that is dead can hold it up."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Optional

from ansible_collections.brickwork.storage.plugins.module_utils.host.files import text
from ansible_collections.brickwork.storage.plugins.module_utils.host.sysfs import Sysfs


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


def content(view: Sysfs, name: str) -> Content:
    """What udev has found on a block device.

    Args:
        view: the host.
        name: the device's kernel name.
    """
    lines = text(view.root / "run/udev/data" / f"b{view.number(name)}").splitlines()
    told = dict(line[2:].partition("=")[::2] for line in lines if line.startswith("E:"))
    label = re.sub(r"\\x([0-9a-f]{2})", lambda code: chr(int(code[1], 16)), told.get("ID_FS_LABEL_ENC", ""))
    return Content(told.get("ID_FS_TYPE") or None, told.get("ID_FS_UUID") or None, label or None)
