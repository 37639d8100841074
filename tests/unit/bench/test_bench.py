# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmarks' judgement of an outcome, and their tables."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols.iscsi import validate
from ansible_collections.brickwork.storage.tests.bench import document, table
from ansible_collections.brickwork.storage.tests.bench.case import cases
from ansible_collections.brickwork.storage.tests.bench.cli import main
from ansible_collections.brickwork.storage.tests.bench.lab import Task
from ansible_collections.brickwork.storage.tests.bench.outcome import left_behind, wrong_when_attached
from ansible_collections.brickwork.storage.tests.bench.shared import TARGET, connection_data
from ansible_collections.brickwork.storage.tests.bench.ways import STEPS, WAYS, Figure, summed, targets_of

WWN = "36001405ccad2f01486b4565b2b4b5325"
CONNECTIONS = [
    {
        "volume": {"name": "one", "wwn": WWN},
        "connection_info": {"data": {"target_portals": ["192.0.2.1:3260", "198.51.100.1:3260"]}},
    }
]
EVERY_WAY = [way.name for way in WAYS]
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


def figure(seconds: float, late_seconds: float = 0) -> dict[str, Any]:
    return {"seconds": seconds, "processes": 10, "late_seconds": late_seconds}


def figures(names: Sequence[str] = EVERY_WAY, **changed: Any) -> dict[str, Any]:
    middles = {"volume_attach": 10.0, "iscsiadm": 20.0, "os-brick": 40.0, "open_iscsi": 80.0}
    ways = {
        row: {step: [figure(1), figure(middles[way.name]), figure(900)] for step in STEPS}
        for way in WAYS
        for row in way.rows
        if way.name in names
    }
    nothing_to_do = {"ping": [1.0, 2.0, 9.0], "volume_attach": [3.0, 2.5, 1.0]}
    case = {"volumes": 8, "targets": "shared", "ways": ways, "failed": {}, "nothing_to_do": nothing_to_do, **changed}
    return {"command": "tests/bench/run", "rounds": 3, "paths": 2, "packages": {"kernel": "6.1"}, "cases": [case]}


def rows(text: str) -> list[str]:
    """The lines, whatever the columns' widths are."""
    return [" ".join(line.split()) for line in text.splitlines()]


@pytest.mark.parametrize("written", [table.tables, document.tables])
def test_tables_show_medians_ratios_and_processes(written: Callable[[dict[str, Any]], str]) -> None:
    shown = rows(written(figures()))
    assert "8 volumes, one shared target, 2 paths each" in shown
    assert "attach volume_attach 10.0 0.50 0.25 10" in shown
    assert "detach os-brick in a loop 40.0 2.00 1.00 10" in shown
    assert "8 volumes, one shared target 2.00 2.50 1.25 3.00 3.00" in shown
    assert any(row.endswith("Medians of 3 rounds.") for row in shown)


def test_document_says_what_made_it() -> None:
    assert "``tests/bench/run``" in document.tables(figures())


def test_ratios_to_a_way_that_was_left_out_are_empty() -> None:
    shown = rows(table.tables(figures(["volume_attach", "iscsiadm"])))
    assert "attach volume_attach 10.0 0.50 10" in shown
    assert not any(row.startswith("attach os-brick") for row in shown)


def test_a_way_that_failed_has_no_figures() -> None:
    text = table.tables(figures(failed={"os-brick": "no map came"}))
    assert "os-brick failed: no map came" in text
    assert "attach os-brick in a loop failed" in rows(text)
    assert "40.0" not in text


def test_a_way_that_ended_too_early_is_told() -> None:
    early = figures()
    early["cases"][0]["ways"]["os-brick in a loop"]["attach"][0]["late_seconds"] = 3.2
    assert "os-brick in a loop, attach: not complete when it ended, but up to 3 s later." in table.tables(early)


def test_tables_replace_those_in_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "performance.rst"
    page.write_text(document.PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setattr(document, "PAGE", page)
    document.replace("old tables\n")
    once = page.read_text(encoding="utf-8")
    document.replace("new tables\n")
    assert "old tables" in once
    assert page.read_text(encoding="utf-8") == once.replace("old tables", "new tables")


@pytest.mark.parametrize(
    ("volumes", "targets", "expected"),
    [
        ([8], ["each"], ["8 volumes, a target for each"]),
        ([8, 1], ["each", "shared"], ["1 volume", "8 volumes, a target for each", "8 volumes, one shared target"]),
        ([1], ["shared"], ["1 volume"]),
    ],
)
def test_cases(volumes: list[int], targets: list[str], expected: list[str]) -> None:
    assert [case.title for case in cases(volumes, targets)] == expected


def test_only_the_tasks_between_the_counts_are_measured() -> None:
    tasks = [
        Task("Open the connection to the host", 100, False, ""),
        Task("Count the processes before", 100, False, "processes 1000\n"),
        Task("Log in, or out", 2.5, True, ""),
        Task("Wait for the maps", 4, False, ""),
        Task("Count the processes after", 100, False, "processes 1234\n"),
    ]
    assert summed(tasks) == Figure(6.5, 234)


def test_a_shared_target_is_one_target() -> None:
    data = [connection_data(lun, ["192.0.2.1:3260", "198.51.100.1:3260"], "user", "secret") for lun in range(3)]
    connections = [{"connection_info": {"driver_volume_type": "iscsi", "data": one}} for one in data]
    assert [one["target_luns"] for one in data] == [[0, 0], [1, 1], [2, 2]]
    assert targets_of(connections) == [(TARGET, "user", "secret", ("192.0.2.1:3260", "198.51.100.1:3260"))]
    for one in data:
        assert len(validate(one, "data", True).portals) == 2


@pytest.mark.parametrize("options", [["--ways", "iscsi"], ["--volumes", "0"], ["--targets", "own,shared"]])
def test_what_cannot_be_measured_is_refused(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(options)
    assert options[0] in capsys.readouterr().err
