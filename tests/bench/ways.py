# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ways to attach and detach a batch of volumes that are compared."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from .errors import BenchmarkError
from .lab import HERE, WORKPLACE, Lab

ATTACH, AGAIN, DETACH = STEPS = ("attach", "again", "detach")
INTERPRETER = f"{WORKPLACE}/python"


@dataclass(frozen=True)
class Figure:
    """What a step cost.

    Args:
        seconds: on the host, from the start of the process that did the work to its end.
        processes: how many processes and threads the host started meanwhile, whoever did.
        task_seconds: from the start of the Ansible task to its result, where it was one.
    """

    seconds: float
    processes: int
    task_seconds: float | None = None


class Way(Protocol):
    """A way to attach and detach.

    Args:
        name: for the table.
        grace_seconds: how long after its end multipathd may still add paths.
    """

    name: str
    grace_seconds: int

    def run(self, lab: Lab, step: str, connections: Sequence[dict[str, Any]]) -> Figure: ...


class VolumeAttach:
    """The collection's module, all volumes in one task."""

    name = "volume_attach"
    grace_seconds = 0

    def run(self, lab: Lab, step: str, connections: Sequence[dict[str, Any]]) -> Figure:
        state = "absent" if step == DETACH else "present"
        tasks = lab.playbook("volume_attach.yml", state=state, connections=connections, interpreter=INTERPRETER)
        task = tasks[-1]
        if task.changed != (step != AGAIN):
            raise BenchmarkError(f"volume_attach returned changed: {task.changed} for step {step}")
        return measured(lab, task.seconds)


class OsBrick:
    """os-brick, one volume after another in one process."""

    name = "os-brick"
    grace_seconds = 60

    def run(self, lab: Lab, step: str, _connections: Sequence[dict[str, Any]]) -> Figure:
        action = DETACH if step == DETACH else ATTACH
        lab.host(f"{WORKPLACE}/measure", "/usr/bin/python3", f"{WORKPLACE}/os_brick_way.py", action)
        return measured(lab)


class Iscsiadm:
    """iscsiadm by hand: one login for all volumes, then wait for all maps."""

    name = "iscsiadm by hand"
    grace_seconds = 60

    def run(self, lab: Lab, step: str, _connections: Sequence[dict[str, Any]]) -> Figure:
        action = DETACH if step == DETACH else ATTACH
        lab.host(f"{WORKPLACE}/measure", f"{WORKPLACE}/iscsiadm-way", action)
        return measured(lab)


WAYS: tuple[Way, ...] = (VolumeAttach(), Iscsiadm(), OsBrick())


def measured(lab: Lab, task_seconds: float | None = None) -> Figure:
    """What `host/measure` left."""
    before, after = (line.split() for line in lab.host("cat", f"{WORKPLACE}/figures").splitlines())
    seconds = round(float(after[0]) - float(before[0]), 2)
    return Figure(seconds, int(after[1]) - int(before[1]), task_seconds and round(task_seconds, 2))


def prepare(lab: Lab, connections: Sequence[dict[str, Any]]) -> None:
    """Give the ways that run on the host what they need there."""
    lab.put("connections.json", json.dumps(connections))
    lab.put("volumes", "".join(_line(connection) for connection in connections))


def programs() -> dict[str, str]:
    """What belongs into the host's workplace, by name."""
    return {path.name: path.read_text(encoding="utf-8") for path in sorted((HERE / "host").iterdir()) if path.is_file()}


def _line(connection: dict[str, Any]) -> str:
    data = connection["connection_info"]["data"]
    secret = (data["target_iqn"], data["auth_username"], data["auth_password"])
    return " ".join((*secret, connection["volume"]["wwn"], *data["target_portals"])) + "\n"
