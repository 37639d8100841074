# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host connects as, by the protocol of the driver."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.brickwork.storage.plugins.module_utils.controller import rules
from ansible_collections.brickwork.storage.plugins.module_utils.controller.backend import Holder
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder.store import AttachmentRecord
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder.translation import KNOWN_BY
from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm.fibre_channel import (
    WWPNS_FORM,
    normal_wwpn,
)
from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm.iscsi import INITIATOR, INITIATOR_FORM
from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm.nvmet import NQN, NQN_FORM
from ansible_collections.brickwork.storage.plugins.module_utils.errors import invalid


def holder(protocol: str, connector: Mapping[str, Any]) -> Holder:
    """The host that a connector describes.

    Raises:
        StorageError: C(invalid_argument), where the connector lacks what the protocol needs.
    """
    host, multipath = rules.connector_host(connector), rules.connector_multipath(connector)
    known_by = KNOWN_BY.get(protocol, "host")
    if known_by == "host":
        # Whoever reaches the network storage with its key may use the volume.
        return Holder(host, host, multipath, known_by)
    given = connector.get(known_by)
    if known_by == "wwpns":
        wwpns = [normal_wwpn(one) for one in given] if isinstance(given, list) else []
        if not wwpns or not all(wwpns):
            raise invalid("connector.wwpns", WWPNS_FORM, given)
        return Holder(host, "+".join(sorted({str(wwpn) for wwpn in wwpns})), multipath, known_by)
    # iSCSI names are compared in lower case.
    name = given.lower() if isinstance(given, str) and known_by == "initiator" else given
    form, meaning = (NQN, NQN_FORM) if known_by == "nqn" else (INITIATOR, INITIATOR_FORM)
    if not isinstance(name, str) or not form.fullmatch(name):
        raise invalid(f"connector.{known_by}", meaning, given)
    return Holder(host, name, multipath, known_by)


def holder_of(record: AttachmentRecord) -> Holder:
    """The host of an attachment on record."""
    return Holder(record.host, record.initiator, record.multipath, record.known_by)
