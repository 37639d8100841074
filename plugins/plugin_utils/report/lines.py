# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines of the report: a volume on a host, a volume that no host has, or a host that could not tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Optional

from ansible_collections.brickwork.storage.plugins.plugin_utils.report import health, told
from ansible_collections.brickwork.storage.plugins.plugin_utils.report.catalogue import Volume
from ansible_collections.brickwork.storage.plugins.plugin_utils.report.hosts import Host

OF_LAYER = ("device", "kind", "name", "size_bytes", "fstype", "uuid", "label", "mount_points", "swap")
OF_PATH = ("device", "portal", "state")


@dataclass
class Line:
    """A line, with what was chosen of the attachment: nothing that is not named here gets into the report.

    Args:
        volume: None for a host that could not tell.
        host: None for a volume that no host has.
        health: of the volume on this host.
        problems: what is wrong with it there.
        held: whether a controller has connected the volume to the host; None where no controller told of it.
        used_from: the addresses from which the controller sees it used.
        attached: whether the volume is on the host; None where the host did not tell.
        recorded: whether this collection attached it.
        encrypted: whether it was attached with encryption.
        protocol: by which it came.
        path: to use, the same after a reboot.
        device: the kernel's name for it.
        map: the alias of the map, or the namespace, over the paths.
        paths: device, portal and state of each.
        missing: portals by which no path came at all.
        stack: what stands on it, with its mount points.
    """

    volume: Optional[Volume]
    host: Optional[Host]
    health: str = health.OK
    problems: list[str] = field(default_factory=list)
    held: Optional[bool] = None
    used_from: list[str] = field(default_factory=list)
    attached: Optional[bool] = None
    recorded: bool = False
    encrypted: bool = False
    protocol: Optional[str] = None
    path: Optional[str] = None
    device: Optional[str] = None
    map: Optional[str] = None
    paths: list[dict[str, Any]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    stack: list[dict[str, Any]] = field(default_factory=list)

    def add_problem(self, severity: str, sentence: str) -> None:
        """Note what is wrong beyond what the host itself could tell."""
        self.health = health.worst((self.health, severity))
        self.problems.append(sentence)

    def as_dict(self, volumes: Mapping[int, int], hosts: Mapping[int, int]) -> dict[str, Any]:
        """The line with the places of its volume and its host, by their identity, instead of these themselves."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return {**values, "volume": volumes.get(id(self.volume)), "host": hosts.get(id(self.host))}

    @property
    def working_paths(self) -> int:
        return sum(path["state"] == "running" for path in self.paths)

    @property
    def expected_paths(self) -> int:
        return len(self.paths) + len(self.missing)


def of_attachment(volume: Volume, host: Host, attachment: Mapping[str, Any]) -> Line:
    """What a host tells of a volume."""
    over = attachment.get("map")
    came_by = {path["portal"] for path in attachment["paths"]}
    return Line(
        volume,
        host,
        health=attachment["health"]["state"],
        problems=list(attachment["health"]["problems"]),
        attached=bool(attachment["attached"]),
        recorded=bool(attachment["recorded"]),
        encrypted=bool(attachment.get("encrypted")),
        protocol=attachment.get("protocol"),
        path=attachment.get("path"),
        device=attachment.get("device"),
        map=over["name"] if over else None,
        paths=[{key: path[key] for key in OF_PATH} for path in attachment["paths"]],
        missing=[portal for portal in attachment.get("missing_paths", ()) if portal not in came_by],
        stack=[{key: layer.get(key) for key in OF_LAYER} for layer in attachment["stack"]],
    )


def of_holder(volume: Volume, host: Host) -> Line:
    """A volume that a controller has connected to a host, of which that host tells nothing."""
    line = Line(volume, host)
    if host.state == told.TOLD:
        line.attached = False
        sentence = f"{volume.controller} has connected it to {host.name}, and it is not attached there. Attach it, or release it."
        line.add_problem(health.DEGRADED, sentence)
    else:
        line.health = health.UNKNOWN
        line.problems = list(host.problems)
    return line


def of_silent_host(host: Host) -> Line:
    """A host that was asked and could not tell, and holds nothing that anybody knows of."""
    return Line(None, host, health.UNKNOWN, list(host.problems))
