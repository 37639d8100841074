# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is attached: how many volumes, behind how many targets."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

EACH, SHARED = TARGETS = ("each", "shared")


@dataclass(frozen=True)
class Case:
    """One batch.

    Args:
        volumes: how many.
        targets: C(each): every volume has its own; C(shared): one has them all, as so many LUNs.
    """

    volumes: int
    targets: str

    @property
    def title(self) -> str:
        if self.volumes == 1:
            return "1 volume"
        return f"{self.volumes} volumes, " + ("a target for each" if self.targets == EACH else "one shared target")


def cases(volumes: Iterable[int], targets: Iterable[str]) -> list[Case]:
    """Every combination; one volume's target is its own, whatever it is called."""
    wanted = [Case(count, EACH if count == 1 else kind) for count in sorted(volumes) for kind in targets]
    return list(dict.fromkeys(wanted))
