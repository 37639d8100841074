# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a volume was found on this host, whatever its protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from ansible_collections.brickwork.storage.plugins.module_utils.host.sysfs import MultipathMap, Namespace, Session


@dataclass(frozen=True)
class FoundPath:
    """A path to the volume.

    Args:
        device: kernel name, C(sda).
        portal: by which it came.
        state: C(running), or what is wrong with it.
        wwid: of the device, None where it tells none.
        size_bytes: as the kernel sees it.
        in_map: whether the multipath map has it.
    """

    device: str
    portal: str
    state: str
    wwid: Optional[str]
    size_bytes: int
    in_map: bool


@dataclass(frozen=True)
class Found:
    """What there is of a volume.

    Args:
        sessions: to its targets; for NVMe its controllers.
        paths: its devices, by name.
        multipath_map: over the paths.
        others: paths of the map that did not come by the volume's portals: left from an earlier export, or somebody else's.
        namespace: that the kernel itself made of several NVMe paths.
        file: for a volume that is no block device.
    """

    sessions: tuple[Session, ...] = ()
    paths: tuple[FoundPath, ...] = ()
    multipath_map: Optional[MultipathMap] = None
    others: tuple[FoundPath, ...] = ()
    namespace: Optional[Namespace] = None
    file: Optional[str] = None

    @property
    def anything(self) -> bool:
        return bool(self.sessions or self.paths or self.own_map)

    @property
    def running_paths(self) -> list[FoundPath]:
        return [path for path in self.paths if path.state == "running"]

    @property
    def own_map(self) -> Optional[MultipathMap]:
        """The map, where it is the volume's alone."""
        return None if self.others else self.multipath_map

    @property
    def joins_paths(self) -> bool:
        """Whether one device stands for several paths."""
        return self.multipath_map is not None or (self.namespace is not None and len(self.paths) > 1)

    @property
    def wwids(self) -> set[str]:
        over = self.multipath_map or self.namespace
        return {wwid for wwid in [over and over.wwid, *(path.wwid for path in self.paths)] if wwid}

    @property
    def wwid(self) -> Optional[str]:
        """What the volume calls itself; None where nothing was found or it tells nothing."""
        return min(self.wwids, default=None)

    @property
    def device(self) -> Optional[str]:
        """The kernel name of what a file system would stand on: what is over the paths where there is something, else the first path."""
        over = self.multipath_map or self.namespace
        if over:
            return over.name
        return self.paths[0].device if self.paths and not self.file else None

    @property
    def devices(self) -> set[str]:
        """The kernel names of all that belongs to it; a file has none."""
        if self.file:
            return set()
        own = {path.device for path in self.paths}
        return own | {self.device} if self.device else own

    @property
    def node(self) -> Optional[str]:
        """The same as a path: of the device, or of the file that takes its place."""
        return f"/dev/{self.device}" if self.device else self.file

    @property
    def nodes_to_flush(self) -> list[str]:
        """What has data of its own to write: without a map each path is a device of its own."""
        if self.multipath_map or self.namespace or self.file:
            return [self.node] if self.node else []
        return [f"/dev/{path.device}" for path in self.paths]

    @property
    def size_bytes(self) -> Optional[int]:
        """The smallest size that any part of it has: what is safe to use."""
        over = self.multipath_map or self.namespace
        sizes = [path.size_bytes for path in self.paths]
        return min([*sizes, over.size_bytes] if over else sizes, default=None)
