# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that a driver started, and that did not end with it when it was killed: they may still change the storage.

They are in the session of the driver's process, and have its number in their environment. A program that left that session, such as a
service that was started on the way, is none of them.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator, Sequence

from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline

SESSION = "BRICKWORK_DRIVER"
# For LVM, Ceph or a target to end in good order. What takes longer, such as copying, is of no use to anybody any more.
PATIENCE_SECONDS = 30
# What is killed has ended by then, unless the kernel does not let it.
KILL_SECONDS = 5
POLL_SECONDS = 0.1
# The states of a process that has ended, whether or not anybody has asked how.
ENDED = "XZ"


def marked(command: Sequence[str]) -> list[str]:
    """The command of a driver's process, which leads a session: it and all that it starts have its number in their environment."""
    return ["/bin/sh", "-c", f'{SESSION}=$$; export {SESSION}; exec "$@"', "sh", *command]


def wait(seconds: float) -> None:
    """Wait for the survivors of drivers that were killed, and end those that do not end by themselves.

    Args:
        seconds: at most, for who has no time to wait for PATIENCE_SECONDS: otherwise nobody would ever end them.

    Raises:
        StorageError: C(aborted) where one does not even end when it is killed.
    """
    if not _end_within(min(seconds, PATIENCE_SECONDS)):
        for process in survivors():
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                os.kill(process, signal.SIGKILL)
        if not _end_within(KILL_SECONDS):
            raise StorageError(
                "aborted",
                f"Process {' and '.join(map(str, survivors()))}, of an earlier call that was killed, does not end; see what it waits for, "
                "then repeat this call.",
            )


def survivors() -> list[int]:
    """The processes whose driver is no more."""
    return [process for process in _processes() if _has_survived(process)]


def _end_within(seconds: float) -> bool:
    deadline = Deadline(seconds)
    while survivors():
        if deadline.passed:
            return False
        time.sleep(POLL_SECONDS)
    return True


def _processes() -> Iterator[int]:
    yield from (int(name) for name in os.listdir("/proc") if name.isdigit())


def _has_survived(process: int) -> bool:
    try:
        state, session = _state_and_session(process)
        # The kernel gives nobody a number again that is still a session's.
        if state in ENDED or session == 0 or _is_running(session):
            return False
        with open(f"/proc/{process}/environ", "rb") as file:
            return f"{SESSION}={session}".encode() in file.read().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):  # it has just ended
        return False
    except PermissionError:  # of somebody who is out of root's reach
        return False


def _is_running(process: int) -> bool:
    try:
        return _state_and_session(process)[0] not in ENDED
    except (FileNotFoundError, ProcessLookupError):
        return False


def _state_and_session(process: int) -> tuple[str, int]:
    with open(f"/proc/{process}/stat", encoding="utf-8", errors="replace") as file:
        state, _parent, _group, session = file.read().rpartition(")")[2].split()[:4]
    return state, int(session)
