# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fibre Channel from end to end: the controller's own exports by LIO, over software FCoE.

Needs a lab with Fibre Channel (C(--needs fc)).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.brickwork.storage.tests.integration import fcoe
from ansible_collections.brickwork.storage.tests.integration.lab import Lab

HOST = "host1"
VOLUMES = ("test-export-fc-data", "test-export-fc-log")
SIZE_MIB = 64
CONFIG = "/etc/brickwork/test-fc.conf"
KERNEL = "/sys/kernel/config/target"
SAVED = "/etc/rtslib-fb-target/saveconfig.json"
# What there is of volumes; the targets and the hosts that they know stay.
EXPORTED = f"""
ls -d {KERNEL}/core/iblock_*/* {KERNEL}/fc/*/tpgt_1/lun/lun_* {KERNEL}/fc/*/tpgt_1/acls/*/lun_* 2>/dev/null | grep -v hba_info | grep -v hba_mode
grep -o '"name": "[0-9a-f-]\\{{36\\}}"' {SAVED}
ls /run/brickwork/unsaved 2>/dev/null
true
"""


@pytest.fixture(scope="module")
def connector(lab: Lab) -> Iterator[dict[str, Any]]:
    """The host, which the controller's targets know; two volumes are there for all tests."""
    lab.ssh(
        "controller",
        f"sed 's/^target_protocol.*/target_protocol = fibre_channel/' /etc/brickwork/backends.conf > {CONFIG}",
    )
    lab.succeed("controller", "volume", volumes=list(VOLUMES), size=f"{SIZE_MIB}MiB", config=CONFIG)
    fcoe.introduce(lab, CONFIG, HOST)
    yield lab.connector(HOST)
    for machine in (HOST, "controller"):
        fcoe.destroy_ports(lab, machine)
    lab.succeed("controller", "volume", volumes=list(VOLUMES), state="absent", config=CONFIG)


@pytest.fixture
def connections(lab: Lab, connector: dict[str, Any]) -> Iterator[list[dict[str, Any]]]:
    """The connections; the test that leaves anything of them behind has failed."""
    assert lab.ssh("controller", EXPORTED) == ""
    yield lab.connect(HOST, *VOLUMES, config=CONFIG)
    lab.module(HOST, "volume_attach", volumes=list(VOLUMES), state="absent", force=True)
    lab.disconnect(HOST, *VOLUMES, config=CONFIG)
    assert lab.ssh("controller", EXPORTED) == ""


def again(lab: Lab, connector: dict[str, Any], **arguments: Any) -> dict[str, Any]:
    """A repeat of the connections, or what becomes of them with another connector."""
    return lab.module(
        "controller", "volume_connection", volumes=list(VOLUMES), connector=connector, config=CONFIG, **arguments
    )


def test_from_connection_to_bytes_and_back(
    lab: Lab, connector: dict[str, Any], connections: list[dict[str, Any]]
) -> None:
    repeated = again(lab, connector)
    assert (repeated["changed"], repeated["connections"]) == (False, connections)
    luns = [connection["connection_info"]["data"]["target_lun"] for connection in connections]
    assert len(set(luns)) == 2
    attached = lab.attach(HOST, connections, min_paths=2)
    for name, connection, attachment in zip(VOLUMES, connections, attached["attachments"]):
        assert attachment["wwn"] == connection["volume"]["wwn"]
        assert [path["state"] for path in attachment["paths"]] == ["running", "running"]
        # Each pair of ports that the connection names works: those of different networks are not among them.
        assert not attachment.get("missing_paths")
        lab.ssh(
            HOST,
            f"printf '%-512s' {name} > /run/sector; dd if=/run/sector of={attachment['path']} bs=512 seek=8 oflag=direct status=none",
        )
        read = lab.ssh("controller", f"dd if=/dev/vg0/{name} bs=512 skip=8 count=1 iflag=direct status=none")
        assert read.strip() == name
    assert lab.attach(HOST, connections, min_paths=2)["changed"] is False
    lab.detach(HOST, *VOLUMES)
    assert lab.disconnect(HOST, *VOLUMES, config=CONFIG)["changed"]
    assert lab.disconnect(HOST, *VOLUMES, config=CONFIG)["changed"] is False


def test_other_hosts_are_kept_away(lab: Lab, connector: dict[str, Any], connections: list[dict[str, Any]]) -> None:
    other = {**connector, "host": "host9", "wwpns": ["500a098280cba500"]}
    for changes, code, field in (
        ({**other}, "failed_precondition", None),
        # One port in common is enough.
        ({**other, "wwpns": [*other["wwpns"], connector["wwpns"][0]]}, "failed_precondition", "connector.wwpns"),
        ({**connector, "wwpns": [*connector["wwpns"], "500a098280cba501"]}, "already_exists", "connector.wwpns"),
        ({**connector, "wwpns": []}, "invalid_argument", None),
    ):
        refused = again(lab, changes)
        assert refused["failed"], changes
        assert refused["error_code"] == code
        assert field is None or refused["errors"][0]["field"] == field
    # A port that is down is not in a connector.
    assert again(lab, {**connector, "wwpns": connector["wwpns"][:1]})["changed"] is False
    # Sharing adds another, and its release leaves the first alone.
    shared = again(lab, other, shared=True)
    assert not shared["failed"], shared
    assert lab.disconnect("host9", *VOLUMES, config=CONFIG)["changed"]
    assert again(lab, connector)["changed"] is True  # shared no more
    assert again(lab, connector)["changed"] is False


def test_exports_are_saved_beside_those_of_others(
    lab: Lab, connector: dict[str, Any], connections: list[dict[str, Any]]
) -> None:
    before = lab.ssh("controller", f"cd {KERNEL}; ls -d fc/*/tpgt_1/lun/lun_* fc/*/tpgt_1/acls/*/lun_*")
    lab.detach(HOST, *VOLUMES)
    lab.ssh("controller", "targetctl clear; targetctl restore")
    assert lab.ssh("controller", f"cd {KERNEL}; ls -d fc/*/tpgt_1/lun/lun_* fc/*/tpgt_1/acls/*/lun_*") == before
    repeated = again(lab, connector)
    assert (repeated["changed"], repeated["connections"]) == (False, connections)
    fcoe.make_ports(lab, HOST)  # which has to come to the new targets
