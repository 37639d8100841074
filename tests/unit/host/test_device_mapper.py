# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The states of a map's paths, from status lines of the lab's machines."""

from __future__ import annotations

import fcntl
import struct

import pytest

from ansible_collections.brickwork.storage.plugins.module_utils.host import device_mapper
from ansible_collections.brickwork.storage.plugins.module_utils.host.device_mapper import multipath_status, path_states

RUNNING = "2 1 0 0 1 1 E 0 2 2 8:16 A 0 0 1 8:0 A 0 0 1 "
ONE_FAILED = "2 1 0 0 1 1 E 0 2 2 8:16 F 1 0 1 8:0 A 0 0 1 "


@pytest.mark.parametrize(
    ("status", "states"),
    [
        (RUNNING, {"8:16": "running", "8:0": "running"}),
        (ONE_FAILED, {"8:16": "failed", "8:0": "running"}),
        ("2 1 0 0 1 1 E 0 2 2 8:16 F 1 0 1 8:0 F 1 0 1 ", {"8:16": "failed", "8:0": "failed"}),
        # without paths
        ("2 1 0 0 0 0 ", {}),
        # two groups, as active and passive controllers of an array give them
        (
            "2 0 1 0 2 1 A 0 1 2 8:48 A 0 0 1 E 0 1 2 65:160 F 2 0 1 ",
            {"8:48": "running", "65:160": "failed"},
        ),
        ("", {}),
        ("Fail", {}),
    ],
)
def test_path_states(status: str, states: dict[str, str]) -> None:
    assert path_states(status) == states


def test_map_that_is_not_there() -> None:
    assert multipath_status("brickwork-no-such-map") == {}


def test_host_without_device_mapper(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_mapper, "CONTROL", "/nonexistent/control")
    assert multipath_status("mpatha") == {}


def test_the_question_and_the_answer_have_the_kernels_form(monkeypatch: pytest.MonkeyPatch) -> None:
    # struct dm_ioctl is 312 bytes and struct dm_target_spec 40 on every architecture.
    def answer(descriptor: int, request: int, buffer: bytearray) -> None:
        assert request == 0xC138FD0C  # DM_TABLE_STATUS
        assert struct.unpack_from("=II", buffer) == (4, 0)
        assert struct.unpack_from("=II", buffer, 12) == (len(buffer), 312)
        assert buffer[48:55] == b"mpatha\0"
        struct.pack_into("=I", buffer, 16, 320)  # the data may start later
        struct.pack_into("=QQiI16s", buffer, 320, 0, 262144, 0, 0, b"multipath")
        text = ONE_FAILED.encode() + b"\0"
        buffer[360 : 360 + len(text)] = text

    monkeypatch.setattr(device_mapper, "CONTROL", "/dev/null")
    monkeypatch.setattr(fcntl, "ioctl", answer)
    assert multipath_status("mpatha") == {"8:16": "failed", "8:0": "running"}
