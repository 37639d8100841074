# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stage of ``make test``: a name, the function that runs its tests, and the machines that these need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .machines import Machines
from .tally import Tally


@dataclass(frozen=True)
class Stage:
    """A part of ``make test`` that can be run alone, by its name or by the part before a slash."""

    name: str
    run: Callable[[], Tally]
    machines: Machines | None = None

    def is_named(self, wanted: str) -> bool:
        return wanted in (self.name, self.name.partition("/")[0])
