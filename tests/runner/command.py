# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run one command before the reader's eyes."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv" / "bin"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "brickwork-test"
BUILD = ROOT / "build"
# How many seconds a command that is ended has for tidying up: tests on the lab release what they hold there.
GRACE = 60


@dataclass(frozen=True)
class Outcome:
    """How a command ended, and what it printed."""

    status: int
    output: str


def environment(changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of every test: the pinned tools first, and the collection found by its name."""
    base = {
        **os.environ,
        "PATH": f"{VENV}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".tree"),
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "PYTHONUNBUFFERED": "1",
        "NO_COLOR": "1",
        "ANSIBLE_NOCOLOR": "1",
    }
    return {**base, **(changes or {})}


def run(
    argv: Sequence[str | Path],
    *,
    limit: int,
    env: Mapping[str, str] | None = None,
    cwd: Path = ROOT,
) -> Outcome:
    """Run a command, showing what it prints; end it and its children after ``limit`` seconds.

    A command that is missing or ran into the limit has a status other than 0 like any that failed.
    """
    words = [str(word) for word in argv]
    say(f"$ {shlex.join(word.replace(f'{ROOT}/', '') for word in words)}")
    try:
        process = subprocess.Popen(
            words,
            cwd=cwd,
            env=dict(env or environment()),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        say(f"cannot be run: {error}")
        return Outcome(127, str(error))

    timer = threading.Timer(limit, _end, [process])
    timer.start()
    lines = []
    assert process.stdout is not None
    try:
        for line in process.stdout:
            sys.stdout.write(line)
            sys.stdout.flush()
            lines.append(line)
        status = process.wait()
    except KeyboardInterrupt:
        _end(process)
        raise
    finally:
        expired = not timer.is_alive()
        timer.cancel()
    if expired:
        say(f"ended after {limit} seconds without a result")
        status = status or 1
    return Outcome(status, "".join(lines))


def say(message: str) -> None:
    """Print a line of the runner's own."""
    print(message, flush=True)


def _end(process: subprocess.Popen[str]) -> None:
    """End a command and whatever it started."""
    try:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=GRACE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
