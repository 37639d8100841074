# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What on the controller itself uses a block device."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path


def users(number: tuple[int, int], root: Path = Path("/")) -> list[str]:
    """Who uses the device as its own: mount points, C(swap), and the devices that are built on it.

    Not what merely has the device open, as the kernel's target has, and udev at times: nobody tells who that is.

    Args:
        number: of the device, major and minor.
        root: of the file system in which C(proc) and C(sys) are.
    """
    device = f"{number[0]}:{number[1]}"
    mounts = (line.split(" ") for line in (root / "proc/self/mountinfo").read_text(encoding="utf-8").splitlines())
    found = [_unescaped(fields[4]) for fields in mounts if fields[2] == device]
    sysfs = (root / "sys/dev/block" / device).resolve()
    if (sysfs / "holders").is_dir():
        found += sorted(_name(holder) for holder in (sysfs / "holders").iterdir())
    names = (f"/dev/{sysfs.name}", f"/dev/mapper/{_name(sysfs)}")
    for backing_file in sorted((root / "sys/block").glob("loop*/loop/backing_file")):
        with contextlib.suppress(OSError):  # it has just been taken away
            if backing_file.read_text(encoding="utf-8").rstrip("\n") in names:
                found.append(f"/dev/{backing_file.parents[1].name}")
    swaps = (root / "proc/swaps").read_text(encoding="utf-8").splitlines()[1:]
    if any(line.split()[0] in names for line in swaps):
        found.append("swap")
    return found


def device_number(path: str) -> tuple[int, int]:
    number = os.stat(path).st_rdev
    return os.major(number), os.minor(number)


def _name(sysfs: Path) -> str:
    """A device-mapper device by the name that people know it under."""
    name = sysfs / "dm" / "name"
    return name.read_text(encoding="utf-8").strip() if name.exists() else sysfs.name


def _unescaped(path: str) -> str:
    """The kernel writes blanks and backslashes of paths as octal numbers."""
    return re.sub(r"\\([0-7]{3})", lambda escaped: chr(int(escaped[1], 8)), path)
