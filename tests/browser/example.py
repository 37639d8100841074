# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small made-up fleet with one of each: what the pictures in the manual show, and what the page must be able to draw."""

from __future__ import annotations

from typing import Any
from uuid import NAMESPACE_DNS, uuid5

from .made_up import GIB, UNREACHABLE, Fleet

ISCSI = ("192.0.2.10:3260", "198.51.100.10:3260")
NVME = ("192.0.2.20:4420", "198.51.100.20:4420")


def example() -> Fleet:
    """The fleet: databases, web servers that share a volume, a mail server, and one machine that is down."""
    data = volume("db-data", 200, "fast", "db1")
    log = volume("db-log", 50, "fast", "db1")
    copy = volume("db-copy", 200, "slow", "db2")
    www = volume("www", 100, "slow", "web1", "web2")
    mail = volume("mail", 500, "fast", "mail1")
    old = volume("mail-2019", 500, "slow", "mail1")
    spare = volume("spare", 20, "slow")
    www["shared"] = True
    spare["problems"] = [
        "It is exported, and no host holds it: repeat the release (volume_connection, state absent, all_hosts)."
    ]
    db1 = [
        attachment("db1", data, 0, NVME, lvm("dm-0", "db", ("data", "/var/lib/postgresql"), ("tmp", None))),
        attachment("db1", log, 1, NVME, mounted("dm-1", "/var/log/postgresql"), dead=(1,)),
    ]
    web = [attachment(name, www, 0, ISCSI, mounted("dm-0", "/srv/www", "gfs2")) for name in ("web1", "web2")]
    mail1 = [
        {**attachment("mail1", mail, 0, NVME, encrypted("dm-0", "mail", "/srv/mail")), "encrypted": True},
        attachment("mail1", old, 1, ISCSI, mounted("dm-2", "/srv/old-mail"), dead=(0, 1)),
    ]
    hosts = {
        "db1": told(db1),
        "db2": UNREACHABLE,
        "web1": told(web[:1], session("session4", "iqn.2026-11.org.example:www-2018")),
        "web2": told(web[1:]),
        "mail1": told(mail1),
        "backup1": told([file_on_nfs("backup1")]),
    }
    strangers = [
        {"name": "root", "backend": "slow", "msg": "It was not made by this collection, which leaves it alone."}
    ]
    volumes = [data, log, copy, www, mail, old, spare]
    backends = [backend("fast", "nvmeof", 4096, 1530), backend("slow", "iscsi", 20480, 1229)]
    return Fleet(hosts, {"stor1": {"volumes": volumes, "strangers": strangers}}, {"stor1": {"backends": backends}})


def volume(name: str, gib: int, backend_name: str, *hosts: str) -> dict[str, Any]:
    """A volume as volume_connection_info tells it."""
    volume_id = str(uuid5(NAMESPACE_DNS, name))
    return {
        "name": name,
        "id": volume_id,
        "size_bytes": gib * GIB,
        "backend": backend_name,
        "wwn": f"36001405{volume_id.replace('-', '')[:24]}",
        "shared": False,
        "holders": [
            {"host": host, "initiator": host, "multipath": True, "sessions": ["192.0.2.101"]} for host in hosts
        ],
        "problems": [],
    }


def backend(name: str, protocol: str, gib: int, free_gib: int) -> dict[str, Any]:
    """A backend as volume_backend_info tells it."""
    return {
        "name": name,
        "usable": True,
        "driver": "lvm",
        "protocol": protocol,
        "capabilities": ["clone", "grow", "share", "snapshot"],
        "total_bytes": gib * GIB,
        "free_bytes": free_gib * GIB,
        "volumes": 4,
        "error": None,
    }


def told(attachments: list[dict[str, Any]], *unclaimed: dict[str, Any]) -> dict[str, Any]:
    """A host's answer."""
    return {"attachments": attachments, "unclaimed": list(unclaimed)}


def session(name: str, target: str) -> dict[str, Any]:
    """An iSCSI session that no volume came by."""
    problem = (
        f"The iSCSI session with {target} by {ISCSI[0]} has no LUN (LOGGED_IN). "
        f"Where nobody needs it, end it: iscsiadm -m session -r {name.removeprefix('session')} -u."
    )
    return {"kind": "iscsi_session", "name": name, "problem": problem}


def attachment(
    host: str,
    of: dict[str, Any],
    number: int,
    portals: tuple[str, ...],
    stack: list[dict[str, Any]],
    dead: tuple[int, ...] = (),
) -> dict[str, Any]:
    """An attachment as volume_attach_info tells it; by the portals in dead no path works."""
    nvme = portals is NVME
    names = [
        f"nvme0c{way}n{number + 1}" if nvme else f"/dev/sd{'abcdef'[2 * number + way]}" for way in range(len(portals))
    ]
    broken = "connecting" if nvme else "transport-offline"
    paths = [
        {"device": name, "portal": portal, "state": broken if way in dead else "running"}
        for way, (name, portal) in enumerate(zip(names, portals, strict=True))
    ]
    works = len(paths) - len(dead)
    problems = [
        f"{name} by {portals[way]} does not work ({broken}). Check that portal and the network to it."
        for way, name in enumerate(names)
        if way in dead
    ]
    state = "ok" if not dead else "degraded" if works else "failed"
    first = [f"{works} of {len(paths)} paths work." if works else f"None of its {len(paths)} paths works."]
    device = f"/dev/nvme0n{number + 1}" if nvme else stack[0]["device"]
    stack = [{**layer, "device": device if layer["kind"] == "volume" else layer["device"]} for layer in stack]
    return {
        "volume": {key: of[key] for key in ("name", "id", "size_bytes", "backend", "wwn")},
        "host": host,
        "recorded": True,
        "attached": True,
        "protocol": "nvmeof" if nvme else "iscsi",
        "path": f"/dev/disk/by-id/nvme-uuid.{of['id']}" if nvme else f"/dev/disk/by-id/dm-uuid-mpath-{of['wwn']}",
        "device": device,
        "wwn": of["wwn"],
        "paths": paths,
        "missing_paths": [portals[way] for way in dead],
        "map": {"name": f"nvme0n{number + 1}" if nvme else f"mpath{'ab'[number]}"},
        "stack": stack,
        "health": {"state": state, "problems": first + problems if dead else []},
        "encrypted": False,
    }


def layer(
    device: str, kind: str, fstype: str | None, *points: str, name: str | None = None, swap: bool = False
) -> dict[str, Any]:
    """A device of a stack."""
    return {
        "device": f"/dev/{device}",
        "kind": kind,
        "name": name,
        "size_bytes": 50 * GIB,
        "fstype": fstype,
        "uuid": str(uuid5(NAMESPACE_DNS, device)),
        "label": None,
        "mount_points": list(points),
        "swap": swap,
    }


def mounted(device: str, point: str, fstype: str = "xfs") -> list[dict[str, Any]]:
    """A file system on the volume itself."""
    return [layer(device, "volume", fstype, point)]


def lvm(device: str, group: str, *logical: tuple[str, str | None]) -> list[dict[str, Any]]:
    """Logical volumes on it, mounted, or swapped to where they have no mount point."""
    volumes = [
        layer(
            f"dm-{number + 5}",
            "lvm",
            "ext4" if point else "swap",
            *filter(None, [point]),
            name=f"{group}/{name}",
            swap=not point,
        )
        for number, (name, point) in enumerate(logical)
    ]
    return [layer(device, "volume", "LVM2_member"), *volumes]


def encrypted(device: str, name: str, point: str) -> list[dict[str, Any]]:
    """A file system on a LUKS volume on it."""
    return [layer(device, "volume", "crypto_LUKS"), layer("dm-9", "luks", "xfs", point, name=name)]


def file_on_nfs(host: str) -> dict[str, Any]:
    """A volume that is a file on NFS, which no controller told of."""
    of = {**volume("archive", 1000, "nas"), "wwn": None}
    path = "/var/lib/brickwork/mnt/5f0c6a3e/volume-archive"
    seen = attachment(host, of, 0, ("203.0.113.5:/export",), mounted("loop0", "/srv/archive", "ext4"))
    seen["paths"][0]["device"] = path
    return {**seen, "protocol": "nfs", "map": None, "device": path, "path": path, "wwn": None}
