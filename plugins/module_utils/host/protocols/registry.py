# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The protocols by which a volume comes to this host.

Each is imported where a connection asks for it: a repeat that finds nothing to do takes little longer than its imports.
"""

from __future__ import annotations

from typing import Any, Callable

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
    return _of(protocol)[1](data, where, secret_needed)


def unmade(protocol: str) -> Export:
    """An export that does not exist yet, and of which nothing but its protocol is known.

    Args:
        protocol: one of PROTOCOLS.
    """
    return _of(protocol)[0](())


def _of(protocol: str) -> tuple[Callable[[tuple[()]], Export], Callable[[dict[str, Any], str, bool], Export]]:
    """What makes an export of its portals alone, and what of data."""
    if protocol == "fibre_channel":
        from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols import fibre_channel

        return fibre_channel.FibreChannelExport, fibre_channel.validate
    if protocol in ("iscsi", "iser"):
        from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols import iscsi

        return iscsi.IscsiExport, iscsi.validate if protocol == "iscsi" else iscsi.validate_iser
    if protocol == "local":
        from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols import local

        return local.LocalExport, local.validate
    if protocol == "nfs":
        from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols import nfs

        return nfs.NfsExport, nfs.validate
    if protocol in ("nvme", "nvmeof"):
        from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols import nvmeof

        return nvmeof.NvmeExport, nvmeof.validate
    if protocol == "rbd":
        from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols import rbd

        return rbd.RbdExport, rbd.validate
    from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols import other

    return other.kind_of(protocol), lambda data, where, _secret_needed: other.validate(protocol, data, where)
