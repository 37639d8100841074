# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots of logical volumes, volumes made from others, and the room for all of them, thick and thin.

A thin snapshot, and a thin volume made from another, is there at once. A thick snapshot is LVM's, which copies what is about to
change in its volume. A volume made from something thick is a copy: it is tagged as unfinished as long as that takes. A volume is
copied from a snapshot that is there for that alone and tagged with the id of the copy, so that whoever repeats or deletes the copy
finds it; once everything is copied it is parted from its origin, cleared and removed, in this order.
"""

from __future__ import annotations

import contextlib
import uuid
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Callable, Optional

from ansible_collections.brickwork.storage.plugins.module_utils import commands
from ansible_collections.brickwork.storage.plugins.module_utils.controller.backend import (
    SNAPSHOT,
    VOLUME,
    Backend,
    Capacity,
    Item,
    Snapshot,
    Source,
    Volume,
)
from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm import room, tags
from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm.lvm2 import (
    LogicalVolume,
    Pool,
    VolumeGroup,
)
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline

# Clearing or copying slower than this means that the device hangs.
LEAST_BYTES_PER_SECOND = 1024 * 1024
# For the steps of a copy that are not the copying.
COPY_STEP_SECONDS = 300


@dataclass(frozen=True)
class Provisioning:
    """The options that say where volumes are made.

    Args:
        thin: whether in a thin pool.
        over_subscription: how many bytes of volumes a byte of that may stand for.
        volume_clear: C(zero) or C(none), before space is given back.
    """

    thin: bool
    over_subscription: float
    volume_clear: str


class LogicalVolumes(Backend):
    """What the built-in backend does to logical volumes without any export."""

    _group: VolumeGroup
    _provisioning: Provisioning
    _found: Mapping[str, LogicalVolume]

    @abstractmethod
    def until(self, deadline: Deadline) -> LogicalVolumes: ...

    def capacity(self) -> Capacity:
        if self._provisioning.thin:
            entries = self._group.logical_volumes()
            return room.in_pool(self._pool(entries), self._pool_name, entries, self._provisioning.over_subscription)
        space = self._group.space()
        return Capacity(space.total_bytes, space.free_bytes)

    @property
    def _pool_name(self) -> str:
        return f"{self._group.name}-pool"

    def _pool(self, entries: Iterable[LogicalVolume]) -> Pool:
        """The thin pool, which is one whose new volumes are empty."""
        path = f"{self._group.name}/{self._pool_name}"
        if not any(entry.is_pool for entry in entries if entry.name == self._pool_name):
            raise StorageError(
                "failed_precondition",
                f"There is no thin pool {path}, in which backend {self.name} would make thin volumes. Create it, for example with "
                f"lvcreate --type thin-pool -l 95%FREE -n {self._pool_name} {self._group.name}",
                field="lvm_type",
            )
        pool = self._group.thin_pool(self._pool_name)
        if not pool.zeroes:
            raise StorageError(
                "failed_precondition",
                f"The thin pool {path} gives volumes blocks with the data of earlier ones; correct that with lvchange --zero y {path}",
                field="lvm_type",
            )
        return pool

    def _allocate(self, name: str, size_bytes: int, labels: Sequence[str]) -> None:
        if self._provisioning.thin:
            self._group.create_thin(name, size_bytes, self._pool_name, labels)
        else:
            self._group.create(name, size_bytes, labels)

    def check_growth(self, volume: Volume) -> None:
        snapshots = self._snapshots_within(volume)
        if snapshots:
            raise StorageError(
                "failed_precondition",
                f"Volume {volume.name} cannot grow as long as it has thick snapshots: {', '.join(snapshots)}. Delete them first.",
                snapshots=snapshots,
            )

    def _snapshots_within(self, item: Item) -> list[str]:
        """The snapshots, whoever made them, that LVM removes with their origin, and that would not have room for a larger one."""
        return sorted(
            entry.name for entry in self._found.values() if entry.copies_on_write and entry.origin == item.name
        )

    def snapshot_bytes(self, volume: Volume) -> int:
        entry = self._found[volume.name]
        if self._elsewhere(entry):
            return 0
        return entry.size_bytes if entry.pool else self._thick_snapshot_bytes(entry)

    def _thick_snapshot_bytes(self, entry: LogicalVolume) -> int:
        return room.of_thick_snapshot(entry.size_bytes, self._group.space().extent_bytes)

    def _elsewhere(self, entry: LogicalVolume) -> bool:
        """Whether it is where new volumes are not made, because C(lvm_type) was changed; how full that is, LVM says when it is used."""
        return bool(entry.pool) != self._provisioning.thin

    def create_snapshot(self, name: str, volume: Volume) -> None:
        labels = [new_id(), f"{tags.SNAPSHOT_OF}{volume.id}"]
        if self._found[volume.name].pool:
            self._group.thin_snapshot(name, volume.name, labels, active=False)
        else:
            self._group.snapshot(name, volume.name, labels)

    def copy_bytes(self, size_bytes: int, original: Item) -> int:
        entry = self._found[original.name]
        if entry.pool:
            return 0 if self._elsewhere(entry) else size_bytes
        temporary = isinstance(original, Volume) and not self._provisioning.thin
        return size_bytes + (self._thick_snapshot_bytes(entry) if temporary else 0)

    def create_from(self, name: str, size_bytes: int, original: Item) -> None:
        source = Source(SNAPSHOT if isinstance(original, Snapshot) else VOLUME, original.name)
        labels = [new_id(), tags.encode_source(source)]
        if self._found[original.name].pool:
            # A repeat of what is killed in between finds a volume that is too small.
            self._group.thin_snapshot(name, original.name, labels, active=True)
            if size_bytes > original.size_bytes:
                self._group.extend(name, size_bytes)
        else:
            self._allocate(name, size_bytes, [*labels, tags.UNFINISHED])

    def complete(
        self, volume: Volume, original: Item, locked: Callable[[], contextlib.AbstractContextManager[None]]
    ) -> None:
        with locked():
            device = self._anew()._begin_copy(volume, original)
        consequence = f"Volume {volume.name} is not finished; repeat this call, or delete it (state: absent)."
        if device:
            # Around the page cache, which the hosts' data needs more.
            argv = ["dd", f"if={device}", f"of={self._anew()._found[volume.name].device}", "bs=1M", "iflag=direct"]
            argv += ["oflag=direct", "conv=nocreat,notrunc,fsync", "status=none"]
            failure = f"{volume.source} could not be copied to {volume.name}"
            self._work_through(argv, original.size_bytes, failure, consequence)
        with locked():
            copy = self._anew()._part_copy(volume)
        if copy:
            self._zero(copy, consequence)
        with locked():
            self._anew()._end_copy(volume, copy)

    def _anew(self) -> LogicalVolumes:
        """The same backend as it is now, with time enough for a step."""
        other = self.until(Deadline(COPY_STEP_SECONDS))
        other.inventory()
        return other

    def _begin_copy(self, volume: Volume, original: Item) -> Optional[str]:
        """The device to copy from, which does not change meanwhile; None where all has been copied."""
        copy = self._copy_to(volume)
        if copy and not copy.copies_on_write:
            return None
        name = original.name
        if isinstance(original, Volume):
            name = copy.name if copy else f"brickwork_copy_{uuid.UUID(volume.id).hex}"
            if not copy:
                self._group.snapshot(name, original.name, [f"{tags.COPIED_TO}{volume.id}"])
                self.inventory()
        self._activate([self._found[name], self._found[volume.name]])
        return self._found[name].device

    def _part_copy(self, volume: Volume) -> Optional[LogicalVolume]:
        """Part the snapshot that was copied from, to clear it; that it stands alone says that all has been copied."""
        copy = self._copy_to(volume)
        if copy and copy.copies_on_write:
            self._group.split(copy.name)
        return copy

    def _end_copy(self, volume: Volume, copy: Optional[LogicalVolume]) -> None:
        if tags.DELETING in self._found[volume.name].tags:
            raise StorageError("aborted", f"Another call has begun to delete volume {volume.name}.")
        if copy:
            self._group.remove([copy.name])
        self._group.tag([volume.name], remove=[tags.UNFINISHED])

    def _copy_to(self, item: Item) -> Optional[LogicalVolume]:
        """The snapshot that is there for a volume to be copied from, as long as that takes."""
        label = f"{tags.COPIED_TO}{item.id}"
        return next((entry for entry in self._found.values() if label in entry.tags), None)

    def _parts(self, item: Item) -> list[LogicalVolume]:
        """The logical volumes that go with a volume or snapshot: the snapshot that it was being copied from, then itself."""
        copy = self._copy_to(item)
        return [*([copy] if copy else []), self._found[item.name]]

    def clear(self, item: Item) -> None:
        for entry in self._parts(item):
            self._zero(entry, f"{item.name} is kept, and no host can use it; repeat the deletion.")

    def _zero(self, entry: LogicalVolume, consequence: str) -> None:
        # A thin pool shows nobody what its earlier volumes had: it zeroes what it gives.
        if self._provisioning.volume_clear == "none" or entry.pool:
            return
        self._work_through(
            ["blkdiscard", "--zeroout", entry.device],
            entry.size_bytes,
            f"Logical volume {entry.name} could not be overwritten with zeros",
            consequence,
        )

    def _work_through(self, argv: Sequence[str], size_bytes: int, failure: str, consequence: str) -> None:
        """Run what reads or writes a whole device. It ends with this process: a repeat must not find it still writing."""
        patience = Deadline(60 + size_bytes / LEAST_BYTES_PER_SECOND)
        finished = commands.run([*commands.ENDS_WITH_US, *argv], patience)
        if not finished.succeeded:
            code = "deadline_exceeded" if finished.status is None else "unavailable"
            raise StorageError(code, f"{failure}: {finished.complaint}. {consequence}")

    def _activate(self, entries: Iterable[LogicalVolume]) -> None:
        inactive = [entry.name for entry in entries if not entry.active]
        if inactive:
            self._group.activate(inactive)


def new_id() -> str:
    """The tag of a new volume or snapshot."""
    return f"{tags.ID}{uuid.uuid4()}"
