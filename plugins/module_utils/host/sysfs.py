# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel says of sessions, disks and maps: read-only, and without starting a program."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Optional, TypeVar

from ansible_collections.brickwork.storage.plugins.module_utils.host.device_mapper import multipath_status
from ansible_collections.brickwork.storage.plugins.module_utils.host.files import link, names_in, plain, text

SECTOR_BYTES = 512
MPATH_UUID_PREFIX = "mpath-"
INITIATOR_NAME = "etc/iscsi/initiatorname.iscsi"

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Session:
    """An iSCSI session of this host, or an NVMe controller.

    Args:
        number: of the kernel, also iscsiadm's; the N of C(nvmeN).
        target: the IQN or NQN.
        portal: as a connection writes it, C(10.0.0.1:3260) or C([2001:db8::1]:3260).
        state: the kernel's, C(LOGGED_IN) and C(live) where it works.
        scsi_host: the number in C(/sys/class/scsi_host/hostN); None for NVMe.
    """

    number: int
    target: str
    portal: str
    state: str
    scsi_host: Optional[int] = None

    @property
    def works(self) -> bool:
        return self.state in ("LOGGED_IN", "live")


@dataclass(frozen=True)
class Disk:
    """A SCSI disk that a session brought.

    Args:
        name: such as C(sda).
        number: major and minor, C(8:0).
        lun: on its target.
        portal: of the session it came by.
        state: SCSI's, C(running) when healthy.
        wwid: as multipath writes it, C(3600...); None where the disk tells none.
        size_bytes: as the kernel sees it now.
    """

    name: str
    number: str
    lun: int
    portal: str
    state: str
    wwid: Optional[str]
    size_bytes: int

    @property
    def works(self) -> bool:
        return self.state == "running"


@dataclass(frozen=True)
class MultipathMap:
    """A multipath map.

    Args:
        name: the kernel's, C(dm-0).
        alias: multipathd's, C(mpatha): it may change at any boot.
        wwid: of the volume.
        size_bytes: as the kernel sees it now.
        read_only: whether the kernel refuses writes.
        path_states: for each path by number (C(8:0)) whether device-mapper uses it, C(running) or C(failed).
        path_names: the kernel name of each path by number.
    """

    name: str
    alias: str
    wwid: str
    size_bytes: int
    read_only: bool
    path_states: dict[str, str]
    path_names: dict[str, str]


@dataclass(frozen=True)
class Namespace:
    """An NVMe namespace that the kernel has made one device of, over all its paths.

    Args:
        name: the kernel's, C(nvme0n1).
        wwid: as sysfs writes it, C(uuid.5f0c...).
        size_bytes: as the kernel sees it now.
        read_only: whether the kernel refuses writes.
    """

    name: str
    wwid: Optional[str]
    size_bytes: int
    read_only: bool


class Sysfs:
    """The view. It holds nothing: each call reads anew.

    Args:
        root: where C(/sys), C(/proc) and C(/dev) are; tests give a captured tree.
        status_of_map: what tells the state of a map's paths; not in sysfs, so apart.
    """

    def __init__(
        self, root: Path = Path("/"), status_of_map: Callable[[str], dict[str, str]] = multipath_status
    ) -> None:
        self.root = root
        # Text, because it stands in front of a thousand paths that are read.
        self._sys = f"{root}/sys" if root != Path("/") else "/sys"
        self._status_of_map = status_of_map

    def glance(self) -> Sysfs:
        """The same view for one moment: what concerns all volumes is read once, however many are looked for."""
        return _Glance(self.root, self._status_of_map)

    def once(self, read: Callable[..., Answer], *what: object) -> Answer:
        """What a function reads of this host.

        Args:
            read: takes the view and what follows; in a glance it reads only once of each.
            what: it is to read of, hashable.
        """
        return read(self, *what)

    def sessions(self) -> list[Session]:
        """Every iSCSI session, by number."""
        return self.once(_sessions)

    def disks(self, session: Session) -> list[Disk]:
        """Every disk of a session, by LUN."""
        return self.once(_disks, session)

    def disks_below(self, device: str, portal: str, luns: Optional[Collection[int]] = None) -> list[Disk]:
        """The disks that came by something that speaks SCSI, by LUN.

        Args:
            device: its directory, relative to C(/sys).
            portal: what the disks are to say they came by.
            luns: only those; all where this is None.
        """
        directory = f"{self._sys}/{device}"
        found = []
        for target in names_in(directory):
            for address in names_in(f"{directory}/{target}") if target.startswith("target") else ():
                if luns is None or _lun(address) in luns:
                    block = f"{directory}/{target}/{address}/block"
                    found += [_read_disk(f"{block}/{name}", name, address, portal) for name in names_in(block)]
        return sorted((disk for disk in found if disk), key=lambda disk: disk.lun)

    def disk(self, name: str) -> Optional[Disk]:
        """A SCSI disk by its kernel name, wherever it came from; None where it is gone or none."""
        block = f"{self._sys}/block/{name}"
        return _read_disk(block, name, os.path.basename(os.path.realpath(f"{block}/device")), "")

    def map_over(self, disk: str) -> Optional[MultipathMap]:
        """The multipath map that holds a disk; None where there is none."""
        for holder in self.holders(disk):
            found = self.multipath_map(holder)
            if found is not None:
                return found
        return None

    def map_of(self, wwid: str) -> Optional[MultipathMap]:
        """The multipath map of a volume, with or without paths."""
        name = self.map_names().get(wwid)
        return self.multipath_map(name) if name else None

    def map_names(self) -> dict[str, str]:
        """The kernel name of every multipath map, by its WWID."""
        return self.once(_map_names)

    def maps(self) -> list[MultipathMap]:
        """Every multipath map."""
        return [found for found in map(self.multipath_map, sorted(self.map_names().values())) if found]

    def multipath_map(self, name: str) -> Optional[MultipathMap]:
        """The map behind a kernel name; None where it is not a multipath map."""
        block = f"{self._sys}/block/{name}"
        uuid, size = text(f"{block}/dm/uuid"), text(f"{block}/size")
        if not uuid.startswith(MPATH_UUID_PREFIX) or not size:
            return None
        alias = text(f"{block}/dm/name")
        slaves = {text(f"{block}/slaves/{slave}/dev"): slave for slave in names_in(f"{block}/slaves")}
        slaves.pop("", None)  # one that is on its way out
        status = self._status_of_map(alias)
        return MultipathMap(
            name,
            alias,
            uuid[len(MPATH_UUID_PREFIX) :],
            int(size) * SECTOR_BYTES,
            text(f"{block}/ro") == "1",
            {number: status.get(number, "running") for number in slaves},
            slaves,
        )

    def holders(self, name: str) -> list[str]:
        """The kernel names of what stands on a block device."""
        return names_in(f"{self._sys}/class/block/{name}/holders")

    def members(self, name: str) -> list[str]:
        """The kernel names of what a block device stands on."""
        return names_in(f"{self._sys}/class/block/{name}/slaves")

    def size_bytes(self, name: str) -> Optional[int]:
        """The size of a block device; None where it is gone."""
        size = text(f"{self._sys}/class/block/{name}/size")
        return int(size) * SECTOR_BYTES if size else None

    def is_read_only(self, name: str) -> bool:
        """Whether the kernel refuses writes to a block device."""
        return text(f"{self._sys}/class/block/{name}/ro") == "1"

    def is_suspended(self, name: str) -> bool:
        """Whether device-mapper holds back what is written to a block device."""
        return self.dm(name, "suspended") == "1"

    def is_raid(self, name: str) -> bool:
        """Whether a block device is a software RAID."""
        return os.path.isdir(f"{self._sys}/class/block/{name}/md")

    def is_partition(self, name: str) -> bool:
        """Whether a block device is a partition that the kernel made."""
        return bool(text(f"{self._sys}/class/block/{name}/partition"))

    def partitions(self, name: str) -> list[str]:
        """The kernel names of a disk's partitions."""
        block = f"{self._sys}/class/block/{name}"
        # All are named after their disk.
        inside = (entry for entry in names_in(block) if entry.startswith(name))
        return [entry for entry in inside if os.path.exists(f"{block}/{entry}/partition")]

    def number(self, name: str) -> str:
        """Major and minor of a block device, C(8:0); empty where it is gone."""
        return text(f"{self._sys}/class/block/{name}/dev")

    def dm(self, name: str, attribute: str) -> str:
        """A device-mapper attribute (C(name), C(uuid)) of a block device; empty where it has none."""
        return text(f"{self._sys}/class/block/{name}/dm/{attribute}")

    def dm_named(self, name: str) -> Optional[str]:
        """The kernel name of the device that device-mapper calls so; None where there is none."""
        return self.once(_dm_names).get(name)

    def link_target(self, link: str) -> Optional[str]:
        """The kernel name of the device behind a C(/dev) link; None where there is no such link."""
        path = str(self.root / link.lstrip("/"))
        return os.path.basename(os.path.realpath(path)) if os.path.exists(path) else None

    def attribute_path(self, relative: str) -> str:
        """The path of a sysfs attribute, for the one who writes it."""
        return f"{self._sys}/{relative}"

    def device_path(self, name: str) -> str:
        """The path of a block device, for the one who opens it."""
        return str(self.root / "dev" / name)

    def udev_is_busy(self) -> bool:
        """Whether udev still works on events; the file is there exactly as long."""
        return (self.root / "run/udev/queue").exists()

    def initiator_name(self) -> Optional[str]:
        """This host's iSCSI initiator name; None where it has none."""
        written = text(self.root / INITIATOR_NAME)
        named = re.search(r"^[ \t]*InitiatorName[ \t]*=[ \t]*(\S+)", written, re.MULTILINE)
        return named.group(1) if named else None

    def host_nqn(self) -> Optional[str]:
        """The NQN by which NVMe targets know this host; None where it has none."""
        return text(self.root / "etc/nvme/hostnqn") or None

    def swaps(self) -> list[str]:
        """The paths of what is swapped to, devices and files."""
        lines = text(self.root / "proc/swaps").splitlines()[1:]
        return [plain(line.split()[0]) for line in lines if line.strip()]

    def swap_devices(self) -> set[str]:
        """The kernel names of devices that are swapped to."""
        return {Path(path).resolve().name for path in self.swaps()}

    def loops_over(self, file: str) -> list[str]:
        """The kernel names of the loop devices over a file."""
        loops = [name for name in names_in(f"{self._sys}/class/block") if name.startswith("loop")]
        return [name for name in loops if text(f"{self._sys}/class/block/{name}/loop/backing_file") == file]


class _Glance(Sysfs):
    """What does not concern one volume alone is read at most once."""

    @functools.cached_property
    def _read(self) -> dict[tuple[Any, ...], Any]:
        return {}

    def once(self, read: Callable[..., Answer], *what: object) -> Answer:
        key = (read, *what)
        if key not in self._read:
            self._read[key] = read(self, *what)
        answer: Answer = self._read[key]
        return answer


def scsi_wwid(attribute: str) -> Optional[str]:
    """A disk's C(wwid) attribute as scsi_id and multipath write it; None for what they would not use.

    The kernel writes the designator's type in words, scsi_id as one digit in front.
    """
    for prefix, digit in (("naa.", "3"), ("eui.", "2")):
        if attribute.startswith(prefix):
            return digit + attribute[len(prefix) :].lower()
    return None


def _sessions(view: Sysfs) -> list[Session]:
    directory = view.attribute_path("class/iscsi_session")
    found = []
    for name in names_in(directory):
        entry = f"{directory}/{name}"
        portal = _portal(f"{entry}/device")
        scsi_host = re.search(r"/host(\d+)/", link(entry))
        if portal is None or scsi_host is None:
            continue  # a session that is being made or is on its way out
        number = int(name[len("session") :])
        target, state = text(f"{entry}/targetname"), text(f"{entry}/state")
        found.append(Session(number, target, portal, state, int(scsi_host.group(1))))
    return sorted(found, key=lambda session: session.number)


def _disks(view: Sysfs, session: Session) -> list[Disk]:
    return view.disks_below(f"class/iscsi_session/session{session.number}/device", session.portal)


def _dm_devices(view: Sysfs) -> list[str]:
    return [name for name in names_in(view.attribute_path("block")) if name.startswith("dm-")]


def _dm_names(view: Sysfs) -> dict[str, str]:
    return {view.dm(device, "name"): device for device in _dm_devices(view)}


def _map_names(view: Sysfs) -> dict[str, str]:
    uuids = {name: view.dm(name, "uuid") for name in _dm_devices(view)}
    return {uuid[len(MPATH_UUID_PREFIX) :]: name for name, uuid in uuids.items() if uuid.startswith(MPATH_UUID_PREFIX)}


def _lun(address: str) -> Optional[int]:
    """The last of the numbers in a SCSI device's name, C(2:0:0:1)."""
    number = address.rpartition(":")[2]
    return int(number) if number.isdigit() else None


def _portal(session: str) -> Optional[str]:
    """The portal of the session whose device's directory this is."""
    for name in names_in(session):
        if name.startswith("connection"):
            connection = f"{session}/{name}/iscsi_connection/{name}"
            address, port = text(f"{connection}/persistent_address"), text(f"{connection}/persistent_port")
            if address and port:
                return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    return None


def _read_disk(block: str, name: str, address: str, portal: str) -> Optional[Disk]:
    lun = _lun(address)
    size, number = text(f"{block}/size"), text(f"{block}/dev")
    if not (lun is not None and size and number):
        return None  # on its way out
    state, wwid = text(f"{block}/device/state"), text(f"{block}/device/wwid")
    return Disk(name, number, lun, portal, state, scsi_wwid(wwid), int(size) * SECTOR_BYTES)
