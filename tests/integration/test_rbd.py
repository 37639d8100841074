# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""RBD against a cluster of its own on the controller: the right image, no trace of the key, and a cluster that dies."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.brickwork.storage.tests.integration.lab import CHECKOUT, Lab, made_by_hand

HOST = "host1"
MONITOR = "10.77.1.10"
SIZE = 64 * 1024**2
RBD = "rbd --conf /run/ceph-lab/ceph.conf"
SERVICE = (CHECKOUT / "tests/lab/services/ceph").read_text(encoding="utf-8")
LEFTOVERS = """
find /sys/bus/rbd/devices /dev/rbd /run/brickwork/rbd -mindepth 1 2>/dev/null
find /var/lib/brickwork/attachments -name 'rbd-*'
find /tmp -name 'brickrbd_*'
"""


def service(lab: Lab, *arguments: str) -> None:
    lab.ssh("controller", f"set -- {' '.join(arguments)}\n{SERVICE}")


@pytest.fixture(scope="module")
def keyring(lab: Lab) -> Iterator[str]:
    """The keyring of a user of a cluster that is there for these tests."""
    service(lab, "start", MONITOR)
    yield lab.ssh("controller", "cat /run/ceph-lab/volumes.keyring")
    service(lab, "stop")


@pytest.fixture
def image(lab: Lab, keyring: str) -> Iterator[dict[str, Any]]:
    """The connection of an image; a test that leaves anything of it on the host has failed."""
    lab.ssh("controller", f"{RBD} create --size 64M volumes/rbd-data")
    yield made_by_hand(
        HOST,
        "rbd-data",
        "rbd",
        SIZE,
        name="volumes/rbd-data",
        hosts=[MONITOR],
        ports=["6789"],
        cluster_name="ceph",
        auth_enabled=True,
        auth_username="volumes",
        keyring=keyring,
    )
    left = lab.ssh(HOST, LEFTOVERS + "true").strip()
    lab.module(HOST, "volume_attach", volumes=["rbd-data"], state="absent", force=True)
    lab.ssh(HOST, "for device in /dev/rbd[0-9]*; do [ ! -b $device ] || rbd unmap -o force $device; done")
    lab.ssh("controller", f"for name in $({RBD} ls volumes); do {RBD} rm --no-progress volumes/$name; done")
    assert left == ""


def with_data(connection: dict[str, Any], **changes: Any) -> dict[str, Any]:
    info = connection["connection_info"]
    return {**connection, "connection_info": {**info, "data": {**info["data"], **changes}}}


@pytest.mark.full
def test_attached_once_grown_and_detached_when_unused(lab: Lab, image: dict[str, Any], keyring: str) -> None:
    attached = lab.succeed(HOST, "volume_attach", connections=[image], multipath=True)["attachments"][0]
    assert (attached["path"], attached["multipath"]) == ("/dev/rbd/volumes/rbd-data", False)
    assert not lab.succeed(HOST, "volume_attach", connections=[image])["changed"]
    lab.ssh("controller", f"{RBD} resize --no-progress --size 128M volumes/rbd-data")
    grown = {**image, "volume": {**image["volume"], "size_bytes": 2 * SIZE}}
    assert lab.succeed(HOST, "volume_attach", connections=[grown])["attachments"][0]["size_bytes"] == 2 * SIZE
    lab.ssh(
        HOST, "mkfs.ext4 -q /dev/rbd/volumes/rbd-data && mount /dev/rbd/volumes/rbd-data /mnt && echo kept > /mnt/file"
    )
    refused = lab.refuse(HOST, "volume_attach", "failed_precondition", volumes=["rbd-data"], state="absent", force=True)
    assert refused["users"] == ["mount point /mnt"]
    lab.ssh(HOST, "umount /mnt")
    key = keyring.split()[-1]
    files = "/run/brickwork /tmp /etc/ceph /var/lib/brickwork"
    told = f"grep -rlF '{key}' {files} 2>/dev/null; journalctl -q | grep -F '{key}'; true"
    assert lab.ssh(HOST, told) == ""
    assert lab.detach(HOST, "rbd-data")["changed"]
    assert not lab.detach(HOST, "rbd-data")["changed"]


def test_another_image_of_the_name_is_neither_taken_nor_taken_away(lab: Lab, image: dict[str, Any]) -> None:
    lab.succeed(HOST, "volume_attach", connections=[image])
    lab.ssh(HOST, "rbd unmap /dev/rbd/volumes/rbd-data")
    lab.ssh("controller", f"{RBD} mv volumes/rbd-data volumes/rbd-old; {RBD} create --size 64M volumes/rbd-data")
    lab.refuse(HOST, "volume_attach", "data_loss", connections=[image])
    assert lab.ssh(HOST, "ls /sys/bus/rbd/devices").strip() == ""
    user = f"--id volumes --mon_host {MONITOR} --keyring /run/keyring"
    lab.ssh(
        HOST,
        f"umask 077; echo '{image['connection_info']['data']['keyring']}' > /run/keyring; rbd map volumes/rbd-data {user}",
    )
    lab.refuse(HOST, "volume_attach", "data_loss", volumes=["rbd-data"], state="absent", force=True)
    assert lab.ssh(HOST, "ls /sys/bus/rbd/devices").strip() != ""
    lab.ssh(HOST, "rbd unmap /dev/rbd/volumes/rbd-data; rm /run/keyring")
    assert lab.detach(HOST, "rbd-data")["changed"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"name": "volumes/rbd-none"}, "not_found"),
        ({"keyring": "[client.volumes]\n\tkey = AQAfrANrs08ZGRAAUrGNCbRhSu8eIGKBE8exqw==\n"}, "permission_denied"),
        ({"ports": ["6790"]}, "unavailable"),
    ],
)
def test_what_cannot_be_mapped_leaves_nothing(
    lab: Lab, image: dict[str, Any], changes: dict[str, Any], code: str
) -> None:
    lab.refuse(HOST, "volume_attach", code, connections=[with_data(image, **changes)], timeout=60)


@pytest.mark.full
def test_a_cluster_that_does_not_answer_holds_nobody_up(lab: Lab, image: dict[str, Any]) -> None:
    lab.succeed(HOST, "volume_attach", connections=[image])
    write = "timeout 2 dd if=/dev/urandom of=/dev/rbd/volumes/rbd-data bs=4k count=4 status=none"
    lab.control("cut", HOST, "a")
    try:
        lab.ssh(HOST, f"({write}) >/dev/null 2>&1 & sleep 1")
        began = time.monotonic()
        lab.refuse(HOST, "volume_attach", "deadline_exceeded", volumes=["rbd-data"], state="absent", timeout=15)
        assert time.monotonic() - began < 60
    finally:
        lab.control("heal", HOST, "a")
    # It was kept, and what waited is written.
    assert lab.succeed(HOST, "volume_attach", volumes=["rbd-data"], state="absent", timeout=120)["changed"]
