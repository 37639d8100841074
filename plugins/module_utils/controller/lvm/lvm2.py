# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands of LVM2, on one volume group."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.brickwork.storage.plugins.module_utils import commands
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline

# How the devices of logical volumes begin; the UUIDs of the volume group and of the logical volume follow.
DEVICES = "/dev/disk/by-id/dm-uuid-LVM-"
# How device-mapper's names begin; those of the volume group and of the logical volume follow.
NAMES = "/dev/disk/by-id/dm-name-"
# In a report, else LVM's error messages go into the JSON.
REPORT = ("--reportformat", "json", "--units", "b", "--nosuffix")
UNLOGGED = "log/report_command_log=0"
# LVM would keep the whole metadata of before for a month. After many connections that fills the controller's /etc, and none of
# it is of use: who held a volume a week ago must not come back.
UNARCHIVED = "backup/archive=0"
# Device-mapper's limit for a name, which holds the volume group's name too, every hyphen doubled.
NAME_LIMIT = 127
RESERVED_STARTS = ("snapshot", "pvmove")
RESERVED_PARTS = (
    "_cdata",
    "_cmeta",
    "_corig",
    "_cpool",
    "_cvol",
    "_wcorig",
    "_iorig",
    "_imeta",
    "_mimage",
    "_mlog",
    "_pmspare",
    "_rimage",
    "_rmeta",
    "_tdata",
    "_tmeta",
    "_tpool",
    "_vdata",
    "_vorigin",
    "_vpool",
)


@dataclass(frozen=True)
class LogicalVolume:
    """A logical volume as lvs reports it.

    Args:
        opened: whether something on this machine has its device open.
        origin: the logical volume that it is a snapshot of; empty for none.
        pool: the thin pool that it is in; empty for none.
        is_pool: whether it is a thin pool.
    """

    name: str
    uuid: str
    size_bytes: int
    tags: tuple[str, ...]
    active: bool
    opened: bool
    device: str
    origin: str
    pool: str
    is_pool: bool

    @property
    def copies_on_write(self) -> bool:
        """Whether it is a thick snapshot: what changes in its origin is copied into it first."""
        return bool(self.origin and not self.pool)


@dataclass(frozen=True)
class Space:
    """The size of a volume group's extents, of all of it, and how many bytes are free."""

    extent_bytes: int
    total_bytes: int
    free_bytes: int


@dataclass(frozen=True)
class Pool:
    """A thin pool: its size, how much of that is taken, and whether it zeroes what it gives to a volume."""

    size_bytes: int
    used_bytes: int
    zeroes: bool


class VolumeGroup:
    """A volume group of this machine."""

    def __init__(self, name: str, deadline: Deadline) -> None:
        self.name = name
        self._deadline = deadline

    def logical_volumes(self) -> list[LogicalVolume]:
        """Every visible logical volume of the group."""
        fields = "lv_name,lv_uuid,vg_uuid,lv_size,lv_tags,lv_active,lv_device_open,origin,pool_lv,lv_layout"
        return [
            LogicalVolume(
                name=row["lv_name"],
                uuid=row["lv_uuid"],
                size_bytes=int(row["lv_size"]),
                tags=tuple(filter(None, row["lv_tags"].split(","))),
                active=row["lv_active"] == "active",
                opened=row["lv_device_open"] == "open",
                device=_device(row["vg_uuid"], row["lv_uuid"]),
                origin=row["origin"],
                pool=row["pool_lv"],
                is_pool="pool" in row["lv_layout"].split(","),
            )
            for row in self._report("lvs", "lv", fields)
        ]

    def space(self) -> Space:
        (row,) = self._report("vgs", "vg", "vg_extent_size,vg_size,vg_free")
        return Space(int(row["vg_extent_size"]), int(row["vg_size"]), int(row["vg_free"]))

    def thin_pool(self, name: str) -> Pool:
        """A thin pool of the group."""
        (row,) = self._report("lvs", "lv", "lv_size,data_percent,zero", self._path(name))
        size_bytes = int(row["lv_size"])
        return Pool(size_bytes, round(size_bytes * float(row["data_percent"] or 0) / 100), row["zero"] == "zero")

    def name_complaint(self, name: str) -> str:
        """Why no logical volume of the group can have this name; empty if one can."""
        if not set(name) <= _NAME_CHARACTERS or name.startswith("-") or name in (".", ".."):
            return "letters, digits and + _ . -, not beginning with a hyphen"
        reserved = [start for start in RESERVED_STARTS if name.startswith(start)]
        reserved += [part for part in RESERVED_PARTS if part in name]
        if reserved:
            return f"a name without {reserved[0]!r}, which LVM keeps for itself"
        if len(self.name.replace("-", "--")) + 1 + len(name.replace("-", "--")) > NAME_LIMIT:
            return f"a name that with the volume group's has {NAME_LIMIT} characters at most, a hyphen counted twice"
        return ""

    def create(self, name: str, size_bytes: int, tags: Sequence[str]) -> None:
        """Create and tag in one transaction: there is no moment at which the volume exists and is not known as ours."""
        # What an earlier volume left at the same place (a file system, a partition table) must not show up in the new one.
        emptied = ("--wipesignatures", "y", "--zero", "y")
        self._change("lvcreate", "--yes", *emptied, *_labels(tags), "-L", f"{size_bytes}b", "-n", name, self.name)

    def create_thin(self, name: str, size_bytes: int, pool: str, tags: Sequence[str]) -> None:
        """Create in a thin pool, which reads as zeros where nothing was written."""
        size = ("-V", f"{size_bytes}b")
        self._change(
            "lvcreate", "--yes", "--type", "thin", "--thinpool", pool, *size, *_labels(tags), "-n", name, self.name
        )

    def snapshot(self, name: str, origin: str, tags: Sequence[str]) -> None:
        """Take a thick snapshot, with room for a copy of all that the origin has."""
        room = ("-l", "100%ORIGIN")
        self._change("lvcreate", "--yes", "--snapshot", *room, *_labels(tags), "-n", name, self._path(origin))

    def thin_snapshot(self, name: str, origin: str, tags: Sequence[str], active: bool) -> None:
        """Take a snapshot of a thin volume; one that is not active needs no device, now or at boot."""
        activation = ("--setactivationskip", "n", "--activate", "y") if active else ("--setactivationskip", "y")
        self._change("lvcreate", "--yes", "--snapshot", *activation, *_labels(tags), "-n", name, self._path(origin))

    def split(self, name: str) -> None:
        """Part a thick snapshot from its origin: what is left is a logical volume with what had been copied into it."""
        self._change("lvconvert", "--yes", "--splitsnapshot", self._path(name))

    def extend(self, name: str, size_bytes: int) -> None:
        self._change("lvextend", "--yes", "-L", f"{size_bytes}b", self._path(name))

    def remove(self, names: Sequence[str]) -> None:
        self._change("lvremove", "--yes", *map(self._path, names))

    def activate(self, names: Sequence[str]) -> None:
        self._change("lvchange", "--activate", "y", *map(self._path, names))

    def tag(self, names: Sequence[str], add: Sequence[str] = (), remove: Sequence[str] = ()) -> None:
        """Change the same tags of several logical volumes in one command.

        It suspends no device, so it can be killed with this process. If it went on, it would change what the next call has read, which
        holds the lock by then and does not look again.
        """
        labels = [*_labels(add), *_labels(remove, "--deltag")]
        self._change(*commands.ENDS_WITH_US, "lvchange", *self._with(UNARCHIVED), *labels, *map(self._path, names))

    def _with(self, setting: str) -> tuple[str, str]:
        """A setting for a command that takes no longer than it must.

        To find the best of a device's names, LVM looks at every directory and link in each of them, unless it is told which ones to
        prefer. Beside a thousand volumes that is half of a command's time. Only logical volumes have the names that are preferred here.
        """
        # As device-mapper writes it; a point stands for any character, so also for the plus, which would be an operator.
        group = self.name.replace("-", "--").replace("+", ".")
        preferred = f'["^{DEVICES}", "^{NAMES}{group}-"]'
        return ("--config", f"devices/preferred_names={preferred} {setting}")

    def _path(self, name: str) -> str:
        return f"{self.name}/{name}"

    def _report(self, program: str, rows: str, fields: str, what: str = "") -> list[dict[str, str]]:
        finished = commands.run(
            [program, *self._with(UNLOGGED), *REPORT, "-o", fields, what or self.name], self._deadline
        )
        if not finished.succeeded:
            raise self._error(finished)
        report: dict[str, Any] = json.loads(finished.stdout)
        found: list[dict[str, str]] = report["report"][0][rows]
        return found

    def _change(self, *argv: str) -> None:
        finished = commands.run(argv, self._deadline)
        if not finished.succeeded:
            raise self._error(finished)

    def _error(self, finished: commands.Finished) -> StorageError:
        if finished.status is None:
            return StorageError(
                "deadline_exceeded", f"{finished.complaint}; the same call again completes what it began."
            )
        if f'Volume group "{self.name}" not found' in finished.stderr:
            return StorageError(
                "not_found",
                f"This controller has no volume group {self.name}; create or activate it.",
                field="volume_group",
            )
        if "insufficient free space" in finished.stderr or "Insufficient free extents" in finished.stderr:
            return StorageError("resource_exhausted", f"Volume group {self.name} is full: {finished.complaint}.")
        if re.search("(above|reached) threshold", finished.stderr):
            return StorageError("resource_exhausted", f"The thin pool of {self.name} is full: {finished.complaint}.")
        if "in use" in finished.stderr:
            return StorageError(
                "failed_precondition", f"{finished.complaint}. Something on the controller itself uses it."
            )
        return StorageError("unavailable", f"LVM failed: {finished.complaint}.")


def _labels(tags: Sequence[str], option: str = "--addtag") -> list[str]:
    return [argument for tag in tags for argument in (option, tag)]


_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+_.-")


def _device(group_uuid: str, volume_uuid: str) -> str:
    """The device by the UUIDs: unlike /dev/GROUP/NAME it never names another logical volume, whatever is renamed or made anew."""
    return DEVICES + (group_uuid + volume_uuid).replace("-", "")
