# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The judgement of what a crowd got, and its tables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.brickwork.storage.tests.bench import document
from ansible_collections.brickwork.storage.tests.bench.crowd import table
from ansible_collections.brickwork.storage.tests.bench.crowd.asker import askers, batches, inventory
from ansible_collections.brickwork.storage.tests.bench.crowd.outcome import left_behind, wrong_answers

CROWD = askers(2)
FIRST, SECOND = CROWD


def answered() -> tuple[dict[str, Any], dict[str, Any]]:
    """What each got, and the controller afterwards."""
    answers: dict[str, Any] = {}
    state: dict[str, Any] = {"exports": {}, "held": {}}
    for asker in CROWD:
        target, volume_id, secret = f"iqn:{asker.volume}", f"id-of-{asker.volume}", f"secret-of-{asker.host}"
        data = {"target_iqn": target, "auth_username": asker.host, "auth_password": secret}
        connection = {
            "host": asker.host,
            "volume": {"name": asker.volume, "id": volume_id},
            "connection_info": {"data": data},
        }
        answers[asker.host] = {"connections": [connection]}
        state["exports"][target] = {"initiators": {asker.initiator: [asker.host, secret]}, "volume": volume_id}
        state["held"][asker.volume] = [asker.host]
    return answers, state


def test_right_when_each_got_its_own() -> None:
    assert wrong_answers(CROWD, *answered()) == []


def test_right_when_one_was_refused_and_has_nothing() -> None:
    answers, state = answered()
    answers[FIRST.host] = {"error_code": "aborted", "msg": "the lock was not free"}
    del state["exports"][f"iqn:{FIRST.volume}"]
    state["held"][FIRST.volume] = []
    assert wrong_answers(CROWD, answers, state) == []


def swap(answers: dict[str, Any], state: dict[str, Any]) -> None:
    answers[FIRST.host], answers[SECOND.host] = answers[SECOND.host], answers[FIRST.host]


SPOILT: dict[str, Callable[[dict[str, Any], dict[str, Any]], Any]] = {
    "was told aborted, and has": lambda answers, state: answers[FIRST.host].update(error_code="aborted"),
    "got no answer of use: internal": lambda answers, state: answers[FIRST.host].update(error_code="internal"),
    "got no answer of use: None": lambda answers, state: answers.pop(FIRST.host),
    "got the connection of crowd-host-2": swap,
    "which is held by ['crowd-host-1', 'crowd-host-2']": lambda answers, state: state["held"][FIRST.volume].append(
        SECOND.host
    ),
    "with id-of-crowd-asked-2 behind it": lambda answers, state: state["exports"][f"iqn:{FIRST.volume}"].update(
        volume="id-of-crowd-asked-2"
    ),
    "lets in nobody": lambda answers, state: state["exports"].pop(f"iqn:{FIRST.volume}"),
    "with another secret": lambda answers, state: state["exports"][f"iqn:{FIRST.volume}"]["initiators"].update(
        {FIRST.initiator: [FIRST.host, "other"]}
    ),
    "two hosts have one secret": lambda answers, state: state["exports"].update(
        other={"initiators": {"iqn:other": ["other", "secret-of-crowd-host-1"]}, "volume": "other"}
    ),
}


@pytest.mark.parametrize("expected", SPOILT)
def test_what_is_wrong_is_told(expected: str) -> None:
    answers, state = answered()
    SPOILT[expected](answers, state)
    assert any(expected in told for told in wrong_answers(CROWD, answers, state))


def test_what_is_left_is_told() -> None:
    state = answered()[1]
    assert len(left_behind(CROWD, state)) == 2
    assert left_behind(CROWD, {"exports": {}, "held": {FIRST.volume: []}}) == []


def test_a_crowd_is_the_controller_by_other_names() -> None:
    hosts = inventory(CROWD)["crowd"]["hosts"]
    assert list(hosts) == ["crowd-host-1", "crowd-host-2"]
    assert len({host["connector"]["initiator"] for host in hosts.values()}) == 2
    assert batches([1, 2, 3], 2) == [[1, 2], [3]]


def figures() -> dict[str, Any]:
    one = {"ping": [1.0, 2.0, 9.0], "connect": [4.0, 4.0, 4.0], "again": [3.0, 3.0, 3.0], "release": [4.0, 4.0, 4.0]}
    # The machine has become slower, and the connection more than that.
    slower = {**one, "ping": [1.0, 4.0, 9.0], "connect": [16.0, 16.0, 16.0]}
    crowd = {"ping": 10.0, "ask": 40.0, "release": 30.0, "aborted": 1}
    return {
        "command": "tests/bench/crowd/run",
        "hosts": 100,
        "forks": 50,
        "rounds": 3,
        "cases": [{"exports": 10, "one": one}, {"exports": 1000, "one": slower}],
        "crowd": crowd,
        "cinder": {**one, "bare": [2.0, 2.0, 2.0]},
    }


def test_tables_show_medians_and_ratios() -> None:
    shown = table.sections(figures())
    assert ("1000", "connect", "16.00", "4.00", "2.00") in shown["One connection"]
    assert ("99", "1", "40.0", "4.00", "30.0", "3.00") in shown["100 hosts at once, 50 forks, 10 exports"]
    assert ("connect", "4.00", "2.00", "2.00") in shown["One connection by Cinder's driver for LVM"]
    assert len(table.sections({**figures(), "cinder": {}})) == 2


def test_each_program_has_its_own_tables_in_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "performance.rst"
    page.write_text(document.PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setattr(document, "PAGE", page)
    document.replace("those of the crowd\n", "tests/bench/crowd/run")
    document.replace("those of one host\n")
    assert page.read_text(encoding="utf-8").count("those of") == 2
