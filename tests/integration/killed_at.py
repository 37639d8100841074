# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Loaded by the interpreter under test: kills the module at the Nth thing it does to the machine.

What counts is starting a program or a process, asking another one over its socket, asking a service over HTTP for a change, and
writing, renaming or removing a file of the collection, of open-iscsi, of LIO or of nvmet: between two of these nothing changes, so
the moments right before each, and a little after each, are all the moments there are.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

MOMENT, DELAY = (float(text) for text in os.environ["KILLED_AT"].split(":"))
PLACES = (
    "/var/lib/brickwork",
    "/run/brickwork",
    "/var/lib/iscsi",
    "/etc/rtslib-fb-target",
    "/sys/kernel/config/target",
    "/sys/kernel/config/nvmet",
)
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
seen = 0


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def touches(event: str, arguments: tuple[object, ...]) -> bool:
    """Whether an audit event (docs.python.org/3/library/audit_events.html) changes what the tests look at."""
    if event in ("subprocess.Popen", "os.fork"):
        return True
    if event == "socket.connect":
        return isinstance(arguments[1], str)  # not over a network, where portals are only asked whether they answer
    if event == "http.client.send":
        return not (isinstance(arguments[1], bytes) and arguments[1].startswith(b"GET "))
    if event == "open":
        path, mode, flags = arguments
        writes = bool(flags & WRITES) if isinstance(flags, int) else "w" in str(mode)
        return writes and str(path).startswith(PLACES)
    if event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.symlink", "shutil.rmtree"):
        return str(arguments[0]).startswith(PLACES)
    return False


def watch(event: str, arguments: tuple[object, ...]) -> None:
    global seen
    if touches(event, arguments):
        seen += 1
        if seen == MOMENT:
            if DELAY:
                threading.Timer(DELAY, kill).start()
            else:
                kill()


sys.addaudithook(watch)
