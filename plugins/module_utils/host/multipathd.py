# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""multipathd, spoken to over its socket: one connection for any number of maps, where each command would be a process of its own.

The protocol is that of the commands C(multipath) and C(multipathd): the length, then the text, which ends with a zero byte.
Source: libmpathcmd/mpath_cmd.c and multipath/main.c of multipath-tools.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable

from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline

# In the abstract name space, so that it needs no file system.
ADDRESS = "\0/org/kernel/linux/storage/multipathd"
LENGTH = struct.Struct("@N")  # a size_t
# A socket without any time would not wait, but not block either.
LEAST_SECONDS = 0.001


def remove_maps(aliases: Iterable[str], deadline: Deadline) -> None:
    """Have multipathd flush and remove maps, as C(multipath -f) does at first; whoever asks looks whether they are gone.

    Args:
        aliases: multipathd's names of the maps.
        deadline: until when to wait.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as daemon:
            daemon.settimeout(max(LEAST_SECONDS, deadline.remaining()))
            daemon.connect(ADDRESS)
            for alias in aliases:
                daemon.settimeout(max(LEAST_SECONDS, deadline.remaining()))
                _ask(daemon, f"del map {alias}")
    except (OSError, struct.error):
        return  # it does not run, or takes too long


def _ask(daemon: socket.socket, command: str) -> str:
    text = command.encode() + b"\0"
    daemon.sendall(LENGTH.pack(len(text)) + text)
    (length,) = LENGTH.unpack(_receive(daemon, LENGTH.size))
    return _receive(daemon, length).rstrip(b"\0\n").decode("utf-8", "replace")


def _receive(daemon: socket.socket, count: int) -> bytes:
    received = b""
    while len(received) < count:
        part = daemon.recv(count - len(received))
        if not part:
            break
        received += part
    return received
