# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NVMe over TCP: beside os-brick, over a reboot, and with paths that are dead.

Needs a lab with NVMe (C(--needs nvme)). The controller's part is that of the Molecule scenario C(nvme).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from ansible_collections.brickwork.storage.tests.integration.calling_os_brick import os_brick
from ansible_collections.brickwork.storage.tests.integration.lab import CHECKOUT, LAB, Lab

HOST = "host1"
VOLUME = "test-nvme"
SIZE_MIB = 64
UUID = "0e8c7a54-8c1b-4c57-9d64-0b6c1d7f5a01"
NQN = "nqn.2026-11.org.example:test-nvme"
PATH = f"/dev/disk/by-id/nvme-uuid.{UUID}"
MOUNT_POINT = "/srv/test-nvme"
EXPORT = (CHECKOUT / "extensions/molecule/nvme/files/export").read_text(encoding="utf-8")
LEFT = f"""
grep -lx {NQN} /sys/class/nvme/*/subsysnqn 2>/dev/null
ls -d {PATH} /etc/systemd/system/brickwork* /etc/systemd/system/*/brickwork* 2>/dev/null
find /var/lib/brickwork -not -type d 2>/dev/null; true
"""


@pytest.fixture(scope="module")
def connections(lab: Lab) -> Iterator[list[dict[str, Any]]]:
    """The connection of a volume that is exported at both of the controller's addresses."""
    machines = yaml.safe_load((LAB / "inventory.yml").read_text(encoding="utf-8"))["all"]["children"]
    controller = machines["controllers"]["hosts"]["controller"]
    addresses = [controller["lab_address_a"], controller["lab_address_b"]]
    nqn = lab.ssh(HOST, "cat /etc/nvme/hostnqn").strip()
    lab.succeed("controller", "volume", volumes=[VOLUME], size=f"{SIZE_MIB}MiB")
    lab.ssh("controller", f"set -- present {VOLUME} {UUID} {NQN} {nqn} {' '.join(addresses)}\n{EXPORT}")
    volume = {
        "name": VOLUME,
        "id": UUID,
        "size_bytes": SIZE_MIB * 1024**2,
        "backend": "lvm",
        "wwn": f"uuid.{UUID}",
    }
    data = {"target_nqn": NQN, "vol_uuid": UUID, "portals": [[address, 4420, "tcp"] for address in addresses]}
    info = {"driver_volume_type": "nvmeof", "data": data}
    connector = {"host": HOST, "nqn": nqn}
    yield [{"volume": volume, "host": HOST, "connector": connector, "connection_info": info, "connected": True}]
    lab.ssh(HOST, f"umount -q {MOUNT_POINT}; true")
    lab.module(HOST, "volume_attach", volumes=[VOLUME], state="absent", force=True)
    lab.ssh("controller", f"set -- absent {NQN}\n{EXPORT}")
    lab.succeed("controller", "volume", volumes=[VOLUME], state="absent")


def left(lab: Lab) -> str:
    """What an attachment has left on the host; empty where nothing."""
    return lab.ssh(HOST, LEFT).strip()


def test_os_brick_detaches_what_volume_attach_attached(lab: Lab, connections: list[dict[str, Any]]) -> None:
    data = connections[0]["connection_info"]["data"]
    (attachment,) = lab.attach(HOST, connections, min_paths=2)["attachments"]
    # Asked for what is there already, os-brick finds all of it in place and describes the same device.
    assert os_brick(lab, HOST, "NVMEOF", "connect_volume", data) == attachment["attach_info"]
    os_brick(lab, HOST, "NVMEOF", "disconnect_volume", data, attachment["attach_info"])
    assert [line for line in left(lab).splitlines() if "/attachments/" not in line] == []
    assert lab.detach(HOST, VOLUME)["changed"]  # only the record was left
    assert left(lab) == ""


def test_volume_attach_detaches_what_os_brick_attached(lab: Lab, connections: list[dict[str, Any]]) -> None:
    os_brick(lab, HOST, "NVMEOF", "connect_volume", connections[0]["connection_info"]["data"])
    assert lab.succeed(HOST, "volume_attach", connections=connections, state="absent")["changed"]
    assert left(lab) == ""


def test_volume_comes_back_at_boot(lab: Lab, connections: list[dict[str, Any]]) -> None:
    lab.attach(HOST, connections, min_paths=2, persistent=True)
    lab.ssh(
        HOST,
        f"mkfs.ext4 -qF {PATH}; mkdir -p {MOUNT_POINT}; cp /etc/fstab /root/fstab.before\n"
        # The emulated machine is slow to find its network cards.
        f"echo '{PATH} {MOUNT_POINT} ext4 _netdev,x-systemd.device-timeout=600 0 0' >> /etc/fstab\n"
        f"systemctl daemon-reload; mount {MOUNT_POINT}; echo written > {MOUNT_POINT}/file; sync",
    )
    try:
        lab.control("reboot", HOST)
        script = f"for n in $(seq 120); do mountpoint -q {MOUNT_POINT} && break; sleep 2; done; cat {MOUNT_POINT}/file"
        assert lab.ssh(HOST, script) == "written\n"
        assert lab.attach(HOST, connections, min_paths=2, persistent=True)["changed"] is False
    finally:
        lab.ssh(HOST, f"umount {MOUNT_POINT}; mv /root/fstab.before /etc/fstab; systemctl daemon-reload")
    lab.detach(HOST, VOLUME)
    assert left(lab) == ""


def test_dead_paths_are_given_up_with_force_alone(lab: Lab, connections: list[dict[str, Any]]) -> None:
    lab.attach(HOST, connections, min_paths=2)
    try:
        for network in ("a", "b"):
            lab.control("cut", HOST, network)
        # The kernel notices when its keep-alive is not answered.
        wait = "for n in $(seq 60); do grep -qx live /sys/class/nvme/*/state || break; sleep 1; done"
        lab.ssh(HOST, wait)
        lab.refuse(HOST, "volume_attach", "unavailable", volumes=[VOLUME], state="absent")
        assert "is lost" in lab.detach(HOST, VOLUME, force=True)["warnings"]
    finally:
        for network in ("a", "b"):
            lab.control("heal", HOST, network)
    assert left(lab) == ""
