# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a volume was found on this host, whatever its protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from ansible_collections.brickwork.storage.plugins.module_utils.host.sysfs import MultipathMap, Session


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
        sessions: to its targets.
        paths: its devices, by name.
        multipath_map: over the paths.
        map_has_others: whether the map has paths that did not come by the volume's portals.
    """

    sessions: tuple[Session, ...] = ()
    paths: tuple[FoundPath, ...] = ()
    multipath_map: Optional[MultipathMap] = None
    map_has_others: bool = False

    @property
    def anything(self) -> bool:
        return bool(self.sessions or self.paths or self.own_map)

    @property
    def running_paths(self) -> list[FoundPath]:
        return [path for path in self.paths if path.state == "running"]

    @property
    def own_map(self) -> Optional[MultipathMap]:
        """The map, where it is the volume's alone."""
        return None if self.map_has_others else self.multipath_map

    @property
    def wwids(self) -> set[str]:
        found = {path.wwid for path in self.paths if path.wwid}
        return found | {self.multipath_map.wwid} if self.multipath_map else found

    @property
    def wwid(self) -> Optional[str]:
        """What the volume calls itself; None where nothing was found or it tells nothing."""
        return min(self.wwids, default=None)

    @property
    def device(self) -> Optional[str]:
        """The kernel name of what a file system would stand on: the map where there is one, else the first path."""
        if self.multipath_map:
            return self.multipath_map.name
        return self.paths[0].device if self.paths else None

    @property
    def size_bytes(self) -> Optional[int]:
        """The smallest size that any part of it has: what is safe to use."""
        sizes = [path.size_bytes for path in self.paths]
        if self.multipath_map:
            sizes.append(self.multipath_map.size_bytes)
        return min(sizes, default=None)
