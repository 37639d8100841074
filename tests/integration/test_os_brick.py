# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What volume_attach leaves on a host is what os-brick leaves: each detaches what the other attached."""

from __future__ import annotations

import json
from typing import Any

from ansible_collections.brickwork.storage.tests.integration.lab import Lab

HOST = "host1"
OS_BRICK = """
umask 077; cat > /root/os_brick_call.json <<'JSON'
{call}
JSON
python3 <<'PYTHON'
import json
from oslo_concurrency import lockutils
from oslo_config import cfg
import os_brick
from os_brick.initiator import connector
from os_brick.privileged import default

default.set_client_mode(False)
lockutils.set_defaults("/run/lock")
os_brick.setup(cfg.CONF)
call = json.load(open("/root/os_brick_call.json"))
brick = connector.InitiatorConnector.factory("ISCSI", "", use_multipath=True, device_scan_attempts=10)
print(json.dumps(getattr(brick, call["method"])(*call["arguments"])))
PYTHON
rm /root/os_brick_call.json
"""


def os_brick(lab: Lab, method: str, *arguments: dict[str, Any]) -> Any:
    """Call os-brick's iSCSI connector on the host."""
    call = json.dumps({"method": method, "arguments": arguments})
    return json.loads(lab.ssh(HOST, OS_BRICK.replace("{call}", call)).splitlines()[-1])


def test_os_brick_detaches_what_volume_attach_attached(lab: Lab, volume: str) -> None:
    connections = lab.connect(HOST, volume)
    data = connections[0]["connection_info"]["data"]
    attachment = lab.attach(HOST, connections, min_paths=2)["attachments"][0]
    # Asked for what is there already, os-brick finds all of it in place and describes the same device.
    assert os_brick(lab, "connect_volume", data) == attachment["attach_info"]
    os_brick(lab, "disconnect_volume", data, attachment["attach_info"])
    left = lab.leftovers(HOST).splitlines()
    assert [line for line in left if not line.startswith("/var/lib/brickwork")] == []
    assert lab.detach(HOST, volume)["changed"]  # only the record was left
    lab.disconnect(HOST, volume)


def test_volume_attach_detaches_what_os_brick_attached(lab: Lab, volume: str) -> None:
    connections = lab.connect(HOST, volume)
    os_brick(lab, "connect_volume", connections[0]["connection_info"]["data"])
    assert lab.succeed(HOST, "volume_attach", connections=connections, state="absent")["changed"]
    assert lab.leftovers(HOST) == ""
    lab.disconnect(HOST, volume)
