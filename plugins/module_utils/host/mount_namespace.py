# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A program that is to see only a part of this host, for programs that work on all they see."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Collection
from typing import Callable

# From linux/sched.h and linux/mount.h.
CLONE_NEWNS = 0x20000
MS_REC = 0x4000
MS_PRIVATE = 0x40000


def showing_only(directory: str, names: Collection[str]) -> Callable[[], None]:
    """What a process does before it becomes the program: for it, and for nobody else, a directory of links has only some of them.

    Args:
        directory: such as C(/sys/class/iscsi_session).
        names: of the links that stay.

    Returns:
        A function that raises OSError where the kernel does not allow it, such as in a container.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    # Beneath the mount they cannot be read any more. They lead out of the directory, so they lead to the same from the new one.
    links = [(f"{directory}/{name}", os.readlink(f"{directory}/{name}")) for name in names]

    def check(result: int) -> None:
        if result != 0:
            raise OSError(ctypes.get_errno(), "no mount namespace")

    def narrow() -> None:
        check(libc.unshare(CLONE_NEWNS))
        check(libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None))
        check(libc.mount(b"tmpfs", directory.encode(), b"tmpfs", 0, None))
        for path, leads_to in links:
            os.symlink(leads_to, path)

    return narrow
