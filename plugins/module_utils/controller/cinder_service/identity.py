# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host is to a Cinder service, by the protocol of the driver behind that. All of it pure.

The service never tells which protocol it is before there is a connection, and never what a host connected as. The first is an option
of the section, and compared with the first connection that is made; the second is kept with the volume, see records.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.brickwork.storage.plugins.module_utils.controller import identity
from ansible_collections.brickwork.storage.plugins.module_utils.controller.backend import Holder
from ansible_collections.brickwork.storage.plugins.module_utils.errors import invalid

# The key of a record is limited to 255 characters, and so is its text; see records.py.
MOST_HOST_CHARACTERS = 238
MOST_INITIATOR_CHARACTERS = 208


@dataclass(frozen=True)
class Protocol:
    """How hosts reach the volumes of the driver behind a service.

    Args:
        option: as the service's own drivers call it (C(storage_protocol)).
        types: the C(driver_volume_type) of its connections, the usual one first.
        known_by: the connector's field with what a host connects as.
    """

    option: str
    types: tuple[str, ...]
    known_by: str


PROTOCOLS = {
    protocol.option.lower(): protocol
    for protocol in (
        Protocol("iSCSI", ("iscsi", "iser"), "initiator"),
        Protocol("FC", ("fibre_channel",), "wwpns"),
        Protocol("NVMe-oF", ("nvmeof",), "nqn"),
        # The clients of these have no name of their own: a host is what it is called.
        Protocol("ceph", ("rbd",), "host"),
        Protocol("NFS", ("nfs",), "host"),
    )
}


def holder_of(connector: Mapping[str, Any], protocol: Protocol) -> Holder:
    """The host that a connector describes.

    Raises:
        StorageError: C(invalid_argument), where the connector lacks what the protocol needs.
    """
    holder = identity.holder(protocol.known_by, connector)
    if len(holder.host) > MOST_HOST_CHARACTERS:
        raise invalid(
            "connector.host", f"at most {MOST_HOST_CHARACTERS} characters, which a Cinder service can keep", holder.host
        )
    if len(holder.initiator) > MOST_INITIATOR_CHARACTERS:
        raise invalid(
            f"connector.{protocol.known_by}",
            f"at most {MOST_INITIATOR_CHARACTERS} characters, or 12 WWPNs, which a Cinder service can keep",
            connector.get(protocol.known_by),
        )
    return holder


def connector_of(holder: Holder) -> dict[str, Any]:
    """What is known of the connector of a host that is on record."""
    known = sorted(holder.names) if holder.known_by == "wwpns" else holder.initiator
    return {"host": holder.host, holder.known_by: known, "multipath": holder.multipath}
