# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes of the protocols that no captured tree has, made up as the kernel's documentation and source describe them.

Sources: drivers/nvme/host/{sysfs,multipath,fabrics}.c, drivers/scsi/scsi_transport_fc.c, Documentation/ABI/testing/sysfs-bus-rbd.
"""

from __future__ import annotations

import os

from ansible_collections.brickwork.storage.tests.unit.host.tree import Tree

SIZE = 2**30
SECTORS = f"{SIZE // 512}\n"
NQN = "nqn.2026-11.org.example:data"
NVME_WWID = "uuid.5f0c6a3e-3b0f-4a53-9d57-9b3b8a1f6a10"
FC_WWN = "36001405fc00000000000000000000001"
WWPN = "2000525400000a01"


def block(tree: Tree, path: str, number: str = "", size: str = SECTORS) -> None:
    """A block device of a name, at its place under /sys/devices."""
    name = path.rpartition("/")[2]
    tree.put(f"{path}/size", size)
    tree.put(f"{path}/ro", "0\n")
    if number:
        tree.put(f"{path}/dev", f"{number}\n")
        tree.put(f"/dev/{name}", "")
    tree.put(f"/sys/class/block/{name}", {"link": f"../..{path[4:]}"})
    tree.put(f"/sys/block/{name}", {"link": f"..{path[4:]}"})


def nvme_controller(tree: Tree, number: int, address: str, *, state: str = "live", nqn: str = NQN) -> str:
    """A controller over TCP; where it is."""
    here = f"/sys/devices/virtual/nvme-fabrics/ctl/nvme{number}"
    tree.put(f"{here}/transport", "tcp\n")
    tree.put(f"{here}/address", f"traddr={address},trsvcid=4420,src_addr=192.0.2.21\n")
    tree.put(f"{here}/subsysnqn", f"{nqn}\n")
    tree.put(f"{here}/state", f"{state}\n")
    tree.put(f"{here}/cntrltype", "io\n")
    # A character device beside the namespaces.
    tree.put(f"{here}/ng{number}n1/dev", "244:0\n")
    tree.put(f"/sys/class/nvme/nvme{number}", {"link": f"../..{here[4:]}"})
    return here


def nvme_namespace(tree: Tree, *controllers: str, access: tuple[str, ...] = ("optimized", "optimized")) -> None:
    """A namespace that the kernel has made one device of."""
    head = "/sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1"
    block(tree, head, "259:0")
    tree.put(f"{head}/wwid", f"{NVME_WWID}\n")
    tree.put(f"/dev/disk/by-id/nvme-{NVME_WWID}", {"link": "../../nvme0n1"})
    for number, (controller, state) in enumerate(zip(controllers, access)):
        path = f"{controller}/nvme0c{number}n1"
        block(tree, path)  # hidden: it has no number and no file in /dev
        tree.put(f"{path}/wwid", f"{NVME_WWID}\n")
        tree.put(f"{path}/ana_state", f"{state}\n")


def nvme_device(tree: Tree, controller: str, number: str) -> None:
    """A namespace of one controller, without the kernel's own multipathing."""
    path = f"{controller}/{controller.rpartition('/')[2]}n1"
    block(tree, path, number)
    tree.put(f"{path}/wwid", f"{NVME_WWID}\n")


def fc_port(tree: Tree, host: int, *, state: str = "Online", target: int = 0, disk: str = "") -> None:
    """A remote port that a Fibre Channel host sees, with a disk or without."""
    here = f"/sys/devices/pci0000:00/0000:00:05.0/host{host}/rport-{host}:0-0"
    port = f"{here}/fc_remote_ports/rport-{host}:0-0"
    tree.put(f"/sys/class/fc_host/host{host}/port_name", f"0x2000525400000b0{host}\n")
    tree.put(f"/sys/class/fc_host/host{host}/port_state", "Online\n")
    tree.put(f"{port}/port_name", f"0x{WWPN[:-1]}{host}\n")
    tree.put(f"{port}/port_state", f"{state}\n")
    tree.put(f"{port}/scsi_target_id", f"{target}\n")
    tree.put(f"{port}/device", {"link": f"../../../rport-{host}:0-0"})
    tree.put(f"/sys/class/fc_remote_ports/rport-{host}:0-0", {"link": f"../..{port[4:]}"})
    if disk:
        scsi = f"{here}/target{host}:0:0/{host}:0:0:3"
        tree.put(f"{scsi}/state", "running\n")
        tree.put(f"{scsi}/wwid", f"naa.{FC_WWN[1:]}\n")
        block(tree, f"{scsi}/block/{disk}", f"8:{16 * (ord(disk[-1]) - ord('a'))}")
        tree.put(f"{scsi}/block/{disk}/device", {"link": f"../../../{host}:0:0:3"})


def multipath_map(tree: Tree, wwid: str, *paths: str, name: str = "dm-0", status: str = "") -> None:
    """A map over block devices."""
    here = f"/sys/devices/virtual/block/{name}"
    block(tree, here, f"254:{name[3:]}")
    tree.put(f"{here}/dm/name", "mpatha\n")
    tree.put(f"{here}/dm/uuid", f"mpath-{wwid}\n")
    tree.map_status["mpatha"] = status
    tree.put(f"/dev/disk/by-id/dm-uuid-mpath-{wwid}", {"link": f"../../{name}"})
    for path in paths:
        disk = tree.resolve(f"/sys/class/block/{path}")
        tree.put(f"{here}/slaves/{path}", {"link": os.path.relpath(disk, f"{here}/slaves")})
        tree.put(f"{disk}/holders/{name}", {"link": os.path.relpath(here, f"{disk}/holders")})


def rados_image(tree: Tree, number: int, name: str, *, namespace: str = "", snapshot: str = "-") -> None:
    """An image that the kernel has mapped."""
    here = f"/sys/devices/rbd/{number}"
    for attribute, text in {
        "pool": "volumes",
        "pool_ns": namespace,
        "name": name,
        "current_snap": snapshot,
    }.items():
        tree.put(f"{here}/{attribute}", f"{text}\n")
    tree.put(f"/sys/bus/rbd/devices/{number}", {"link": f"../../../devices/rbd/{number}"})
    block(tree, f"/sys/devices/virtual/block/rbd{number}", f"252:{16 * number}")
    tree.put(f"/dev/rbd/volumes/{name}", {"link": f"../../rbd{number}"})
