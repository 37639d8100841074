# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The course of the benchmarks: connect, compare, and leave nothing."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict
from typing import Any

from . import ways
from .errors import BenchmarkError
from .lab import WORKPLACE, Lab
from .outcome import left_behind, wrong_when_attached
from .say import say
from .ways import AGAIN, ATTACH, DETACH, STEPS, WAYS, VolumeAttach, Way

TIMES_NOTHING_TO_DO = 10
CLEAN_UP_SECONDS = 180
PACKAGES = ("python3-os-brick", "open-iscsi", "multipath-tools", "python3")


class Benchmark:
    """One run.

    Args:
        lab: that is up.
        volumes: how many.
        rounds: how often each way is measured.
    """

    def __init__(self, lab: Lab, volumes: int, rounds: int) -> None:
        self._lab = lab
        self._names = [f"brickwork-bench-{number}" for number in range(1, volumes + 1)]
        self._rounds = rounds
        self._connections: list[dict[str, Any]] = []

    def run(self) -> dict[str, Any]:
        """Measure everything.

        Returns:
            Every figure, as build/bench.json holds it.

        Raises:
            BenchmarkError: when a way came to a wrong outcome.
        """
        self._start_clean()
        try:
            self._connect()
            compared = self._compare_ways()
            return {
                "volumes": len(self._names),
                "paths": len(self._connections[0]["connection_info"]["data"]["target_portals"]),
                "ways": compared,
                "nothing_to_do": self._compare_with_ping(),
                "load": os.getloadavg(),
                "packages": dict(line.split(" ", 1) for line in self._packages()),
            }
        finally:
            self._clean_up(self._names)

    def _start_clean(self) -> None:
        if self._lab.host_has(WORKPLACE):
            say("cleaning up after a benchmark that was cut short")
            self._install()
            self._clean_up(json.loads(self._lab.host("cat", f"{WORKPLACE}/names")))
        self._lab.put("names", json.dumps(self._names))
        self._install()
        wrong = left_behind(self._look())
        if wrong:
            self._lab.host("rm", "-r", WORKPLACE)
            raise BenchmarkError(
                f"the host must have nothing attached, and has {wrong[0]}. Detach it, or `make lab-down`."
            )

    def _install(self) -> None:
        for name, text in ways.programs().items():
            self._lab.put(name, text, mode="700")

    def _connect(self) -> None:
        say(f"creating and connecting {len(self._names)} volumes")
        file = self._lab.private / "connections.json"
        interpreter = f"{WORKPLACE}/python-imports"
        self._lab.playbook("connect.yml", volumes=self._names, file=str(file), interpreter=interpreter)
        if not self._os_brick_was_imported():
            raise BenchmarkError(
                "volume_connector_facts imports os_brick, and the list of its imports does not show it"
            )
        self._connections = json.loads(file.read_text(encoding="utf-8"))
        ways.prepare(self._lab, self._connections)

    def _compare_ways(self) -> dict[str, dict[str, list[dict[str, Any]]]]:
        figures: dict[str, dict[str, list[dict[str, Any]]]] = {way.name: {step: [] for step in STEPS} for way in WAYS}
        for number in range(self._rounds):
            first = number % len(WAYS)
            for way in (*WAYS[first:], *WAYS[:first]):
                for step in STEPS:
                    figures[way.name][step].append(self._measure(way, step))
        return figures

    def _measure(self, way: Way, step: str) -> dict[str, Any]:
        # What an earlier step has set off must not run on this one's time.
        self._lab.host("udevadm", "settle", "--timeout=120")
        figure = way.run(self._lab, step, self._connections)
        late = self._verify(way.name, step, way.grace_seconds)
        say(f"{way.name}: {step} {figure.seconds:.1f} s" + (f", complete {late:.0f} s later" if late else ""))
        return {**asdict(figure), "late_seconds": late}

    def _verify(self, name: str, step: str, grace_seconds: int) -> float:
        """How long after the step its outcome was right; 0 where it was at once."""
        began = time.monotonic()
        wrong = self._wrong(step)
        if not wrong:
            return 0
        while time.monotonic() - began < grace_seconds:
            time.sleep(1)
            if not self._wrong(step):
                return round(time.monotonic() - began, 1)
        raise BenchmarkError(f"{name}, {step}: {'; '.join(self._wrong(step) or wrong)}")

    def _wrong(self, step: str) -> list[str]:
        state = self._look()
        return left_behind(state) if step == DETACH else wrong_when_attached(state, self._connections)

    def _compare_with_ping(self) -> dict[str, Any]:
        say(f"nothing to do: {TIMES_NOTHING_TO_DO} times ping and volume_attach")
        module = VolumeAttach()
        self._measure(module, ATTACH)
        tasks = self._lab.playbook("nothing_to_do.yml", times=TIMES_NOTHING_TO_DO, connections=self._connections)
        seconds = {
            key: [round(task.seconds, 3) for task in tasks if task.name == name]
            for key, name in (("ping", "Ping"), ("volume_attach", "Nothing to do"))
        }
        if any(task.changed for task in tasks):
            raise BenchmarkError("volume_attach changed something where nothing was to be done")
        interpreter = f"{WORKPLACE}/python-imports"
        self._lab.playbook("volume_attach.yml", state="present", connections=self._connections, interpreter=interpreter)
        if self._os_brick_was_imported():
            raise BenchmarkError("volume_attach imports os_brick where nothing is to be done")
        self._verify(module.name, AGAIN, module.grace_seconds)
        self._measure(module, DETACH)
        return seconds

    def _os_brick_was_imported(self) -> bool:
        """Whether the last module that ran under host/python-imports imported os_brick."""
        imported = self._lab.host("cat", f"{WORKPLACE}/imports")
        if "ansible.module_utils.basic" not in imported:
            raise BenchmarkError("Python did not list the module's imports")
        return "os_brick" in imported

    def _packages(self) -> list[str]:
        shown = self._lab.host("dpkg-query", "--show", "--showformat", "${Package} ${Version}\n", *PACKAGES)
        return [*shown.splitlines(), f"kernel {self._lab.host('uname', '-r').strip()}"]

    def _look(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(self._lab.host("python3", f"{WORKPLACE}/look.py"))
        return state

    def _clean_up(self, names: list[str]) -> None:
        """Take everything away, whatever state it is in: first from the host, verified, then from the controller."""
        say("cleaning up")
        began = time.monotonic()
        while left_behind(self._look()):
            if time.monotonic() - began > CLEAN_UP_SECONDS:
                raise BenchmarkError(f"the host cannot be cleaned up: {'; '.join(left_behind(self._look()))}")
            # The host had nothing attached when the benchmark began, so that whatever there is belongs to it.
            self._lab.host(
                "sh", "-c", f"{WORKPLACE}/iscsiadm-way detach; rm -f /var/lib/brickwork/attachments/*.json; true"
            )
        self._lab.playbook("disconnect.yml", volumes=names)
        self._lab.host("rm", "-r", WORKPLACE)
