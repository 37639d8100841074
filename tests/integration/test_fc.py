# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fibre Channel: beside os-brick, with LUNs of every size, volumes that grow or change places, and with paths that are dead.

Needs a lab with Fibre Channel (C(--needs fc)). The volumes are exported by hand: no backend would give them these LUNs, or exchange them.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.brickwork.storage.tests.integration import fcoe
from ansible_collections.brickwork.storage.tests.integration.calling_os_brick import os_brick
from ansible_collections.brickwork.storage.tests.integration.fcoe import CARDS
from ansible_collections.brickwork.storage.tests.integration.lab import Lab

HOST = os.environ.get("FC_HOST", "host1")
EXPORT = Path(__file__).with_name("exporting_over_fc.py").read_text(encoding="utf-8")
SIZE_MIB = 128
# By name, the unit serial and the LUN: one that fits into the first level of addressing, and one that does not.
VOLUMES = {
    "test-fc-data": ("9d1f6c52-0b3e-4f7a-8c11-3a5be0c9d201", 1),
    "test-fc-log": ("4be27a90-77c4-4d18-a2f6-c81d5e93f602", 300),
}
CARDS_UP = f"for card in {' '.join(CARDS)}; do ip link set $card up; done"
# Else the kernel takes the disks away by itself, and multipathd the map, before a slow machine has asked for it.
PATIENT_PORTS = "for port in /sys/class/fc_remote_ports/*; do echo 600 > $port/dev_loss_tmo; done"
DEVICES = "ls /sys/block | grep -E '^(sd|dm-)'; true"
# Behind the host's back: what was the one's LUN is the other's.
EXCHANGE = """
for acl in /sys/kernel/config/target/fc/*/tpgt_1/acls/*; do
    first=$(find $acl/lun_{0} -type l) second=$(find $acl/lun_{1} -type l)
    one=$(readlink -f $first) other=$(readlink -f $second)
    rm $first $second
    ln -s $other $acl/lun_{0}/exchanged
    ln -s $one $acl/lun_{1}/exchanged
done
"""


class FibreChannel:
    """The host and the two volumes that are exported to it."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.names = list(VOLUMES)
        self.serials, self.luns = zip(*VOLUMES.values())
        self.connector = lab.connector(HOST)
        self.targets = fcoe.wwpns(lab, "controller")
        self.ports = fcoe.wwpns(lab, HOST)
        self.pairs = [f"{port}->{target}" for port, target in zip(self.ports, self.targets)]

    def connection(self, number: int, lun: int | None = None, **volume: Any) -> dict[str, Any]:
        """What the controller would answer for a volume."""
        serial = self.serials[number]
        data = {
            "target_wwn": self.targets,
            "target_lun": self.luns[number] if lun is None else lun,
            "initiator_target_map": {port: [target] for port, target in zip(self.ports, self.targets)},
        }
        return {
            "volume": {
                "name": self.names[number],
                "id": serial,
                "size_bytes": SIZE_MIB * 1024**2,
                "backend": "lvm",
                "wwn": "36001405" + serial.replace("-", "")[:25],
                **volume,
            },
            "host": self.connector["host"],
            "connector": self.connector,
            "connected": True,
            "connection_info": {"driver_volume_type": "fibre_channel", "data": data},
        }

    def devices(self) -> list[str]:
        """The SCSI disks and the maps on the host; the scenario's are the only ones."""
        return self.lab.ssh(HOST, DEVICES).split()

    def os_brick(self, method: str, *arguments: Any) -> Any:
        """Call os-brick's Fibre Channel connector on the host."""
        return os_brick(self.lab, HOST, "FIBRE_CHANNEL", method, *arguments)


def export(lab: Lab, state: str, *volumes: str) -> None:
    """Have the controller's ports be targets that show the host these volumes, or none of them be one any more."""
    ports = {port: [initiator] for port, initiator in zip(fcoe.wwpns(lab, "controller"), fcoe.wwpns(lab, HOST))}
    devices = [
        {"name": name, "device": f"/dev/vg0/{name}", "serial": VOLUMES[name][0], "lun": VOLUMES[name][1]}
        for name in volumes
    ]
    arguments = json.dumps({"ports": ports, "devices": devices})
    lab.ssh("controller", f"python3 - {state} '{arguments}' <<'SCRIPT'\n{EXPORT}\nSCRIPT")


def take_away(lab: Lab) -> None:
    """The attachments, the exports, the ports and the volumes, as far as there are any."""
    lab.module(HOST, "volume_attach", volumes=list(VOLUMES), state="absent", force=True)
    fcoe.destroy_ports(lab, HOST)
    export(lab, "absent", *VOLUMES)
    fcoe.destroy_ports(lab, "controller")
    lab.succeed("controller", "volume", volumes=list(VOLUMES), state="absent")


@pytest.fixture(scope="module")
def exported(lab: Lab) -> Iterator[FibreChannel]:
    """The ports and the exports, for all tests; taken away at the end."""
    take_away(lab)
    lab.succeed("controller", "volume", volumes=list(VOLUMES), size=f"{SIZE_MIB}MiB")
    fcoe.make_ports(lab, "controller")
    # A host that came by a port before that was a target sees no LUN there until it comes anew.
    export(lab, "present")
    fcoe.make_ports(lab, HOST)
    # Only now, so that the host has to look for the volumes, as for any that is exported while it runs.
    export(lab, "present", *VOLUMES)
    yield FibreChannel(lab)
    take_away(lab)


@pytest.fixture
def fc(exported: FibreChannel) -> Iterator[FibreChannel]:
    """The same for one test, which must leave nothing behind."""
    yield exported
    exported.lab.ssh(HOST, CARDS_UP)
    left = exported.devices()
    if left:
        both = [exported.connection(0), exported.connection(1)]
        exported.lab.module(HOST, "volume_attach", connections=both, state="absent", force=True)
    assert left == []


def wait_until(what: Callable[[], bool], seconds: float = 120) -> None:
    """Look until something holds."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it never came to hold"
        time.sleep(1)


def test_os_brick_and_volume_attach_detach_what_the_other_attached(fc: FibreChannel) -> None:
    connection = fc.connection(0)
    data = connection["connection_info"]["data"]
    attachment = fc.lab.attach(HOST, [connection], min_paths=2)["attachments"][0]
    assert fc.os_brick("connect_volume", data) == attachment["attach_info"]
    # os-brick 6.11 and 7.1 have a map flushed by its link, where the multipathd of Debian 13 knows only names: they have to be told
    # to go on, whoever attached it.
    forced, ignore_errors = True, True
    fc.os_brick("disconnect_volume", data, attachment["attach_info"], forced, ignore_errors)
    assert fc.devices() == []
    assert fc.lab.detach(HOST, fc.names[0])["changed"]  # only the record was left
    fc.os_brick("connect_volume", data)
    assert fc.lab.succeed(HOST, "volume_attach", connections=[connection], state="absent")["changed"]


def test_connection_for_the_ports_of_another_host_is_refused(fc: FibreChannel) -> None:
    connection = fc.connection(0)
    connection["connector"] = {**fc.connector, "wwpns": ["50060160bee00000"]}
    refused = fc.lab.refuse(HOST, "volume_attach", "invalid_argument", connections=[connection])
    assert refused["errors"][0]["field"] == "connections[0].connector.wwpns"


def test_grown_volume(fc: FibreChannel) -> None:
    fc.lab.attach(HOST, [fc.connection(0)])
    fc.lab.ssh("controller", f"lvextend -q -L 192M vg0/{fc.names[0]}")
    grown = fc.lab.attach(HOST, [fc.connection(0, size_bytes=192 * 1024**2)])
    assert (grown["changed"], grown["attachments"][0]["size_bytes"]) == (True, 192 * 1024**2)
    assert len(grown["attachments"][0]["paths"]) == 2
    fc.lab.detach(HOST, fc.names[0])


def test_lun_that_shows_another_volume_is_refused(fc: FibreChannel) -> None:
    fc.lab.attach(HOST, [fc.connection(0)])
    fc.lab.ssh("controller", EXCHANGE.format(*fc.luns))
    try:
        exchanged = fc.connection(1, lun=fc.luns[0])
        before = fc.devices()
        fc.lab.refuse(HOST, "volume_attach", "data_loss", connections=[exchanged], multipath=True)
        assert fc.devices() == before
        # Once the old one is gone, it is found for what it is.
        fc.lab.detach(HOST, fc.names[0])
        attachment = fc.lab.attach(HOST, [exchanged])["attachments"][0]
        assert attachment["wwn"] == exchanged["volume"]["wwn"]
        fc.lab.detach(HOST, fc.names[1])
    finally:
        fc.lab.ssh("controller", EXCHANGE.format(*fc.luns))


def test_paths_that_are_dead(fc: FibreChannel) -> None:
    fc.lab.ssh(HOST, PATIENT_PORTS)
    # A cable less: told at once, and no reason to fail.
    fc.lab.ssh(HOST, f"ip link set {CARDS[0]} down")
    attached = fc.lab.attach(HOST, [fc.connection(0)])["attachments"][0]
    assert attached["missing_paths"] == [fc.pairs[0]]
    # A port that has come anew since has the driver's patience, which is 30 seconds.
    fc.lab.ssh(HOST, PATIENT_PORTS)
    # The other one too: what was written may not be lost without being asked.
    fc.lab.ssh(HOST, f"ip link set {CARDS[1]} down")
    wait_until(lambda: "running" not in fc.lab.ssh(HOST, "cat /sys/block/sd*/device/state"))
    began = time.monotonic()
    fc.lab.refuse(HOST, "volume_attach", "unavailable", volumes=[fc.names[0]], state="absent")
    forced = fc.lab.detach(HOST, fc.names[0], force=True, timeout=90)
    assert "is lost" in " ".join(forced["warnings"].split())
    assert time.monotonic() - began < 240  # nothing waits for a dead path
    assert fc.devices() == []
    # As long as it is exported the kernel takes it again when the ports see each other; then it is there for a detach.
    fc.lab.ssh(HOST, CARDS_UP)
    wait_until(lambda: len(fc.devices()) == 6)
    both = [fc.connection(0), fc.connection(1)]
    assert len(fc.lab.succeed(HOST, "volume_attach", connections=both, state="absent")["changed_volumes"]) == 2
