# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which labs the runner boots, and which stages run on each."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.brickwork.storage.tests.runner import molecule
from ansible_collections.brickwork.storage.tests.runner.lab import in_order
from ansible_collections.brickwork.storage.tests.runner.machines import Machines, labs, of_scenario
from ansible_collections.brickwork.storage.tests.runner.stage import Stage
from ansible_collections.brickwork.storage.tests.runner.tally import PASSED

NVME, FIBRE_CHANNEL = frozenset({"nvme"}), frozenset({"fc"})


def stage(name: str, machines: Machines | None = None) -> Stage:
    return Stage(name, lambda: PASSED, machines)


def scenario(*platforms: dict[str, Any], **driver: Any) -> dict[str, Any]:
    return {"driver": {"name": "default", **driver}, "platforms": list(platforms)}


@pytest.mark.parametrize(
    ("settings", "machines"),
    [
        (scenario({"name": "controller"}, {"name": "host1"}), Machines(1)),
        (scenario({"name": "controller"}, {"name": "host1"}, needs=["nvme"]), Machines(1, needs=NVME)),
        (
            scenario({"name": "controller"}, {"name": "host1"}, {"name": "host2", "groups": ["debian12"]}),
            Machines(1, debian12=1),
        ),
    ],
)
def test_a_scenario_says_what_it_needs(settings: dict[str, Any], machines: Machines) -> None:
    assert of_scenario(settings) == machines


def test_every_scenario_is_a_stage_with_machines() -> None:
    stages = molecule.scenarios()
    assert stages[0].name == "molecule/default"
    assert all(stage.machines and stage.machines.debian13 >= 1 for stage in stages)


@pytest.mark.parametrize(
    ("machines", "options"),
    [
        (Machines(2), "--hosts 2 --debian12 0"),
        (Machines(2, debian12=1), "--hosts 3 --debian12 1"),
        (Machines(2, bare=True) | Machines(1), "--hosts 2 --debian12 0 --bare"),
        (Machines(1, needs=NVME | FIBRE_CHANNEL), "--hosts 1 --debian12 0 --needs fc,nvme"),
    ],
)
def test_options(machines: Machines, options: str) -> None:
    assert " ".join(machines.options) == options


def test_one_lab_of_each_kind_is_enough_for_all_its_stages() -> None:
    wanted = [Machines(1), Machines(1, needs=NVME), Machines(2, debian12=1), Machines(1, needs=FIBRE_CHANNEL)]
    assert labs(wanted) == [Machines(1, needs=NVME | FIBRE_CHANNEL), Machines(2, debian12=1)]
    assert labs(wanted[1:2]) == [Machines(1, needs=NVME)]
    assert labs([]) == []


def test_each_lab_is_booted_once() -> None:
    stages = [
        stage("lint"),
        stage("molecule/default", Machines(1)),
        stage("molecule/fc", Machines(1, needs=FIBRE_CHANNEL)),
        stage("integration", Machines(2)),
        stage("molecule/nvme", Machines(1, needs=NVME)),
    ]
    order = list(in_order(stages))
    assert [one.name for one, _lab in order] == [
        "lint",
        "molecule/fc",
        "molecule/nvme",
        "molecule/default",
        "integration",
    ]
    used = [lab for _stage, lab in order]
    assert used[0] is None
    assert used[1] is used[2]
    assert used[3] is used[4]
    assert used[1] is not used[3]
