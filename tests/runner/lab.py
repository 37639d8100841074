# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab, booted in the background while stages that do not need it run."""

from __future__ import annotations

import subprocess
import sys

from .command import BUILD, ROOT, environment, say

LIMIT = 1800


class Lab:
    """A lab that is coming up, or is up."""

    def __init__(self) -> None:
        self._log = BUILD / "lab-up.log"
        say(f"booting the lab in the background; its log is {self._log.relative_to(ROOT)}")
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "tests/lab", "up"],
                cwd=ROOT,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._told = False

    def is_up(self) -> bool:
        """Wait until the lab is up; show how it came up, once."""
        try:
            status = self._process.wait(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            self._process.terminate()
            status = self._process.wait()
        if not self._told:
            say(self._log.read_text(errors="replace").rstrip())
            self._told = True
        if status:
            say(f"the lab did not come up: status {status}")
        return status == 0
