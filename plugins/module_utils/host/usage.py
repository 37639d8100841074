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
from ansible_collections.brickwork.storage.plugins.module_utils.host.found import Found
from ansible_collections.brickwork.storage.plugins.module_utils.host.sysfs import MPATH_UUID_PREFIX, Sysfs
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline

# They and what they start look at every device, and let go by themselves. The flush of an earlier detach that hangs on dead paths
# must not keep force from ending it.
WATCHERS = {"multipathd", "systemd-udevd", "udevd", "(udev-worker)", "sync", apart.NAME}

ANSWER_SECONDS = 3.0
HELD, NOT_HELD = "held", "not held"


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
        for device in [None if found.file else opened or found.device]
        if device and not using and found.running_paths
    ]
    # An open waits for whoever is closing the device, and so for what is written to a dead one. The flush will tell.
    questions = [partial(_open_alone, view.device_path(device)) for _using, device in doubtful]
    for (using, device), answer in zip(doubtful, apart.ask(questions, Deadline(ANSWER_SECONDS))):
        if answer == HELD:
            using.append(f"something in the kernel that holds /dev/{device}")
    return seen


def _seen_users(view: Sysfs, found: Found, opened: Optional[str]) -> list[str]:
    if found.file:
        return shares.users(view, found.file)
    if not (opened or found.device):
        return []
    names, stacked = _parts(view, found, opened)
    numbers = {view.number(name) for name in names} - {""}
    stacked_numbers = {view.number(name) for name in stacked} - {""}
    using = [f"mount point {point}" for point in mounts.points(view, numbers | stacked_numbers)]
    using += [f"swap on /dev/{name}" for name in sorted(view.swap_devices() & (names | stacked))]
    using += sorted({_stacked_user(view, name) for name in stacked})
    return using + [
        f"process {pid} ({names[0]})"
        for pid, names in processes.openers(view, numbers)
        if not WATCHERS.intersection(names)
    ]


def may_pass(using: list[str]) -> bool:
    """Whether all that uses a device might let go by itself in a moment, as a program does that only looks at it."""
    return all(user.startswith(("process ", "something ")) for user in using)


def _parts(view: Sysfs, found: Found, opened: Optional[str]) -> tuple[set[str], set[str]]:
    """The device with its paths and partitions, and what is stacked on any of them."""
    own = {path.device for path in found.paths}
    if opened:
        own.add(opened)
    if found.device:
        own.add(found.device)
    for name in sorted(own):
        own.update(view.partitions(name))
    stacked: set[str] = set()
    waiting = sorted(own)
    while waiting:
        for holder in view.holders(waiting.pop()):
            if holder in own or holder in stacked:
                continue
            # kpartx's partitions of a map belong to it; multipath removes them with it.
            is_partition = re.match(r"part\d+-" + MPATH_UUID_PREFIX, view.dm(holder, "uuid"))
            (own if is_partition else stacked).add(holder)
            waiting.append(holder)
    return own, stacked


def _stacked_user(view: Sysfs, name: str) -> str:
    uuid, dm_name = view.dm(name, "uuid"), view.dm(name, "name")
    if uuid.startswith("LVM-"):
        # device-mapper joins group and volume with one hyphen and doubles those inside the names.
        group = re.findall(r"(?:[^-]|--)*", dm_name)[0].replace("--", "-")
        return f"volume group {group}"
    if uuid.startswith("CRYPT-"):
        return f"encrypted device {dm_name}"
    return f"device {dm_name or name}"


def _open_alone(device: str) -> str:
    try:
        os.close(os.open(device, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC))
    except OSError as error:
        return HELD if error.errno == errno.EBUSY else NOT_HELD
    return NOT_HELD
