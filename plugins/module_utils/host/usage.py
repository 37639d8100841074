# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who uses a device: what must end before it may be taken away."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Sequence
from functools import partial
from typing import Optional

from ansible_collections.brickwork.storage.plugins.module_utils import apart
from ansible_collections.brickwork.storage.plugins.module_utils.host import mounts, processes, shares
from ansible_collections.brickwork.storage.plugins.module_utils.host.files import names_in, text
from ansible_collections.brickwork.storage.plugins.module_utils.host.found import Found
from ansible_collections.brickwork.storage.plugins.module_utils.host.sysfs import MPATH_UUID_PREFIX, Sysfs
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline

# They and what they start look at every device, and let go by themselves. The flush of an earlier detach that hangs on dead paths
# must not keep force from ending it.
WATCHERS = {"multipathd", "systemd-udevd", "udevd", "(udev-worker)", "sync", apart.NAME}

ANSWER_SECONDS = 3.0
HELD = os.strerror(errno.EBUSY)


def users(view: Sysfs, found: Found, opened: Optional[str] = None) -> list[str]:
    """What uses a volume on this host; see I(users_of_each)."""
    [using] = users_of_each(view, [(found, opened)])
    return using


def users_of_each(view: Sysfs, volumes: Sequence[tuple[Found, Optional[str]]]) -> list[list[str]]:
    """What uses volumes on this host.

    Args:
        view: the host.
        volumes: each with the device over it that this collection has opened, by its kernel name: that is no use in itself, but
            what uses it uses the volume.

    Returns:
        For each its mount points, volume groups and the like, processes with their PID, in words; empty when nobody uses it.
    """
    seen = [_seen_users(view, found, opened) for found, opened in volumes]
    # Only the kernel knows of those that no file tells of.
    doubtful = [
        (using, device)
        for (found, opened), using in zip(volumes, seen)
        if not using and not found.file
        for device in _topmost(view, found, opened)
    ]
    opens = [partial(_open_alone, view.device_path(device)) for _using, device in doubtful]
    for (using, device), failure in zip(doubtful, apart.apart(opens, Deadline(ANSWER_SECONDS))):
        # The kernel refuses at once what is held, and only then waits: for a path, for a cluster, for whoever is closing the device.
        # So a device whose open hangs is free, whatever its paths are said to be.
        if failure == HELD:
            using.append(f"something in the kernel that holds /dev/{device}")
        elif failure == apart.NOT_TRIED:
            using.append(f"something unknown, as /dev/{device} could not be asked in time")
    return seen


def _seen_users(view: Sysfs, found: Found, opened: Optional[str]) -> list[str]:
    if found.file:
        return shares.users(view, found.file)
    if not (opened or found.device):
        return []
    names, stacked = view.once(_parts, _devices(found, opened))
    numbers = {view.number(name) for name in names} - {""}
    using = [f"mount point {point}" for point in mounts.points(view, names | stacked)]
    using += [f"swap on /dev/{name}" for name in sorted(view.swap_devices() & (names | stacked))]
    using += sorted({_stacked_user(view, name) for name in stacked})
    exported = view.once(_nvme_exports)
    using += sorted({f"NVMe target {nqn}" for name in names | stacked for nqn in exported.get(name, [])})
    return using + [
        f"process {pid} ({names[0]})"
        for pid, names in processes.openers(view, numbers)
        if not WATCHERS.intersection(names)
    ]


def may_pass(using: list[str]) -> bool:
    """Whether all that uses a device might let go by itself in a moment, as a program does that only looks at it."""
    return all(user.startswith(("process ", "something ")) for user in using)


def _parts(view: Sysfs, devices: frozenset[str]) -> tuple[set[str], set[str]]:
    """A volume's devices with their partitions, and what is stacked on any of them."""
    own = set(devices)
    for name in sorted(devices):
        own.update(view.partitions(name))
    stacked: set[str] = set()
    waiting = sorted(own)
    while waiting:
        name = waiting.pop()
        for holder in [*view.holders(name), *_loops(view, name)]:
            if holder in own or holder in stacked:
                continue
            # kpartx's partitions of a map belong to it; multipath removes them with it.
            is_partition = re.match(r"part\d+-" + MPATH_UUID_PREFIX, view.dm(holder, "uuid"))
            (own if is_partition else stacked).add(holder)
            waiting.append(holder)
    return own, stacked


def _devices(found: Found, opened: Optional[str]) -> frozenset[str]:
    return frozenset(found.devices | ({opened} if opened else set()))


def _topmost(view: Sysfs, found: Found, opened: Optional[str]) -> list[str]:
    """The devices of a volume that nothing of its own holds.

    The kernel holds a path for its map and a map for its partitions; a disk's own partitions are asked for with the disk.
    """
    devices = _devices(found, opened)
    own, _stacked = view.once(_parts, devices)
    kernels = {part for name in devices for part in view.partitions(name)}
    return [name for name in sorted(own - kernels) if view.number(name) and own.isdisjoint(view.holders(name))]


def _loops(view: Sysfs, name: str) -> list[str]:
    """The loop devices over a block device: the kernel counts them neither as its holders nor among those who open it."""
    paths = [f"/dev/{name}", f"/dev/mapper/{view.dm(name, 'name')}"]
    backings = view.once(_loops_by_backing)
    return [loop for path in paths for loop in backings.get(path, [])]


def _loops_by_backing(view: Sysfs) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    directory = view.attribute_path("class/block")
    for name in names_in(directory):
        if name.startswith("loop"):
            found.setdefault(text(f"{directory}/{name}/loop/backing_file"), []).append(name)
    return found


def _nvme_exports(view: Sysfs) -> dict[str, list[str]]:
    """The subsystems by which this host exports block devices over NVMe, by kernel name: nvmet does not open them alone."""
    found: dict[str, list[str]] = {}
    subsystems = view.attribute_path("kernel/config/nvmet/subsystems")
    for nqn in names_in(subsystems):
        for number in names_in(f"{subsystems}/{nqn}/namespaces"):
            namespace = f"{subsystems}/{nqn}/namespaces/{number}"
            path = text(f"{namespace}/device_path")
            # It may be a file, whose server may be dead.
            name = view.link_target(path) if path.startswith("/dev/") else None
            if name and text(f"{namespace}/enable") == "1":
                found.setdefault(name, []).append(nqn)
    return found


def _stacked_user(view: Sysfs, name: str) -> str:
    uuid, dm_name = view.dm(name, "uuid"), view.dm(name, "name")
    if uuid.startswith("LVM-"):
        # device-mapper joins group and volume with one hyphen and doubles those inside the names.
        group = re.findall(r"(?:[^-]|--)*", dm_name)[0].replace("--", "-")
        return f"volume group {group}"
    if uuid.startswith("CRYPT-"):
        return f"encrypted device {dm_name}"
    if name.startswith("loop"):
        return f"loop device /dev/{name}"
    return f"device {dm_name or name}"


def _open_alone(device: str) -> None:
    os.close(os.open(device, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC))
