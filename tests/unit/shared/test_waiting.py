# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Time limits, and locks held by real processes."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import LOCK_DIRECTORY, Deadline, exclusive

# A process without Ansible, which takes the lock as the code does.
HOLDER = """
import fcntl, json, os, sys, time
lock = open(sys.argv[1], "a+")
fcntl.flock(lock, fcntl.LOCK_EX)
lock.truncate(0)
lock.write(sys.argv[2].replace("PID", str(os.getpid())))
lock.flush()
print(os.getpid(), flush=True)
time.sleep(60)
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "brickwork" / "locks"


@pytest.fixture
def holder(directory: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock "it"."""
    directory.mkdir(parents=True)
    note = '{"pid": PID, "purpose": "volume_attach"}'
    command = [sys.executable, "-c", HOLDER, str(directory / "it.lock"), note]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        process.stdout.readline()
        yield process
        process.kill()


def aborted(directory: Path, seconds: float = 0.1) -> str:
    with pytest.raises(StorageError) as caught, exclusive("it", "test", Deadline(seconds), directory):
        pytest.fail("two hold the lock")
    assert caught.value.code == "aborted"
    return caught.value.message


def test_one_after_another(directory: Path) -> None:
    for _turn in range(2):
        with exclusive("it", "test", Deadline(0), directory):
            pass


def test_free_lock_needs_no_time(directory: Path) -> None:
    with exclusive("it", "test", Deadline(-1), directory):
        pass


def test_holder_is_named(directory: Path, holder: subprocess.Popen[str]) -> None:
    message = aborted(directory)
    assert f"process {holder.pid} (volume_attach)" in message
    assert "not free within 0.1 s" in message


def test_latest_holder_is_named(directory: Path) -> None:
    with exclusive("it", "a purpose that takes some words", Deadline(1), directory):
        pass
    with exclusive("it", "volume_connection", Deadline(1), directory):
        assert f"process {os.getpid()} (volume_connection)" in aborted(directory)


@pytest.mark.parametrize("note", ["", "{", "[]", "{}", "null"])
def test_holder_that_left_no_readable_note(directory: Path, holder: subprocess.Popen[str], note: str) -> None:
    (directory / "it.lock").write_text(note)
    assert "another process" in aborted(directory)


def test_waits_for_the_deadline_and_no_longer(directory: Path, holder: subprocess.Popen[str]) -> None:
    deadline = Deadline(0.2)
    with pytest.raises(StorageError), exclusive("it", "test", deadline, directory):
        pytest.fail("two hold the lock")
    assert deadline.passed


def test_waiters_are_served_roughly_in_turn(directory: Path) -> None:
    served: list[int] = []

    def wait_for_it(number: int) -> None:
        with exclusive("it", "test", Deadline(30), directory):
            served.append(number)
            time.sleep(0.002)

    waiters = [threading.Thread(target=wait_for_it, args=(number,)) for number in range(40)]
    with exclusive("it", "test", Deadline(1), directory):
        for waiter in waiters:
            waiter.start()
            time.sleep(0.01)
    for waiter in waiters:
        waiter.join()
    assert sorted(served) == list(range(40))
    assert max(abs(place - number) for place, number in enumerate(served)) < 10, served


def test_whoever_gives_up_holds_up_nobody(directory: Path) -> None:
    with exclusive("it", "test", Deadline(1), directory):
        for _turn in range(3):
            aborted(directory)
    for _turn in range(3):
        with exclusive("it", "test", Deadline(5), directory):
            pass


def test_kill_releases(directory: Path, holder: subprocess.Popen[str]) -> None:
    aborted(directory)
    os.kill(holder.pid, signal.SIGKILL)
    with exclusive("it", "test", Deadline(30), directory):
        assert str(os.getpid()) in (directory / "it.lock").read_text()


def test_failure_releases(directory: Path) -> None:
    with pytest.raises(KeyError), exclusive("it", "test", Deadline(1), directory):
        raise KeyError
    with exclusive("it", "test", Deadline(0), directory):
        pass


def test_other_locks_are_free(directory: Path, holder: subprocess.Popen[str]) -> None:
    with exclusive("other", "test", Deadline(0), directory):
        pass


def test_locks_are_roots_alone(directory: Path) -> None:
    with exclusive("it", "test", Deadline(1), directory):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_link_in_the_place_of_a_lock_is_not_followed(directory: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("data")
    directory.mkdir(parents=True)
    (directory / "it.lock").symlink_to(precious)
    with pytest.raises(OSError, match=r"it\.lock"), exclusive("it", "test", Deadline(1), directory):
        pytest.fail("the lock was taken")
    assert precious.read_text() == "data"


def test_who_is_not_root_is_told_so(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, flags: int, mode: int) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(StorageError) as caught, exclusive("it", "test", Deadline(1), directory):
        pytest.fail("the lock was taken")
    assert (caught.value.code, "become" in caught.value.message) == ("permission_denied", True)


def test_locks_are_where_only_root_writes() -> None:
    assert "/run/lock" not in map(str, LOCK_DIRECTORY.parents)


def test_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    deadline = Deadline(10)
    assert (deadline.remaining(), deadline.passed) == (10, False)
    now = 104.0
    assert (deadline.remaining(), deadline.within(3).remaining(), deadline.within(30).remaining()) == (6, 3, 6)
    now = 111.0
    assert (deadline.remaining(), deadline.passed, deadline.within(5).passed) == (0, True, True)
