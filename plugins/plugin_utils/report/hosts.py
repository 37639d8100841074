# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hosts of the fleet, and the names that they go by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.brickwork.storage.plugins.plugin_utils.report import told
from ansible_collections.brickwork.storage.plugins.plugin_utils.report.told import Result

KEY = "attachments"


@dataclass
class Host:
    """A host of the fleet.

    Args:
        name: the inventory's; of a host that was not asked, the one that a controller tells.
        state: whether it told; see told.state_of.
        attachments: as volume_attach_info tells them.
        unclaimed: what came to it and belongs to no volume.
        problems: why it did not tell.
    """

    name: str
    state: str
    attachments: list[Mapping[str, Any]] = field(default_factory=list)
    unclaimed: list[Mapping[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """What a controller may call it: its own name for itself goes before that of the inventory."""
        own = [str(attachment["host"]) for attachment in self.attachments[:1]]
        return [*own, self.name]


def of_result(name: str, result: Result) -> Host:
    """A host, as it answered."""
    state = told.state_of(result, KEY)
    if state == told.TOLD:
        return Host(name, state, list(result[KEY]), list(result.get("unclaimed", ())))
    return Host(name, state, problems=[told.sentence(name, result, KEY)])


class Hosts:
    """The hosts, found by any of their names.

    Args:
        results: of volume_attach_info, by the inventory's name.
    """

    def __init__(self, results: Mapping[str, Result]) -> None:
        self.all = [of_result(name, result) for name, result in results.items()]
        self._by_name: dict[str, Host] = {}
        self._by_short_name: dict[str, Optional[Host]] = {}
        for host in self.all:
            for name in host.names:
                self._by_name.setdefault(name, host)
            for name in {_short(name) for name in host.names}:
                # A short name that two hosts have tells nothing.
                self._by_short_name[name] = None if name in self._by_short_name else host

    def named(self, name: str) -> Host:
        """The host that a controller calls so, taken up where it was not asked."""
        # A name without a domain may be short for one with it; two with a domain must be the same.
        known = self._by_name.get(name) or self._by_name.get(_short(name)) or self._by_short_name.get(name)
        if known is None:
            known = Host(name, told.NOT_ASKED)
            self.all.append(known)
            self._by_name[name] = known
        return known


def _short(name: str) -> str:
    # An address has no short name.
    return name if name.replace(".", "").isdigit() else name.partition(".")[0]
