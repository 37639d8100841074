# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What volume_attach leaves on a host is what os-brick leaves: each detaches what the other attached."""

from __future__ import annotations

import pytest

from ansible_collections.brickwork.storage.tests.integration.calling_os_brick import os_brick
from ansible_collections.brickwork.storage.tests.integration.lab import Lab

HOST = "host1"


def test_os_brick_detaches_what_volume_attach_attached(lab: Lab, volume: str) -> None:
    connections = lab.connect(HOST, volume)
    data = connections[0]["connection_info"]["data"]
    attachment = lab.attach(HOST, connections, min_paths=2)["attachments"][0]
    # Asked for what is there already, os-brick finds all of it in place and describes the same device.
    assert os_brick(lab, HOST, "ISCSI", "connect_volume", data) == attachment["attach_info"]
    os_brick(lab, HOST, "ISCSI", "disconnect_volume", data, attachment["attach_info"])
    left = lab.leftovers(HOST).splitlines()
    assert [line for line in left if not line.startswith("/var/lib/brickwork")] == []
    assert lab.detach(HOST, volume)["changed"]  # only the record was left
    lab.disconnect(HOST, volume)


@pytest.mark.full
def test_volume_attach_detaches_what_os_brick_attached(lab: Lab, volume: str) -> None:
    connections = lab.connect(HOST, volume)
    os_brick(lab, HOST, "ISCSI", "connect_volume", connections[0]["connection_info"]["data"])
    assert lab.succeed(HOST, "volume_attach", connections=connections, state="absent")["changed"]
    assert lab.leftovers(HOST) == ""
    lab.disconnect(HOST, volume)
