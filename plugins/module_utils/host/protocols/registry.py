# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The protocols by which a volume comes to this host."""

from __future__ import annotations

from typing import Any, Callable

from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols import (
    fibre_channel,
    iscsi,
    local,
    nfs,
    nvmeof,
    other,
    rbd,
)
from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols.export import Export

# By connection_info's driver_volume_type: what checks the data (the data, the field's name in messages, whether the secrets are
# needed) and makes an export of it.
PROTOCOLS: dict[str, Callable[[dict[str, Any], str, bool], Export]] = {
    "fibre_channel": fibre_channel.validate,
    "iscsi": iscsi.validate,
    "iser": iscsi.validate_iser,
    "local": local.validate,
    "nfs": nfs.validate,
    "nvme": nvmeof.validate,
    "nvmeof": nvmeof.validate,
    "rbd": rbd.validate,
    **{name: other.validator(name) for name in other.NAMES},
}
