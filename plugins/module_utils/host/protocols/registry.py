# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The protocols by which a volume comes to this host.

Each is imported where a connection asks for it: a repeat that finds nothing to do takes little longer than its imports.
"""

from __future__ import annotations

from typing import Any, Callable

from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols.export import Export

Validator = Callable[[dict[str, Any], str, bool], Export]

# Those that os-brick mounts, and all that pass through it.
FILE_SYSTEMS = ("glusterfs", "quobyte", "vzstorage")
OTHERS = (*FILE_SYSTEMS, "gpfs", "huaweisdshypervisor", "lightos", "scaleio", "storpool", "vmdk")


def _fibre_channel(data: dict[str, Any], where: str, secret_needed: bool) -> Export:
    from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols import fibre_channel

    return fibre_channel.validate(data, where, secret_needed)


def _iscsi(data: dict[str, Any], where: str, secret_needed: bool) -> Export:
    from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols import iscsi

    return iscsi.validate(data, where, secret_needed)


def _iser(data: dict[str, Any], where: str, secret_needed: bool) -> Export:
    from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols import iscsi

    return iscsi.validate_iser(data, where, secret_needed)


def _local(data: dict[str, Any], where: str, secret_needed: bool) -> Export:
    from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols import local

    return local.validate(data, where, secret_needed)


def _nfs(data: dict[str, Any], where: str, secret_needed: bool) -> Export:
    from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols import nfs

    return nfs.validate(data, where, secret_needed)


def _nvme(data: dict[str, Any], where: str, secret_needed: bool) -> Export:
    from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols import nvmeof

    return nvmeof.validate(data, where, secret_needed)


def _rbd(data: dict[str, Any], where: str, secret_needed: bool) -> Export:
    from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols import rbd

    return rbd.validate(data, where, secret_needed)


def _other(protocol: str) -> Validator:
    def validate(data: dict[str, Any], where: str, secret_needed: bool) -> Export:
        from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols import other

        return other.validate(protocol, data, where)

    return validate


# By connection_info's driver_volume_type: what checks the data (the data, the field's name in messages, whether the secrets are
# needed) and makes an export of it.
PROTOCOLS: dict[str, Validator] = {
    "fibre_channel": _fibre_channel,
    "iscsi": _iscsi,
    "iser": _iser,
    "local": _local,
    "nfs": _nfs,
    "nvme": _nvme,
    "nvmeof": _nvme,
    "rbd": _rbd,
    **{name: _other(name) for name in OTHERS},
}
