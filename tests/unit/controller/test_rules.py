# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.brickwork.storage.plugins.module_utils.controller import rules
from ansible_collections.brickwork.storage.plugins.module_utils.controller.backend import Holder, Inventory, Volume
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError

GIB = 1024**3
ONE = Holder("host1", "iqn.2026-11.org.example:host1", True)
TWO = Holder("host2", "iqn.2026-11.org.example:host2", True)
FREE = Volume("db-data", "5f0c1c5e-4a3b-4d37-9d0a-0f7a5f1f6f3a", GIB, "lvm")
HELD = replace(FREE, holders=(ONE,))
BOTH = replace(FREE, holders=(ONE, TWO), shared=True)


def connect(volume: Volume, holder: Holder, shared: bool = False, others: tuple[Volume, ...] = ()) -> Volume:
    return rules.connected(volume, holder, shared, (volume, *others))


@pytest.mark.parametrize(
    ("volume", "holder", "shared", "expected"),
    [
        pytest.param(FREE, ONE, False, HELD, id="first host"),
        pytest.param(HELD, ONE, False, HELD, id="repeat"),
        pytest.param(HELD, ONE, True, replace(HELD, shared=True), id="shared from false to true"),
        pytest.param(replace(HELD, shared=True), ONE, False, HELD, id="shared back to false with one holder"),
        pytest.param(HELD, TWO, True, BOTH, id="second host, shared"),
        pytest.param(replace(FREE, holders=(TWO,)), ONE, True, BOTH, id="holders are kept in order"),
        pytest.param(BOTH, ONE, True, BOTH, id="repeat of a shared one"),
    ],
)
def test_connects(volume: Volume, holder: Holder, shared: bool, expected: Volume) -> None:
    assert connect(volume, holder, shared) == expected


@pytest.mark.parametrize(
    ("volume", "holder", "shared", "code", "facts"),
    [
        pytest.param(HELD, TWO, False, "failed_precondition", {"holders": ["host1"]}, id="held by another host"),
        pytest.param(BOTH, ONE, False, "failed_precondition", {"holders": ["host2"]}, id="unshare with two holders"),
        pytest.param(
            HELD,
            replace(ONE, initiator="iqn.2026-11.org.example:new"),
            False,
            "already_exists",
            {"holders": ["host1"], "field": "connector.initiator"},
            id="other initiator",
        ),
        pytest.param(
            HELD,
            replace(ONE, multipath=False),
            False,
            "already_exists",
            {"holders": ["host1"], "field": "connector.multipath"},
            id="other multipath",
        ),
        pytest.param(replace(FREE, deleting=True), ONE, False, "failed_precondition", {}, id="being deleted"),
    ],
)
def test_refuses_to_connect(volume: Volume, holder: Holder, shared: bool, code: str, facts: dict[str, object]) -> None:
    with pytest.raises(StorageError) as failure:
        connect(volume, holder, shared)
    assert (failure.value.code, failure.value.facts) == (code, facts)


def test_a_port_that_is_down_makes_no_other_host() -> None:
    ports = Holder("host1", "1000000000000001+1000000000000002", True, "wwpns")
    held = replace(FREE, holders=(ports,))
    # A connector has only the ports that are up, and its host keeps what it has by the others.
    assert connect(held, replace(ports, initiator="1000000000000002")) == held
    for another in ("1000000000000003", "1000000000000002+1000000000000003"):
        with pytest.raises(StorageError) as failure:
            connect(held, replace(ports, initiator=another))
        assert (failure.value.code, failure.value.facts["field"]) == ("already_exists", "connector.wwpns")


def test_says_what_differs() -> None:
    with pytest.raises(StorageError, match="multipath True, not False"):
        connect(HELD, replace(ONE, multipath=False))


def test_refuses_an_initiator_that_another_host_has_on_any_volume() -> None:
    elsewhere = replace(HELD, name="other")
    with pytest.raises(StorageError, match="Two hosts with one identity") as failure:
        connect(FREE, replace(ONE, host="clone"), others=(elsewhere,))
    assert failure.value.code == "failed_precondition"
    assert failure.value.facts["holders"] == ["host1"]


def test_refuses_a_host_whose_name_another_host_has_on_any_volume() -> None:
    elsewhere = replace(HELD, name="other")
    clone = replace(ONE, initiator="iqn.2026-11.org.example:clone")
    with pytest.raises(
        StorageError, match=r"Two hosts with one name.*other as iqn\.2026-11\.org\.example:host1"
    ) as failure:
        connect(FREE, clone, others=(elsewhere,))
    assert (failure.value.code, failure.value.facts) == (
        "failed_precondition",
        {"holders": ["host1"], "field": "connector.host"},
    )
    # What it holds already it may go on using, and release.
    assert connect(HELD, ONE, others=(replace(elsewhere, holders=(clone,)),)) == HELD


@pytest.mark.parametrize(
    ("elsewhere", "here"),
    [
        pytest.param("iqn.2026-11.org.example:a", "nqn.2026-11.org.example:a", id="another protocol"),
        pytest.param("1000000000000001+1000000000000002", "1000000000000002+1000000000000003", id="a new port"),
        pytest.param("host1", "iqn.2026-11.org.example:a", id="known by its name alone"),
    ],
)
def test_one_host_may_connect_in_several_ways(elsewhere: str, here: str) -> None:
    other = replace(HELD, name="other", holders=(replace(ONE, initiator=elsewhere),))
    assert connect(FREE, replace(ONE, initiator=here), others=(other,)).hosts == ["host1"]


def test_hosts_with_one_name_are_told_apart_by_their_ports_too() -> None:
    other = replace(HELD, name="other", holders=(replace(ONE, initiator="1000000000000001"),))
    with pytest.raises(StorageError, match="Two hosts with one name"):
        connect(FREE, replace(ONE, initiator="1000000000000002"), others=(other,))


def test_two_hosts_with_one_identity_is_told_before_who_holds_the_volume() -> None:
    with pytest.raises(StorageError, match="Two hosts with one identity"):
        connect(HELD, replace(ONE, host="clone"), shared=True)


@pytest.mark.parametrize(
    ("volume", "host", "expected"),
    [
        (HELD, "host1", FREE),
        (HELD, "unknown", HELD),
        (FREE, "host1", FREE),
        (BOTH, "host1", replace(BOTH, holders=(TWO,))),
        (BOTH, None, FREE),
        (replace(HELD, shared=True), "host1", FREE),
    ],
)
def test_releases(volume: Volume, host: str | None, expected: Volume) -> None:
    assert rules.released(volume, host) == expected


def test_a_host_with_a_session_is_not_cut_off_unless_fenced() -> None:
    sessions = {ONE.initiator: ["192.0.2.11"], TWO.initiator: ["192.0.2.12"]}
    after = rules.released(BOTH, "host1")
    with pytest.raises(StorageError, match=r"live session of host1 from 192\.0\.2\.11\.") as failure:
        rules.cut_nobody_off(BOTH, after, sessions, fenced=False)
    assert failure.value.code == "failed_precondition"
    assert failure.value.facts == {"holders": ["host1"], "initiators": [ONE.initiator]}
    rules.cut_nobody_off(BOTH, after, sessions, fenced=True)
    rules.cut_nobody_off(BOTH, after, {TWO.initiator: ["192.0.2.12"]}, fenced=False)
    rules.cut_nobody_off(BOTH, BOTH, sessions, fenced=False)


def test_a_session_of_an_initiator_that_no_record_knows_counts_too() -> None:
    with pytest.raises(StorageError) as failure:
        rules.cut_nobody_off(FREE, HELD, {TWO.initiator: ["192.0.2.12"]}, fenced=False)
    assert failure.value.facts == {"holders": [], "initiators": [TWO.initiator]}


def test_finds_a_volume_and_names_near_ones() -> None:
    inventory = Inventory({"db-data": FREE}, strangers={"root": "not ours"})
    assert rules.find(inventory, "db-data", "lvm") is FREE
    with pytest.raises(StorageError, match=r"Did you mean db-data\?") as failure:
        rules.find(inventory, "db-dta", "lvm")
    assert (failure.value.code, failure.value.facts["candidates"]) == ("not_found", ["db-data"])
    with pytest.raises(StorageError, match="not ours") as stranger:
        rules.find(inventory, "root", "lvm")
    assert stranger.value.code == "not_found"


def test_grows_and_never_shrinks() -> None:
    assert rules.resized(HELD, GIB) == HELD
    assert rules.resized(HELD, 2 * GIB).size_bytes == 2 * GIB
    with pytest.raises(StorageError, match="can only grow") as failure:
        rules.resized(HELD, GIB - 1)
    assert (failure.value.code, failure.value.facts["field"]) == ("invalid_argument", "size")
    with pytest.raises(StorageError, match="deletion"):
        rules.resized(replace(FREE, deleting=True), GIB)


def test_a_held_volume_is_not_deleted() -> None:
    rules.require_unheld(FREE)
    with pytest.raises(StorageError) as failure:
        rules.require_unheld(BOTH)
    assert (failure.value.code, failure.value.facts["holders"]) == ("failed_precondition", ["host1", "host2"])


def test_a_full_backend_says_what_is_free_and_what_was_wanted() -> None:
    rules.require_room("volume", "db-data", GIB, GIB, "lvm")
    with pytest.raises(StorageError) as failure:
        rules.require_room("volume", "db-data", GIB, GIB - 1, "lvm")
    assert failure.value.code == "resource_exhausted"
    assert failure.value.facts == {"free_bytes": GIB - 1, "wanted_bytes": GIB}


@pytest.mark.parametrize(
    ("text", "expected"),
    [("10GiB", 10 * GIB), ("10 GiB", 10 * GIB), ("1048576", 1048576), (" 1KiB ", 1024), ("2TiB", 2048 * GIB)],
)
def test_reads_sizes(text: str, expected: int) -> None:
    assert rules.size_in_bytes(text) == expected


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5GiB", "10GB", "10G", "ten", "10gib", "٣", "0GiB"])
def test_refuses_what_is_no_size(text: str) -> None:
    with pytest.raises(StorageError) as failure:
        rules.size_in_bytes(text)
    assert (failure.value.code, failure.value.facts["field"]) == ("invalid_argument", "size")


@pytest.mark.parametrize("host", [None, "", 5, "a/b", "-a", "ho st", ["host1"], "a\n"])
def test_refuses_a_connector_without_a_usable_host(host: object) -> None:
    with pytest.raises(StorageError) as failure:
        rules.connector_host({"host": host})
    assert failure.value.facts["field"] == "connector.host"


@pytest.mark.parametrize(
    ("value", "expected"), [(True, True), ("true", True), ("False", False), (None, False), ("no", False), (1, True)]
)
def test_multipath_may_be_a_string(value: object, expected: bool) -> None:
    assert rules.connector_multipath({"multipath": value}) is expected


def test_refuses_a_multipath_that_is_no_boolean() -> None:
    with pytest.raises(StorageError) as failure:
        rules.connector_multipath({"multipath": "maybe"})
    assert failure.value.facts["field"] == "connector.multipath"
