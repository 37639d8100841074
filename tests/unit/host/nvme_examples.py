# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two volumes of the captured NVMe trees, namespaces of one subsystem, and connections to them."""

from __future__ import annotations

from typing import Any

from ansible_collections.brickwork.storage.plugins.module_utils.host.connection import Connection, parse
from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols.nvmeof import NvmeExport, validate

NQN = "nqn.2026-11.org.example:nvme-capture"
HOST_ID = "8f17c918-3eda-4c33-86c1-0a0f3cc5f84b"
HOST_NQN = f"nqn.2014-08.org.nvmexpress:uuid:{HOST_ID}"
UUID = "5f0c6a3e-3b0f-4a53-9d57-9b3b8a1f6a11"
OTHER_UUID = "5f0c6a3e-3b0f-4a53-9d57-9b3b8a1f6a12"
PORTALS = ("10.77.1.10:4420", "10.77.2.10:4420")
SECRET = "DHHC-1:00:c2VjcmV0IG9mIHRoZSBob3N0IGZvciB0aGUgdGVzdHM=:"
OTHER_SECRET = "DHHC-1:00:c2VjcmV0IG9mIHRoZSB0YXJnZXQgZm9yIHRlc3Rz:"


def data(**changes: Any) -> dict[str, Any]:
    """With several portals."""
    portals = [["10.77.1.10", 4420, "tcp"], ["10.77.2.10", "4420", "tcp"]]
    return {"target_nqn": NQN, "vol_uuid": UUID, "portals": portals, **changes}


def old_data(**changes: Any) -> dict[str, Any]:
    """With one portal, as Cinder's nvmet target gives it."""
    return {
        "nqn": NQN,
        "target_portal": "10.77.1.10",
        "target_port": "4420",
        "transport_type": "tcp",
        "ns_id": 1,
        **changes,
    }


def export(**changes: Any) -> NvmeExport:
    return validate(data(**changes), "data", True)


def connection(uuid: str = UUID, **changes: Any) -> dict[str, Any]:
    size = {UUID: 128, OTHER_UUID: 64}[uuid] * 1024**2
    return {
        "volume": {"name": uuid[-2:], "id": uuid, "size_bytes": size, "backend": "lvm", "wwn": f"uuid.{uuid}"},
        "host": "host1",
        "connector": {"host": "host1", "nqn": HOST_NQN},
        "connection_info": {"driver_volume_type": "nvmeof", "data": data(vol_uuid=uuid, **changes)},
        "connected": True,
    }


def parsed(uuid: str = UUID, **changes: Any) -> Connection:
    return parse(connection(uuid, **changes), "connection", to_attach=True, predicted_allowed=True)
