# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One target for all volumes: the collection makes none such, so the benchmarks do, and the connections that belong to it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from typing import Any

from .lab import CONTROLLER, HERE, WORKPLACE, Lab

TARGET = "iqn.2026-11.org.example:brickwork-bench-shared"
PROGRAM, WANTED = "shared_target.py", "shared_target.json"


def make(
    lab: Lab, volumes: Sequence[dict[str, Any]], connector: dict[str, Any], portals: Sequence[str]
) -> list[dict[str, Any]]:
    """Export the volumes behind one target; their connections, as volume_connection would return them."""
    user, secret = "bench", secrets.token_hex(8)
    initiator = connector["initiator"]
    wanted = {
        **{"target": TARGET, "initiator": initiator, "user": user, "secret": secret},
        **{"portals": list(portals), "volumes": list(volumes)},
    }
    lab.put(CONTROLLER, WANTED, json.dumps(wanted))
    lab.put(CONTROLLER, PROGRAM, (HERE / "controller" / PROGRAM).read_text(encoding="utf-8"))
    lab.ssh(CONTROLLER, "python3", f"{WORKPLACE}/{PROGRAM}", "make")
    return [
        {
            **{"volume": volume, "host": connector["host"], "connector": connector, "connected": True},
            "connection_info": {
                "driver_volume_type": "iscsi",
                "data": connection_data(number, portals, user, secret),
            },
        }
        for number, volume in enumerate(volumes)
    ]


def remove(lab: Lab) -> None:
    """Take the target away, where there is one."""
    if lab.has(CONTROLLER, f"{WORKPLACE}/{PROGRAM}"):
        lab.ssh(CONTROLLER, "python3", f"{WORKPLACE}/{PROGRAM}", "remove")
        lab.ssh(CONTROLLER, "rm", "-r", WORKPLACE)


def connection_data(lun: int, portals: Sequence[str], user: str, secret: str) -> dict[str, Any]:
    """What connection_info holds of a LUN behind the target, in os-brick's form."""
    return {
        **{"target_discovered": False, "discard": False, "access_mode": "rw", "encrypted": False},
        **{"target_portal": portals[0], "target_iqn": TARGET, "target_lun": lun},
        "target_portals": list(portals),
        "target_iqns": [TARGET] * len(portals),
        "target_luns": [lun] * len(portals),
        **{"auth_method": "CHAP", "auth_username": user, "auth_password": secret},
    }
