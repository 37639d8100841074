# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a stage needs of the lab, and the labs that give all stages what they need."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

DEBIAN12 = "debian12"


@dataclass(frozen=True)
class Machines:
    """The machines of a lab, beside its controller."""

    debian13: int = 0
    debian12: int = 0
    needs: frozenset[str] = frozenset()  # as `tests/lab up --needs` names them
    bare: bool = False  # whether there are machines that have nothing of storage, too

    def __or__(self, other: Machines) -> Machines:
        """What is enough for both."""
        return Machines(
            max(self.debian13, other.debian13),
            max(self.debian12, other.debian12),
            self.needs | other.needs,
            self.bare or other.bare,
        )

    @property
    def options(self) -> list[str]:
        """For `tests/lab up`."""
        options = ["--hosts", str(self.debian13 + self.debian12), "--debian12", str(self.debian12)]
        options += ["--needs", ",".join(sorted(self.needs))] if self.needs else []
        return [*options, "--bare"] if self.bare else options


def of_scenario(settings: Mapping[str, Any]) -> Machines:
    """Return what a scenario needs, from its molecule.yml: the hosts among its platforms, and its driver's needs.

    A platform in the group debian12 is a host that runs Debian 12.
    """
    hosts = [platform for platform in settings["platforms"] if platform["name"] != "controller"]
    older = [host for host in hosts if DEBIAN12 in host.get("groups", ())]
    needs = frozenset(settings["driver"].get("needs", ()))
    return Machines(debian13=len(hosts) - len(older), debian12=len(older), needs=needs)


def labs(wanted: Iterable[Machines]) -> Sequence[Machines]:
    """Return the labs to boot, one after another: one for all that the quicker kind is enough for, one for the others."""
    each = list(wanted)
    kinds = ([one for one in each if one.needs], [one for one in each if not one.needs])
    return [functools.reduce(Machines.__or__, kind) for kind in kinds if kind]
