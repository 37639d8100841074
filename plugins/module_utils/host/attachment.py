# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What C(volume_attach) returns of a volume."""

from __future__ import annotations

from typing import Any, Optional

from ansible_collections.brickwork.storage.plugins.module_utils.host.connection import Connection
from ansible_collections.brickwork.storage.plugins.module_utils.host.encryption import Opened, path_of
from ansible_collections.brickwork.storage.plugins.module_utils.host.found import Found
from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols.export import Export
from ansible_collections.brickwork.storage.plugins.module_utils.host.sysfs import Sysfs


def stable_link(view: Sysfs, export: Export, found: Found) -> Optional[str]:
    """The link to the volume found; None while udev has not made it."""
    if found.file:
        return found.file
    # Without a map it leads to the path that udev saw last, whichever that is.
    one = found.multipath_map or found.namespace
    devices = {one.name} if one else {path.device for path in found.paths}
    candidates = export.links(found.wwid, found.multipath_map is not None)
    return next((link for link in candidates if view.link_target(link) in devices), None)


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
        "device": found.node,
        "wwn": found.wwid,
        "multipath": found.joins_paths,
        "paths": [
            {
                # The kernel gives no node to a path that it has put into a namespace.
                "device": found.file or (path.device if found.namespace else f"/dev/{path.device}"),
                "portal": path.portal,
                "state": path.state,
            }
            for path in found.paths
        ],
        "missing_paths": missing,
        "size_bytes": found.size_bytes,
        "encrypted": False,
        "underlying_path": None,
        "attach_info": info,
    }


def opened(beneath: dict[str, Any], name: str, device: Optional[Opened]) -> dict[str, Any]:
    """The attachment of an encrypted volume: what is used is the opened device.

    Args:
        beneath: the same without encryption.
        name: of the opened device, device-mapper's.
        device: the opened device; None where it is not open, as in check mode.
    """
    return {
        **beneath,
        "path": path_of(name),
        "device": device.node if device else None,
        "size_bytes": device.size_bytes if device else None,
        "encrypted": True,
        "underlying_path": beneath["path"],
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
        "encrypted": False,
        "underlying_path": None,
        "attach_info": {},
    }


def predicted(connection: Connection, host: str, multipath_map: bool, joins_paths: bool) -> dict[str, Any]:
    """The same shape for what an attach would bring, as far as it can be known.

    Args:
        connection: of the volume.
        host: this host's name.
        multipath_map: whether the volume would stand under a map.
        joins_paths: whether one device, that map or another, would stand for all the paths.
    """
    volume = connection.volume
    links = connection.export.links(volume.wwn, multipath_map) if connection.export.portals else []
    return {
        **not_attached(volume.as_dict(), host),
        "path": next(iter(links), None),
        "multipath": joins_paths,
        "size_bytes": volume.size_bytes,
    }
