# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""os-brick as another program calls it on a host: what it leaves there is compared with what this collection leaves."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.brickwork.storage.tests.integration.lab import Lab

SCRIPT = """
exec 2>&1
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
brick = connector.InitiatorConnector.factory(call["protocol"], "", use_multipath=True, device_scan_attempts=10)
print(json.dumps(getattr(brick, call["method"])(*call["arguments"])))
PYTHON
rm /root/os_brick_call.json
"""


def os_brick(lab: Lab, host: str, protocol: str, method: str, *arguments: Any) -> Any:
    """Call a connector of os-brick, with multipath.

    Args:
        lab: where.
        host: on which.
        protocol: os-brick's name for it, C(ISCSI).
        method: of the connector.
        arguments: for the method, such as JSON can hold.

    Returns:
        What the method returns. The test fails with what os-brick printed where that is none.
    """
    call = json.dumps({"protocol": protocol, "method": method, "arguments": arguments})
    printed = lab.ssh(host, SCRIPT.replace("{call}", call))
    try:
        return json.loads(printed.splitlines()[-1])
    except (IndexError, ValueError):
        pytest.fail(printed)
