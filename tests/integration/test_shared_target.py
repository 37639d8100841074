# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several volumes behind one target, as arrays export them: made by hand, because the built-in backend has a target a volume."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.brickwork.storage.tests.integration.lab import Lab

HOST = "host1"
TARGET = "iqn.2026-11.org.example:shared"
# {devices}: the volumes' devices, each the LUN of its place; {initiator}: who may log in.
EXPORT = """
import json, socket
from rtslib_fb import LUN, TPG, BlockStorageObject, FabricModule, MappedLUN, NetworkPortal, NodeACL, RTSRoot, Target
tpg = TPG(Target(FabricModule("iscsi"), {target!r}), 1)
tpg.set_attribute("authentication", 0)
acl = NodeACL(tpg, {initiator!r})
for number, device in enumerate({devices!r}):
    MappedLUN(acl, number, LUN(tpg, number, BlockStorageObject("shared%d" % number, device, wwn="0000000%d-aaaa-bbbb-cccc-dddddddddddd" % number)))
tpg.enable = True
for network in ("10.77.1", "10.77.2"):
    NetworkPortal(tpg, network + ".10", 3260)
"""
REMOVE = """
from rtslib_fb import FabricModule, RTSRoot
for target in FabricModule("iscsi").targets:
    if target.wwn == {target!r}:
        target.delete()
for backstore in RTSRoot().storage_objects:
    if backstore.name.startswith("shared"):
        backstore.delete()
"""
# The target puts the second volume where the first was, while the host is not looking.
EXCHANGE = """
from rtslib_fb import LUN, TPG, FabricModule, MappedLUN, NodeACL, RTSRoot, Target
tpg = TPG(Target(FabricModule("iscsi"), {target!r}), 1)
for lun in list(tpg.luns):
    lun.delete()
acl = NodeACL(tpg, {initiator!r})
backstores = {{backstore.name: backstore for backstore in RTSRoot().storage_objects}}
MappedLUN(acl, 0, LUN(tpg, 0, backstores["shared1"]))
"""


class Shared:
    """The target, with its volumes at LUN 0 and 1."""

    def __init__(self, lab: Lab, volumes: tuple[str, str]) -> None:
        self.lab = lab
        self.volumes = volumes
        self.names = {
            "target": TARGET,
            "initiator": lab.connector(HOST)["initiator"],
            "devices": [f"/dev/vg0/{volume}" for volume in volumes],
        }

    def run(self, script: str) -> None:
        self.lab.ssh("controller", f"python3 <<'PYTHON'\n{script.format(**self.names)}\nPYTHON")

    def connection(self, lun: int) -> dict[str, Any]:
        portals = ["10.77.1.10:3260", "10.77.2.10:3260"]
        data = {
            "target_portal": portals[0],
            "target_iqn": TARGET,
            "target_lun": lun,
            "target_portals": portals,
            "target_iqns": [TARGET] * 2,
            "target_luns": [lun] * 2,
        }
        # LIO makes the WWN of the serial number's digits.
        wwn = f"360014050000000{lun}aaaabbbbccccddddd"
        return {
            "volume": {"name": f"shared-{lun}", "id": f"shared-{lun}", "size_bytes": None, "backend": None, "wwn": wwn},
            "host": HOST,
            "connector": self.lab.connector(HOST),
            "connection_info": {"driver_volume_type": "iscsi", "data": data},
            "connected": True,
        }

    def sessions(self) -> int:
        return int(self.lab.ssh(HOST, "ls /sys/class/iscsi_session | wc -l"))


@pytest.fixture
def shared(lab: Lab, volumes: tuple[str, str]) -> Iterator[Shared]:
    found = Shared(lab, volumes)
    found.run(REMOVE)
    found.run(EXPORT)
    yield found
    lab.detach(HOST, "shared-0", "shared-1", force=True)
    lab.ssh(HOST, f"iscsiadm -m node -T {TARGET} -u; iscsiadm -m node -T {TARGET} -o delete; true")
    found.run(REMOVE)


def test_session_ends_only_with_its_last_volume(lab: Lab, shared: Shared) -> None:
    both = [shared.connection(0), shared.connection(1)]
    attached = lab.attach(HOST, both, min_paths=2)["attachments"]
    assert shared.sessions() == 2
    writer = f"nohup dd if=/dev/zero of={attached[1]['path']} bs=64k oflag=direct conv=notrunc status=none"
    lab.ssh(HOST, f"(while {writer} count=100; do :; done) > /run/writer 2>&1 & echo $! > /run/writer.pid")
    assert lab.detach(HOST, "shared-0")["changed"]
    assert shared.sessions() == 2
    lab.ssh(HOST, "kill -0 $(cat /run/writer.pid) && test ! -s /run/writer")
    lab.ssh(HOST, "kill $(cat /run/writer.pid); while pgrep -x dd; do sleep 0.2; done")
    assert lab.detach(HOST, "shared-1")["changed"]
    assert lab.leftovers(HOST) == ""


@pytest.mark.full
def test_session_of_somebody_else_stays(lab: Lab, shared: Shared) -> None:
    portal = "10.77.1.10:3260"
    lab.ssh(
        HOST,
        f"iscsiadm -m node -T {TARGET} -p {portal} -o new > /dev/null; iscsiadm -m node -T {TARGET} -p {portal} -l > /dev/null; udevadm settle",
    )
    before = json.loads(lab.ssh(HOST, "lsblk --json -d -o NAME,SERIAL,TYPE -I 8"))
    assert len(before["blockdevices"]) == 2
    lab.attach(HOST, [shared.connection(0)], min_paths=2)
    assert shared.sessions() == 2
    lab.detach(HOST, "shared-0")
    # The session that was there stays, and the other volume it brought; the one that the attach made is gone.
    assert lab.ssh(HOST, "iscsiadm -m session").count(portal) == 1
    assert shared.sessions() == 1
    assert lab.ssh(HOST, f"iscsiadm -m node -T {TARGET} -p {portal} | grep -c node.name").strip() == "1"
    lab.ssh(
        HOST,
        f"iscsiadm -m node -T {TARGET} -p {portal} -u > /dev/null; iscsiadm -m node -T {TARGET} -o delete; udevadm settle",
    )


def test_disk_of_another_volume_in_the_same_place_is_refused(lab: Lab, shared: Shared) -> None:
    connection = shared.connection(0)
    lab.attach(HOST, [connection], min_paths=2)
    shared.run(EXCHANGE)
    # As far as the kernel knows these are still the volume's paths.
    lab.ssh(HOST, "rm /var/lib/brickwork/attachments/*")
    refused = lab.refuse(HOST, "volume_attach", "data_loss", connections=[connection], multipath=True)
    assert "Nothing was written" in refused["msg"]
    lab.ssh(HOST, f"multipath -F; iscsiadm -m node -T {TARGET} -u > /dev/null")
