# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel may hold up on a dead path, done in a process that can be abandoned, without starting a program for it."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import threading
import time
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import Callable, NoReturn, Optional

from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline

# The process's name; the kernel keeps 15 characters.
NAME = "brickwork-apart"
LATE = "it did not end in time"
NOT_TRIED = "there was no time to try it"
OUT_OF_TIME = (LATE, NOT_TRIED)
# After which a call is taken to hang, and the next goes on beside it.
PATIENCE_SECONDS = 0.2
BUFFER_BYTES = 65536


def flush(nodes: Sequence[str], deadline: Deadline) -> list[Optional[str]]:
    """Have written what is not written yet to devices or files, all at once.

    Args:
        nodes: their paths.
        deadline: until when to wait.

    Returns:
        For each why that failed; None where all is written.
    """
    return apart([partial(_flush, node) for node in nodes], deadline)


def write_attributes(writes: Sequence[tuple[str, str]], deadline: Deadline) -> None:
    """Write kernel attributes, all at once; whoever writes looks at what came of it, so failures are not told.

    Args:
        writes: path and text of each.
        deadline: until when to wait.
    """
    apart([partial(_write, path, text) for path, text in writes], deadline)


def apart(calls: Sequence[Callable[[], None]], deadline: Deadline) -> list[Optional[str]]:
    """Call functions in a process of their own, where none can hold up another for long, nor us.

    Args:
        calls: what is to be done.
        deadline: until when to wait; then the process is killed, and abandoned where the kernel does not let it die.

    Returns:
        For each why it failed; None where it did not. I(LATE) is what hangs.
    """
    if not calls:
        return []
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _work(calls, writing)
    os.close(writing)
    ended, begun = _reports(reading, len(calls), deadline)
    if len(ended) < len(calls):
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, os.WNOHANG)
    else:
        os.waitpid(child, 0)
    hanging = {number for number, since in begun.items() if time.monotonic() - since > PATIENCE_SECONDS}
    return [ended.get(number, LATE if number in hanging else NOT_TRIED) or None for number in range(len(calls))]


def ask(questions: Sequence[Callable[[], str]], deadline: Deadline) -> list[Optional[str]]:
    """Ask for what may hold up whoever asks, such as a device or a file of a server that is dead.

    Args:
        questions: what is to be called; each answer is on one line.
        deadline: until when to wait.

    Returns:
        The answers; None for each that did not come in time.
    """

    def say(question: Callable[[], str]) -> None:
        raise _AnswerError(question())

    return [
        None if said in OUT_OF_TIME else said for said in apart([partial(say, each) for each in questions], deadline)
    ]


class _AnswerError(Exception):
    """What comes back from a call is why it failed; so an answer fails."""


def _reports(reading: int, count: int, deadline: Deadline) -> tuple[dict[int, str], dict[int, float]]:
    """Why calls failed, by their number, empty where one did not, without those that did not end in time; and when each began."""
    ended: dict[int, str] = {}
    begun: dict[int, float] = {}
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(reading, selectors.EVENT_READ)
        while len(ended) < count and selector.select(deadline.remaining()):
            part = os.read(reading, BUFFER_BYTES)
            if not part:
                break
            *lines, rest = (rest + part).split(b"\n")
            for line in lines:
                number, has_ended, reason = line.decode("utf-8", "replace").partition(" ")
                if has_ended:
                    ended[int(number)] = reason
                else:
                    begun[int(number)] = time.monotonic()
    os.close(reading)
    return ended, begun


def _work(calls: Sequence[Callable[[], None]], writing: int) -> NoReturn:
    """The process's life. Whatever happens, the code of the caller does not run on in it."""
    try:
        # Out of reach of the module's signals, and holding nothing of the module's open: neither its lock nor its output.
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in map(int, os.listdir("/proc/self/fd")):
            if descriptor in (0, 1, 2):
                os.dup2(null, descriptor)
            elif descriptor != writing:
                with contextlib.suppress(OSError):
                    os.close(descriptor)
        with contextlib.suppress(OSError):
            _write("/proc/self/comm", NAME)
        left = deque(enumerate(calls))
        workers: list[threading.Thread] = []
        while left:
            # One after another is the quickest, as long as none hangs; where some do so may many, so twice as many go on.
            for _worker in range(min(len(left), len(workers) or 1)):
                worker = threading.Thread(target=_work_off, args=(left, writing), daemon=True)
                worker.start()
                workers.append(worker)
            before = len(calls)
            while 0 < len(left) < before:
                before = len(left)
                worker.join(PATIENCE_SECONDS)
        for worker in workers:
            worker.join()
    finally:
        os._exit(0)


def _work_off(left: deque[tuple[int, Callable[[], None]]], writing: int) -> None:
    with contextlib.suppress(IndexError):  # nothing is left
        while True:
            number, call = left.popleft()
            _report(number, call, writing)


def _report(number: int, call: Callable[[], None], writing: int) -> None:
    reason = ""
    os.write(writing, f"{number}\n".encode())
    try:
        call()
    except Exception as error:  # there is nobody else to tell
        reason = " ".join(str(getattr(error, "strerror", None) or error).split()) or type(error).__name__
    os.write(writing, f"{number} {reason}\n".encode())


def _flush(node: str) -> None:
    descriptor = os.open(node, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
