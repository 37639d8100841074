# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The volume of the trees captured from a host with Fibre Channel."""

from __future__ import annotations

from typing import Any

from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols.fibre_channel import PortPair

# Two fabrics, each with a port of the host and one of the target.
HOST_A, TARGET_A = "200052540077010c", "200052540077010a"
HOST_B, TARGET_B = "200052540077020c", "200052540077020a"
LUN = 1
WWN = "360014051111222233334444555566667"
SIZE = 128 * 1024**2
PAIR_A = PortPair(f"{HOST_A}->{TARGET_A}", TARGET_A, LUN, HOST_A)
PAIR_B = PortPair(f"{HOST_B}->{TARGET_B}", TARGET_B, LUN, HOST_B)


def connection_data(**changes: Any) -> dict[str, Any]:
    """The data of the volume's connection."""
    return {
        "target_discovered": False,
        "target_wwn": [TARGET_A, TARGET_B],
        "target_lun": LUN,
        "initiator_target_map": {HOST_A: [TARGET_A], HOST_B: [TARGET_B]},
        **changes,
    }


def connection(**changes: Any) -> dict[str, Any]:
    """The connection itself."""
    return {
        "volume": {"name": "fc1", "id": "fc1-id", "size_bytes": SIZE, "backend": "lvm", "wwn": WWN},
        "host": "host2",
        "connector": {"host": "host2", "wwpns": [HOST_A, HOST_B], "multipath": True},
        "connection_info": {"driver_volume_type": "fibre_channel", "data": connection_data()},
        "connected": True,
        **changes,
    }
