# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts that do not exist, and what each asks for. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

PREFIX = "crowd-"
One = TypeVar("One")


@dataclass(frozen=True)
class Asker:
    """A made-up host, and the volume that it asks for."""

    host: str
    volume: str

    @property
    def initiator(self) -> str:
        return f"iqn.2026-11.org.example:{self.host}"

    @property
    def connector(self) -> dict[str, Any]:
        return {"host": self.host, "initiator": self.initiator, "multipath": True}


def askers(count: int) -> list[Asker]:
    """As many hosts, each with a volume of its own."""
    return [Asker(f"{PREFIX}host-{number}", f"{PREFIX}asked-{number}") for number in range(1, count + 1)]


def inventory(crowd: Sequence[Asker]) -> dict[str, Any]:
    """All of them are the controller, by another name."""
    hosts = {
        asker.host: {
            "ansible_host": "{{ hostvars['controller'].ansible_host }}",
            "volume": asker.volume,
            "connector": asker.connector,
        }
        for asker in crowd
    }
    return {"crowd": {"hosts": hosts}}


def batches(things: Sequence[One], size: int) -> list[list[One]]:
    """The same things, so many at a time."""
    return [list(things[start : start + size]) for start in range(0, len(things), size)]
