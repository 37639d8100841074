# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cinder's C(cinder-rtstool), which changes LIO's targets, as a copy of the driver's process instead of a new one.

The driver starts it for each step of an export, five times for a connection. Each time Python imports Cinder anew, which takes longer
than everything else together, and the secret of CHAP is among the arguments, where every user of the machine can read it.

It stays a process of its own: where the driver is killed in the middle of a step, the step goes on to its end; see survivors.py.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from typing import Any, Callable, NoReturn

PROGRAM = "cinder-rtstool"
STDOUT, STDERR = 1, 2


def run_in_copies() -> None:
    """Have Cinder's driver for LIO run it so.

    Raises:
        ModuleNotFoundError: without rtslib-fb.
    """
    import rtslib_fb  # noqa: F401 - for every copy
    from cinder import utils
    from cinder.cmd import rtstool
    from cinder.volume.targets.lio import LioAdm
    from oslo_concurrency import processutils

    def execute(*command: object, run_as_root: bool = False) -> tuple[str, str]:
        words = [str(word) for word in command]
        status, told = in_a_copy(rtstool.main, words)
        if status:
            # The other words may be secrets.
            raise processutils.ProcessExecutionError(stderr=told, exit_code=status, cmd=" ".join(words[:2]))
        return told, ""

    # What calls it takes no lock itself.
    LioAdm._execute = staticmethod(utils.synchronized("lioadm", external=True)(execute))
    LioAdm._verify_rtstool = lambda _target: rtstool.verify_rtslib()


def in_a_copy(program: Callable[[list[str]], object], words: Sequence[str]) -> tuple[int, str]:
    """Run a program's main function in a copy of this process; returns its status and what it printed."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _become(program, list(words), writing)
    os.close(writing)
    with open(reading, encoding="utf-8", errors="replace") as printed:
        told = printed.read()
    _child, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), told


def _become(program: Callable[[list[str]], object], words: list[str], output: int) -> NoReturn:
    status: Any = 1
    try:
        os.dup2(output, STDOUT)
        # Whoever waits for the end of what this process had open must not wait for the copy.
        for entry in os.listdir("/proc/self/fd"):
            if int(entry) > STDERR:
                with contextlib.suppress(OSError):
                    os.close(int(entry))
        with open(STDOUT, "w", encoding="utf-8", closefd=False) as printed, contextlib.redirect_stdout(printed):
            try:
                status = program(words) or 0
            except SystemExit as ended:
                status = ended.code
            except Exception as error:  # whatever it is, it ends the program
                printed.write(f"{type(error).__name__}: {error}\n")
    finally:
        # The rest of the process's own end is not the copy's.
        os._exit(status if isinstance(status, int) else 1)
