# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NVMe namespaces and the multipath maps over them, whoever connected them. Nothing here touches the host."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Optional

from ansible_collections.brickwork.storage.plugins.module_utils.host import nvme_sysfs
from ansible_collections.brickwork.storage.plugins.module_utils.host.found import Found, FoundPath
from ansible_collections.brickwork.storage.plugins.module_utils.host.nvme_sysfs import NvmePath
from ansible_collections.brickwork.storage.plugins.module_utils.host.sysfs import MultipathMap, Session, Sysfs

BY_ID = "/dev/disk/by-id/"


def found(
    view: Sysfs, came: Iterable[tuple[NvmePath, Session]], sessions: Iterable[Session], wwn: Optional[str] = None
) -> Found:
    """What there is of a volume.

    Args:
        view: the host.
        came: its paths, each with the controller that it came by.
        sessions: the controllers that bring it, or are to.
        wwn: of the volume where it is known: finds a map that has lost all its paths.
    """
    own = sorted(came, key=lambda pair: pair[0].name)
    # multipathd takes paths that the kernel does not put together itself.
    over = next(filter(None, (view.map_over(path.name) for path, _session in own if not path.namespace)), None)
    if over is None and wwn:
        over = view.map_of(wwn)
    names = {path.name for path, _session in own}
    in_map = set(over.path_names.values()) if over else set()
    elsewhere = [
        (path, controller.session)
        for controller in view.once(nvme_sysfs.controllers)
        for path in controller.paths
        if path.name in in_map - names
    ]
    return Found(
        sessions=tuple(sessions),
        paths=tuple(_path(path, session.portal, over) for path, session in own),
        multipath_map=over,
        others=tuple(_path(path, session.portal, over) for path, session in elsewhere),
        namespace=next((path.namespace for path, _session in own if path.namespace), None),
    )


def links(wwid: Optional[str], multipath: bool) -> list[str]:
    """The links that udev makes for a volume and that stay the same across reboots."""
    if wwid is None:
        return []
    return [f"{BY_ID}dm-uuid-mpath-{wwid}" if multipath else f"{BY_ID}nvme-{wwid}"]


def _path(path: NvmePath, portal: str, over: Optional[MultipathMap]) -> FoundPath:
    states = over.path_states if over else {}
    return FoundPath(
        path.name,
        portal,
        states.get(path.number, path.state) if path.state == "running" else path.state,
        path.wwid,
        path.size_bytes,
        path.number in states,
    )
