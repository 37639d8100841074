# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Portals that answer, refuse, and say nothing."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Iterator

import pytest

from ansible_collections.brickwork.storage.plugins.module_utils.host.probing import unreachable
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline
from ansible_collections.brickwork.storage.tests.unit.host.examples import portal


@pytest.fixture
def listening() -> Iterator[str]:
    """A portal that answers, for as long as the test runs."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_unreachable(listening: str) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        refusing = f"127.0.0.1:{closed.getsockname()[1]}"
        asked = [portal(listening), portal(listening, lun=1), portal(refusing), portal("storage..example:3260")]
        reasons = unreachable(asked, Deadline(5))
    assert reasons.keys() == {refusing, "storage..example:3260"}
    assert reasons[refusing] == "connection refused"
    assert "resolved" in reasons["storage..example:3260"]


def test_portal_that_never_answers(listening: str) -> None:
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _client in range(4):
            # Once its queue is full the kernel answers nobody else.
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(full.getsockname())
        silent = f"127.0.0.1:{full.getsockname()[1]}"
        reasons = unreachable([portal(silent), portal(listening)], Deadline(0.3))
    assert reasons == {silent: "no answer within 0.3 s"}


def test_portal_that_cannot_even_be_asked(listening: str) -> None:
    everybody = "255.255.255.255:3260"
    reasons = unreachable([portal(everybody), portal(listening)], Deadline(5))
    assert reasons == {everybody: "network is unreachable"}


def test_kind_of_address_that_this_host_does_not_have(listening: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = socket.socket

    def make(family: int, *rest: int) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
        return made(family, *rest)

    monkeypatch.setattr(socket, "socket", make)
    assert unreachable([portal(listening), portal("[::1]:3260")], Deadline(5)) == {
        "[::1]:3260": "address family not supported by protocol"
    }


def test_nothing_to_ask() -> None:
    assert unreachable([], Deadline(5)) == {}
