# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The protocols by which a volume comes to this host.

Each is imported where a connection asks for it: a repeat that finds nothing to do takes little longer than its imports.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols.export import Export

# Those that os-brick mounts, those whose volumes are files, and all that pass through it.
MOUNTED = ("glusterfs", "quobyte", "vzstorage")
FILE_SYSTEMS = (*MOUNTED, "gpfs")
OTHERS = (*FILE_SYSTEMS, "huaweisdshypervisor", "lightos", "scaleio", "storpool", "vmdk")

# As connection_info's driver_volume_type names them.
PROTOCOLS = ("fibre_channel", "iscsi", "iser", "local", "nfs", "nvme", "nvmeof", "rbd", *OTHERS)


def validate(protocol: str, data: dict[str, Any], where: str, secret_needed: bool) -> Export:
    """Check the data of a connection, and make an export of it.

    Args:
        protocol: one of PROTOCOLS.
        data: as a target driver gave it.
        where: the field's name in messages.
        secret_needed: whether the secrets must be there.

    Raises:
        StorageError: C(invalid_argument), naming the field and what was expected.
    """
    if protocol == "fibre_channel":
        from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols import fibre_channel

        return fibre_channel.validate(data, where, secret_needed)
    if protocol == "iscsi":
        from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols import iscsi

        return iscsi.validate(data, where, secret_needed)
    if protocol == "iser":
        from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols import iscsi

        return iscsi.validate_iser(data, where, secret_needed)
    if protocol == "local":
        from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols import local

        return local.validate(data, where, secret_needed)
    if protocol == "nfs":
        from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols import nfs

        return nfs.validate(data, where, secret_needed)
    if protocol in ("nvme", "nvmeof"):
        from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols import nvmeof

        return nvmeof.validate(data, where, secret_needed)
    if protocol == "rbd":
        from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols import rbd

        return rbd.validate(data, where, secret_needed)
    from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols import other

    return other.validate(protocol, data, where)
