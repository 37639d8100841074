# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking portals whether they answer, before anything waits for them."""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import socket
from collections.abc import Iterable

from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols.export import Portal
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline

# For all portals of a batch together.
PROBE_SECONDS = 5.0


def unreachable(portals: Iterable[Portal], deadline: Deadline) -> dict[str, str]:
    """Which addresses do not take a TCP connection, all asked at once.

    open-iscsi would try a dead portal for two minutes by default, and so would the kernel's NVMe.

    Args:
        portals: their addresses.
        deadline: until when they may answer.

    Returns:
        Why not, by address.
    """
    reasons: dict[str, str] = {}
    with selectors.DefaultSelector() as selector, contextlib.ExitStack() as stack:
        for address, portal in {portal.address: portal for portal in portals}.items():
            host, port = portal.host_and_port
            try:
                family, kind, protocol, _name, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            except (OSError, UnicodeError) as error:
                reasons[address] = f"its name cannot be resolved ({error})"
                continue
            try:
                asked = stack.enter_context(socket.socket(family, kind, protocol))
            except OSError as error:
                reasons[address] = os.strerror(error.errno or 0).lower()  # a host without IPv6, say
                continue
            asked.setblocking(False)
            refused = asked.connect_ex(where)
            if refused not in (0, errno.EINPROGRESS):
                # No route to it, say: nothing is under way that could be waited for.
                reasons[address] = os.strerror(refused).lower()
                continue
            selector.register(asked, selectors.EVENT_WRITE, address)
        while selector.get_map() and not deadline.passed:
            for key, _events in selector.select(deadline.remaining()):
                error_number = key.fileobj.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)  # type: ignore[union-attr]
                if error_number:
                    reasons[key.data] = os.strerror(error_number).lower()
                selector.unregister(key.fileobj)
        for key in selector.get_map().values():
            reasons[key.data] = f"no answer within {deadline.seconds:g} s"
    return reasons
