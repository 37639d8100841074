# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab, booted in the background while stages that do not need it run, and the order in which labs are used."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence

from .command import BUILD, ROOT, environment, say
from .machines import Machines, labs
from .stage import Stage

LIMIT = 1800


class Lab:
    """A lab for these machines; there is one lab at a time."""

    def __init__(self, machines: Machines) -> None:
        self._machines = machines
        self._log = BUILD / f"lab-up-{'-'.join(sorted(machines.needs)) or 'usual'}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._told = False

    def start(self) -> None:
        """Have it come up in the background, in the place of one that is not what these machines would be."""
        command = ["tests/lab", "up", "--replace", *self._machines.options]
        say(f"{' '.join(command)} is running in the background; its log is {self._log.relative_to(ROOT)}")
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, *command],
                cwd=ROOT,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def build_images(self) -> None:
        """Have what it needs made in the background, for the time when it is its turn; `up` waits for that."""
        with self._log.with_suffix(".images.log").open("w") as log:
            subprocess.Popen(
                ["nice", sys.executable, "tests/lab", "images", *self._machines.options],
                cwd=ROOT,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def is_up(self) -> bool:
        """Wait until the lab is up; show how it came up, once."""
        if self._process is None:
            self.start()
        assert self._process is not None
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


def in_order(stages: Sequence[Stage]) -> Iterator[tuple[Stage, Lab | None]]:
    """Yield each stage with its lab: first those that need none, and then lab by lab."""
    for stage in stages:
        if stage.machines is None:
            yield stage, None
    for machines in labs(stage.machines for stage in stages if stage.machines is not None):
        lab = Lab(machines)
        for stage in stages:
            if stage.machines is not None and bool(stage.machines.needs) == bool(machines.needs):
                yield stage, lab
