# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be done where hosts share names."""

from __future__ import annotations

from typing import Any, Optional

from ansible_collections.brickwork.storage.plugins.plugin_utils.setup.shared_names import shared_names

SHARED = "iqn.2026-11.org.example:image"


def host(
    boot: str,
    initiator: Optional[str] = None,
    nqn: Optional[str] = None,
    hostid: Optional[str] = None,
    *,
    explicit: bool = False,
    used: Optional[dict[str, list[str]]] = None,
) -> dict[str, Any]:
    return {
        "names": {"initiator": initiator, "nqn": nqn, "hostid": hostid},
        "users": {"initiator": [], "nqn": [], "hostid": [], **(used or {})},
        "explicit": explicit,
        "boot": boot,
    }


def renewing(*kinds: str) -> dict[str, Any]:
    return {"renew": list(kinds), "refused": []}


def test_hosts_with_names_of_their_own() -> None:
    assert shared_names({}) == {}
    assert shared_names({"db1": host("1", "iqn.a", "n1", "1"), "db2": host("2", "iqn.b", "n2", "2")}) == {}


def test_names_that_are_still_to_be_made() -> None:
    assert shared_names({"db1": host("1"), "db2": host("2")}) == {}


def test_all_get_others_where_nobody_needs_the_name() -> None:
    hosts = {
        "db1": host("1", SHARED, "n", "i"),
        "db2": host("2", SHARED, "n", "i"),
        "db3": host("3", "iqn.c", "n3", "i"),
    }
    assert shared_names(hosts) == {
        "db1": renewing("initiator", "nqn", "hostid"),
        "db2": renewing("initiator", "nqn", "hostid"),
        "db3": renewing("hostid"),
    }


def test_who_uses_a_name_keeps_it() -> None:
    hosts = {
        "db1": host("1", SHARED, used={"initiator": ["a session"]}),
        "db2": host("2", SHARED),
        "db3": host("3", SHARED),
    }
    assert shared_names(hosts) == {"db2": renewing("initiator"), "db3": renewing("initiator")}


def test_who_uses_another_name_does_not() -> None:
    hosts = {"db1": host("1", SHARED, used={"nqn": ["a controller"]}), "db2": host("2", SHARED)}
    assert shared_names(hosts) == {"db1": renewing("initiator"), "db2": renewing("initiator")}


def test_who_was_given_a_name_keeps_it() -> None:
    hosts = {"db1": host("1", SHARED, explicit=True), "db2": host("2", SHARED)}
    assert shared_names(hosts) == {"db2": renewing("initiator")}
    # That says nothing of NVMe.
    hosts = {"db1": host("1", "iqn.a", "n", explicit=True), "db2": host("2", "iqn.b", "n")}
    assert shared_names(hosts) == {"db1": renewing("nqn"), "db2": renewing("nqn")}


def test_a_name_that_two_need_is_refused() -> None:
    hosts = {
        "db1": host("1", SHARED, used={"initiator": ["the attachment of a"]}),
        "db2": host("2", SHARED, explicit=True),
        "db3": host("3", SHARED),
        "db4": host("4", "iqn.d"),
    }
    found = shared_names(hosts)
    assert set(found) == {"db1", "db2", "db3"}
    for its in found.values():
        assert its["renew"] == []
        (sentence,) = its["refused"]
        assert sentence.startswith(f"db1, db2, db3 have one iSCSI initiator name, {SHARED},")
        assert "db1 by the attachment of a; db2 by host_setup_initiator_name." in sentence


def test_two_names_of_one_machine() -> None:
    hosts = {"db1": host("1", SHARED), "db1-alias": host("1", SHARED)}
    assert shared_names(hosts) == {}
    hosts["db2"] = host("2", SHARED)
    assert set(shared_names(hosts)) == {"db1", "db1-alias", "db2"}
    hosts["db1"]["explicit"] = True
    assert set(shared_names(hosts)) == {"db2"}
