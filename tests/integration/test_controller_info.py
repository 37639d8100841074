# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What volume_connection_info and volume_backend_info see of a real controller."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.brickwork.storage.tests.integration.lab import Lab

HOST = "host1"
# Somebody closes the export to its host behind the backend's back.
CLOSE = """
python3 - <<'PROGRAM'
from rtslib_fb import FabricModule
for target in FabricModule("iscsi").targets:
    for group in target.tpgs:
        for acl in list(group.node_acls):
            acl.delete()
PROGRAM
"""


def look(lab: Lab, volume: str) -> dict[str, Any]:
    seen = lab.succeed("controller", "volume_connection_info", volumes=[volume])
    assert not seen["changed"]
    found: dict[str, Any] = seen["volumes"][0]
    return found


def test_volume_from_creation_to_release(lab: Lab, volume: str) -> None:
    free = look(lab, volume)
    assert (free["holders"], free["export"], free["problems"]) == ([], None, [])

    [connection] = lab.connect(HOST, volume)
    connected = look(lab, volume)
    assert {key: connected[key] for key in connection["volume"]} == connection["volume"]
    assert connected["export"] is not None
    [holder] = connected["holders"]
    assert (holder["host"], holder["initiator"]) == (connection["host"], connection["connector"]["initiator"])
    assert holder["sessions"] == []

    lab.attach(HOST, [connection], min_paths=2)
    [holder] = look(lab, volume)["holders"]
    # Of several sessions of a host LIO tells the address of one.
    assert holder["sessions"]
    assert set(holder["sessions"]) <= set(lab.ssh(HOST, "hostname --all-ip-addresses").split())

    lab.detach(HOST, volume)
    lab.disconnect(HOST, volume)
    assert look(lab, volume) == free


def test_export_that_somebody_has_closed(lab: Lab, volume: str) -> None:
    lab.connect(HOST, volume)
    lab.ssh("controller", CLOSE)
    [problem] = look(lab, volume)["problems"]
    assert HOST in problem
    # What it says to do is what helps.
    assert lab.module("controller", "volume_connection", volumes=[volume], connector=lab.connector(HOST))["changed"]
    assert look(lab, volume)["problems"] == []
    lab.disconnect(HOST, volume)


def test_no_secret_is_shown(lab: Lab, volume: str) -> None:
    [connection] = lab.connect(HOST, volume)
    secret = connection["connection_info"]["data"]["auth_password"]
    assert secret
    assert secret not in str(lab.succeed("controller", "volume_connection_info"))
    lab.disconnect(HOST, volume)


def test_logical_volume_that_the_backend_did_not_make(lab: Lab, volume: str) -> None:
    lab.ssh("controller", "lvcreate -qq -y -L 4M -n stranger vg0")
    try:
        seen = lab.succeed("controller", "volume_connection_info")
        assert "stranger" in [stranger["name"] for stranger in seen["strangers"]]
        assert "stranger" not in [found["name"] for found in seen["volumes"]]
    finally:
        lab.ssh("controller", "lvremove -qq -y vg0/stranger")


def test_unknown_volume_gets_the_near_names(lab: Lab, volume: str) -> None:
    refused = lab.refuse("controller", "volume_connection_info", "not_found", volumes=["test-dta"])
    assert volume in refused["candidates"]


def test_backends_with_what_lvm_says(lab: Lab, volume: str) -> None:
    [backend] = lab.succeed("controller", "volume_backend_info")["backends"]
    total, free = lab.ssh("controller", "vgs --noheadings --nosuffix --units b -o vg_size,vg_free vg0").split()
    assert (backend["usable"], backend["total_bytes"], backend["free_bytes"]) == (True, int(total), int(free))
    tags = lab.ssh("controller", "lvs --noheadings -o lv_tags vg0")
    assert backend["volumes"] == tags.count("brickwork.id=")


@pytest.mark.parametrize("module", ["volume_connection_info", "volume_backend_info"])
def test_backend_that_is_not_enabled(lab: Lab, module: str) -> None:
    assert lab.refuse("controller", module, "not_found", backend="lvn")["field"] == "backend"
