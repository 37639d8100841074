# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab as the benchmarks use it: commands and files on its host, playbooks."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from . import community_general
from .errors import BenchmarkError

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
CONTROLLER = "controller"
# On the host and the controller. That it is there says that a benchmark has begun, and not yet cleaned up.
WORKPLACE = "/var/tmp/brickwork-bench"  # noqa: S108  # in a machine where root is alone
LIMIT_SECONDS = 3600
LINES_OF_LOG = 20


@dataclass(frozen=True)
class Task:
    """What the stopwatch saw of a task on a host: its name, the seconds from its start to its result, and what it printed.

    Args:
        began: on the control node's clock, in seconds.
    """

    name: str
    seconds: float
    changed: bool
    stdout: str
    began: float = 0.0


class Lab:
    """A lab that is up once this is entered.

    Args:
        log: what the commands print goes there.
        host: the machine that the volumes are attached to.
    """

    def __init__(self, log: Path, host: str) -> None:
        self.host_name = host
        self._log = log
        self._temporary = tempfile.TemporaryDirectory(prefix="brickwork-bench-")

    def __enter__(self) -> Lab:
        self._log.write_text("", encoding="utf-8")
        if not self._answers():
            number = self.host_name.removeprefix("host")
            up = [sys.executable, "tests/lab", "up", "--hosts", number]
            if subprocess.run(up, cwd=ROOT, check=False).returncode:
                raise BenchmarkError("the lab did not come up")
        return self

    def _answers(self) -> bool:
        try:
            return all(self.ssh(machine, "true") == "" for machine in (CONTROLLER, self.host_name))
        except (BenchmarkError, OSError):  # no machine, or no lab at all
            return False

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._temporary.cleanup()

    @property
    def private(self) -> Path:
        """A directory that nobody else may read, and that does not outlive the benchmark."""
        return Path(self._temporary.name)

    def ssh(self, machine: str, *command: str, stdin: str = "") -> str:
        """What a command on a machine prints.

        Raises:
            BenchmarkError: when it fails.
        """
        return self._run([".lab/run", "ssh", "-F", ".lab/ssh_config", machine, shlex.join(command)], stdin)

    def host(self, *command: str) -> str:
        """What a command on the host prints."""
        return self.ssh(self.host_name, *command)

    def has(self, machine: str, path: str) -> bool:
        return self.ssh(machine, "sh", "-c", 'test -e "$0" && echo yes || echo no', path).strip() == "yes"

    def put(self, machine: str, name: str, text: str, mode: str = "600") -> None:
        """Write a file in a machine's workplace."""
        script = 'umask 077 && mkdir -p "$1" && cat >"$1/$2" && chmod "$3" "$1/$2"'
        self.ssh(machine, "sh", "-c", script, "sh", WORKPLACE, name, mode, stdin=text)

    def playbook(self, name: str, times: int = 1, options: Sequence[str] = (), **variables: Any) -> list[Task]:
        """Run one of the benchmarks' playbooks.

        Args:
            name: of its file, below the benchmarks' directory C(playbooks).
            times: how often, in one go.
            options: of ansible-playbook; those that come with none keep to the host and the controller.
            variables: for it.

        Returns:
            Its tasks, in the order in which they ended.

        Raises:
            BenchmarkError: when it fails.
        """
        given, seen = self.private / "variables.json", self.private / "stopwatch"
        given.write_text(json.dumps({"host": self.host_name, **variables}), encoding="utf-8")
        seen.write_text("", encoding="utf-8")
        settings = (
            f"ANSIBLE_CALLBACK_PLUGINS={HERE / 'callbacks'}",
            "ANSIBLE_CALLBACKS_ENABLED=stopwatch",
            f"ANSIBLE_COLLECTIONS_PATH={ROOT / '.tree'}:{community_general.collections()}",
            f"STOPWATCH_FILE={seen}",
            "ANSIBLE_NOCOLOR=1",
        )
        chosen = options or ("--limit", f"{self.host_name},{CONTROLLER}")
        playbooks = [str(HERE / "playbooks" / name)] * times
        command = ("ansible-playbook", "-i", str(ROOT / ".lab/inventory.yml"), *chosen, "-e", f"@{given}", *playbooks)
        self._run([".lab/run", "env", *settings, *command])
        return [Task(**json.loads(line)) for line in seen.read_text(encoding="utf-8").splitlines()]

    def _run(self, command: Sequence[str], stdin: str = "") -> str:
        try:
            done = subprocess.run(
                command, cwd=ROOT, input=stdin, capture_output=True, text=True, check=False, timeout=LIMIT_SECONDS
            )
        except subprocess.TimeoutExpired:
            raise BenchmarkError(f"no end within {LIMIT_SECONDS} s: {command[-1]}") from None
        with self._log.open("a", encoding="utf-8") as log:
            log.write(f"$ {shlex.join(command)}\n{done.stdout}{done.stderr}\n")
        if done.returncode:
            said = "\n".join((done.stdout + done.stderr).splitlines()[-LINES_OF_LOG:])
            raise BenchmarkError(f"{command[-1]} ended with {done.returncode}:\n{said}")
        return done.stdout
