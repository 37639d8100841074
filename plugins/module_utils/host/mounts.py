# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is mounted on a host, and where. It asks no file system, so that none whose server or device is dead can hold it up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Optional

from ansible_collections.brickwork.storage.plugins.module_utils.host.files import entries, link, plain, text
from ansible_collections.brickwork.storage.plugins.module_utils.host.processes import directories
from ansible_collections.brickwork.storage.plugins.module_utils.host.sysfs import Sysfs

# Device numbers with this major are the kernel's inventions, for file systems that are on no device or on several.
ANONYMOUS_MAJOR = "0"


@dataclass(frozen=True)
class Mount:
    """A mounted file system, as C(/proc/PID/mountinfo) tells of it.

    Args:
        number: of the mount in its namespace; two that differ in nothing else are the same.
        device: major and minor of the file system's device, C(254:0), the same wherever it is mounted; made up for some types.
        root: what of the file system is mounted.
        point: the directory where.
        fstype: its type, as the kernel calls it.
        source: what was given to mount, C(/dev/mapper/mpatha) or a share.
        options: of this mount.
        super_options: of the file system, wherever it is mounted.
    """

    number: str = field(compare=False)
    device: str
    root: str
    point: str
    fstype: str
    source: str
    options: frozenset[str]
    super_options: frozenset[str]


def seen_by(view: Sysfs, process: str = "self") -> list[Mount]:
    """Every mount that a process sees, in the order in which they were made."""
    return list(_parse(text(view.root / "proc" / process / "mountinfo")))


def everywhere(view: Sysfs) -> list[Mount]:
    """Every mount in any mount namespace, by mount point."""
    return view.once(_everywhere)


def points(view: Sysfs, names: set[str]) -> list[str]:
    """Where any of some devices is mounted, by their kernel names."""
    mounted = by_device(view)
    return sorted({mount.point for name in names for mount in mounted.get(name, [])})


def by_device(view: Sysfs) -> dict[str, list[Mount]]:
    """The mounts by the kernel name of each block device they are on."""
    return view.once(_by_device)


def around(view: Sysfs, file: str) -> Optional[Mount]:
    """The mount that a file is on; None where nothing is mounted there."""
    outside = [mount for mount in everywhere(view) if file.startswith(mount.point.rstrip("/") + "/")]
    return max(outside, key=lambda mount: len(mount.point), default=None)


def _by_device(view: Sysfs) -> dict[str, list[Mount]]:
    shared = _devices_of_btrfs(view)
    numbers = {view.number(entry.name): entry.name for entry in entries(view.root / "sys/class/block")}
    found: dict[str, list[Mount]] = {}
    for mount in everywhere(view):
        if not mount.device.startswith(f"{ANONYMOUS_MAJOR}:"):
            names = {numbers.get(mount.device, "")}
        elif mount.source.startswith("/dev/"):
            name = view.link_target(mount.source) or ""
            names = shared.get(name, {name})
        else:
            continue
        for name in names - {""}:
            found.setdefault(name, []).append(mount)
    return found


def _everywhere(view: Sysfs) -> list[Mount]:
    found: dict[Mount, None] = {}
    seen: set[str] = set()
    for process in directories(view):
        namespace = link(f"{process}/ns/mnt")
        if namespace and namespace not in seen:
            seen.add(namespace)
            found.update(dict.fromkeys(_parse(text(f"{process}/mountinfo"))))
    return sorted(found, key=lambda mount: mount.point)


def _parse(mountinfo: str) -> Iterator[Mount]:
    for line in mountinfo.splitlines():
        mounted, _dash, file_system = line.partition(" - ")
        left, right = mounted.split(" "), file_system.split(" ")
        if len(left) > 5 and len(right) > 2:
            yield Mount(
                left[0],
                left[2],
                plain(left[3]),
                plain(left[4]),
                right[0],
                plain(right[1]),
                frozenset(left[5].split(",")),
                frozenset(right[2].split(",")),
            )


def _devices_of_btrfs(view: Sysfs) -> dict[str, set[str]]:
    """For each device of a btrfs all the devices of it."""
    found = {}
    for entry in entries(view.root / "sys/fs/btrfs"):
        names = {device.name for device in entries(entry / "devices")}
        found.update(dict.fromkeys(names, names))
    return found
