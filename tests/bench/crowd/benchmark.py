# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The course of the benchmark: ever more exports, one connection, a crowd."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

from ..errors import BenchmarkError
from ..lab import CONTROLLER, HERE, WORKPLACE, Lab, Task
from ..say import say
from .asker import PREFIX, Asker, askers, batches, inventory
from .outcome import is_aborted, left_behind, wrong_answers

VOLUME_GROUP = "vg0"
CONFIG = "/etc/brickwork/backends.conf"
CINDER_CONFIG = "/etc/brickwork/bench-cinder.conf"
CINDER = "/opt/brickwork/cinder/bin/python"
CINDER_SETTINGS = f"""[DEFAULT]
enabled_backends = lvm
[lvm]
volume_driver = cinder.volume.drivers.lvm.LVMVolumeDriver
volume_group = {VOLUME_GROUP}
lvm_type = default
target_helper = lioadm
target_ip_address = 10.77.1.10
"""
# So many volumes in one call, and under one lock.
BATCH = 50
STEPS = {"ping": "Ping", "connect": "Connect", "again": "Connect again", "release": "Release"}
BARE_LOAD = {"bare": "Load the driver alone"}
LOOK, LOAD = "crowd.py", "bare_load.py"


class Crowd:
    """One run.

    Args:
        lab: that is up.
        hosts: how many ask at once.
        forks: how many of them Ansible serves at once.
        rounds: how often one connection is measured.
    """

    def __init__(self, lab: Lab, hosts: int, forks: int, rounds: int) -> None:
        self._lab = lab
        self._crowd = askers(hosts)
        self._forks = forks
        self._rounds = rounds
        self._one = Asker(f"{PREFIX}host", f"{PREFIX}one")

    def __enter__(self) -> Crowd:
        for name in (LOOK, LOAD):
            self._lab.put(CONTROLLER, name, (HERE / "controller" / name).read_text(encoding="utf-8"))
        self._empty()
        asked = [asker.volume for asker in self._crowd]
        self._lab.playbook(
            "crowd/create.yml", batches=batches([self._one.volume, *asked], BATCH), size="4MiB", config=CONFIG
        )
        return self

    def __exit__(self, *_exception: object) -> None:
        self._empty()
        self._lab.ssh(CONTROLLER, "rm", "-r", WORKPLACE)

    def run(self, exports: Sequence[int]) -> dict[str, Any]:
        """Measure one connection with so many exports, then with more, and so on; a crowd, which takes longest, beside the first.

        Raises:
            BenchmarkError: where an answer is wrong.
        """
        # Its programs look at every export there is, whoever made it.
        cinder = self._measure_cinder()
        cases, crowd = [], None
        for count in exports:
            self._fill(count)
            cases.append({"exports": count, "one": self._measure_one()})
            crowd = crowd or self._ask()
        return {
            "cases": cases,
            "crowd": crowd,
            "hosts": len(self._crowd),
            "forks": self._forks,
            "rounds": self._rounds,
            "cinder": cinder,
            "load": os.getloadavg(),
        }

    # What is measured

    def _measure_one(self) -> dict[str, list[float]]:
        say(f"{self._rounds} times one connection")
        tasks = self._lab.playbook(
            "crowd/one.yml",
            times=self._rounds,
            volume=self._one.volume,
            connector=self._one.connector,
            config=CONFIG,
            bare_load="",
        )
        return _seconds(tasks, STEPS)

    def _ask(self) -> dict[str, Any]:
        say(f"{len(self._crowd)} hosts at once, {self._forks} forks")
        measured, answers = self._at_once("present")
        wrong = wrong_answers(self._crowd, answers, self._look())
        if wrong:
            raise BenchmarkError("; ".join(wrong))
        aborted = sum(map(is_aborted, answers.values()))
        released, answers = self._at_once("absent")
        left = left_behind(self._crowd, self._look())
        # One that was aborted is left; it is released with everything else in the end.
        if left and not any(map(is_aborted, answers.values())):
            raise BenchmarkError("; ".join(left))
        say(f"answered {len(self._crowd) - aborted}, aborted {aborted}, {measured['ask']:.0f} s")
        return {**measured, "release": released["ask"], "aborted": aborted}

    def _at_once(self, state: str) -> tuple[dict[str, float], dict[str, Any]]:
        """How long a crowd takes from the first's start to the last's end, for a ping each and for what it asks, and the answers."""
        hosts, file = self._lab.private / "crowd.json", self._lab.private / "answers.json"
        hosts.write_text(json.dumps(inventory(self._crowd)), encoding="utf-8")
        options = ("-i", str(hosts), "--forks", str(self._forks))
        tasks = self._lab.playbook("crowd/crowd.yml", options=options, state=state, file=str(file))
        answers: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return {"ping": _span(tasks, "Ping"), "ask": _span(tasks, "Ask")}, answers

    def _measure_cinder(self) -> dict[str, list[float]]:
        """One connection by Cinder's driver for LVM, and the driver's bare load; empty where the controller has no Cinder."""
        if not self._lab.has(CONTROLLER, CINDER):
            say("no Cinder on the controller: left out")
            return {}
        say(f"{self._rounds} times one connection by Cinder's driver")
        self._lab.put(CONTROLLER, "bench-cinder.conf", CINDER_SETTINGS)
        self._lab.ssh(CONTROLLER, "cp", f"{WORKPLACE}/bench-cinder.conf", CINDER_CONFIG)
        names = [[f"{PREFIX}cinder"]]
        self._lab.playbook("crowd/create.yml", batches=names, size="1GiB", config=CINDER_CONFIG)
        try:
            tasks = self._lab.playbook(
                "crowd/one.yml",
                times=self._rounds,
                volume=names[0][0],
                connector=self._one.connector,
                config=CINDER_CONFIG,
                bare_load=f"{CINDER} -I {WORKPLACE}/{LOAD} {CINDER_CONFIG}",
            )
        finally:
            self._lab.playbook("crowd/empty.yml", batches=names, config=CINDER_CONFIG)
            self._lab.ssh(CONTROLLER, "rm", CINDER_CONFIG)
        return _seconds(tasks, STEPS | BARE_LOAD)

    # What is there

    def _fill(self, exports: int) -> None:
        there = sum(name.startswith(f"{PREFIX}filled-") for name in self._look()["held"])
        say(f"{exports} exports, {there} there")
        filled = [f"{PREFIX}filled-{number}" for number in range(there + 1, exports + 1)]
        for names in batches(filled, BATCH):
            wanted = [{"volumes": names, "connector": Asker(f"{PREFIX}of-{names[0]}", "").connector}]
            self._lab.playbook("crowd/fill.yml", batches=wanted)
            say(f"filled up to {names[-1]}")

    def _empty(self) -> None:
        """Take away whatever this or an earlier run has left."""
        names = [name for name in self._look()["held"] if name.startswith(PREFIX)]
        if names:
            say(f"taking {len(names)} volumes away")
            self._lab.playbook("crowd/empty.yml", batches=batches(names, BATCH), config=CONFIG)

    def _look(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(self._lab.ssh(CONTROLLER, "python3", f"{WORKPLACE}/{LOOK}", VOLUME_GROUP))
        return state


def _seconds(tasks: Sequence[Task], steps: dict[str, str]) -> dict[str, list[float]]:
    return {step: [round(task.seconds, 3) for task in tasks if task.name == name] for step, name in steps.items()}


def _span(tasks: Sequence[Task], name: str) -> float:
    chosen = [task for task in tasks if task.name == name]
    first, last = min(task.began for task in chosen), max(task.began + task.seconds for task in chosen)
    return round(last - first, 2)
