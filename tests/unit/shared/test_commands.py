# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Other programs: real ones, well and ill behaved."""

from __future__ import annotations

import os
import time

import pytest

from ansible_collections.brickwork.storage.plugins.module_utils.commands import Finished, Running, run
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline

# Long beside what a start takes on a busy machine, and never waited for.
LONG = "60"


def sh(script: str, seconds: float = 30) -> Finished:
    return run(["sh", "-c", script], Deadline(seconds))


def test_success() -> None:
    finished = sh("echo said; echo complained >&2")
    assert (finished.status, finished.stdout, finished.stderr) == (0, "said\n", "complained\n")
    assert finished.succeeded


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        ("echo one >&2; echo two >&2; exit 5", "sh ended with 5: one two"),
        ("echo said; exit 1", "sh ended with 1: said"),
        ("exit 3", "sh ended with 3: "),
        ("kill -9 $$", "sh ended with -9: "),
    ],
)
def test_failure(script: str, complaint: str) -> None:
    finished = sh(script)
    assert not finished.succeeded
    assert finished.complaint == complaint


def test_program_that_is_not_installed() -> None:
    with pytest.raises(StorageError, match="brickwork-no-such-program is not installed") as caught:
        run(["brickwork-no-such-program"], Deadline(5))
    assert caught.value.code == "failed_precondition"


def test_program_that_hangs_is_abandoned() -> None:
    deadline = Deadline(0.2)
    running = Running(["sleep", LONG])
    finished = running.wait(deadline)
    assert (finished.status, finished.succeeded) == (None, False)
    assert finished.complaint == "sleep did not end in time"
    limit = Deadline(30)
    while not running.ended and not limit.passed:
        time.sleep(0.01)
    assert running.ended  # killed


def test_program_that_leaves_its_output_open_is_abandoned() -> None:
    # As one that hangs in the kernel, and cannot be killed, would keep it.
    deadline = Deadline(0.2)
    started = time.monotonic()
    finished = run(["sh", "-c", f"sleep {LONG} & echo $!"], deadline)
    assert finished.status is None
    assert time.monotonic() - started < float(LONG) / 2


def test_much_output_does_not_block() -> None:
    assert len(sh("head -c 1000000 /dev/zero | tr '\\0' x; head -c 1000000 /dev/zero | tr '\\0' y >&2").stdout) == 10**6


def test_output_that_is_no_text() -> None:
    assert "\N{REPLACEMENT CHARACTER}" in sh("printf '\\377'").stdout


def test_the_modules_own_input_is_not_the_programs() -> None:
    own, end = os.pipe()
    os.write(end, b"what Ansible sent to the module")
    os.close(end)
    before = os.dup(0)
    os.dup2(own, 0)
    try:
        assert sh("cat").stdout == ""
    finally:
        os.dup2(before, 0)
        os.close(before)
        os.close(own)


def test_messages_are_not_translated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    assert sh('echo "$LC_ALL"').stdout == "C\n"


def test_programs_of_root_are_found() -> None:
    assert ":/usr/sbin" in sh('echo "$PATH"').stdout


def test_program_is_out_of_reach_of_the_modules_signals() -> None:
    running = Running(["sh", "-c", "ps -o sid= -p $$ 2>/dev/null || cut -d' ' -f6 /proc/$$/stat"])
    session = int(running.wait(Deadline(30)).stdout)
    assert session != os.getsid(0)
