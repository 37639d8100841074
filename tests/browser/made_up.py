# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A made-up fleet of any size: what the modules would tell of it, so that the report can be seen and measured without one."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any
from uuid import UUID

GIB = 1 << 30
SIZES = (10, 20, 50, 100, 200, 500)
USES = (
    ("data", "/var/lib/postgresql"),
    ("log", "/var/log/db"),
    ("mail", "/srv/mail"),
    ("www", "/srv/www"),
    ("scratch", None),
)
KINDS = ("db", "web", "mail", "app")
BACKENDS = (("gold", "nvmeof"), ("silver", "iscsi"), ("bronze", "iscsi"))
PORTALS = {
    "gold": ("192.0.2.10:4420", "198.51.100.10:4420"),
    "silver": ("192.0.2.20:3260", "198.51.100.20:3260"),
    "bronze": ("192.0.2.30:3260", "198.51.100.30:3260"),
}
UNREACHABLE = {
    "unreachable": True,
    "msg": "Failed to connect to the host via ssh: connect to host port 22: No route to host",
}


@dataclass
class Fleet:
    """What hosts and controllers told: the arguments of the filter fleet."""

    hosts: dict[str, dict[str, Any]]
    connections: dict[str, dict[str, Any]]
    backends: dict[str, dict[str, Any]]


def made_up(hosts: int, volumes_each: int = 5, seed: int = 7, trouble: float = 0.02) -> Fleet:
    """A fleet.

    Args:
        hosts: how many that can be reached; with trouble, there are some more.
        volumes_each: how many volumes each has, by two paths.
        seed: the same for the same fleet.
        trouble: the part of the volumes that something is wrong with.
    """
    dice = random.Random(seed)
    told: dict[str, dict[str, Any]] = {}
    volumes: list[dict[str, Any]] = []
    for number in range(hosts):
        name = f"{KINDS[number % len(KINDS)]}{number // len(KINDS) + 1}"
        attachments: list[dict[str, Any]] = []
        for use, point in USES[:volumes_each]:
            volume = _volume(f"{name}-{use}", dice)
            volumes.append(volume)
            attachments.append(_attachment(name, len(attachments), volume, point, dice, dice.random() < trouble))
        told[name] = {"attachments": attachments, "unclaimed": _unclaimed(dice.random() < trouble / 2)}
    for number in range(round(hosts * trouble / 4)):
        told[f"down{number + 1}"] = UNREACHABLE
        volumes.append(_volume(f"down{number + 1}-data", dice))
    idle = _volume("spare-1", dice)
    return Fleet(told, {"stor1": _connections([*volumes, {**idle, "holders": []}])}, {"stor1": _backends()})


def _volume(name: str, dice: random.Random) -> dict[str, Any]:
    """A volume as volume_connection_info tells it."""
    volume_id = UUID(int=dice.getrandbits(128), version=4)
    host = name.partition("-")[0]
    address = f"203.0.113.{dice.randrange(1, 255)}"
    return {
        "name": name,
        "id": str(volume_id),
        "size_bytes": dice.choice(SIZES) * GIB,
        "backend": dice.choice(BACKENDS)[0],
        "wwn": f"36001405{volume_id.hex[:24]}",
        "shared": False,
        "deleting": False,
        "holders": [
            {"host": host, "initiator": f"iqn.2026-11.org.example:{host}", "multipath": True, "sessions": [address]}
        ],
        "export": {},
        "problems": [],
    }


def _connections(volumes: list[dict[str, Any]]) -> dict[str, Any]:
    spare = volumes[-1]
    spare["problems"] = [
        "It is exported, and no host holds it: repeat the release (volume_connection, state absent, all_hosts)."
    ]
    return {"changed": False, "volumes": volumes, "strangers": []}


def _backends() -> dict[str, Any]:
    seen: list[dict[str, Any]] = [
        {
            "name": name,
            "usable": True,
            "driver": "lvm",
            "protocol": protocol,
            "capabilities": ["clone", "grow", "share", "snapshot"],
            "total_bytes": 64 * 1024 * GIB,
            "free_bytes": free * 1024 * GIB,
            "volumes": 100,
            "error": None,
        }
        for (name, protocol), free in zip(BACKENDS, (23, 41, 5), strict=True)
    ]
    nothing = dict.fromkeys(("driver", "protocol", "total_bytes", "free_bytes", "volumes"))
    error = {
        "msg": "cloud: http://keystone.example.org:5000 does not answer. See whether it runs.",
        "error_code": "unavailable",
    }
    return {"backends": [*seen, {"name": "cloud", "usable": False, "capabilities": [], "error": error, **nothing}]}


def _attachment(
    host: str, number: int, volume: dict[str, Any], point: str | None, dice: random.Random, trouble: bool
) -> dict[str, Any]:
    """An attachment as volume_attach_info tells it."""
    portals = PORTALS[volume["backend"]]
    dead = dice.choice(([0], [1], [0, 1])) if trouble else []
    letters = [chr(ord("a") + 2 * number + path) for path in range(2)]
    paths = [
        {"device": f"/dev/sd{letter}", "portal": portal, "state": "transport-offline" if place in dead else "running"}
        for place, (letter, portal) in enumerate(zip(letters, portals, strict=True))
    ]
    device = f"/dev/dm-{number}"
    return {
        "volume": {key: volume[key] for key in ("name", "id", "size_bytes", "backend", "wwn")},
        "host": host,
        "recorded": True,
        "attached": True,
        "protocol": dict(BACKENDS)[volume["backend"]],
        "path": f"/dev/disk/by-id/dm-uuid-mpath-{volume['wwn']}",
        "device": device,
        "wwn": volume["wwn"],
        "multipath": True,
        "paths": paths,
        "missing_paths": [paths[place]["portal"] for place in dead],
        "map": {"device": device, "kind": "multipath", "name": f"mpath{chr(ord('a') + number)}", "wwn": volume["wwn"]},
        "size_bytes": volume["size_bytes"],
        "stack": [
            {
                "device": device,
                "kind": "volume",
                "name": None,
                "on": [],
                "size_bytes": volume["size_bytes"],
                "fstype": "xfs" if point else None,
                "uuid": volume["id"] if point else None,
                "label": None,
                "mount_points": [point] if point else [],
                "swap": False,
            }
        ],
        "health": _health(paths),
        "encrypted": False,
        "attach_info": {},
    }


def _health(paths: list[dict[str, Any]]) -> dict[str, Any]:
    broken = [path for path in paths if path["state"] != "running"]
    working = len(paths) - len(broken)
    if not broken:
        return {"state": "ok", "problems": []}
    first = f"{working} of {len(paths)} paths work." if working else f"None of its {len(paths)} paths works."
    check = [
        f"{path['device']} by {path['portal']} does not work ({path['state']}). Check that portal and the network to it."
        for path in broken
    ]
    return {"state": "degraded" if working else "failed", "problems": [first, *check]}


def _unclaimed(trouble: bool) -> list[dict[str, Any]]:
    if not trouble:
        return []
    problem = (
        "The iSCSI session with iqn.2026-11.org.example:old by 192.0.2.20:3260 has no LUN (LOGGED_IN). "
        "Where nobody needs it, end it: iscsiadm -m session -r 3 -u."
    )
    return [
        {
            "kind": "iscsi_session",
            "name": "session3",
            "problem": problem,
            "portal": "192.0.2.20:3260",
            "target": None,
            "wwn": None,
        }
    ]
