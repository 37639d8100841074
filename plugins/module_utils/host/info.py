# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What C(volume_attach_info) returns: every volume on this host, recorded or not, and whether it is well. It changes nothing."""

from __future__ import annotations

import difflib
import socket
from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.host import attachment
from ansible_collections.brickwork.storage.plugins.module_utils.host.connection import recorded
from ansible_collections.brickwork.storage.plugins.module_utils.host.encryption import name_of, opened_as
from ansible_collections.brickwork.storage.plugins.module_utils.host.found import Found
from ansible_collections.brickwork.storage.plugins.module_utils.host.health import Actual, Expected, judge
from ansible_collections.brickwork.storage.plugins.module_utils.host.inventory import Inventory, Seen, survey, unclaimed
from ansible_collections.brickwork.storage.plugins.module_utils.host.plan import Wanted, missing_portals
from ansible_collections.brickwork.storage.plugins.module_utils.host.records import Record, Records, by_name
from ansible_collections.brickwork.storage.plugins.module_utils.host.stack import Stacks
from ansible_collections.brickwork.storage.plugins.module_utils.host.sysfs import Sysfs
from ansible_collections.brickwork.storage.plugins.module_utils.names import names_of_volumes
from ansible_collections.brickwork.storage.plugins.module_utils.results import Outcome, batch_result


@dataclass(frozen=True)
class _Volume:
    """A volume on this host.

    Args:
        volume: as the connection tells it, or what the device tells.
        protocol: by which it came; None where that is not known.
        found: the volume.
        link: the path to it that stays the same across reboots; None while there is none.
        expected: what its record promises; None where it has no record.
        attach_info: of the record.
    """

    volume: dict[str, Any]
    protocol: Optional[str]
    found: Found
    link: Optional[str]
    expected: Optional[Expected] = None
    attach_info: dict[str, Any] = field(default_factory=dict)

    @property
    def order(self) -> tuple[bool, str, str, str]:
        """By name; those without one last, by WWN."""
        name = self.volume["name"]
        return (name is None, name or "", self.volume["wwn"] or "", self.found.node or "")

    @property
    def wwns(self) -> set[str]:
        return self.found.wwids | ({self.volume["wwn"]} if self.volume["wwn"] else set())


def info(params: dict[str, Any], view: Sysfs, records: Records) -> dict[str, Any]:
    """Look at a host.

    Args:
        params: of C(volume_attach_info).
        view: the host.
        records: of its attachments.

    Returns:
        The module's result.
    """
    host = socket.gethostname()
    known, inventory, now = records.all(), survey(view), view.glance()
    with_record = [_with_record(now, record, inventory) for record in known]
    devices = {name for volume in with_record for name in volume.found.devices}
    without_record = [_without_record(view, seen) for seen in inventory.volumes if not seen.found.devices & devices]
    stacks = Stacks(view)
    outcomes = []
    for name, volume in _asked_for(params, known, with_record, without_record):
        if isinstance(volume, StorageError):
            outcomes.append(Outcome(name, error=volume))
        else:
            outcomes.append(Outcome(name, _shape(view, stacks, inventory, volume, host)))
    result = batch_result("attachments", outcomes)
    del result["changed_volumes"]
    result["unclaimed"] = unclaimed(view, inventory, stacks, [volume.found for volume in with_record])
    return result


def _with_record(view: Sysfs, record: Record, inventory: Inventory) -> _Volume:
    connection = recorded(record.connection)
    export = connection.export.knowing(record.attach_info)
    wwn = connection.volume.wwn or record.wwn
    found = export.find(view, wwn)
    if wwn and not found.paths:
        # It may have come by other portals than those of the connection.
        found = next((seen.found for seen in inventory.volumes if wwn in seen.found.wwids), found)
    wanted = Wanted(connection, record.multipath, 1, record.persistent)
    data = record.connection["connection_info"]["data"]
    expected = Expected(
        record.attached,
        record.multipath,
        connection.export.takes_map(view),
        tuple(missing_portals(wanted, found)),
        wwn,
        connection.volume.size_bytes,
        data.get("access_mode") == "ro",
        name_of(connection.volume.id) if record.encrypted else None,
    )
    link = attachment.stable_link(view, export, found) if found.node else None
    return _Volume(connection.volume.as_dict(), connection.protocol, found, link, expected, record.attach_info)


def _without_record(view: Sysfs, seen: Seen) -> _Volume:
    found = seen.found
    told = {"name": None, "id": None, "size_bytes": found.size_bytes, "backend": None, "wwn": found.wwid}
    link = next((link for link in seen.links if view.link_target(link) in found.devices), None)
    return _Volume(told, seen.protocol, found, link)


def _asked_for(
    params: dict[str, Any], known: list[Record], with_record: list[_Volume], without_record: list[_Volume]
) -> list[tuple[str, _Volume | StorageError]]:
    """The volumes to tell of, each with its name, or why it cannot be told of."""
    everything = sorted([*with_record, *without_record], key=lambda volume: volume.order)
    backend = params["backend"]
    if params["volumes"] is None:
        wanted = [volume for volume in everything if backend in (None, volume.volume["backend"])]
        return [(str(volume.volume["name"] or volume.volume["wwn"] or volume.found.node), volume) for volume in wanted]
    by_id = {volume.volume["id"]: volume for volume in with_record}
    asked: list[tuple[str, _Volume | StorageError]] = []
    for name in names_of_volumes(params["volumes"]):
        try:
            record = by_name(known, name, backend)
            if record:
                asked.append((name, by_id[record.volume["id"]]))
            else:
                asked.append((name, _by_wwn(name, backend, everything)))
        except StorageError as error:
            asked.append((name, error))
    return asked


def _by_wwn(name: str, backend: Optional[str], everything: list[_Volume]) -> _Volume:
    candidates = [volume for volume in everything if backend in (None, volume.volume["backend"])]
    for volume in candidates:
        if name.lower() in volume.wwns:
            return volume
    names = {str(volume.volume["name"]) for volume in candidates if volume.volume["name"]}
    near = difflib.get_close_matches(name, sorted(names.union(*(volume.wwns for volume in candidates))))
    of_backend = f" of the backend {backend}" if backend else ""
    hint = (
        f" Near names: {', '.join(near)}."
        if near
        else " Attach it first, or leave volumes out to see all that there is."
    )
    raise StorageError(
        "not_found", f"This host knows no volume {name}{of_backend}, by name or WWN.{hint}", candidates=near or None
    )


def _shape(view: Sysfs, stacks: Stacks, inventory: Inventory, volume: _Volume, host: str) -> dict[str, Any]:
    """An attachment as the module returns it."""
    found, expected = volume.found, volume.expected
    layers = stacks.over(found)
    read_only = tuple(name for name in sorted(found.devices) if view.is_read_only(name))
    linked = volume.link is not None or expected is None
    missing = list(expected.missing_paths) if expected else []
    if found.node:
        shaped = attachment.attached(volume.volume, host, found, volume.link, volume.attach_info, missing)
    else:
        shaped = {**attachment.not_attached(volume.volume, host), "missing_paths": missing}
    if found.node and expected and expected.opened_as:
        shaped = attachment.opened(shaped, expected.opened_as, opened_as(view, expected.opened_as))
    ports = {port.name: port for port in (inventory.port_of.get(path.device) for path in found.paths) if port}
    return {
        **shaped,
        "protocol": volume.protocol,
        "recorded": expected is not None,
        "sessions": [
            {
                "name": f"session{session.number}",
                "target": session.target,
                "portal": session.portal,
                "state": session.state,
            }
            for session in found.sessions
            if session.scsi_host is not None
        ],
        "controllers": [
            {
                "name": f"nvme{controller.number}",
                "subsystem": controller.target,
                "portal": controller.portal,
                "state": controller.state,
            }
            for controller in found.sessions
            if controller.scsi_host is None
        ],
        "remote_ports": [
            {"name": port.name, "wwpn": port.wwpn, "state": port.state} for _name, port in sorted(ports.items())
        ],
        "map": _map(found),
        "stack": [layer.as_dict() for layer in layers],
        "health": judge(Actual(found, tuple(layers), read_only, linked), expected),
    }


def _map(found: Found) -> Optional[dict[str, Any]]:
    """What is over the paths; None where nothing is."""
    over = found.multipath_map or found.namespace
    if over is None:
        return None
    return {
        "device": f"/dev/{over.name}",
        "kind": "multipath" if found.multipath_map else "nvme",
        "name": found.multipath_map.alias if found.multipath_map else over.name,
        "wwn": over.wwid,
        "size_bytes": over.size_bytes,
        "read_only": over.read_only,
    }
