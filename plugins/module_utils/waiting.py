# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Time limits that several steps share, and locks that name their holder."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError

# Not below /run/lock: there everybody may write.
LOCK_DIRECTORY = Path("/run/brickwork/lock")


class Deadline:
    """A moment by which a whole call must have ended.

    Args:
        seconds: from now.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def remaining(self) -> float:
        """Seconds left, never below zero."""
        return max(0.0, self._end - time.monotonic())

    @property
    def passed(self) -> bool:
        return self.remaining() <= 0

    def within(self, seconds: float) -> Deadline:
        """The earlier of this deadline and I(seconds) from now."""
        return Deadline(min(seconds, self.remaining()))


@contextlib.contextmanager
def exclusive(name: str, purpose: str, deadline: Deadline, directory: Path = LOCK_DIRECTORY) -> Iterator[None]:
    """Hold the lock I(name) of this machine; it ends with the process, however that ends.

    Args:
        name: what is locked, such as C(backend-lvm).
        purpose: what for; another call that waits in vain shows it.
        deadline: until when to wait.
        directory: where the lock files are.

    Raises:
        StorageError: C(aborted), naming the holder, when the deadline passes first; C(permission_denied) for who is not root.
    """
    path = directory / f"{name}.lock"
    with open(_open(path), "a+", encoding="utf-8") as lock:
        if not _locked(lock.fileno(), deadline):
            raise StorageError("aborted", _held_message(path, deadline))
        _sign(lock, purpose)
        yield


@contextlib.contextmanager
def exclusive_if_free(name: str, purpose: str, directory: Path = LOCK_DIRECTORY) -> Iterator[bool]:
    """Hold the lock I(name) as exclusive() does, or, where another call holds it, go on without at once.

    Yields:
        Whether it is held.

    Raises:
        StorageError: C(permission_denied) for who is not root.
    """
    with open(_open(directory / f"{name}.lock"), "a+", encoding="utf-8") as lock:
        free = _locked_at_once(lock.fileno())
        if free:
            _sign(lock, purpose)
        yield free


def _sign(lock: TextIO, purpose: str) -> None:
    """Write into a lock who holds it."""
    lock.truncate(0)
    lock.write(json.dumps({"pid": os.getpid(), "purpose": purpose}))
    lock.flush()


def _open(path: Path) -> int:
    try:
        path.parent.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        # A link would have what it points to truncated.
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except PermissionError as error:
        raise StorageError(
            "permission_denied", f"The lock {path} cannot be opened ({error.strerror}); run this as root, with become."
        ) from error


def _locked(lock: int, deadline: Deadline) -> bool:
    """Lock an open file, and wait for that in the kernel's queue: it serves in turn, and forgets whoever is killed."""
    if _locked_at_once(lock):
        return True
    locked = threading.Event()
    threading.Thread(target=_queue, args=(os.dup(lock), locked), daemon=True).start()
    return locked.wait(deadline.remaining())


def _locked_at_once(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _queue(lock: int, locked: threading.Event) -> None:
    """Wait for the lock, however long that takes. Whoever has given up meanwhile has closed its own descriptor, so this gives it back."""
    fcntl.flock(lock, fcntl.LOCK_EX)
    locked.set()
    os.close(lock)


def _held_message(path: Path, deadline: Deadline) -> str:
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
        held_by = f"process {holder['pid']} ({holder['purpose']})"
    except (OSError, ValueError, KeyError, TypeError):
        held_by = "another process"
    return f"{path} was not free within {deadline.seconds:g} s; it is held by {held_by}. Wait for that to end, or give a longer timeout."
