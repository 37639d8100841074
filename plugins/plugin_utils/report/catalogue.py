# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every volume that a host or a controller told of, each once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Optional


@dataclass
class Volume:
    """A volume of the fleet.

    Args:
        name: None for one that only its device tells of.
        id: of the volume, where it is known.
        wwn: of its device, where it is known.
        size_bytes: as the controller tells, else as a host does.
        backend: the backend's name.
        controller: the inventory's name of the one that told of it; None where none did.
        shared: whether several hosts may hold it.
        holders: whom its controller has connected it to.
        problems: what its controller says is wrong with it.
    """

    name: Optional[str] = None
    id: Optional[str] = None
    wwn: Optional[str] = None
    size_bytes: Optional[int] = None
    backend: Optional[str] = None
    controller: Optional[str] = None
    shared: bool = False
    holders: list[Mapping[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def label(self) -> str:
        """What people know it by."""
        return self.name or self.wwn or "a device without a WWN"


class Catalogue:
    """The volumes, found by id or else by WWN."""

    def __init__(self) -> None:
        self.volumes: list[Volume] = []
        self._by_id: dict[str, Volume] = {}
        self._by_wwn: dict[str, Volume] = {}

    def add_of_controller(self, controller: str, told: Mapping[str, Any]) -> None:
        """Take up a volume as volume_connection_info tells it."""
        self._add(
            Volume(
                name=told["name"],
                id=told["id"],
                wwn=told["wwn"],
                size_bytes=told["size_bytes"],
                backend=told["backend"],
                controller=controller,
                shared=bool(told["shared"]),
                holders=list(told["holders"]),
                problems=list(told["problems"]),
            )
        )

    def of_attachment(self, attachment: Mapping[str, Any]) -> Volume:
        """The volume of an attachment, taken up where no controller told of it."""
        told = attachment["volume"]
        wwn = attachment.get("wwn") or told.get("wwn")
        known = self._by_id.get(told.get("id") or "") or self._by_wwn.get((wwn or "").lower())
        if known:
            return known
        size_bytes = told.get("size_bytes") or attachment.get("size_bytes")
        return self._add(Volume(told.get("name"), told.get("id"), wwn, size_bytes, told.get("backend")))

    def _add(self, volume: Volume) -> Volume:
        self.volumes.append(volume)
        if volume.id:
            self._by_id.setdefault(volume.id, volume)
        if volume.wwn:
            self._by_wwn.setdefault(volume.wwn.lower(), volume)
        return volume
