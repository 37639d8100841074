# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host connects as, by the protocol of the driver."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.brickwork.storage.plugins.module_utils.controller import identity
from ansible_collections.brickwork.storage.plugins.module_utils.controller.backend import Holder
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder.store import AttachmentRecord
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder.translation import KNOWN_BY


def holder(protocol: str, connector: Mapping[str, Any]) -> Holder:
    """The host that a connector describes; see controller/identity.py."""
    return identity.holder(KNOWN_BY.get(protocol, "host"), connector)


def holder_of(record: AttachmentRecord) -> Holder:
    """The host of an attachment on record."""
    return Holder(record.host, record.initiator, record.multipath, record.known_by)
