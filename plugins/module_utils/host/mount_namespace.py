# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A program that is to see only a part of this host, for programs that work on all they see."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Collection
from typing import Callable, TypeVar

# From linux/sched.h and linux/mount.h.
CLONE_NEWNS = 0x20000
MS_REC = 0x4000
MS_PRIVATE = 0x40000

Started = TypeVar("Started")


def showing_only(directory: str, names: Collection[str], start: Callable[[], Started]) -> Started:
    """Start a program for which, and for nobody else, a directory of links has only some of them.

    A thread enters a mount namespace of its own, starts the program there, and is gone. A process that did so before it becomes the
    program would have to be a copy of this one, which takes longer than the program.

    Args:
        directory: such as C(/sys/class/iscsi_session).
        names: of the links that stay.
        start: starts the program.

    Returns:
        What I(start) returns.

    Raises:
        OSError: where the kernel does not allow it, such as in a container.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    # Beneath the mount they cannot be read any more. They lead out of the directory, so they lead to the same from the new one.
    links = [(f"{directory}/{name}", os.readlink(f"{directory}/{name}")) for name in names]
    started: list[Started] = []
    failures: list[BaseException] = []

    def check(result: int) -> None:
        if result != 0:
            raise OSError(ctypes.get_errno(), "no mount namespace")

    def enter_and_start() -> None:
        try:
            check(libc.unshare(CLONE_NEWNS))
            check(libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None))
            check(libc.mount(b"tmpfs", directory.encode(), b"tmpfs", 0, None))
            for path, leads_to in links:
                os.symlink(leads_to, path)
            started.append(start())
        except BaseException as error:  # the caller's, whatever it is
            failures.append(error)

    thread = threading.Thread(target=enter_and_start)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
    return started[0]
