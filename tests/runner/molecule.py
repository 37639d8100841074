# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Molecule's scenarios on the lab, a stage each."""

from __future__ import annotations

import functools
import re

import yaml

from .command import BUILD, ROOT, VENV, environment, run
from .machines import of_scenario
from .stage import Stage
from .tally import Tally, failed

LIMIT = 2400
# How Ansible says that a task failed, and Molecule that an action did.
TOLD = r"^(?:fatal|failed|ERROR|CRITICAL)\b.*"
SCENARIOS = ROOT / "extensions" / "molecule"


def scenarios() -> list[Stage]:
    """Return a stage for each scenario, the one named default first."""
    files = {path.parent.name: path for path in SCENARIOS.glob("*/molecule.yml")}
    return [
        Stage(f"molecule/{name}", functools.partial(_test, name), of_scenario(yaml.safe_load(files[name].read_text())))
        for name in sorted(files, key=lambda name: (name != "default", name))
    ]


def _test(name: str) -> Tally:
    """Run a scenario. Each of its actions is a test, and so is each assertion that its playbooks make."""
    assertions = BUILD / "assertions" / name
    assertions.parent.mkdir(parents=True, exist_ok=True)
    assertions.write_text("")
    changes = {
        "ANSIBLE_CALLBACK_PLUGINS": str(ROOT / "tests" / "runner" / "callbacks"),
        "ANSIBLE_CALLBACKS_ENABLED": "assertions",
        "ASSERTIONS_FILE": str(assertions),
        "COLUMNS": "132",
    }
    molecule = [".lab/run", str(VENV / "molecule"), "test", "--no-command-borders", "--report", "-s", name]
    outcome = run(molecule, limit=LIMIT, env=environment(changes))
    return judge(outcome.status, outcome.output, assertions.read_text())


def judge(status: int, output: str, assertions: str) -> Tally:
    """Return the count of a scenario from Molecule's recap and the record of the assertions."""
    recap = re.findall(r"\bactions=\d+ +successful=(\d+) .*\bfailed=(\d+)", output)
    actions = sum((Tally(int(passed), int(failed)) for passed, failed in recap), Tally())
    words = [line.partition(" ")[0] for line in assertions.splitlines()]
    tally = actions + Tally(words.count("passed"), words.count("failed"))
    # Molecule may fail outside of every action: a scenario it cannot read, or the limit reached.
    if (status == 0) != (tally.failed == 0):
        tally += failed(f"molecule ended with {status}")
    return tally + Tally(reasons=tuple(re.findall(TOLD, output, re.MULTILINE))) if tally.failed else tally
