# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The view of a host as a whole: what brings volumes to it by any protocol, and what stands on its block devices.

It reads the kernel's and udev's files and nothing else. It opens no device and asks no file system, so that nothing that is dead
can hold it up.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Optional

from ansible_collections.brickwork.storage.plugins.module_utils.host.files import entries, text
from ansible_collections.brickwork.storage.plugins.module_utils.host.sysfs import (
    SECTOR_BYTES,
    Disk,
    MultipathMap,
    Namespace,
    Session,
    Sysfs,
)

# Device numbers with this major are the kernel's inventions, for file systems that are on no device or on several.
ANONYMOUS_MAJOR = "0"
# In these states of asymmetric access a path takes reads and writes.
ACCESSIBLE = ("", "optimized", "non-optimized")


@dataclass(frozen=True)
class RemotePort:
    """A Fibre Channel port that this host sees, and that serves LUNs.

    Args:
        name: the kernel's, C(rport-0:0-1).
        wwpn: without C(0x).
        state: the kernel's, C(Online) when healthy.
    """

    name: str
    wwpn: str
    state: str


@dataclass(frozen=True)
class NvmePath:
    """A namespace as one controller shows it.

    Args:
        name: the kernel's: C(nvme0n1), or C(nvme0c1n1) where it is a path of a namespace that the kernel put together.
        wwid: as sysfs writes it, C(uuid.5f0c...).
        size_bytes: as the kernel sees it now.
        state: C(running), or what is wrong with the controller or with the access by it.
        namespace: over this path and the others; None where each controller has a device of its own.
    """

    name: str
    wwid: Optional[str]
    size_bytes: int
    state: str
    namespace: Optional[Namespace]


@dataclass(frozen=True)
class Image:
    """A RADOS image that the kernel has made a block device of.

    Args:
        device: the kernel's name, C(rbd0).
        name: of the image with its pool and namespace, C(volumes/db-data).
        size_bytes: as the kernel sees it now.
    """

    device: str
    name: str
    size_bytes: int


@dataclass(frozen=True)
class Mount:
    """A mounted file system.

    Args:
        point: the directory.
        fstype: its type, as the kernel calls it.
        number: of its device; a made-up one for some types.
        source: what was given to mount, C(/dev/mapper/mpatha).
        options: of this mount.
        super_options: of the file system, wherever it is mounted.
    """

    point: str
    fstype: str
    number: str
    source: str
    options: frozenset[str]
    super_options: frozenset[str]


@dataclass(frozen=True)
class Content:
    """What udev has found on a block device; None where it found nothing, or where there is no udev.

    Args:
        fstype: C(ext4), C(LVM2_member), C(crypto_LUKS).
        uuid: of the file system, the physical volume or the like.
        label: of the file system.
    """

    fstype: Optional[str] = None
    uuid: Optional[str] = None
    label: Optional[str] = None


class Topology(Sysfs):
    """The view."""

    def remote_ports(self) -> list[RemotePort]:
        """Every remote port that serves LUNs and is not gone."""
        ports = []
        for entry in entries(self._sys / "class/fc_remote_ports"):
            wwpn, state = text(entry / "port_name"), text(entry / "port_state")
            if wwpn and "target" in text(entry / "roles").lower() and state != "Not Present":
                ports.append(RemotePort(entry.name, wwpn[2:] if wwpn.startswith("0x") else wwpn, state))
        return ports

    def port_disks(self, port: RemotePort) -> list[Disk]:
        """Every disk that came by a remote port."""
        device = self._sys / "class/fc_remote_ports" / port.name / "device"
        blocks = sorted(device.glob("target*/*/block/*"))
        return [disk for disk in (self._disk(block, port.wwpn) for block in blocks) if disk]

    def controllers(self) -> list[Session]:
        """Every NVMe controller that was connected to over a network and serves namespaces, by number."""
        found = []
        for entry in entries(self._sys / "class/nvme"):
            number, address = entry.name[len("nvme") :], text(entry / "address")
            discovers = text(entry / "cntrltype") == "discovery" or text(entry / "subsysnqn").endswith(".discovery")
            if number.isdigit() and text(entry / "transport") not in ("", "pcie", "loop") and not discovers:
                found.append(
                    Session(int(number), text(entry / "subsysnqn"), nvme_portal(address), text(entry / "state"))
                )
        return sorted(found, key=lambda controller: controller.number)

    def nvme_paths(self, controller: Session) -> list[NvmePath]:
        """The namespaces of a controller, by name."""
        found = []
        for block in entries(self._sys / f"class/nvme/nvme{controller.number}"):
            named = re.fullmatch(r"(nvme\d+)(c\d+)?(n\d+)", block.name)
            size = text(block / "size")
            if not named or not size:
                continue
            access = text(block / "ana_state")
            state = controller.state if not controller.works else "running" if access in ACCESSIBLE else access
            found.append(
                NvmePath(
                    block.name,
                    text(block / "wwid") or None,
                    int(size) * SECTOR_BYTES,
                    state,
                    self._namespace(named[1] + named[3]) if named[2] else None,
                )
            )
        return found

    def _namespace(self, name: str) -> Optional[Namespace]:
        block = self._sys / "class/block" / name
        size = text(block / "size")
        if not size:
            return None
        return Namespace(name, text(block / "wwid") or None, int(size) * SECTOR_BYTES, text(block / "ro") == "1")

    def images(self) -> list[Image]:
        """Every RADOS image."""
        found = []
        for entry in entries(self._sys / "bus/rbd/devices"):
            parts = [text(entry / "pool"), text(entry / "pool_ns"), text(entry / "name")]
            name = "/".join(part for part in parts if part)
            snapshot = text(entry / "current_snap")
            if snapshot not in ("", "-"):
                name += f"@{snapshot}"
            size = self.size_bytes(f"rbd{entry.name}")
            if name and size is not None:
                found.append(Image(f"rbd{entry.name}", name, size))
        return found

    def maps(self) -> list[MultipathMap]:
        """Every multipath map."""
        return [found for found in (self.multipath_map(name) for name in self._names("dm-")) if found]

    def is_read_only(self, name: str) -> bool:
        """Whether the kernel refuses writes to a block device."""
        return text(self._sys / "class/block" / name / "ro") == "1"

    def is_suspended(self, name: str) -> bool:
        """Whether device-mapper holds back what is written to a block device."""
        return self.dm(name, "suspended") == "1"

    def is_partition(self, name: str) -> bool:
        """Whether a block device is a partition that the kernel made."""
        return bool(text(self._sys / "class/block" / name / "partition"))

    def is_raid(self, name: str) -> bool:
        """Whether a block device is a software RAID."""
        return (self._sys / "class/block" / name / "md").is_dir()

    def content(self, name: str) -> Content:
        """What udev has found on a block device."""
        lines = text(self.root / "run/udev/data" / f"b{self.number(name)}").splitlines()
        told = dict(line[2:].partition("=")[::2] for line in lines if line.startswith("E:"))
        label = re.sub(r"\\x([0-9a-f]{2})", lambda code: chr(int(code[1], 16)), told.get("ID_FS_LABEL_ENC", ""))
        return Content(told.get("ID_FS_TYPE") or None, told.get("ID_FS_UUID") or None, label or None)

    def loops_over(self, file: str) -> list[str]:
        """The kernel names of the loop devices over a file."""
        blocks = self._sys / "class/block"
        return [name for name in self._names("loop") if text(blocks / name / "loop/backing_file") == file]

    def mounted(self) -> list[Mount]:
        """Every mounted file system, in any mount namespace, by mount point."""
        found: set[Mount] = set()
        seen: set[str] = set()
        for process in entries(self.root / "proc"):
            try:
                namespace = os.readlink(process / "ns/mnt") if process.name.isdigit() else None
            except OSError:
                continue
            if namespace and namespace not in seen:
                seen.add(namespace)
                found.update(parse_mounts(text(process / "mountinfo")))
        return sorted(found, key=lambda mount: mount.point)

    def mounts_by_device(self) -> dict[str, list[Mount]]:
        """The mounted file systems by the kernel name of each block device they are on."""
        shared = self._devices_of_btrfs()
        numbers = {self.number(entry.name): entry.name for entry in entries(self._sys / "class/block")}
        found: dict[str, list[Mount]] = {}
        for mount in self.mounted():
            if not mount.number.startswith(f"{ANONYMOUS_MAJOR}:"):
                names = {numbers.get(mount.number, "")}
            elif mount.source.startswith("/dev/"):
                name = self.link_target(mount.source) or ""
                names = shared.get(name, {name})
            else:
                continue
            for name in names - {""}:
                found.setdefault(name, []).append(mount)
        return found

    def mount_of(self, file: str) -> Optional[Mount]:
        """The mounted file system that a file is on, without asking that file system; None where nothing is mounted there."""
        around = [mount for mount in self.mounted() if file.startswith(mount.point.rstrip("/") + "/")]
        return max(around, key=lambda mount: len(mount.point), default=None)

    def _devices_of_btrfs(self) -> dict[str, set[str]]:
        """For each device of a btrfs all the devices of it."""
        found = {}
        for entry in entries(self._sys / "fs/btrfs"):
            names = {device.name for device in entries(entry / "devices")}
            found.update(dict.fromkeys(names, names))
        return found

    def _names(self, prefix: str) -> list[str]:
        return [entry.name for entry in entries(self._sys / "class/block") if entry.name.startswith(prefix)]


def nvme_portal(address: str) -> str:
    """A controller's C(address) attribute as connections write a portal, C(10.0.0.1:4420)."""
    parts = dict(part.strip().partition("=")[::2] for part in address.split(","))
    host, port = parts.get("traddr", ""), parts.get("trsvcid", "").strip()
    # Over Fibre Channel there is no port, and the colons are not those of an IPv6 address.
    if not host or not port or port == "none":
        return host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse_mounts(mountinfo: str) -> Iterator[Mount]:
    """The lines of a C(/proc/PID/mountinfo)."""
    for line in mountinfo.splitlines():
        mounted, _dash, file_system = line.partition(" - ")
        left, right = mounted.split(), file_system.split()
        if len(left) > 5 and len(right) > 2:
            yield Mount(
                _without_octal(left[4]),
                right[0],
                left[2],
                _without_octal(right[1]),
                frozenset(left[5].split(",")),
                frozenset(right[2].split(",")),
            )


def _without_octal(written: str) -> str:
    """The kernel writes blanks and the like in octal."""
    return re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), written)
