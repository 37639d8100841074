# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmarks' judgement of an outcome, and their tables."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.brickwork.storage.tests.bench.outcome import left_behind, wrong_when_attached
from ansible_collections.brickwork.storage.tests.bench.table import tables
from ansible_collections.brickwork.storage.tests.bench.ways import STEPS, WAYS

WWN = "36001405ccad2f01486b4565b2b4b5325"
CONNECTIONS = [
    {
        "volume": {"name": "one", "wwn": WWN},
        "connection_info": {"data": {"target_portals": ["192.0.2.1:3260", "198.51.100.1:3260"]}},
    }
]
NOTHING: dict[str, Any] = {"maps": [], "sessions": [], "disks": [], "nodes": [], "records": []}


def path(device: str, portal: str) -> dict[str, str]:
    return {"device": device, "wwid": f"naa.{WWN[1:]}", "state": "active running ready", "portal": portal}


def attached() -> dict[str, Any]:
    paths = [path("sda", "192.0.2.2"), path("sdb", "198.51.100.2")]
    return {**copy.deepcopy(NOTHING), "maps": [{"wwid": WWN, "linked": True, "paths": paths}]}


def test_right_when_every_portal_has_a_running_path() -> None:
    assert wrong_when_attached(attached(), CONNECTIONS) == []


SPOILT: dict[str, Callable[[dict[str, Any]], None]] = {
    "has no map": lambda state: state["maps"].clear(),
    "no link": lambda state: state["maps"][0].update(linked=False),
    "one running path for each": lambda state: state["maps"][0]["paths"].pop(),
    "sdb by 198.51.100.2 failed": lambda state: state["maps"][0]["paths"][1].update(state="failed running faulty"),
    "sdb by 192.0.2.2": lambda state: state["maps"][0]["paths"][1].update(portal="192.0.2.2"),
    "sda of one is naa.6001": lambda state: state["maps"][0]["paths"][0].update(wwid="naa.6001"),
    "of no volume": lambda state: state["maps"].append({"wwid": "36001", "linked": True, "paths": []}),
}


@pytest.mark.parametrize("expected", SPOILT)
def test_what_is_wrong_is_told(expected: str) -> None:
    state = attached()
    SPOILT[expected](state)
    [told] = wrong_when_attached(state, CONNECTIONS)
    assert expected in told


def test_nothing_left() -> None:
    assert left_behind(NOTHING) == []


@pytest.mark.parametrize("kind", sorted(NOTHING))
def test_what_is_left_is_told(kind: str) -> None:
    thing = attached()["maps"][0] if kind == "maps" else "iqn.2026-11.org.example:one"
    assert len(left_behind({**NOTHING, kind: [thing]})) == 1


def test_tables_show_medians_and_ratios() -> None:
    def figure(seconds: float) -> dict[str, Any]:
        return {"seconds": seconds, "processes": 10, "task_seconds": seconds + 1, "late_seconds": 0}

    middles = dict(zip((way.name for way in WAYS), (10.0, 20.0, 40.0), strict=True))
    shown = tables(
        {
            "volumes": 8,
            "paths": 2,
            "ways": {
                name: {step: [figure(1), figure(middle), figure(900)] for step in STEPS}
                for name, middle in middles.items()
            },
            "nothing_to_do": {"ping": [1.0, 2.0, 9.0], "volume_attach": [3.0, 2.5, 1.0]},
        }
    )
    rows = [line.split() for line in shown.splitlines()]
    assert ["attach", "volume_attach", "10.0", "0.25", "0.50", "10"] in rows
    assert ["detach", "os-brick", "40.0", "1.00", "2.00", "10"] in rows
    assert ["brickwork.storage.volume_attach", "2.50", "1.25", "3.00", "3.00"] in rows


def test_a_way_that_ended_too_early_is_told() -> None:
    figure = {"seconds": 1.0, "processes": 1, "task_seconds": 1.0, "late_seconds": 0}
    ways = {way.name: {step: [dict(figure)] for step in STEPS} for way in WAYS}
    ways["os-brick"]["attach"][0]["late_seconds"] = 3.2
    shown = tables({"volumes": 1, "paths": 2, "ways": ways, "nothing_to_do": {"ping": [1], "volume_attach": [1]}})
    assert "os-brick, attach: not complete when it ended, but up to 3 s later." in shown
