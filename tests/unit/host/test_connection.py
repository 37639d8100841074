# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A connection as it comes from a person, a play or AWX."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.host.connection import (
    Connection,
    parse,
    parse_batch,
    recorded,
)
from ansible_collections.brickwork.storage.tests.unit.host.examples import (
    CAPTURE_ID,
    CAPTURE_SIZE,
    CAPTURE_WWN,
    HOST,
    INITIATOR,
    SECRET,
    connection,
    connection_data,
    parsed,
    volume,
)

NOT_A_MAPPING: list[Any] = [None, "text", 5, [], [{}]]
NOT_A_NAME: list[Any] = [None, "", " ", 5, ["name"]]


def refused(given: Any, *, predicted_allowed: bool = False) -> StorageError:
    with pytest.raises(StorageError) as caught:
        parse(given, "connections[0]", to_attach=True, predicted_allowed=predicted_allowed)
    return caught.value


def own_names(key: str) -> frozenset[str]:
    return frozenset([INITIATOR] if key == "initiator" else [])


def batch(*given: Any, to_attach: bool = True, predicted_allowed: bool = False) -> list[tuple[str, Any]]:
    return list(parse_batch(list(given), HOST, own_names, to_attach=to_attach, predicted_allowed=predicted_allowed))


def info(**data: Any) -> dict[str, Any]:
    return {"driver_volume_type": "iscsi", "data": connection_data(**data)}


def test_everything_of_it() -> None:
    found = parsed()
    assert found.volume.as_dict() == volume()
    assert (found.host, found.names, found.protocol, found.connected) == (HOST, frozenset([INITIATOR]), "iscsi", True)
    assert len(found.export.portals) == 2


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        *(({"volume": value}, "volume") for value in NOT_A_MAPPING),
        *(({"volume": volume(name=value)}, "volume.name") for value in NOT_A_NAME),
        *(({"volume": volume(id=value)}, "volume.id") for value in NOT_A_NAME),
        *(({"volume": volume(size_bytes=v)}, "volume.size_bytes") for v in ["1GiB", 0, -1, 1.5, True, [], ""]),
        *(({"volume": volume(wwn=v)}, "volume.wwn") for v in ["", "naa.6001", "0x6001", 36001, f"{CAPTURE_WWN}\n"]),
        ({"volume": volume(backend=5)}, "volume.backend"),
        ({"volume": volume(backend=["lvm"])}, "volume.backend"),
        *(({"host": value}, "host") for value in NOT_A_NAME),
        *(({"connected": value}, "connected") for value in [None, "yes", 1, False]),
        *(({"connection_info": value}, "connection_info") for value in NOT_A_MAPPING),
        ({"connection_info": {"data": {}}}, "connection_info.driver_volume_type"),
        ({"connection_info": {"driver_volume_type": 5, "data": {}}}, "connection_info.driver_volume_type"),
        ({"connection_info": {"driver_volume_type": "iscsi"}}, "connection_info.data"),
        ({"connection_info": info(target_lun="one")}, "connection_info.data.target_lun"),
    ],
)
def test_wrong_and_missing_fields_are_named(changes: dict[str, Any], field: str) -> None:
    error = refused(connection(**changes))
    assert error.code == "invalid_argument"
    assert error.facts["field"] == f"connections[0].{field}"
    assert f"connections[0].{field}" in error.message
    assert "expected" in error.message


@pytest.mark.parametrize("given", [None, "capture1", 5, [], [connection()]])
def test_what_is_no_connection_at_all(given: Any) -> None:
    error = refused(given)
    assert (error.code, error.facts["field"]) == ("invalid_argument", "connections[0]")


@pytest.mark.parametrize(
    "misplaced",
    [
        connection(connection_info=SECRET),
        connection(connection_info={"driver_volume_type": "iscsi", "data": [SECRET]}),
        SECRET,
        connection(connection_info=info(auth_password=f"{SECRET} ")),
    ],
)
def test_a_secret_in_the_wrong_place_is_not_repeated(misplaced: Any) -> None:
    assert SECRET not in str(refused(misplaced).as_dict())


def test_unknown_protocol() -> None:
    error = refused(connection(connection_info={"driver_volume_type": "iscis", "data": {}}))
    assert error.code == "unimplemented"
    assert error.facts["candidates"] == ["iscsi"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"size_bytes": str(CAPTURE_SIZE)}, {"size_bytes": CAPTURE_SIZE}),
        ({"size_bytes": None}, {"size_bytes": None}),
        ({"wwn": CAPTURE_WWN.upper()}, {"wwn": CAPTURE_WWN}),
        ({"wwn": None}, {"wwn": None}),
        ({"backend": None}, {"backend": None}),
    ],
)
def test_what_a_volume_may_leave_open_or_write_otherwise(changes: dict[str, Any], expected: dict[str, Any]) -> None:
    assert parsed(volume=volume(**changes)).volume.as_dict() == {**volume(), **expected}


@pytest.mark.parametrize("connected", [True, "true", "True"])
def test_connected_may_come_as_a_string(connected: Any) -> None:
    assert parse(connection(connected=connected), "c", to_attach=True, predicted_allowed=False).connected


@pytest.mark.parametrize("connector", [None, "host2", {}, {"initiator": None}])
def test_connector_may_be_missing(connector: Any) -> None:
    assert parsed(connector=connector).names == set()


def test_predicted_connection_needs_no_secret() -> None:
    given = connection(connected=False, connection_info=info(auth_password=None))
    assert parse(given, "c", to_attach=True, predicted_allowed=True).connected is False


def test_predicted_connection_is_refused_outside_check_mode() -> None:
    assert "predicted" in refused(connection(connected=False)).message


def test_input_is_left_alone() -> None:
    given = connection()
    before = copy.deepcopy(given)
    parse(given, "c", to_attach=True, predicted_allowed=False).without_secrets()
    assert given == before


def test_without_secrets() -> None:
    stripped = parsed().without_secrets()
    assert SECRET not in str(stripped)
    assert stripped["connection_info"]["data"] == {**connection_data(), "auth_password": None}
    assert stripped["volume"] == volume()


def test_a_record_needs_no_secret() -> None:
    assert recorded(parsed().without_secrets()).volume.id == CAPTURE_ID


def test_batch_keeps_the_order_and_what_is_right() -> None:
    second = connection(volume=volume(name="second", id="2"))
    names, found = zip(*batch(connection(), connection(volume=volume(name="bad", id=5)), second, "nonsense"))
    assert names == ("capture1", "bad", "second", "connections[3]")
    assert [isinstance(one, Connection) for one in found] == [True, False, True, False]
    assert found[1].facts["field"] == "connections[1].volume.id"


def test_batch_without_connections() -> None:
    with pytest.raises(StorageError) as caught:
        batch()
    assert (caught.value.code, caught.value.facts["field"]) == ("invalid_argument", "connections")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"host": "host1"}, "host"),
        ({"connector": {"initiator": "iqn.2026-11.org.example:host1"}}, "connector.initiator"),
    ],
)
@pytest.mark.parametrize("to_attach", [True, False])
def test_connection_of_another_host(changes: dict[str, Any], field: str, to_attach: bool) -> None:
    ((_name, error),) = batch(connection(**changes), to_attach=to_attach)
    assert (error.code, error.facts["field"]) == ("invalid_argument", f"connections[0].{field}")
    assert "host1" in error.message
    assert "host2" in error.message


def test_same_volume_twice() -> None:
    (_first, found), (_second, error) = batch(connection(), connection())
    assert isinstance(found, Connection)
    assert (error.code, error.facts["field"]) == ("invalid_argument", "connections[1].volume.id")
