# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every protocol tells of an exported volume, and how it finds one on this host."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Optional

from ansible_collections.brickwork.storage.plugins.module_utils.host.found import Found
from ansible_collections.brickwork.storage.plugins.module_utils.host.sysfs import Sysfs


@dataclass(frozen=True)
class Portal:
    """One way to the volume.

    Args:
        address: what answers there, C(10.0.0.1:3260), or a port's WWPN.
        target: the name behind it: an IQN, an NQN.
        lun: on the target; 0 for a protocol that has none.
    """

    address: str
    target: str
    lun: int = 0

    @property
    def host_and_port(self) -> tuple[str, int]:
        host, _colon, port = self.address.rpartition(":")
        return host.strip("[]"), int(port)


@dataclass(frozen=True)
class Export(ABC):
    """An exported volume, as connection_info tells of it.

    A protocol is a class of this kind. It only reads; what acts on the host is its engine.

    Args:
        portals: the ways to it; without multipath the first that works is used. None where check mode predicts an export
            that only its maker will know: such a volume is looked for nowhere.
    """

    portals: tuple[Portal, ...]

    # What brings such a volume to this host: a name in engines/registry.py.
    engine: ClassVar[str]
    # The connector's key for the names by which the target knows this host, one of which suffices; None where it asks for none.
    known_by: ClassVar[Optional[str]] = None
    # Whether a portal has a session of its own on this host.
    has_sessions: ClassVar[bool] = False
    # Whether its device is there for as long as a session is, whoever needs that: no LUN can be taken away alone.
    comes_with_session: ClassVar[bool] = False
    # Whether the device tells a WWN, so that one without is not ready yet.
    has_wwn: ClassVar[bool] = True
    # Whether it can be made to come back when the host boots.
    can_persist: ClassVar[bool] = False
    # Whether it can come by several portals at once; multipath means nothing to one that cannot.
    several_paths: ClassVar[bool] = True
    # Whether it is a file rather than a block device.
    is_file: ClassVar[bool] = False
    # Whether the host shows it also while it is not attached, so that the record alone tells that it is.
    record_decides: ClassVar[bool] = False
    # Whether the file system that brought it stays mounted when it is detached.
    stays_mounted: ClassVar[bool] = False

    @property
    def addresses(self) -> list[str]:
        return [portal.address for portal in self.portals]

    def names(self, connector: Any) -> frozenset[str]:
        """The names by which the target knows a host, as the host's connector tells them; empty where it does not."""
        given = connector.get(self.known_by) if isinstance(connector, dict) and self.known_by else None
        return frozenset(name for name in (given if isinstance(given, list) else [given]) if isinstance(name, str))

    def for_host(self, names: frozenset[str]) -> Export:
        """The part of it that is meant for a host with some names, where an export says which part is for whom."""
        return self

    def knowing(self, attach_info: Mapping[str, Any]) -> Export:
        """The same volume for one who has attached it.

        Args:
            attach_info: what the attach returned, in os-brick's form; empty where it is not known.
        """
        return self

    @abstractmethod
    def find(self, view: Sysfs, wwn: Optional[str]) -> Found:
        """Where the volume is on this host.

        Args:
            view: the host.
            wwn: of the volume where it is known: finds a map that has lost all its paths.
        """

    def find_own(self, view: Sysfs, wwn: Optional[str]) -> Found:
        """The same without what is known to be another volume, where the place of this one may have been given to another."""
        return self.find(view, wwn)

    @abstractmethod
    def links(self, wwid: Optional[str], multipath: bool) -> list[str]:
        """The paths that stay the same across reboots, the best first.

        Args:
            wwid: what the device calls itself.
            multipath: whether it is a multipath map.
        """

    @abstractmethod
    def attach_info(self, found: Found) -> dict[str, Any]:
        """The device in the form in which os-brick's connector returns it and wants it back at the detach."""

    def takes_map(self, view: Sysfs) -> bool:
        """Whether multipathd makes a map over the paths of such a volume."""
        return False

    def joins_paths(self, view: Sysfs) -> bool:
        """Whether the kernel itself makes one device of several paths to such a volume."""
        return False

    def rescans(self, view: Sysfs, found: Found) -> list[tuple[str, str]]:
        """The kernel attributes to write, path and text, so that every path tells its size and identity anew."""
        return []


@dataclass(frozen=True)
class BrickExport(Export):
    """A volume that one of os-brick's connectors brings.

    Args:
        data: for the connector, its numbers and booleans as such. It may hold secrets.
        connector: the name under which os-brick's factory knows the connector.
        settings: for the factory beyond that.
    """

    data: dict[str, Any] = field(default_factory=dict, repr=False)
    connector: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)

    engine = "os_brick"

    def to_keep(self, view: Sysfs, device: dict[str, Any]) -> dict[str, Any]:
        """What is recorded of the attach.

        Args:
            view: the host.
            device: what os-brick returned.
        """
        return device
