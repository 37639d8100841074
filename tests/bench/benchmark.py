# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The course of the benchmarks: connect, compare, and leave nothing."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from . import community_general, shared, ways
from .case import SHARED, Case
from .errors import BenchmarkError
from .lab import WORKPLACE, Lab
from .outcome import left_behind, wrong_when_attached
from .say import say
from .ways import AGAIN, ATTACH, DETACH, STEPS, Figure, OpenIscsi, VolumeAttach, Way

TIMES_NOTHING_TO_DO = 10
CLEAN_UP_SECONDS = 180
PACKAGES = ("python3-os-brick", "open-iscsi", "multipath-tools", "python3")


class Benchmark:
    """One run.

    Args:
        lab: that is up.
        cases: what is attached.
        compared: how it is.
        rounds: how often each way is measured.
    """

    def __init__(self, lab: Lab, cases: Sequence[Case], compared: Sequence[Way], rounds: int) -> None:
        self._lab = lab
        self._cases = cases
        self._ways = compared
        self._rounds = rounds
        self._names = [f"bench-{number}" for number in range(1, max(case.volumes for case in cases) + 1)]
        self._created: dict[str, Any] = {}
        self._connections: list[dict[str, Any]] = []

    def run(self) -> dict[str, Any]:
        """Measure everything. A way that comes to a wrong outcome is told as failed in that case, and the others go on.

        Returns:
            Every figure, as build/bench.json holds it.

        Raises:
            BenchmarkError: when there is nothing to measure, or what was measured cannot be cleaned up.
        """
        if any(isinstance(way, OpenIscsi) for way in self._ways):
            community_general.fetch()
        self._start_clean()
        try:
            self._create()
            return {
                "cases": [self._run_case(number, case) for number, case in enumerate(self._cases)],
                "rounds": self._rounds,
                "paths": len(self._created["portals"]),
                "load": os.getloadavg(),
                "packages": dict(line.split(" ", 1) for line in self._packages()),
            }
        finally:
            self._clean_up(self._names)

    def _start_clean(self) -> None:
        if self._lab.has(self._lab.host_name, WORKPLACE):
            say("cleaning up after a benchmark that was cut short")
            self._install()
            self._clean_up(json.loads(self._lab.host("cat", f"{WORKPLACE}/names")))
        self._lab.put(self._lab.host_name, "names", json.dumps(self._names))
        self._install()
        wrong = left_behind(self._look())
        if wrong:
            self._lab.host("rm", "-r", WORKPLACE)
            raise BenchmarkError(
                f"the host must have nothing attached, and has {wrong[0]}. Detach it, or `make lab-down`."
            )

    def _install(self) -> None:
        for name, text in ways.programs().items():
            self._lab.put(self._lab.host_name, name, text, mode="700")

    def _create(self) -> None:
        say(f"creating {len(self._names)} volumes")
        file = self._lab.private / "created.json"
        interpreter = f"{WORKPLACE}/python-imports"
        self._lab.playbook("create.yml", volumes=self._names, file=str(file), interpreter=interpreter)
        if not self._os_brick_was_imported():
            raise BenchmarkError(
                "volume_connector_facts imports os_brick, and the list of its imports does not show it"
            )
        self._created = json.loads(file.read_text(encoding="utf-8"))

    def _run_case(self, number: int, case: Case) -> dict[str, Any]:
        say(f"{case.title}: connecting")
        self._connections = self._connect(case)
        ways.prepare(self._lab, self._connections)
        figures: dict[str, dict[str, list[dict[str, Any]]]] = {}
        failed: dict[str, str] = {}
        for turn in range(number, number + self._rounds):
            first = turn % len(self._ways)
            for way in (*self._ways[first:], *self._ways[:first]):
                if way.name not in failed:
                    self._try(way.name, failed, partial(self._run_way, way, figures))
        nothing_to_do: dict[str, Any] = {}
        if any(isinstance(way, VolumeAttach) for way in self._ways):
            self._try("nothing to do", failed, lambda: nothing_to_do.update(self._compare_with_ping()))
        self._disconnect(case)
        return {**asdict(case), "ways": figures, "failed": failed, "nothing_to_do": nothing_to_do}

    def _try(self, name: str, failed: dict[str, str], work: Callable[[], None]) -> None:
        try:
            work()
        except BenchmarkError as error:
            say(f"FAILED: {name}: {error}")
            failed[name] = str(error)
            self._empty_host()

    def _connect(self, case: Case) -> list[dict[str, Any]]:
        volumes = self._created["volumes"][: case.volumes]
        if case.targets == SHARED:
            return shared.make(self._lab, volumes, self._created["connector"], self._created["portals"])
        file = self._lab.private / "connections.json"
        names = self._names[: case.volumes]
        self._lab.playbook("connect.yml", volumes=names, connector=self._created["connector"], file=str(file))
        connections: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
        return connections

    def _disconnect(self, case: Case) -> None:
        if case.targets == SHARED:
            shared.remove(self._lab)
        else:
            self._lab.playbook("disconnect.yml", volumes=self._names[: case.volumes])

    def _run_way(self, way: Way, figures: dict[str, dict[str, list[dict[str, Any]]]]) -> None:
        for step in STEPS:
            for row, measured in self._measure(way, step).items():
                steps = figures.setdefault(row, {each: [] for each in STEPS})
                steps[step].append(measured)
        if way.leaves:
            self._lab.host(f"{WORKPLACE}/iscsiadm-way", "forget")

    def _measure(self, way: Way, step: str) -> dict[str, dict[str, Any]]:
        # What an earlier step has set off must not run on this one's time.
        self._lab.host("udevadm", "settle", "--timeout=120")
        measured: dict[str, Figure] = way.run(self._lab, step, self._connections)
        late = self._verify(way, step)
        for row, figure in measured.items():
            say(
                f"{row}: {step} {figure.seconds:.1f} s, {figure.processes} processes"
                + (f", complete {late:.0f} s later" if late else "")
            )
        return {row: {**asdict(figure), "late_seconds": late} for row, figure in measured.items()}

    def _verify(self, way: Way, step: str) -> float:
        """How long after the step its outcome was right; 0 where it was at once."""
        began = time.monotonic()
        wrong = self._wrong(way, step)
        if not wrong:
            return 0
        while time.monotonic() - began < way.grace_seconds:
            time.sleep(1)
            if not self._wrong(way, step):
                return round(time.monotonic() - began, 1)
        raise BenchmarkError(f"{way.name}, {step}: {'; '.join(self._wrong(way, step) or wrong)}")

    def _wrong(self, way: Way, step: str) -> list[str]:
        state = self._look()
        if step == DETACH:
            return left_behind({kind: [] if kind in way.leaves else found for kind, found in state.items()})
        return wrong_when_attached(state, self._connections)

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
        self._lab.playbook(
            "volume_attach.yml",
            state="present",
            connections=self._connections,
            interpreter=interpreter,
            count_processes="true",
        )
        if self._os_brick_was_imported():
            raise BenchmarkError("volume_attach imports os_brick where nothing is to be done")
        self._verify(module, AGAIN)
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

    def _empty_host(self) -> None:
        began = time.monotonic()
        while left_behind(self._look()):
            if time.monotonic() - began > CLEAN_UP_SECONDS:
                raise BenchmarkError(f"the host cannot be cleaned up: {'; '.join(left_behind(self._look()))}")
            # The host had nothing attached when the benchmark began, so that whatever there is belongs to it.
            self._lab.host(
                "sh", "-c", f"{WORKPLACE}/iscsiadm-way detach; rm -f /var/lib/brickwork/attachments/*.json; true"
            )

    def _clean_up(self, names: list[str]) -> None:
        """Take everything away, whatever state it is in: first from the host, verified, then from the controller."""
        say("cleaning up")
        self._empty_host()
        shared.remove(self._lab)
        self._lab.playbook("disconnect.yml", volumes=names)
        self._lab.playbook("delete.yml", volumes=names)
        # What a discovery leaves.
        self._lab.host("rm", "-rf", WORKPLACE, "/var/lib/iscsi/send_targets")
