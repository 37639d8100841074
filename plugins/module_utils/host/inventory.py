# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every volume that has come to this host, whoever attached it, and what came without one. It only reads."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Optional

from ansible_collections.brickwork.storage.plugins.module_utils.host import nvme, nvme_sysfs, rbd_mappings, scsi
from ansible_collections.brickwork.storage.plugins.module_utils.host.fibre_channel_ports import RemotePort, ports_of
from ansible_collections.brickwork.storage.plugins.module_utils.host.found import Found, FoundPath
from ansible_collections.brickwork.storage.plugins.module_utils.host.nvme_sysfs import Controller, NvmePath
from ansible_collections.brickwork.storage.plugins.module_utils.host.stack import Stacks
from ansible_collections.brickwork.storage.plugins.module_utils.host.sysfs import Disk, Session, Sysfs


@dataclass(frozen=True)
class Seen:
    """A volume on this host, known by what its device tells.

    Args:
        protocol: connection_info's driver_volume_type for it; None for a map over disks that came by none that we know.
        found: the volume.
        links: the paths to it that stay the same across reboots, the best first.
    """

    protocol: Optional[str]
    found: Found
    links: tuple[str, ...]


@dataclass(frozen=True)
class Inventory:
    """What there is on a host.

    Args:
        volumes: that have at least one path.
        sessions: all of iSCSI.
        controllers: all of NVMe over a network.
        remote_ports: all of Fibre Channel.
        port_of: the Fibre Channel port by which a disk came, by the disk's kernel name.
    """

    volumes: tuple[Seen, ...]
    sessions: tuple[Session, ...]
    controllers: tuple[Session, ...]
    remote_ports: tuple[RemotePort, ...]
    port_of: dict[str, RemotePort]


def survey(view: Sysfs) -> Inventory:
    """What there is on a host."""
    sessions = view.sessions()
    ports = [port for port in ports_of(view).remote if port.may_have_disks]
    controllers = nvme_sysfs.controllers_by_any_transport(view)
    disks: list[tuple[Disk, Optional[Session]]] = []
    port_of: dict[str, RemotePort] = {}
    for session in sessions:
        disks += [(disk, session) for disk in view.disks(session)]
    for port in ports:
        for disk in view.disks_below(port.directory, port.wwpn):
            disks.append((disk, None))
            port_of[disk.name] = port
    known = {disk.name for disk, _session in disks}
    for over in view.maps():
        others = [view.disk(name) for name in sorted(over.path_names.values()) if name not in known]
        disks += [(disk, None) for disk in others if disk]
    volumes = [_scsi(view, own, port_of) for own in _by_volume(view, disks)]
    volumes += _nvme(view, controllers)
    volumes += _rados(view)
    return Inventory(
        tuple(volumes), tuple(sessions), tuple(controller.session for controller in controllers), tuple(ports), port_of
    )


def unclaimed(
    view: Sysfs, inventory: Inventory, stacks: Stacks, claimed: Iterable[Found]
) -> list[dict[str, Optional[str]]]:
    """What came to this host and belongs to no volume.

    Args:
        view: the host.
        inventory: of it.
        stacks: what stands on its devices.
        claimed: the volumes that this collection attached, with the sessions and the map that are theirs even without a LUN.

    Returns:
        C(kind), C(name), C(problem), a sentence, and C(portal), C(target) and C(wwn) where they apply.
    """
    volumes = [*claimed, *(seen.found for seen in inventory.volumes)]
    ours = {(session.scsi_host is None, session.number) for found in volumes for session in found.sessions}
    maps = {found.multipath_map.name for found in volumes if found.multipath_map}
    left = []
    for session in inventory.sessions:
        if (False, session.number) not in ours:
            problem = (
                f"The iSCSI session with {session.target} by {session.portal} has no LUN ({session.state}). "
                f"Where nobody needs it, end it: iscsiadm -m session -r {session.number} -u."
            )
            left.append(
                _item(
                    "iscsi_session", f"session{session.number}", problem, portal=session.portal, target=session.target
                )
            )
    for controller in inventory.controllers:
        if (True, controller.number) not in ours:
            problem = (
                f"The NVMe controller for {controller.target} by {controller.portal} has no namespace ({controller.state}). "
                f"Where nobody needs it, disconnect it: nvme disconnect -d nvme{controller.number}."
            )
            left.append(
                _item(
                    "nvme_controller",
                    f"nvme{controller.number}",
                    problem,
                    portal=controller.portal,
                    target=controller.target,
                )
            )
    with_disks = {port.name for port in inventory.port_of.values()}
    for port in inventory.remote_ports:
        if port.name not in with_disks:
            problem = f"The Fibre Channel port {port.wwpn} shows this host no LUN ({port.state}). See what it exports to this host."
            left.append(_item("fc_remote_port", port.name, problem, portal=port.wwpn))
    for over in view.maps():
        if over.name not in maps and not over.path_names:
            points = [point for layer in stacks.over(Found(multipath_map=over)) for point in layer.mount_points]
            problem = (
                f"The multipath map {over.alias} of {over.wwid} has no path: what is written to it is lost or waits. "
                + (
                    f"It is still mounted at {', '.join(points)}."
                    if points
                    else f"Where nobody needs it, remove it: multipath -f {over.alias}."
                )
            )
            left.append(_item("multipath_map", over.name, problem, wwn=over.wwid))
    return left


def _item(
    kind: str,
    name: str,
    problem: str,
    portal: Optional[str] = None,
    target: Optional[str] = None,
    wwn: Optional[str] = None,
) -> dict[str, Optional[str]]:
    return {"kind": kind, "name": name, "problem": problem, "portal": portal, "target": target, "wwn": wwn}


def _by_volume(view: Sysfs, disks: list[tuple[Disk, Optional[Session]]]) -> list[list[tuple[Disk, Optional[Session]]]]:
    """The disks of each volume: those under one map, else those of one WWN, else each for itself."""
    over = {disk.name: view.map_over(disk.name) for disk, _session in disks}
    map_of_wwid = {found.wwid: found.name for found in over.values() if found}
    groups: dict[str, list[tuple[Disk, Optional[Session]]]] = {}
    for disk, session in disks:
        found = over[disk.name]
        # A path that the map has not taken up belongs to its volume all the same.
        key = found.name if found else map_of_wwid.get(disk.wwid or "", disk.wwid or disk.name)
        groups.setdefault(key, []).append((disk, session))
    return list(groups.values())


def _scsi(view: Sysfs, own: list[tuple[Disk, Optional[Session]]], port_of: dict[str, RemotePort]) -> Seen:
    sessions = {session.number: session for _disk, session in own if session}
    found = scsi.found(view, [disk for disk, _session in own], None, sessions.values())
    by_fibre_channel = any(disk.name in port_of for disk, _session in own)
    protocol = "iscsi" if sessions else "fibre_channel" if by_fibre_channel else None
    return Seen(protocol, found, tuple(scsi.links(found.wwid, found.multipath_map is not None)))


def _nvme(view: Sysfs, controllers: list[Controller]) -> list[Seen]:
    groups: dict[str, list[tuple[NvmePath, Session]]] = {}
    for controller in controllers:
        for path in controller.paths:
            key = path.namespace.name if path.namespace else path.wwid or path.name
            groups.setdefault(key, []).append((path, controller.session))
    return [_nvme_volume(view, sorted(own, key=lambda pair: pair[0].name)) for own in groups.values()]


def _nvme_volume(view: Sysfs, own: list[tuple[NvmePath, Session]]) -> Seen:
    found = nvme.found(view, own, [session for _path, session in own])
    return Seen("nvmeof", found, tuple(nvme.links(found.wwid, found.multipath_map is not None)))


def _rados(view: Sysfs) -> list[Seen]:
    volumes = []
    for mapping in rbd_mappings.mappings(view):
        path = FoundPath(mapping.device, mapping.name, "running", None, mapping.size_bytes, False)
        volumes.append(Seen("rbd", Found(paths=(path,)), (f"/dev/rbd/{mapping.name}",)))
    return volumes
