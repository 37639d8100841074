# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of a multipath map's paths, asked from device-mapper itself.

sysfs tells a map's paths but not which of them it has given up. Starting dmsetup or multipathd for that would cost more
than all else a repeat does, so the one ioctl is made here. Source: linux/dm-ioctl.h and dm-mpath.c (multipath_status).
"""

from __future__ import annotations

import fcntl
import os
import re
import struct

CONTROL = "/dev/mapper/control"
DM_TABLE_STATUS = 0xC138FD0C
DM_NOFLUSH_FLAG = 1 << 11
# version[3], data_size, data_start, target_count, open_count, flags, event_nr, padding, dev, name, uuid, data
HEADER = struct.Struct("=10IQ128s129s7s")
TARGET_SPEC = struct.Struct("=QQiI16s")
BUFFER_BYTES = 16384


def multipath_status(alias: str) -> dict[str, str]:
    """The state of each path of a map.

    Args:
        alias: the map's device-mapper name, C(mpatha).

    Returns:
        C(running) or C(failed) by the path's number (C(8:0)); empty where the map is gone or the kernel does not tell.
    """
    header = HEADER.pack(4, 0, 0, BUFFER_BYTES, HEADER.size, 0, 0, DM_NOFLUSH_FLAG, 0, 0, 0, alias.encode(), b"", b"")
    buffer = bytearray(header.ljust(BUFFER_BYTES, b"\0"))
    try:
        control = os.open(CONTROL, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return {}
    try:
        fcntl.ioctl(control, DM_TABLE_STATUS, buffer)
    except OSError:
        return {}
    finally:
        os.close(control)
    data_start = HEADER.unpack_from(buffer)[4]
    status = bytes(buffer[data_start + TARGET_SPEC.size :]).split(b"\0", 1)[0].decode("ascii", "replace")
    return path_states(status)


def path_states(status: str) -> dict[str, str]:
    """The paths in a multipath target's status line, such as C(2 0 0 0 1 1 A 0 2 2 8:0 A 0 0 1 8:16 F 1 0 1)."""
    return {
        number: "running" if letter == "A" else "failed"
        for number, letter in re.findall(r"(?<!\S)(\d+:\d+) ([AF])(?!\S)", status)
    }
