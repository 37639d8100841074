# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The processes of a host, and the block devices that they have open. Read-only, and without starting a program."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from ansible_collections.brickwork.storage.plugins.module_utils.host.files import names_in, text
from ansible_collections.brickwork.storage.plugins.module_utils.host.sysfs import Sysfs


def directories(view: Sysfs) -> list[str]:
    """Where the kernel tells of each process; the last part is its PID."""
    return [f"{view.root}/proc/{name}" for name in names_in(view.root / "proc") if name.isdigit()]


def names(view: Sysfs) -> set[str]:
    """The names of all processes."""
    return {text(f"{process}/comm") for process in directories(view)}


def command_lines(view: Sysfs) -> list[list[str]]:
    """The arguments of all processes."""
    return [text(f"{process}/cmdline").split("\0") for process in directories(view)]


def openers(view: Sysfs, numbers: set[str]) -> Iterator[tuple[int, list[str]]]:
    """Who has one of some block devices open.

    Args:
        view: the host.
        numbers: major and minor of each device, C(8:0).

    Returns:
        For each process its PID, and its name followed by those of its ancestors.
    """
    for pid, opened in view.once(_opened):
        if opened & numbers:
            yield pid, _lineage(view, str(pid))


def _opened(view: Sysfs) -> list[tuple[int, set[str]]]:
    """The numbers of the block devices that each process has open, by its PID."""
    found = []
    for process in directories(view):
        numbers = set(_block_devices(f"{process}/fd"))
        if numbers:
            found.append((int(process.rpartition("/")[2]), numbers))
    return found


def _block_devices(descriptors: str) -> Iterator[str]:
    """The numbers of the block devices behind a directory of file descriptors."""
    for name in names_in(descriptors):
        path = f"{descriptors}/{name}"
        try:
            if not os.readlink(path).startswith("/dev/"):
                continue
            status = os.stat(path)
        except OSError:
            continue
        # Character devices have numbers of their own, the same ones.
        if stat.S_ISBLK(status.st_mode):
            yield f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"


def _lineage(view: Sysfs, pid: str) -> list[str]:
    lineage = []
    while pid != "0":
        process = f"{view.root}/proc/{pid}"
        lineage.append(text(f"{process}/comm"))
        # The name, in brackets, may hold anything; behind it stand the state and the parent.
        fields = text(f"{process}/stat").rpartition(")")[2].split()
        pid = fields[1] if len(fields) > 1 else "0"
    return lineage
