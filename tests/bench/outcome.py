# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the host is as it has to be. Pure: what `host/look.py` saw goes in, what is wrong comes out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

RUNNING = "active running ready"


def wrong_when_attached(state: dict[str, Any], connections: Sequence[dict[str, Any]]) -> list[str]:
    """What keeps the volumes from being attached, every one by all its portals, and nothing else.

    Args:
        state: of the host.
        connections: as volume_connection returned them.

    Returns:
        Sentences; empty when all is right.
    """
    wrong = []
    maps = {found["wwid"]: found for found in state["maps"]}
    for connection in connections:
        volume, portals = connection["volume"], connection["connection_info"]["data"]["target_portals"]
        found = maps.pop(volume["wwn"], None)
        if found is None:
            wrong.append(f"{volume['name']} has no map {volume['wwn']}")
            continue
        if not found["linked"]:
            wrong.append(f"{volume['name']} has no link in /dev/disk/by-id")
        running = [path for path in found["paths"] if path["state"] == RUNNING]
        if len(running) != len(portals) or len({path["portal"] for path in running}) != len(portals):
            states = ", ".join(f"{path['device']} by {path['portal']} {path['state']}" for path in found["paths"])
            wrong.append(f"{volume['name']} has not one running path for each of {len(portals)} portals: {states}")
        others = [path for path in found["paths"] if path["wwid"] != f"naa.{volume['wwn'][1:]}"]
        wrong += [f"{path['device']} of {volume['name']} is {path['wwid']}" for path in others]
    wrong += [f"there is a map {wwid} of no volume" for wwid in maps]
    return wrong


def left_behind(state: dict[str, Any]) -> list[str]:
    """What there is on the host of any volume; empty when there is nothing."""
    maps = [f"the map {found['wwid']}" for found in state["maps"]]
    kinds = {"sessions": "a session to", "disks": "the disk", "nodes": "a node record of", "records": "the record"}
    return maps + [f"{words} {name}" for kind, words in kinds.items() for name in state[kind]]
