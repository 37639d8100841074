# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bad input gets a code, the field's name and what was expected, and changes nothing."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.brickwork.storage.tests.integration.lab import Lab

HOST = "host1"
Change = Callable[[dict[str, Any]], object]

CONNECTIONS: list[tuple[str, Change, str]] = [
    ("no volume", lambda c: c.pop("volume"), "connections[0].volume"),
    ("no name", lambda c: c["volume"].pop("name"), "connections[0].volume.name"),
    ("size in words", lambda c: c["volume"].update(size_bytes="big"), "connections[0].volume.size_bytes"),
    ("no connection_info", lambda c: c.pop("connection_info"), "connections[0].connection_info"),
    ("info is text", lambda c: c.update(connection_info="iscsi"), "connections[0].connection_info"),
    ("no data", lambda c: c["connection_info"].pop("data"), "connections[0].connection_info.data"),
    (
        "no portal",
        lambda c: c["connection_info"]["data"].pop("target_portal"),
        "connections[0].connection_info.data.target_portal",
    ),
    (
        "a number where a list belongs",
        lambda c: c["connection_info"]["data"].update(target_luns=0),
        "connections[0].connection_info.data.target_luns",
    ),
    (
        "fewer targets than portals",
        lambda c: c["connection_info"]["data"]["target_iqns"].pop(),
        "connections[0].connection_info.data.target_iqns",
    ),
    (
        "LUN in words",
        lambda c: c["connection_info"]["data"].update(target_lun="first"),
        "connections[0].connection_info.data.target_lun",
    ),
    (
        "no secret",
        lambda c: c["connection_info"]["data"].update(auth_password=None),
        "connections[0].connection_info.data.auth_password",
    ),
    ("another host's", lambda c: c.update(host="host2"), "connections[0].host"),
    ("only predicted", lambda c: c.update(connected=False), "connections[0].connected"),
]


@pytest.fixture(scope="module")
def connection(lab: Lab, created: None) -> Any:
    """A good connection, to be spoilt; released at the end."""
    made = lab.connect(HOST, "test-data")[0]
    yield made
    lab.disconnect(HOST, "test-data")


@pytest.mark.parametrize(("change", "field"), [case[1:] for case in CONNECTIONS], ids=[case[0] for case in CONNECTIONS])
def test_a_spoilt_connection(lab: Lab, connection: dict[str, Any], change: Change, field: str) -> None:
    spoilt = copy.deepcopy(connection)
    change(spoilt)
    refused = lab.refuse(HOST, "volume_attach", "invalid_argument", connections=[spoilt], multipath=True)
    assert refused["field"] == field
    assert "expected" in refused["msg"]
    assert connection["connection_info"]["data"]["auth_password"] not in str(refused)
    assert lab.leftovers(HOST) == ""


@pytest.mark.parametrize(
    ("host", "module", "arguments", "code", "field"),
    [
        (HOST, "volume_attach", {"connections": 5}, "invalid_argument", "connections"),
        (HOST, "volume_attach", {"connections": []}, "invalid_argument", "connections"),
        (HOST, "volume_attach", {"state": "present"}, "invalid_argument", None),
        (HOST, "volume_attach", {"volumes": ["x"], "state": "attached"}, "invalid_argument", "state"),
        (HOST, "volume_attach", {"volumes": ["x"], "state": "absent", "timeout": 0}, "invalid_argument", "timeout"),
        (HOST, "volume_attach", {"volumes": ["x"], "state": "absent", "wait": 1}, "invalid_argument", None),
        ("controller", "volume_connection", {"volumes": ["test-dat"], "connector": "CONNECTOR"}, "not_found", None),
        (
            "controller",
            "volume_connection",
            {"volumes": ["test-data"], "connector": 5},
            "invalid_argument",
            "connector",
        ),
        (
            "controller",
            "volume_connection",
            {"volumes": ["test-data"], "connector": {"host": "host1"}},
            "invalid_argument",
            "connector.initiator",
        ),
        (
            "controller",
            "volume_connection",
            {"volumes": ["test-data"], "connector": {"initiator": "iqn.2026-11.org.example:x"}},
            "invalid_argument",
            "connector.host",
        ),
        ("controller", "volume_connection", {"volumes": ["test-data"]}, "invalid_argument", None),
        (
            "controller",
            "volume_connection",
            {"volumes": ["test-data"], "connector": "CONNECTOR", "backend": "lvn"},
            "not_found",
            "backend",
        ),
        ("controller", "volume", {"volumes": ["new"], "size": "much"}, "invalid_argument", "size"),
        ("controller", "volume", {"volumes": ["new"]}, "invalid_argument", "size"),
        ("controller", "volume", {"volumes": ["test-data"], "size": "4MiB"}, "invalid_argument", "size"),
        ("controller", "volume", {"volumes": ["new"], "size": "900TiB"}, "resource_exhausted", None),
        ("controller", "volume", {"volumes": ["-rf"], "size": "4MiB"}, "invalid_argument", "volumes"),
    ],
)
def test_wrong_arguments(
    lab: Lab, created: None, host: str, module: str, arguments: dict[str, Any], code: str, field: str | None
) -> None:
    given = {key: lab.connector(HOST) if value == "CONNECTOR" else value for key, value in arguments.items()}
    refused = lab.refuse(host, module, code, **given)
    assert field in (None, refused.get("field")), refused


def test_an_unknown_volume_is_answered_with_near_names(lab: Lab, created: None) -> None:
    refused = lab.refuse(
        "controller", "volume_connection", "not_found", volumes=["test-dat"], connector=lab.connector(HOST)
    )
    assert "test-data" in refused["candidates"]
