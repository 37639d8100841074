# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SCSI disks and the multipath maps over them, whichever protocol brought them. Nothing here touches the host."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Optional

from ansible_collections.brickwork.storage.plugins.module_utils.host.found import Found, FoundPath
from ansible_collections.brickwork.storage.plugins.module_utils.host.sysfs import (
    MPATH_UUID_PREFIX,
    Disk,
    MultipathMap,
    Session,
    Sysfs,
)

BY_ID = "/dev/disk/by-id/"


def found(view: Sysfs, disks: Iterable[Disk], wwn: Optional[str], sessions: Iterable[Session] = ()) -> Found:
    """What there is of a volume.

    Args:
        view: the host.
        disks: that came by the volume's portals.
        wwn: of the volume where it is known: finds a map that has lost all its paths.
        sessions: to its targets.
    """
    by_name = sorted(disks, key=lambda disk: disk.name)
    over = next(filter(None, (view.map_over(disk.name) for disk in by_name)), None)
    if over is None and wwn:
        over = view.map_of(wwn)
    names = {disk.name for disk in by_name}
    elsewhere = [view.disk(name) for name in sorted(over.path_names.values()) if name not in names] if over else []
    return Found(
        sessions=tuple(sessions),
        paths=tuple(_path(disk, over) for disk in by_name),
        multipath_map=over,
        others=tuple(_path(disk, over) for disk in elsewhere if disk),
    )


def of_volume(view: Sysfs, disks: Iterable[Disk], wwn: Optional[str]) -> list[Disk]:
    """Those of some disks that are not known to be another volume: a target may have given its LUN away since.

    Args:
        view: the host.
        disks: that came by the volume's portals.
        wwn: of the volume where it is known.
    """
    return [disk for disk in disks if wwn is None or _told_wwid(view, disk) in (None, wwn)]


def _told_wwid(view: Sysfs, disk: Disk) -> Optional[str]:
    """What a disk's map says it is, else what it says itself: a path of a map goes with it, whatever came in its place since."""
    uuids = [view.dm(holder, "uuid") for holder in view.holders(disk.name)]
    mapped = (uuid[len(MPATH_UUID_PREFIX) :] for uuid in uuids if uuid.startswith(MPATH_UUID_PREFIX))
    return next(mapped, disk.wwid)


def _path(disk: Disk, over: Optional[MultipathMap]) -> FoundPath:
    states = over.path_states if over else {}
    return FoundPath(
        disk.name,
        disk.portal,
        # What SCSI has given up is lost, whatever device-mapper still believes.
        states.get(disk.number, disk.state) if disk.state == "running" else disk.state,
        disk.wwid,
        disk.size_bytes,
        disk.number in states,
    )


def links(wwid: Optional[str], multipath: bool) -> list[str]:
    """The links that udev makes for a volume and that stay the same across reboots, the best first."""
    if wwid is None:
        return []
    if multipath:
        return [f"{BY_ID}dm-uuid-mpath-{wwid}"]
    return [f"{BY_ID}wwn-0x{wwid[1:]}", f"{BY_ID}scsi-{wwid}"]


def attach_info(volume: Found) -> dict[str, Any]:
    """What os-brick's connectors for SCSI return of a volume, and want back at the detach."""
    info: dict[str, Any] = {"type": "block", "scsi_wwn": volume.wwid, "path": volume.node}
    if volume.multipath_map:
        info["multipath_id"] = volume.wwid
    return info


def rescans(view: Sysfs, volume: Found) -> list[tuple[str, str]]:
    """The kernel attributes to write so that every path, others in the map too, tells its size and its identity anew."""
    running = [*volume.running_paths, *(path for path in volume.others if path.state == "running")]
    return [(view.attribute_path(f"block/{path.device}/device/rescan"), "1") for path in running]
