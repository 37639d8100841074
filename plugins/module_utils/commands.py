# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Other programs, run so that none of them can keep the module from ending."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline

# Messages are parsed, so they must not be translated; sbin is missing from the PATH of some users who become root.
ENVIRONMENT = {**os.environ, "LC_ALL": "C", "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/bin:/bin"}

# What stands before a program that must not go on once this process is killed.
ENDS_WITH_US = ("setpriv", "--pdeathsig", "KILL")


@dataclass(frozen=True)
class Finished:
    """How a program ended: its exit status (None: it did not end in time), and what it printed."""

    argv: tuple[str, ...]
    status: Optional[int]
    stdout: str
    stderr: str

    @property
    def succeeded(self) -> bool:
        return self.status == 0

    @property
    def complaint(self) -> str:
        """Why it failed, on one line."""
        before = ENDS_WITH_US if self.argv[: len(ENDS_WITH_US)] == ENDS_WITH_US else ()
        program = self.argv[len(before)]
        if self.status is None:
            return f"{program} did not end in time"
        said = " ".join((self.stderr or self.stdout).split())
        return f"{program} ended with {self.status}: {said}"


class Running:
    """A program that was started and may still be running.

    Args:
        argv: the program and its arguments, which everybody on the machine can read.
        text: for its standard input; that nobody else can. It must fit into a pipe.
    """

    def __init__(self, argv: Sequence[str], text: Optional[str] = None) -> None:
        self.argv = tuple(argv)
        try:
            # A session of its own: what is sent to the module's terminal or group does not reach it.
            self._process = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL if text is None else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                encoding="utf-8",
                errors="replace",
                env=ENVIRONMENT,
                start_new_session=True,
            )
        except FileNotFoundError:
            raise StorageError(
                "failed_precondition",
                f"{self.argv[0]} is not installed on this machine; install the package that has it.",
            ) from None
        if text is not None and self._process.stdin:
            with contextlib.suppress(BrokenPipeError):  # it has ended already, and says why
                self._process.stdin.write(text)
                self._process.stdin.close()
            self._process.stdin = None

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def wait(self, deadline: Deadline) -> Finished:
        """Its end, or the deadline: then it is killed, and abandoned where the kernel does not let it die."""
        try:
            stdout, stderr = self._process.communicate(timeout=deadline.remaining())
            return Finished(self.argv, self._process.returncode, stdout, stderr)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return Finished(self.argv, None, "", "")


def run(argv: Sequence[str], deadline: Deadline, text: Optional[str] = None) -> Finished:
    """Run a program to its end, or to the deadline.

    AnsibleModule.run_command would wait for ever for a program that hangs on a dead device.
    """
    return Running(argv, text).wait(deadline)
