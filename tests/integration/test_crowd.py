# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many hosts that ask one controller at once: made-up ones, which are the controller by other names."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.brickwork.storage.tests.bench.crowd.asker import Asker, askers, inventory
from ansible_collections.brickwork.storage.tests.bench.crowd.outcome import left_behind, wrong_answers
from ansible_collections.brickwork.storage.tests.integration.lab import CHECKOUT, Lab

CONTROLLER = "controller"
HOSTS, FORKS = 20, 10
LOOK = CHECKOUT / "tests/bench/controller/crowd.py"
RESULT = re.compile(r"^(\S+) \| \S+ => ", re.MULTILINE)


class Crowd:
    """The hosts, and what they ask for.

    Args:
        lab: that is up.
        file: for their inventory.
    """

    def __init__(self, lab: Lab, file: Path) -> None:
        self.lab = lab
        self.askers: list[Asker] = askers(HOSTS)
        self.volumes = [asker.volume for asker in self.askers]
        self._file = file
        file.write_text(json.dumps(inventory(self.askers)), encoding="utf-8")

    def ask(self, **arguments: Any) -> dict[str, dict[str, Any]]:
        """Have all of them call volume_connection at once; what it returned to each."""
        given = {"volumes": "{{ volume }}", "connector": "{{ connector }}", **arguments}
        options = ["-i", str(self._file), "-f", str(FORKS), "-a", json.dumps(given)]
        printed = self.lab.ansible("crowd", "-m", "brickwork.storage.volume_connection", *options).stdout
        decoder = json.JSONDecoder()
        return {found[1]: decoder.raw_decode(printed, found.end())[0] for found in RESULT.finditer(printed)}

    def look(self) -> dict[str, Any]:
        """What the controller has."""
        state: dict[str, Any] = json.loads(self.lab.ssh(CONTROLLER, f"python3 - vg0 <<'END'\n{LOOK.read_text()}END\n"))
        return state

    def remove(self) -> None:
        """Whatever there is of its volumes."""
        there = [name for name in self.look()["held"] if name in self.volumes]
        if there:
            self.lab.succeed(CONTROLLER, "volume_connection", volumes=there, all_hosts=True, state="absent")
            self.lab.succeed(CONTROLLER, "volume", volumes=there, state="absent")


@pytest.fixture(scope="module")
def crowd(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crowd]:
    found = Crowd(lab, tmp_path_factory.mktemp("crowd") / "inventory.json")
    found.remove()
    before = found.look()
    lab.succeed(CONTROLLER, "volume", volumes=found.volumes, size="4MiB")
    yield found
    found.remove()
    assert found.look() == before


def test_each_gets_its_own(crowd: Crowd) -> None:
    answers = crowd.ask()
    assert wrong_answers(crowd.askers, answers, crowd.look()) == []
    assert all(answer["changed"] for answer in answers.values())
    released = crowd.ask(state="absent")
    assert [name for name, answer in released.items() if not answer["changed"]] == []
    assert left_behind(crowd.askers, crowd.look()) == []


def test_whoever_waits_in_vain_is_told_and_gets_nothing(crowd: Crowd) -> None:
    holder = "flock /run/brickwork/lock/volume-group-vg0.lock sleep 60"
    note = """echo '{"pid": 1, "purpose": "a test"}' > /run/brickwork/lock/volume-group-vg0.lock"""
    crowd.lab.ssh(CONTROLLER, f"({holder}) >/dev/null 2>&1 & sleep 0.5; {note}")
    try:
        refused = crowd.lab.refuse(
            CONTROLLER,
            "volume_connection",
            "aborted",
            volumes=[crowd.volumes[0]],
            connector=crowd.askers[0].connector,
            timeout=2,
        )
    finally:
        crowd.lab.ssh(CONTROLLER, "pkill -f '^sleep 60'; true")
    assert "process 1 (a test)" in refused["msg"]
    assert left_behind(crowd.askers, crowd.look()) == []
