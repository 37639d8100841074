# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said to multipathd, over a real socket."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.brickwork.storage.plugins.module_utils.host import multipathd
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline


class Daemon:
    """Listens, and answers each command with the next of its answers; without any it is silent."""

    def __init__(self, address: str, answers: list[bytes]) -> None:
        self.heard: list[bytes] = []
        self.connections = 0
        self._answers = answers
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listening.bind(address)
        self._listening.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        connection, _address = self._listening.accept()
        self.connections += 1
        with connection:
            while header := connection.recv(8):
                (length,) = struct.unpack("@N", header)
                self.heard.append(connection.recv(length))
                if self._answers:
                    answer = self._answers.pop(0)
                    # In two parts, as a stream may be cut anywhere.
                    connection.sendall(struct.pack("@N", len(answer)) + answer[:1])
                    time.sleep(0.01)
                    connection.sendall(answer[1:])

    def close(self) -> None:
        self._listening.close()
        self._thread.join(10)


@pytest.fixture
def answers() -> list[bytes]:
    return [b"ok\n\0", b"fail\n\0", b"ok\n\0"]


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: list[bytes]) -> Iterator[Daemon]:
    address = f"\0{tmp_path}"
    monkeypatch.setattr(multipathd, "ADDRESS", address)
    listening = Daemon(address, answers)
    yield listening
    listening.close()


def test_every_map_is_asked_for_over_one_connection(daemon: Daemon) -> None:
    multipathd.remove_maps(["mpatha", "mpathb", "mpathc"], Deadline(30))
    assert daemon.heard == [b"del map mpatha\0", b"del map mpathb\0", b"del map mpathc\0"]
    assert daemon.connections == 1


@pytest.mark.parametrize("answers", [[]])
def test_a_daemon_that_does_not_answer_is_not_waited_for(daemon: Daemon) -> None:
    started = time.monotonic()
    multipathd.remove_maps(["mpatha", "mpathb"], Deadline(0.2))
    assert time.monotonic() - started < 30
    assert daemon.heard == [b"del map mpatha\0"]


def test_no_daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multipathd, "ADDRESS", f"\0{tmp_path}/nobody")
    multipathd.remove_maps(["mpatha"], Deadline(5))
