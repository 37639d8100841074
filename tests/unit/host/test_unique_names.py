# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which names a host keeps, and which are made."""

from __future__ import annotations

from typing import Optional

import pytest

from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.host.unique_names import (
    INITIATOR_NAME,
    KINDS,
    NQN_PREFIX,
    UUID,
    Given,
    Names,
    Plan,
    check_initiator_name,
    machine_of,
    plan,
    with_initiator_name,
)

HERE, THERE = "machine-id 1", "machine-id 2"
OWN = "5f0c6a3e-3b0f-4a53-9d57-9b3b8a1f6a10"
OTHER = "0c4f6f8e-2a86-4f6e-9d6e-6d8c7f6b1f7e"
FOUND = Names("iqn.2026-11.org.example:db1", NQN_PREFIX + OWN, OWN)


def planned(
    found: Names = FOUND,
    given: Optional[Given] = None,
    initiator_name: Optional[str] = None,
    renew: tuple[str, ...] = (),
) -> Plan:
    return plan(found, given, HERE, initiator_name, renew)


@pytest.mark.parametrize(
    "given", [None, Given(HERE, FOUND), Given(HERE, Names()), Given(THERE, Names("iqn.a", "b", "c"))]
)
def test_what_is_there_is_kept(given: Optional[Given]) -> None:
    assert planned(given=given) == Plan(FOUND, (), (), ())


def test_what_is_missing_is_made() -> None:
    made = planned(Names())
    assert (made.changed, made.invented, made.copied) == (KINDS, KINDS, ())
    assert INITIATOR_NAME.fullmatch(str(made.names.initiator))
    assert made.names.nqn == f"{NQN_PREFIX}{made.names.hostid}"
    assert UUID.fullmatch(str(made.names.hostid))


def test_no_two_hosts_get_the_same() -> None:
    one, two = planned(Names()).names, planned(Names()).names
    assert all(one.of(kind) != two.of(kind) for kind in KINDS)


def test_names_of_nvme_go_together() -> None:
    for missing in (Names(FOUND.initiator, FOUND.nqn, None), Names(FOUND.initiator, None, FOUND.hostid)):
        completed = planned(missing)
        assert (completed.names, completed.invented) == (FOUND, ())


def test_an_nqn_without_a_uuid_gets_any_identifier() -> None:
    completed = planned(Names(FOUND.initiator, "nqn.2026-11.org.example:db1", None))
    assert (completed.names.nqn, completed.changed, completed.invented) == (
        "nqn.2026-11.org.example:db1",
        ("hostid",),
        ("hostid",),
    )
    assert UUID.fullmatch(str(completed.names.hostid))


def test_an_identifier_that_is_no_uuid_stays() -> None:
    completed = planned(Names(FOUND.initiator, None, "db1"))
    assert (completed.names.hostid, completed.changed) == ("db1", ("nqn",))
    assert UUID.search(str(completed.names.nqn))


def test_a_copy_gets_names_of_its_own() -> None:
    made = planned(given=Given(THERE, FOUND))
    assert (made.changed, made.invented, made.copied) == (KINDS, KINDS, KINDS)
    assert all(made.names.of(kind) != FOUND.of(kind) for kind in KINDS)
    assert made.names.nqn == f"{NQN_PREFIX}{made.names.hostid}"


def test_a_copy_keeps_what_it_was_given_since() -> None:
    record = Given(THERE, Names("iqn.2026-11.org.example:db0", FOUND.nqn, FOUND.hostid))
    made = planned(given=record)
    assert (made.names.initiator, made.changed, made.copied) == (FOUND.initiator, ("nqn", "hostid"), ("nqn", "hostid"))


def test_a_copy_with_an_nqn_of_its_own_gets_the_identifier_that_goes_with_it() -> None:
    found = Names(FOUND.initiator, NQN_PREFIX + OTHER, OWN)
    made = planned(found, Given(THERE, Names("iqn.a", NQN_PREFIX + OWN, OWN)))
    assert (made.names, made.changed) == (Names(FOUND.initiator, NQN_PREFIX + OTHER, OTHER), ("hostid",))


@pytest.mark.parametrize("given", [None, Given(HERE, FOUND), Given(THERE, FOUND)])
def test_a_name_that_was_asked_for(given: Optional[Given]) -> None:
    wanted = planned(given=given, initiator_name="iqn.2026-11.org.example:db2")
    assert wanted.names.initiator == "iqn.2026-11.org.example:db2"
    assert ("initiator" in wanted.changed, "initiator" in wanted.invented) == (True, False)


def test_the_name_that_a_copy_is_to_have_may_be_the_recorded_one() -> None:
    made = planned(given=Given(THERE, FOUND), initiator_name=FOUND.initiator)
    assert (made.names.initiator, made.changed, made.copied) == (FOUND.initiator, ("nqn", "hostid"), ("nqn", "hostid"))


@pytest.mark.parametrize("kind", KINDS)
def test_one_name_made_anew(kind: str) -> None:
    made = planned(renew=(kind,))
    assert made.changed == made.invented == (kind,)
    assert made.names.of(kind) not in (None, FOUND.of(kind))


def test_all_made_anew() -> None:
    made = planned(renew=KINDS)
    assert made.changed == KINDS
    assert made.names.nqn == f"{NQN_PREFIX}{made.names.hostid}"


@pytest.mark.parametrize(
    "name",
    [
        "iqn.2026-11.org.example:db1",
        "iqn.2026-11.org.example",
        "iqn.2026-01.org.example.a-b:host:1.x",
        "iqn.1993-08.org.debian:01:5f0c6a3e3b0",
        "eui.02004567A425678D",
        "naa.52004567BA64678D",
        "naa.62004567BA64678D0123456789ABCDEF",
    ],
)
def test_names_that_targets_take(name: str) -> None:
    assert check_initiator_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "db1",
        "iqn.2026-11.lab:h1",  # LIO wants a domain of two parts
        "iqn.2026-13.org.example:db1",
        "iqn.26-11.org.example:db1",
        "iqn.2026-11.org.example:DB1",
        "iqn.2026-11.org.example:db 1",
        "iqn.2026-11.org.example:db1\n",
        "iqn.2026-11.org.example:",
        "iqn.2026-11.org.-example:db1",
        "iqn.2026-11.org.example:" + "x" * 200,
        "nqn.2026-11.org.example:db1",
        "eui.02004567A425678",
        "naa.52004567BA64678D0",
    ],
)
def test_names_that_targets_do_not_take(name: str) -> None:
    with pytest.raises(StorageError) as caught:
        check_initiator_name(name)
    assert (caught.value.code, caught.value.facts["field"]) == ("invalid_argument", "initiator_name")


@pytest.mark.parametrize(
    ("product_uuid", "machine_id", "machine"),
    [
        ("4C4C4544-0031-4A10-8051-B4C04F4E3132", "f" * 32, "dmi 4c4c4544-0031-4a10-8051-b4c04f4e3132"),
        ("", "0123456789abcdef0123456789abcdef", "machine-id 0123456789abcdef0123456789abcdef"),
        ("00000000-0000-0000-0000-000000000000", "a" * 32, f"machine-id {'a' * 32}"),
        ("FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF", "a" * 32, f"machine-id {'a' * 32}"),
        ("03000200-0400-0500-0006-000700080009", "a" * 32, f"machine-id {'a' * 32}"),
        ("Not Settable", "a" * 32, f"machine-id {'a' * 32}"),
        ("", "uninitialized", None),
        ("", "", None),
    ],
)
def test_what_tells_a_machine_from_others(product_uuid: str, machine_id: str, machine: Optional[str]) -> None:
    assert machine_of(product_uuid, machine_id) == machine


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("", "InitiatorName=new\n"),
        ("GenerateName=yes\n", "InitiatorName=new\n"),
        ("## comment\nInitiatorName=old\n", "## comment\nInitiatorName=new\n"),
        ("InitiatorName = a\nInitiatorAlias=db\n  InitiatorName=b", "InitiatorAlias=db\nInitiatorName=new\n"),
    ],
)
def test_what_else_is_in_the_file_stays(written: str, expected: str) -> None:
    assert with_initiator_name(written, "new") == expected
