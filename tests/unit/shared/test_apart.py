# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Work in a process that can be abandoned: real files, and pipes that block as a dead path does."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from ansible_collections.brickwork.storage.plugins.module_utils.apart import (
    LATE,
    NAME,
    NOT_TRIED,
    apart,
    flush,
    write_attributes,
)
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline, exclusive


@pytest.fixture
def blocked(tmp_path: Path) -> Iterator[Path]:
    """What holds up whoever opens it, until the test is over."""
    path = tmp_path / "blocked"
    os.mkfifo(path)
    yield path
    for flags in (os.O_RDONLY, os.O_RDWR):
        os.close(os.open(path, flags | os.O_NONBLOCK))


def put(path: Path, text: str = "done") -> None:
    path.write_text(text, encoding="utf-8")


def fail(error: Exception) -> None:
    raise error


def wait_for(path: Path) -> str:
    limit = Deadline(30)
    while not (path.exists() and path.read_text()) and not limit.passed:
        time.sleep(0.01)
    return path.read_text()


def test_every_call_is_done(tmp_path: Path) -> None:
    files = [tmp_path / str(number) for number in range(40)]
    assert apart([partial(put, path, path.name) for path in files], Deadline(30)) == [None] * 40
    assert [path.read_text() for path in files] == [path.name for path in files]


def test_failures_are_told_in_the_order_of_the_calls(tmp_path: Path) -> None:
    calls = [
        partial(fail, OSError(errno.EIO, "Input/output error")),
        partial(put, tmp_path / "between"),
        partial(fail, ValueError("of two\nlines")),
        partial(fail, RuntimeError()),
    ]
    assert apart(calls, Deadline(30)) == ["Input/output error", None, "of two lines", "RuntimeError"]


def test_what_hangs_holds_up_neither_the_others_nor_us(tmp_path: Path, blocked: Path) -> None:
    started = time.monotonic()
    ended = apart([partial(put, blocked), partial(put, tmp_path / "free")], Deadline(2))
    assert ended == [LATE, None]
    assert time.monotonic() - started < 30


def test_many_that_hang_do_not_hold_up_what_is_asked_last(tmp_path: Path, blocked: Path) -> None:
    ended = apart([*[partial(put, blocked)] * 20, partial(put, tmp_path / "free")], Deadline(2.5))
    assert ended == [*[LATE] * 20, None]


def test_nothing_to_do() -> None:
    assert apart([], Deadline(0)) == []


def test_no_time_left(tmp_path: Path, blocked: Path) -> None:
    assert apart([partial(put, blocked)], Deadline(0)) == [NOT_TRIED]


def test_process_holds_nothing_of_ours(tmp_path: Path, blocked: Path) -> None:
    # Ansible waits until nobody can write to a module's output any more, and a lock lasts while anybody has it open.
    seen = tmp_path / "seen"

    def look() -> None:
        descriptors = (f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd"))
        put(seen, "\n".join(os.readlink(path) for path in descriptors if os.path.exists(path)))

    with exclusive("test", "a test", Deadline(5), tmp_path / "locks"):
        apart([look], Deadline(30))
    held = set(seen.read_text().split("\n")) - {os.devnull, str(seen)}
    assert all(path.startswith(("pipe:", "/proc/")) for path in held), held
    assert len([path for path in held if path.startswith("pipe:")]) == 1


def test_process_is_out_of_reach_of_the_modules_signals_and_has_a_name(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    apart([lambda: put(seen, f"{os.getsid(0)} {Path(f'/proc/{os.getpid()}/comm').read_text()}")], Deadline(30))
    session, name = seen.read_text().split()
    assert int(session) != os.getsid(0)
    assert name == NAME


def test_process_that_hangs_is_killed(tmp_path: Path, blocked: Path) -> None:
    started = tmp_path / "started"

    def hang() -> None:
        put(started, str(os.getpid()))
        put(blocked)

    assert apart([hang], Deadline(2)) == [LATE]
    process = Path("/proc") / wait_for(started)
    limit = Deadline(30)
    while not limit.passed and process.exists() and ") Z " not in (process / "stat").read_text():
        time.sleep(0.01)
    assert not limit.passed


def test_attributes_are_written(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a", "b", "with blank", "$(false)")]
    for path in files:
        path.touch()
    write_attributes([(str(path), f"0 0 {number}") for number, path in enumerate(files)], Deadline(30))
    assert [path.read_text() for path in files] == ["0 0 0", "0 0 1", "0 0 2", "0 0 3"]


def test_attribute_that_hangs_does_not_hold_up_the_others(tmp_path: Path, blocked: Path) -> None:
    free = tmp_path / "free"
    free.touch()
    write_attributes([(str(blocked), "1"), (str(free), "1")], Deadline(2))
    assert free.read_text() == "1"


def test_attribute_that_is_gone_is_no_failure(tmp_path: Path) -> None:
    gone = tmp_path / "delete"
    write_attributes([(str(gone), "1")], Deadline(30))
    assert not gone.exists()


def test_flush(tmp_path: Path, blocked: Path) -> None:
    file = tmp_path / "file"
    put(file)
    nodes = [str(file), str(tmp_path / "gone"), str(blocked)]
    assert flush(nodes, Deadline(2)) == [None, "No such file or directory", LATE]
