# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the report makes of what hosts and controllers told."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from ansible_collections.brickwork.storage.plugins.plugin_utils.report.fleet import fleet
from ansible_collections.brickwork.storage.plugins.plugin_utils.report.page import page
from ansible_collections.brickwork.storage.tests.browser.made_up import UNREACHABLE, made_up

Told = dict[str, dict[str, Any]]


@pytest.fixture
def told() -> tuple[Told, Told, Told]:
    """Two hosts with two volumes each, all well, and a volume that nobody has."""
    made = made_up(2, volumes_each=2, trouble=0)
    for volume in made.connections["stor1"]["volumes"]:
        volume["problems"] = []
    return made.hosts, made.connections, made.backends


def line_of(seen: dict[str, Any], volume: str | None, host: str | None) -> dict[str, Any]:
    def name(kind: str, place: int | None) -> str | None:
        return None if place is None else str(seen[kind][place]["name"])

    [found] = [
        line
        for line in seen["lines"]
        if (name("volumes", line["volume"]), name("hosts", line["host"])) == (volume, host)
    ]
    return dict(found)


def test_a_volume_is_told_once_by_its_controller_and_its_host(told: tuple[Told, Told, Told]) -> None:
    seen = fleet(*told)
    assert [volume["name"] for volume in seen["volumes"]] == ["db1-data", "db1-log", "web1-data", "web1-log", "spare-1"]
    line = line_of(seen, "db1-data", "db1")
    assert (line["held"], line["attached"], line["health"], line["problems"]) == (True, True, "ok", [])
    assert [path["state"] for path in line["paths"]] == ["running", "running"]
    assert seen["counts"] == {"hosts": {"ok": 2}, "volumes": {"ok": 5}, "paths": 8, "working_paths": 8}


def test_a_volume_that_no_host_has_is_told(told: tuple[Told, Told, Told]) -> None:
    line = line_of(fleet(*told), "spare-1", None)
    assert (line["held"], line["attached"], line["health"]) == (False, False, "ok")


def test_hosts_alone_are_enough(told: tuple[Told, Told, Told]) -> None:
    seen = fleet(told[0], {}, {})
    line = line_of(seen, "web1-log", "web1")
    assert (line["held"], line["health"], len(seen["volumes"])) == (None, "ok", 4)
    assert seen["volumes"][0]["backend"] == told[0]["db1"]["attachments"][0]["volume"]["backend"]


def test_a_volume_without_a_record_is_found_by_its_wwn(told: tuple[Told, Told, Told]) -> None:
    attachment = told[0]["db1"]["attachments"][0]
    attachment["recorded"] = False
    attachment["volume"] = {**attachment["volume"], "name": None, "id": None, "backend": None}
    seen = fleet(*told)
    assert line_of(seen, "db1-data", "db1")["held"] is True
    assert line_of(fleet(told[0], {}, {}), attachment["wwn"], "db1")["held"] is None


def test_a_host_that_cannot_be_reached_is_unknown_with_what_it_holds(told: tuple[Told, Told, Told]) -> None:
    told[0]["db1"] = UNREACHABLE
    seen = fleet(*told)
    line = line_of(seen, "db1-log", "db1")
    assert (line["health"], line["held"], line["attached"]) == ("unknown", True, None)
    assert line["problems"][0].startswith("db1 could not be reached. ")
    assert seen["hosts"][0]["state"] == "unreachable"
    assert seen["counts"]["hosts"] == {"unknown": 1, "ok": 1}
    assert [volume["health"] for volume in seen["volumes"]] == ["unknown", "unknown", "ok", "ok", "ok"]


@pytest.mark.parametrize(
    ("result", "state", "sentence"),
    [
        (UNREACHABLE, "unreachable", f"db1 could not be reached. {UNREACHABLE['msg']}"),
        ({"msg": "Task failed: no Python"}, "failed", "db1 could not tell. no Python"),
        ({"msg": "Task failed: no way: <error censored due to no log>"}, "failed", "db1 could not tell. no way"),
        ({}, "not asked", "db1 was not asked."),
    ],
)
def test_a_host_that_tells_nothing_has_a_line(result: dict[str, Any], state: str, sentence: str) -> None:
    seen = fleet({"db1": result}, {}, {})
    assert seen["hosts"] == [{"name": "db1", "state": state, "health": "unknown", "problems": [sentence]}]
    assert line_of(seen, None, "db1")["problems"] == [sentence]


def test_a_connection_without_an_attachment_is_degraded(told: tuple[Told, Told, Told]) -> None:
    told[0]["db1"]["attachments"].pop()
    line = line_of(fleet(*told), "db1-log", "db1")
    assert (line["health"], line["attached"]) == ("degraded", False)
    assert line["problems"] == [
        "stor1 has connected it to db1, and it is not attached there. Attach it, or release it."
    ]


def test_an_attachment_without_a_connection_is_degraded(told: tuple[Told, Told, Told]) -> None:
    told[1]["stor1"]["volumes"][0]["holders"] = []
    line = line_of(fleet(*told), "db1-data", "db1")
    assert (line["health"], line["held"]) == ("degraded", False)
    assert "stor1 has not connected it to db1" in line["problems"][0]


def test_a_volume_that_its_backend_does_not_know_is_degraded(told: tuple[Told, Told, Told]) -> None:
    del told[1]["stor1"]["volumes"][0]
    line = line_of(fleet(*told), "db1-data", "db1")
    assert line["health"] == "degraded"
    assert "has no volume db1-data of this id" in line["problems"][0]


@pytest.mark.parametrize("unread", ["errors", "backend"])
def test_of_a_backend_that_was_not_read_whole_nothing_is_concluded(told: tuple[Told, Told, Told], unread: str) -> None:
    volume = told[1]["stor1"]["volumes"].pop(0)
    if unread == "errors":
        told[1]["stor1"]["errors"] = [{"volume": volume["name"], "msg": "It cannot be read."}]
    else:
        [backend] = [one for one in told[2]["stor1"]["backends"] if one["name"] == volume["backend"]]
        backend["usable"] = False
    line = line_of(fleet(*told), "db1-data", "db1")
    assert (line["health"], line["held"]) == ("ok", None)


def test_a_holder_that_was_not_asked_is_unknown(told: tuple[Told, Told, Told]) -> None:
    del told[0]["db1"]
    seen = fleet(*told)
    line = line_of(seen, "db1-data", "db1")
    assert (line["health"], line["held"], line["used_from"] != []) == ("unknown", True, True)
    assert [host["state"] for host in seen["hosts"]] == ["told", "not asked"]


@pytest.mark.parametrize("name", ["db1.example.org", "10.0.0.7", "database"])
def test_a_host_is_known_by_its_own_name_as_well(told: tuple[Told, Told, Told], name: str) -> None:
    hosts = {name: told[0]["db1"], "web1": told[0]["web1"]}
    assert line_of(fleet(hosts, told[1], told[2]), "db1-data", name)["held"] is True


@pytest.mark.parametrize(
    ("inventory", "own", "holder", "same"),
    [
        ("10.0.0.7", "db1.example.org", "db1", True),
        ("db1", "db1", "db1.example.org", True),
        ("db1.example.org", "db1.example.org", "db1.example.net", False),
        ("db1.example.org", "db1.example.org", "db10", False),
        ("10.0.0.7", "10.0.0.7", "10.0.0.8", False),
    ],
)
def test_a_name_may_be_short_for_another(
    told: tuple[Told, Told, Told], inventory: str, own: str, holder: str, same: bool
) -> None:
    volume = told[1]["stor1"]["volumes"][0]
    volume["holders"][0]["host"] = holder
    attachment = {**told[0]["db1"]["attachments"][0], "host": own}
    seen = fleet({inventory: {"attachments": [attachment]}}, {"stor1": {"volumes": [volume]}}, {})
    assert line_of(seen, "db1-data", inventory)["held"] is same
    assert len(seen["hosts"]) == (1 if same else 2)


def test_a_short_name_of_two_hosts_is_that_of_neither(told: tuple[Told, Told, Told]) -> None:
    nothing: Told = {"db1.a.example.org": {"attachments": []}, "db1.b.example.org": {"attachments": []}}
    seen = fleet(nothing, told[1], told[2])
    assert line_of(seen, "db1-data", "db1")["health"] == "unknown"


def test_what_a_controller_finds_wrong_is_on_the_lines_of_the_volume(told: tuple[Told, Told, Told]) -> None:
    told[1]["stor1"]["volumes"][0]["problems"] = ["It is not well."]
    seen = fleet(*told)
    line = line_of(seen, "db1-data", "db1")
    assert (line["health"], line["problems"]) == ("degraded", ["It is not well."])
    assert [host["health"] for host in seen["hosts"]] == ["degraded", "ok"]


def test_a_controller_is_no_host_unless_it_uses_a_volume(told: tuple[Told, Told, Told]) -> None:
    nothing: dict[str, Any] = {"attachments": [], "unclaimed": []}
    seen = fleet({**told[0], "stor1": nothing, "idle": nothing}, told[1], told[2])
    assert [host["name"] for host in seen["hosts"]] == ["db1", "web1", "idle"]
    own = copy.deepcopy(told[0]["db1"])
    seen = fleet({"stor1": own}, told[1], told[2])
    assert "stor1" in [host["name"] for host in seen["hosts"]]


def test_what_nobody_claims_is_told_of_hosts_and_backends(told: tuple[Told, Told, Told]) -> None:
    told[0]["db1"]["unclaimed"] = [{"kind": "iscsi_session", "name": "session3", "problem": "It has no LUN."}]
    told[1]["stor1"]["strangers"] = [{"name": "root", "backend": "lvm", "msg": "It was not made by lvm."}]
    assert fleet(*told)["unclaimed"] == [
        {"where": "db1", "kind": "iscsi_session", "name": "session3", "problem": "It has no LUN."},
        {"where": "stor1", "kind": "stranger", "name": "lvm/root", "problem": "It was not made by lvm."},
    ]


def test_a_controller_says_why_it_could_not_tell(told: tuple[Told, Told, Told]) -> None:
    seen = fleet(told[0], {"stor1": UNREACHABLE}, {"stor1": UNREACHABLE})
    [controller] = seen["controllers"]
    assert (controller["state"], controller["health"]) == ("unreachable", "failed")
    assert controller["problems"] == [f"stor1 could not be reached. {UNREACHABLE['msg']}"]


def test_a_backend_that_cannot_be_used_is_told_once(told: tuple[Told, Told, Told]) -> None:
    error = told[2]["stor1"]["backends"][-1]["error"]
    told[1]["stor1"]["errors"] = [{"volume": "cloud", "backend": "cloud", **error}]
    seen = fleet(*told)
    assert seen["backends"][-1]["problems"] == [error["msg"]]
    assert seen["controllers"][0]["problems"] == []


def test_a_secret_gets_into_no_report(told: tuple[Told, Told, Told]) -> None:
    hosts, connections, _backends = told
    secret = {"auth_password": "correct-horse"}
    attachment, volume = hosts["db1"]["attachments"][0], connections["stor1"]["volumes"][0]
    attachment.update(connection_info={"data": secret}, attach_info=secret, **secret)
    attachment["paths"][0].update(secret)
    attachment["stack"][0].update(secret)
    volume.update(export=secret, connection_info={"data": secret}, **secret)
    volume["holders"][0].update(secret)
    seen = fleet(*told)
    assert "correct-horse" not in json.dumps(seen)
    assert "correct-horse" not in page(seen, "Storage", "2026-11-24T00:30:00Z")
