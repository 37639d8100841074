# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a lab is asked to be, what it is, and whether the one is the other."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from .errors import LabError
from .files import write
from .hypervisor import AUTO, lacks
from .say import say


@dataclass(frozen=True)
class Wanted:
    """What is asked of `up`."""

    hosts: int
    debian12: int  # of the hosts
    bare: bool  # whether machines that have nothing of storage are wanted, beside the hosts
    hypervisor: str
    needs: frozenset[str]
    replace: bool


@dataclass(frozen=True)
class Settings:
    """What was decided when the lab was made, kept while it exists."""

    hypervisor: str
    hosts: list[str]  # the system of each
    images: dict[str, str]  # of each system, the directory
    archive: str | None = None  # what bare machines install from, where there are any

    def write(self, path: Path) -> None:
        write(path, json.dumps(asdict(self)) + "\n")


def read(path: Path) -> Settings | None:
    """Those of the lab that is there, None where there is none."""
    try:
        return Settings(**json.loads(path.read_text()))
    except FileNotFoundError:
        return None
    except (TypeError, ValueError) as error:
        raise LabError("the lab was made by another version of this program; take it `down` first") from error


def serves(found: Settings, wanted: Wanted, *, alive: bool, current: bool, new: Callable[[], str]) -> bool:
    """Whether the lab that is there is good for what is asked; an error where it is up, is not, and may not be replaced.

    `alive`: it has machines that run; `current`: its images are what they would be now; `new`: the hypervisor of a lab
    made now.
    """
    if wanted.replace:
        return current and found.hypervisor == new()
    if reason := _misfit(found, wanted):
        if not alive:
            return False
        raise LabError(
            f"a lab is up already, under {found.hypervisor}, {reason}; take it `down` first, or have `up --replace` do it"
        )
    if alive and not current:
        say("the machines run on an older image; `down` and `up` make new ones")
    return alive or current


def _misfit(found: Settings, wanted: Wanted) -> str:
    if wanted.hypervisor not in (AUTO, found.hypervisor):
        return f"and not under {wanted.hypervisor}"
    missing = lacks(found.hypervisor, wanted.needs)
    return f"which has no {missing}" if missing else ""
