# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A device that the host has of itself is verified, recorded and forgotten, and never taken away."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.brickwork.storage.tests.integration.lab import Lab, made_by_hand

HOST = "host1"
SIZE = 16 * 1024**2


@pytest.fixture
def device(lab: Lab) -> Iterator[str]:
    """A block device of the host that no storage network brought."""
    lab.ssh(HOST, f"modprobe loop; truncate --size {SIZE} /root/local-data")
    made: str = lab.ssh(HOST, "losetup --find --show /root/local-data").strip()
    yield made
    lab.module(HOST, "volume_attach", volumes=["local-data"], state="absent")
    lab.ssh(HOST, f"losetup --detach {made}; rm /root/local-data")


def connection(device: str, **changes: Any) -> dict[str, Any]:
    made = made_by_hand(HOST, "local-data", "local", SIZE, device_path=device)
    return {**made, "volume": {**made["volume"], **changes}}


def test_attached_means_recorded(lab: Lab, device: str) -> None:
    asked = {"connections": [connection(device)]}
    assert not lab.succeed(HOST, "volume_attach", state="absent", **asked)["changed"]
    attached = lab.succeed(HOST, "volume_attach", **asked)
    assert (attached["changed"], attached["attachments"][0]["path"]) == (True, device)
    assert not lab.succeed(HOST, "volume_attach", **asked)["changed"]
    lab.ssh(HOST, f"exec 3<{device} >/dev/null 2>&1; sleep 300 & true")
    refused = lab.refuse(HOST, "volume_attach", "failed_precondition", state="absent", **asked)
    assert refused["users"][0].startswith("process ")
    lab.ssh(HOST, "kill $(pidof sleep)")
    assert lab.succeed(HOST, "volume_attach", state="absent", **asked)["changed"]
    assert not lab.succeed(HOST, "volume_attach", state="absent", **asked)["changed"]
    assert lab.ssh(HOST, f"blockdev --getsize64 {device}").strip() == str(SIZE)


def test_what_is_not_the_volume_is_refused(lab: Lab, device: str) -> None:
    lab.refuse(HOST, "volume_attach", "data_loss", connections=[connection(device, size_bytes=2 * SIZE)])
    lab.refuse(HOST, "volume_attach", "not_found", connections=[connection("/dev/none")])
    assert lab.ssh(HOST, "find /var/lib/brickwork/attachments -name 'local-*'") == ""
