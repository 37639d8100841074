# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The volume of the captured trees, and connections, records and finds to compare with it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ansible_collections.brickwork.storage.plugins.module_utils.host.connection import Connection, parse
from ansible_collections.brickwork.storage.plugins.module_utils.host.plan import Wanted
from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols.export import Portal
from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols.iscsi import IscsiExport
from ansible_collections.brickwork.storage.plugins.module_utils.host.records import Record

CAPTURE_ID = "a735a165-9bb8-43b1-aafd-f45550313aa9"
CAPTURE_TARGET = f"iqn.2026-11.org.brickwork:{CAPTURE_ID}"
CAPTURE_WWN = "36001405a735a1659bb843b1aafdf4555"
CAPTURE_SIZE = 128 * 1024**2
HOST = "host2"
INITIATOR = "iqn.2026-11.org.example:host2"
PORTAL_A = "10.77.1.10:3260"
PORTAL_B = "10.77.2.10:3260"
SECRET = "a-secret-for-CHAP"

# Two volumes of one target, one LUN each, for the trees shared_target, in_use and leftover_device.
SHARED_TARGET = "iqn.2026-11.org.example:capture"
SHARED_WWNS = ("3600140539fc2db9a5d04a658a99cbad7", "36001405baf4bd70ea424db0b5f81204a")
# What the target put in the place of the second one while the host was not looking.
EXCHANGED_WWN = "3600140582626ac49bfe44849b36706f4"


def portal(address: str = PORTAL_A, target: str = CAPTURE_TARGET, lun: int = 0) -> Portal:
    return Portal(address, target, lun)


def export(*addresses: str, target: str = CAPTURE_TARGET, lun: int = 0, **settings: Any) -> IscsiExport:
    """By the portals given, both where none is."""
    return IscsiExport(tuple(portal(address, target, lun) for address in addresses or (PORTAL_A, PORTAL_B)), **settings)


def connection_data(**changes: Any) -> dict[str, Any]:
    """The data of the connection that volume_connection made for the captured volume."""
    return {
        "target_discovered": False,
        "target_portal": PORTAL_A,
        "target_iqn": CAPTURE_TARGET,
        "target_lun": 0,
        "target_portals": [PORTAL_A, PORTAL_B],
        "target_iqns": [CAPTURE_TARGET, CAPTURE_TARGET],
        "target_luns": [0, 0],
        "volume_id": CAPTURE_ID,
        "auth_method": "CHAP",
        "auth_username": HOST,
        "auth_password": SECRET,
        "encrypted": False,
        "access_mode": "rw",
        **changes,
    }


def volume(**changes: Any) -> dict[str, Any]:
    return {
        "name": "capture1",
        "id": CAPTURE_ID,
        "size_bytes": CAPTURE_SIZE,
        "backend": "lvm",
        "wwn": CAPTURE_WWN,
        **changes,
    }


def connection(**changes: Any) -> dict[str, Any]:
    """The connection itself."""
    return {
        "volume": volume(),
        "host": HOST,
        "connector": {"host": HOST, "initiator": INITIATOR, "multipath": True},
        "connection_info": {"driver_volume_type": "iscsi", "data": connection_data()},
        "connected": True,
        **changes,
    }


def parsed(**changes: Any) -> Connection:
    return parse(connection(**changes), "connection", to_attach=True, predicted_allowed=True)


def wanted(*, multipath: bool = True, min_paths: int = 1, persistent: bool = False, **changes: Any) -> Wanted:
    """The captured volume, asked for by both portals."""
    return Wanted(parsed(**changes), multipath, min_paths, persistent)


def record(**changes: Any) -> Record:
    """Of the captured volume, attached with multipath."""
    attached = Record(
        parsed().without_secrets(),
        multipath=True,
        persistent=False,
        attached=True,
        wwn=CAPTURE_WWN,
        attach_info={
            "type": "block",
            "scsi_wwn": CAPTURE_WWN,
            "path": "/dev/dm-0",
            "multipath_id": CAPTURE_WWN,
        },
    )
    return replace(attached, **changes)


def attachment() -> dict[str, Any]:
    """What volume_attach returns of the captured volume, by both its paths."""
    return {
        "volume": volume(),
        "host": HOST,
        "attached": True,
        "path": f"/dev/disk/by-id/dm-uuid-mpath-{CAPTURE_WWN}",
        "device": "/dev/dm-0",
        "wwn": CAPTURE_WWN,
        "multipath": True,
        "paths": [
            {"device": "/dev/sda", "portal": PORTAL_A, "state": "running"},
            {"device": "/dev/sdb", "portal": PORTAL_B, "state": "running"},
        ],
        "missing_paths": [],
        "size_bytes": CAPTURE_SIZE,
        "encrypted": False,
        "underlying_path": None,
        "attach_info": record().attach_info,
    }
