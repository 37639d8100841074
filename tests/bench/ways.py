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
from .lab import HERE, WORKPLACE, Lab, Task

ATTACH, AGAIN, DETACH = STEPS = ("attach", "again", "detach")
INTERPRETER = f"{WORKPLACE}/python"
COUNT_PROCESSES = "grep ^processes /proc/stat"
COUNTED = ("Count the processes before", "Count the processes after")
WAIT_FOR_MAPS = f"{WORKPLACE}/iscsiadm-way wait"


@dataclass(frozen=True)
class Figure:
    """What a step cost.

    Args:
        seconds: from the start of what did the work to its end.
        processes: how many processes and threads the host started meanwhile, whoever did.
    """

    seconds: float
    processes: int


class Way(Protocol):
    """A way to attach and detach.

    Args:
        name: on the command line.
        rows: its lines in the tables.
        grace_seconds: how long after its end the outcome may still come.
        leaves: what of C(host/look.py) it leaves behind after a detach.
    """

    name: str
    rows: tuple[str, ...]
    grace_seconds: int
    leaves: tuple[str, ...]

    def run(self, lab: Lab, step: str, connections: Sequence[dict[str, Any]]) -> dict[str, Figure]:
        """Do it; the figures by row."""


class VolumeAttach:
    """The collection's module, all volumes in one task."""

    name = "volume_attach"
    rows: tuple[str, ...] = ("volume_attach", "volume_attach, the whole task")
    grace_seconds = 0
    leaves: tuple[str, ...] = ()

    def run(self, lab: Lab, step: str, connections: Sequence[dict[str, Any]]) -> dict[str, Figure]:
        tasks = lab.playbook(
            "volume_attach.yml",
            state="absent" if step == DETACH else "present",
            connections=connections,
            interpreter=INTERPRETER,
            count_processes=COUNT_PROCESSES,
        )
        [task] = between_counts(tasks)
        if task.changed != (step != AGAIN):
            raise BenchmarkError(f"volume_attach returned changed: {task.changed} for step {step}")
        return dict(zip(self.rows, (measured(lab), summed(tasks)), strict=True))


class Iscsiadm:
    """iscsiadm by hand: one login for all volumes, then wait for all maps."""

    name = "iscsiadm"
    rows: tuple[str, ...] = ("iscsiadm by hand",)
    grace_seconds = 60
    leaves: tuple[str, ...] = ()

    def run(self, lab: Lab, step: str, _connections: Sequence[dict[str, Any]]) -> dict[str, Figure]:
        lab.host(f"{WORKPLACE}/measure", f"{WORKPLACE}/iscsiadm-way", action(step))
        return {self.rows[0]: measured(lab)}


class OsBrick:
    """os-brick, one volume after another in one process."""

    name = "os-brick"
    rows: tuple[str, ...] = ("os-brick in a loop",)
    grace_seconds = 60
    leaves: tuple[str, ...] = ()

    def run(self, lab: Lab, step: str, _connections: Sequence[dict[str, Any]]) -> dict[str, Figure]:
        lab.host(f"{WORKPLACE}/measure", "/usr/bin/python3", f"{WORKPLACE}/os_brick_way.py", action(step))
        return {self.rows[0]: measured(lab)}


class OpenIscsi:
    """A playbook that loops over the targets with community.general.open_iscsi."""

    name = "open_iscsi"
    rows: tuple[str, ...] = ("open_iscsi in a loop, the whole tasks",)
    grace_seconds = 180
    leaves: tuple[str, ...] = ("nodes",)

    def run(self, lab: Lab, step: str, connections: Sequence[dict[str, Any]]) -> dict[str, Figure]:
        tasks = lab.playbook(
            "open_iscsi.yml",
            login=step != DETACH,
            portal=connections[0]["connection_info"]["data"]["target_portals"][0].rpartition(":")[0],
            targets=[
                {"target": target, "user": user, "secret": secret}
                for target, user, secret, _portals in targets_of(connections)
            ],
            wait_for_maps=WAIT_FOR_MAPS,
            count_processes=COUNT_PROCESSES,
        )
        return {self.rows[0]: summed(tasks)}


WAYS: tuple[Way, ...] = (VolumeAttach(), Iscsiadm(), OsBrick(), OpenIscsi())


def action(step: str) -> str:
    """What a program on the host is called with."""
    return DETACH if step == DETACH else ATTACH


def measured(lab: Lab) -> Figure:
    """What `host/measure` left."""
    before, after = (line.split() for line in lab.host("cat", f"{WORKPLACE}/figures").splitlines())
    return Figure(round(float(after[0]) - float(before[0]), 2), int(after[1]) - int(before[1]))


def between_counts(tasks: Sequence[Task]) -> list[Task]:
    """The tasks that did the work."""
    names = [task.name for task in tasks]
    first, last = (names.index(name) for name in COUNTED)
    return list(tasks[first + 1 : last])


def summed(tasks: Sequence[Task]) -> Figure:
    """What whole tasks cost, counting included: two processes."""
    before, after = (int(task.stdout.split()[1]) for task in tasks if task.name in COUNTED)
    return Figure(round(sum(task.seconds for task in between_counts(tasks)), 2), after - before)


def prepare(lab: Lab, connections: Sequence[dict[str, Any]]) -> None:
    """Give the ways that run on the host what they need there."""
    targets = targets_of(connections)
    maps = [
        f"{connection['volume']['wwn']} {len(connection['connection_info']['data']['target_portals'])}\n"
        for connection in connections
    ]
    lab.put(lab.host_name, "connections.json", json.dumps(connections))
    lab.put(
        lab.host_name,
        "targets",
        "".join(f"{name} {user} {secret} {' '.join(portals)}\n" for name, user, secret, portals in targets),
    )
    lab.put(lab.host_name, "maps", "".join(maps))


def programs() -> dict[str, str]:
    """What belongs into the host's workplace, by name."""
    return {path.name: path.read_text(encoding="utf-8") for path in sorted((HERE / "host").iterdir()) if path.is_file()}


def targets_of(connections: Sequence[dict[str, Any]]) -> list[tuple[str, str, str, tuple[str, ...]]]:
    """Each target once, with user, secret and portals."""
    found = {}
    for connection in connections:
        data = connection["connection_info"]["data"]
        portals = tuple(data["target_portals"])
        found[data["target_iqn"]] = (data["target_iqn"], data["auth_username"], data["auth_password"], portals)
    return list(found.values())
