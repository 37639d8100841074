# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machines' processes: those inside the lab's namespace with the machine's mark on their command line.

The kernel knows both at every moment, so that no file with a process number can go stale, and no process of somebody
else is ever ended.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from .errors import LabError
from .network import Network

_SECONDS_TO_END = 20


def start(network: Network, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
    """Start a machine that goes on when this program ends; its console goes to `log`."""
    with log.open("ab") as output:
        subprocess.Popen(
            network.enter(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            cwd="/",
            env={**os.environ, **environment},
        )


def is_running(network: Network, mark: str) -> bool:
    """Whether the process that leads a machine lives; without it, what is left of the machine does nothing."""
    return any(_leads_session(pid) for pid in _marked(network, mark))


def stop(network: Network, mark: str) -> None:
    """End every process of one machine at once, as a power cut does."""
    _end(lambda: _marked(network, mark))


def stop_all(network: Network) -> None:
    """End every process in the namespace but this one and those that started it."""
    mine = _ancestors()
    _end(lambda: [pid for pid in network.processes() if pid not in mine])


def is_machine(arguments: Sequence[str], mark: str) -> bool:
    """Whether a command line is one of the machine's: the mark stands alone (QEMU) or as `umid` (UML)."""
    return any(argument in (mark, f"umid={mark}") for argument in arguments)


def _marked(network: Network, mark: str) -> list[int]:
    return [pid for pid in network.processes() if is_machine(_arguments(pid), mark)]


def _leads_session(pid: int) -> bool:
    try:
        return os.getsid(pid) == pid
    except ProcessLookupError:
        return False


def _arguments(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:  # it has ended
        return []


def _end(find: Callable[[], list[int]]) -> None:
    deadline = time.monotonic() + _SECONDS_TO_END
    while found := find():
        if time.monotonic() > deadline:
            raise LabError(f"these processes do not end: {', '.join(map(str, found))}; look at them with `ps`")
        # Held by descriptors and looked at again: none is another process that got the same number meanwhile.
        held = {pid: descriptor for pid in found if (descriptor := _hold(pid)) is not None}
        still = set(find())
        for pid, descriptor in held.items():
            if pid in still:
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            os.close(descriptor)
        time.sleep(0.05)


def _hold(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None


def _ancestors() -> set[int]:
    found, pid = set(), os.getpid()
    while pid:
        found.add(pid)
        status = Path(f"/proc/{pid}/stat").read_text()
        pid = int(status.rpartition(")")[2].split()[1])
    return found
