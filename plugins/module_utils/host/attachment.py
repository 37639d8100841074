# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What C(volume_attach) returns of a volume."""

from __future__ import annotations

from typing import Any, Optional

from ansible_collections.brickwork.storage.plugins.module_utils.host.found import Found
from ansible_collections.brickwork.storage.plugins.module_utils.host.sysfs import Sysfs

BY_ID = "/dev/disk/by-id/"


def links(wwid: Optional[str], multipath: bool) -> list[str]:
    """The links that udev makes for a volume and that stay the same across reboots, the best first."""
    if wwid is None:
        return []
    if multipath:
        return [f"{BY_ID}dm-uuid-mpath-{wwid}"]
    return [f"{BY_ID}wwn-0x{wwid[1:]}", f"{BY_ID}scsi-{wwid}"]


def stable_link(view: Sysfs, found: Found) -> Optional[str]:
    """The link to the device found; None while udev has not made it."""
    # Without a map it leads to the path that udev saw last, whichever that is.
    devices = {found.multipath_map.name} if found.multipath_map else {path.device for path in found.paths}
    candidates = links(found.wwid, found.multipath_map is not None)
    return next((link for link in candidates if view.link_target(link) in devices), None)


def attach_info(found: Found) -> dict[str, Any]:
    """The device in the form in which os-brick's iSCSI connector returns it and wants it back at the detach."""
    info: dict[str, Any] = {"type": "block", "scsi_wwn": found.wwid, "path": f"/dev/{found.device}"}
    if found.multipath_map:
        info["multipath_id"] = found.wwid
    return info


def attached(
    volume: dict[str, Any], host: str, found: Found, link: Optional[str], info: dict[str, Any], missing: list[str]
) -> dict[str, Any]:
    """An attachment.

    Args:
        volume: of the connection.
        host: this host's name.
        found: the volume on this host.
        link: the stable path.
        info: what the first attach returned in os-brick's form.
        missing: the portals by which no path came.
    """
    return {
        "volume": volume,
        "host": host,
        "attached": True,
        "path": link,
        "device": f"/dev/{found.device}",
        "wwn": found.wwid,
        "multipath": found.multipath_map is not None,
        "paths": [
            {"device": f"/dev/{path.device}", "portal": path.portal, "state": path.state} for path in found.paths
        ],
        "missing_paths": missing,
        "size_bytes": found.size_bytes,
        "attach_info": info,
    }


def not_attached(volume: dict[str, Any], host: str) -> dict[str, Any]:
    """The same shape for a volume that is not on this host."""
    return {
        "volume": volume,
        "host": host,
        "attached": False,
        "path": None,
        "device": None,
        "wwn": volume.get("wwn"),
        "multipath": False,
        "paths": [],
        "missing_paths": [],
        "size_bytes": None,
        "attach_info": {},
    }


def predicted(volume: dict[str, Any], host: str, multipath: bool, size_bytes: Optional[int]) -> dict[str, Any]:
    """The same shape for what an attach would bring, as far as it can be known."""
    return {
        **not_attached(volume, host),
        "path": next(iter(links(volume.get("wwn"), multipath)), None),
        "multipath": multipath,
        "size_bytes": size_bytes,
    }
