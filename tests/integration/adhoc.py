# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ad-hoc commands without the seconds in which each would import Ansible and pack the module anew."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional


@dataclass
class AdHoc:
    """C(ansible), run by a process that has it ready; one command at a time.

    Args:
        prefix: what runs a program where it reaches the lab.
        limit: how many seconds a command may take.
    """

    prefix: Sequence[str]
    limit: int
    _server: Optional[subprocess.Popen[str]] = field(default=None, init=False)

    def run(self, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run C(ansible) with these arguments; what it prints is JSON where it is a result."""
        server = self._server = self._server or self._start()
        assert server.stdin is not None
        assert server.stdout is not None
        with tempfile.NamedTemporaryFile() as output, tempfile.NamedTemporaryFile() as errors:
            answer = ""
            try:
                print(json.dumps([arguments, output.name, errors.name]), file=server.stdin, flush=True)
                answered = select.select([server.stdout], [], [], self.limit)[0]
                answer = server.stdout.readline() if answered else ""
            finally:
                # The answer to this command is not to be taken for the next one's.
                if not answer:
                    self.end()
            printed = [Path(file.name).read_text(encoding="utf-8") for file in (output, errors)]
        assert answer, f"no answer within {self.limit} s to {arguments}: {printed}"
        return subprocess.CompletedProcess(["ansible", *arguments], int(answer), *printed)

    def end(self) -> None:
        """End the process, with whatever it runs."""
        if self._server is not None:
            os.killpg(self._server.pid, signal.SIGKILL)
            self._server.communicate()
            self._server = None

    def _start(self) -> subprocess.Popen[str]:
        # Ansible reads its settings when it is imported.
        settings = {"ANSIBLE_CALLBACK_RESULT_FORMAT": "json", "ANSIBLE_NOCOLOR": "1"}
        return subprocess.Popen(
            [*self.prefix, sys.executable, str(Path(__file__).with_name("ansible_server.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **settings},
            start_new_session=True,
        )
