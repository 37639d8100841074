# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Loaded by the interpreters under test: kills the module at the Nth thing that it, or what it started, does to the machine.

What counts is starting a program or a process, asking another one over its socket, asking a service over HTTP for a change, and
writing, renaming or removing a file of the collection, of open-iscsi, of LIO, of nvmet or of a driver on NFS: between two of these
nothing changes, so the moments right before each, and a little after each, are all the moments there are.

The module and the process of a driver count together, in a file to which each thing adds a line of the same length.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import Optional

DIRECTORY = Path(__file__).resolve().parent
# What a test writes: the number of the moment (0: none, only count), and the seconds after it.
AT = DIRECTORY / "at"
COUNT = DIRECTORY / "count"
MODULE = DIRECTORY / "module"
LINE = 64
PLACES = (
    "/var/lib/brickwork",
    "/run/brickwork",
    "/run/test/nfs",
    "/var/lib/iscsi",
    "/etc/rtslib-fb-target",
    "/etc/systemd/system",
    "/etc/target",
    "/sys/kernel/config/target",
    "/sys/kernel/config/nvmet",
)
# Programs that only look.
LOOKING = {"du", "lvdisplay", "lvs", "mount.nfs", "pvs", "stat", "vgs"}
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def touches(event: str, arguments: tuple[object, ...]) -> Optional[str]:
    """What an audit event (docs.python.org/3/library/audit_events.html) does to what the tests look at; None where nothing."""
    if event == "subprocess.Popen":
        words = [str(word) for word in arguments[1]] if isinstance(arguments[1], (list, tuple)) else []
        program = next((word for word in words if word != "env" and "=" not in word), "")
        return None if os.path.basename(program) in LOOKING else f"starts {program}"
    if event == "os.fork":
        return event
    if event == "socket.connect":
        # Not over a network, where portals are only asked whether they answer.
        return event if isinstance(arguments[1], str) else None
    if event == "http.client.send":
        only_asks = isinstance(arguments[1], bytes) and arguments[1].startswith(b"GET ")
        return None if only_asks else event
    if event == "open":
        path, mode, flags = arguments
        writes = bool(flags & WRITES) if isinstance(flags, int) else "w" in str(mode)
        return f"writes {path}" if writes and str(path).startswith(PLACES) else None
    if event == "os.mkdir" and os.path.isdir(str(arguments[0])):
        return None
    if event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.symlink", "shutil.rmtree"):
        return f"{event} {arguments[0]}" if str(arguments[0]).startswith(PLACES) else None
    return None


class Watcher:
    """Counts, and kills.

    Args:
        moment: that ends the module.
        delay: seconds after it.
    """

    def __init__(self, moment: int, delay: float) -> None:
        self._moment = moment
        self._delay = delay
        # The module is the first to come here; a driver's process, and what that starts, come later.
        with contextlib.suppress(FileExistsError):
            module = os.open(MODULE, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            os.write(module, str(os.getpid()).encode())
            os.close(module)

    def watch(self, event: str, arguments: tuple[object, ...]) -> None:
        done = touches(event, arguments)
        if done is None:
            return
        # Opened each time: a copy of the process closes what that had open.
        count = os.open(COUNT, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(count, done.encode("ascii", "replace")[: LINE - 1].ljust(LINE - 1) + b"\n")
        size = os.fstat(count).st_size
        os.close(count)
        if size == self._moment * LINE:
            doomed = (int(MODULE.read_text()), os.getpid())
            if self._delay:
                kill_later(doomed, self._delay)
                return
            for process in doomed:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)


def kill_later(processes: tuple[int, ...], delay: float) -> None:
    """Have processes killed by one that outlives them: a copy of the driver's process may end before its time has come."""
    command = f"sleep {delay}; kill -KILL {' '.join(map(str, processes))}"
    # It must not keep the module's output open, for whose end Ansible waits.
    silent = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in range(3)]
    os.posix_spawn("/bin/sh", ["sh", "-c", command], os.environ, file_actions=silent, setsid=True)


if AT.exists():
    moment, after = AT.read_text().split(":")
    sys.addaudithook(Watcher(int(moment), float(after)).watch)
