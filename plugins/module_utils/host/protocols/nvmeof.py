# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NVMe over TCP: what a connection_info must hold, and where the volume is found on this host."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError, invalid
from ansible_collections.brickwork.storage.plugins.module_utils.host import nvme, nvme_sysfs
from ansible_collections.brickwork.storage.plugins.module_utils.host.found import Found
from ansible_collections.brickwork.storage.plugins.module_utils.host.nvme_sysfs import NvmePath
from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols.export import Export, Portal
from ansible_collections.brickwork.storage.plugins.module_utils.host.sysfs import Sysfs

# It becomes one of the kernel's options, which commas separate.
NQN = re.compile(r"nqn\.\d{4}-\d{2}\.[^\s,]+")
MOST_NQN_BYTES = 223
MOST_NSID = 0xFFFFFFFE
# As nvme-cli writes a secret for DH-HMAC-CHAP.
SECRET = re.compile(r"DHHC-1:0[0-3]:[A-Za-z0-9+/]+=*:")
RDMA = ("rdma", "rocev2")


@dataclass(frozen=True)
class NvmeExport(Export):
    """A namespace of a subsystem.

    Args:
        uuid: of the namespace, hexadecimal digits alone; the first of these three that is known tells it from the others.
        nguid: the same.
        nsid: its number in the subsystem.
        host_nqn: by which the target knows this host, where that is not the host's own.
        secret: with which this host proves itself; None without one.
        controller_secret: with which the target does.
    """

    uuid: Optional[str] = None
    nguid: Optional[str] = None
    nsid: Optional[str] = None
    host_nqn: Optional[str] = None
    secret: Optional[str] = field(default=None, repr=False)
    controller_secret: Optional[str] = field(default=None, repr=False)

    engine = "nvme"
    known_by = "nqn"
    has_sessions = True
    comes_with_session = True
    can_persist = True

    def find(self, view: Sysfs, wwn: Optional[str]) -> Found:
        wanted = {(portal.address, portal.target) for portal in self.portals}
        # Where the kernel does not tell by which name it connected, it did by any.
        host_names = (self.host_nqn or view.host_nqn(), "")
        sessions, came = [], []
        for controller in view.once(nvme_sysfs.controllers):
            session = controller.session
            if (session.portal, session.target) in wanted and controller.host_nqn in host_names:
                sessions.append(session)
                came += [(path, session) for path in self._own(controller.paths, wwn)]
        return nvme.found(view, came, sessions, wwn)

    def _own(self, paths: tuple[NvmePath, ...], wwn: Optional[str]) -> list[NvmePath]:
        """The volume among a controller's namespaces: a subsystem may have those of other volumes."""
        if self.uuid:
            return [path for path in paths if path.uuid == self.uuid]
        if self.nguid:
            return [path for path in paths if path.nguid == self.nguid]
        if self.nsid:
            return [path for path in paths if path.nsid == self.nsid]
        if wwn:
            return [path for path in paths if path.wwid == wwn]
        return list(paths) if len(paths) == 1 else []

    def links(self, wwid: Optional[str], multipath: bool) -> list[str]:
        return nvme.links(wwid, multipath)

    def attach_info(self, found: Found) -> dict[str, Any]:
        return {"type": "block", "path": found.node}

    def takes_map(self, view: Sysfs) -> bool:
        return not nvme_sysfs.joins_paths(view)

    def joins_paths(self, view: Sysfs) -> bool:
        return nvme_sysfs.joins_paths(view)

    def rescans(self, view: Sysfs, found: Found) -> list[tuple[str, str]]:
        return [
            (view.attribute_path(f"class/nvme/nvme{session.number}/rescan_controller"), "1")
            for session in found.sessions
            if session.works
        ]


def validate(data: dict[str, Any], where: str, secret_needed: bool) -> NvmeExport:
    """Check the C(data) of an NVMe connection_info, in any of the forms that os-brick reads.

    Args:
        data: in os-brick's form: one portal (C(nqn), C(target_portal), C(target_port), C(transport_type)), several (C(target_nqn),
            C(portals)), or one replica (C(volume_replicas)).
        where: the field's name in messages, C(connections[0].connection_info.data).
        secret_needed: not asked: a secret that is missing is one that the target does not want.

    Raises:
        StorageError: C(invalid_argument) naming the field, C(unimplemented) for RDMA and for a volume of several replicas.
    """
    if data.get("volume_replicas") is not None:
        data, where = _only_replica(data["volume_replicas"], f"{where}.volume_replicas")
    if data.get("target_nqn") is not None:
        target = _nqn(data["target_nqn"], f"{where}.target_nqn")
        addresses = _portals(data.get("portals"), f"{where}.portals")
    else:
        target = _nqn(data.get("nqn"), f"{where}.nqn")
        _transport(data.get("transport_type"), f"{where}.transport_type")
        address = _address(data.get("target_portal"), f"{where}.target_portal")
        addresses = [nvme_sysfs.portal_at(address, _port(data.get("target_port"), f"{where}.target_port"))]
    host_nqn, nsid = data.get("host_nqn"), data.get("ns_id")
    secret = _secret(data.get("dhchap_key"), f"{where}.dhchap_key")
    controller_secret = _secret(data.get("dhchap_ctrl_key"), f"{where}.dhchap_ctrl_key")
    if controller_secret and not secret:
        raise invalid(f"{where}.dhchap_key", "the host's own secret beside the controller's", None)
    return NvmeExport(
        tuple(Portal(address, target) for address in dict.fromkeys(addresses)),
        _identifier(data.get("vol_uuid"), f"{where}.vol_uuid"),
        _identifier(data.get("volume_nguid"), f"{where}.volume_nguid"),
        None if nsid is None else str(_number(nsid, f"{where}.ns_id", "the number of a namespace", MOST_NSID)),
        None if host_nqn is None else _nqn(host_nqn, f"{where}.host_nqn"),
        secret,
        controller_secret,
    )


def _only_replica(replicas: Any, where: str) -> tuple[dict[str, Any], str]:
    if not isinstance(replicas, list) or not replicas:
        raise invalid(where, "a list with one replica", replicas)
    if len(replicas) > 1:
        raise StorageError(
            "unimplemented",
            f"{where} has {len(replicas)} replicas, which os-brick would put together as a RAID; this version attaches volumes of "
            "one replica.",
            field=where,
        )
    if not isinstance(replicas[0], dict):
        raise invalid(f"{where}[0]", "a mapping with target_nqn, vol_uuid and portals", type(replicas[0]).__name__)
    return replicas[0], f"{where}[0]"


def _portals(given: Any, where: str) -> list[str]:
    if not isinstance(given, (list, tuple)) or not given:
        raise invalid(where, "a list of portals, each with an address, a port and a transport", given)
    addresses = []
    for index, portal in enumerate(given):
        one = f"{where}[{index}]"
        if not isinstance(portal, (list, tuple)) or len(portal) != 3:
            raise invalid(one, 'an address, a port and a transport, as in ["192.0.2.1", 4420, "tcp"]', portal)
        _transport(portal[2], f"{one}[2]")
        addresses.append(nvme_sysfs.portal_at(_address(portal[0], f"{one}[0]"), _port(portal[1], f"{one}[1]")))
    return addresses


def _address(value: Any, where: str) -> str:
    # The kernel takes no name, and a name could not be told from the address it stands for.
    expected = "an IP address, as in 192.0.2.1 or 2001:db8::1"
    if not isinstance(value, str):
        raise invalid(where, expected, value)
    try:
        nvme_sysfs.portal_at(value, 1)
    except ValueError:
        raise invalid(where, expected, value) from None
    return value


def _port(value: Any, where: str) -> int:
    return _number(value, where, "a port", 65535)


def _number(value: Any, where: str, what: str, most: int) -> int:
    if isinstance(value, str) and value.strip().isdigit():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise invalid(where, f"{what}, from 1 to {most}", value)
    return value


def _transport(value: Any, where: str) -> None:
    if not isinstance(value, str) or value.lower() not in ("tcp", *RDMA):
        raise invalid(where, "tcp", value)
    if value.lower() in RDMA:
        raise StorageError("unimplemented", f"{where} is {value!r}; this version attaches NVMe over tcp.", field=where)


def _nqn(value: Any, where: str) -> str:
    if not isinstance(value, str) or not NQN.fullmatch(value) or len(value.encode()) > MOST_NQN_BYTES:
        raise invalid(where, "an NQN, as in nqn.2026-11.org.example:db-data", value)
    return value


def _identifier(value: Any, where: str) -> Optional[str]:
    if value is None:
        return None
    try:
        return uuid.UUID(value).hex
    except (ValueError, AttributeError, TypeError):
        raise invalid(where, "32 hexadecimal digits, with or without hyphens, or null", value) from None


def _secret(value: Any, where: str) -> Optional[str]:
    if value is None:
        return None
    # The value is a secret: the message must not repeat it.
    if not isinstance(value, str) or not SECRET.fullmatch(value):
        raise invalid(where, "a secret as nvme gen-dhchap-key prints it, DHHC-1:00:...:", "***")
    return value
