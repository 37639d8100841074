# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shares that this collection has mounted, and the files on them. Nothing here can be held up by a server that is dead."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from ansible_collections.brickwork.storage.plugins.module_utils import apart
from ansible_collections.brickwork.storage.plugins.module_utils.host import mounts, processes
from ansible_collections.brickwork.storage.plugins.module_utils.host.files import entries, link, text
from ansible_collections.brickwork.storage.plugins.module_utils.host.mounts import Mount
from ansible_collections.brickwork.storage.plugins.module_utils.host.sysfs import Sysfs
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline

# Below it each share has a directory, named as os-brick names it.
DIRECTORY = "/var/lib/brickwork/mounts"
ANSWER_SECONDS = 3.0
# A server that did not answer is not asked again at once: each of its volumes would wait for it.
SILENT_SECONDS = 5.0
_silent_until: dict[str, float] = {}


@dataclass(frozen=True)
class FileState:
    """What a server says of a file.

    Args:
        state: C(running), C(missing), C(no answer), or what is wrong with it.
        size_bytes: 0 where it is not known.
    """

    state: str
    size_bytes: int = 0


MISSING = FileState("missing")
NO_ANSWER = FileState("no answer")


def directory_of(share: str) -> str:
    """Where a share is mounted."""
    return f"{DIRECTORY}/{hashlib.md5(share.encode(), usedforsecurity=False).hexdigest()}"


def mount_of(view: Sysfs, share: str) -> Optional[Mount]:
    """The mount of a share at its own place; None where it is not mounted there."""
    own = [mount for mount in mounts.seen_by(view) if mount.point == directory_of(share)]
    return own[-1] if own and own[-1].source.rstrip("/") == share.rstrip("/") else None


def state_of(view: Sysfs, path: str) -> FileState:
    """Ask the server for a file; it has a few seconds for its answer."""
    directory = os.path.dirname(path)
    if time.monotonic() < _silent_until.get(directory, 0.0):
        return NO_ANSWER
    [answer] = apart.ask([lambda: _look(view.root / path.lstrip("/"))], Deadline(ANSWER_SECONDS))
    if answer is None:
        _silent_until[directory] = time.monotonic() + SILENT_SECONDS
        return NO_ANSWER
    return FileState(*json.loads(answer))


def _look(path: Path) -> str:
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return json.dumps([MISSING.state])
    except OSError as error:
        return json.dumps([os.strerror(error.errno or 0).lower()])
    return json.dumps(["running", status.st_size] if stat.S_ISREG(status.st_mode) else ["not a regular file"])


def users(view: Sysfs, path: str) -> list[str]:
    """What uses a file: loop devices, swap, mounts of it, and processes, in words; nothing of it asks the server.

    A process of another mount namespace, such as a container's, is seen by what its namespace tells of the file system.
    """
    name = os.path.basename(path)
    own = next((mount for mount in mounts.seen_by(view) if mount.point == os.path.dirname(path)), None)
    using = [f"loop device /dev/{device}" for device in view.loops_over(path)]
    using += [f"swap on {path}" for swap in view.swaps() if swap == path]
    if own is None:
        return using
    inside = f"{own.root.rstrip('/')}/{name}"
    points = {mount.point for mount in mounts.seen_by(view) if (mount.device, mount.root) == (own.device, inside)}
    using += [f"mount point {point}" for point in sorted(points)]
    return using + [
        f"process {pid} ({command})" for pid, command, opened in _opened(view, own) if _of_file(opened, name)
    ]


def users_of_mount(view: Sysfs, mount: Mount) -> list[str]:
    """The processes that keep a whole mount, in words."""
    return sorted({f"process {pid} ({command})" for pid, command, _path in _opened(view, mount)})


def _opened(view: Sysfs, own: Mount) -> Iterator[tuple[int, str, str]]:
    """What processes hold of a file system: process, its name, and the path as it sees it."""
    for process in sorted(map(Path, processes.directories(view)), key=_pid):
        numbers = {mount.number for mount in mounts.seen_by(view, process.name) if mount.device == own.device}
        if not numbers:
            continue
        held = [link(process / place) for place in ("cwd", "root")]
        paths = {path for path in held if path == own.point or path.startswith(f"{own.point}/")}
        for descriptor in entries(process / "fd"):
            info = text(process / "fdinfo" / descriptor.name)
            number = re.search(r"^mnt_id:\s*(\d+)", info, re.MULTILINE)
            if number and number.group(1) in numbers:
                paths.add(link(descriptor))
        # C(address permissions offset device inode path): device in hexadecimal
        major, minor = (int(part) for part in own.device.split(":"))
        mapped = rf"^\S+ \S+ \S+ {major:02x}:{minor:02x} \d+ +(.*)$"
        paths.update(re.findall(mapped, text(process / "maps"), re.MULTILINE))
        for path in sorted(paths):
            yield _pid(process), text(process / "comm"), path


def _of_file(path: str, name: str) -> bool:
    return os.path.basename(path.removesuffix(" (deleted)")) == name


def _pid(process: Path) -> int:
    return int(process.name)
