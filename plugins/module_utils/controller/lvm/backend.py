# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The built-in backend: logical volumes, exported by the kernel's targets.

The tags of a logical volume say who holds it, and the exports follow them: a tag is written before the export is opened
to its host, and removed only after the export is closed to it. Whatever moment a call is killed at, the tags still name every
host that may have access, and the same call again, or its opposite, finishes the work.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Callable, Optional

from ansible_collections.brickwork.storage.plugins.module_utils.controller.backend import (
    Failures,
    Holder,
    Inventory,
    Item,
    Snapshot,
    Volume,
)
from ansible_collections.brickwork.storage.plugins.module_utils.controller.config import Section
from ansible_collections.brickwork.storage.plugins.module_utils.controller.libraries import require
from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm import lvm2, tags, usage
from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm.lvm2 import LogicalVolume, VolumeGroup
from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm.provisioning import (
    LogicalVolumes,
    new_id,
)
from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm.settings import Settings, settings_of
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError, invalid
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline, exclusive

# To take back what could not be finished, whatever the time of the call.
UNDO_SECONDS = 30
# What only looks at a device, as udev does at a new one, has closed it by then.
SETTLE_SECONDS = 3
SETTLE_POLL_SECONDS = 0.2
SOMETHING = "something that has its device open"


class LvmBackend(LogicalVolumes):
    """Logical volumes of one volume group, exported by one protocol."""

    driver = "lvm"
    capabilities = frozenset({"clone", "grow", "share", "snapshot"})
    # LVM's command fails unless it has committed the tags; one more report would take as long as the change itself.
    commits_records = True

    def __init__(self, name: str, settings: Settings, deadline: Deadline) -> None:
        self.name = name
        self._settings = settings
        self._provisioning = settings.provisioning
        self._deadline = deadline
        self._group = VolumeGroup(settings.volume_group, deadline)
        self._exporter = settings.exporter()
        self.protocol = self._exporter.protocol
        self._found: Mapping[str, LogicalVolume] = {}

    @classmethod
    def from_section(cls, section: Section, deadline: Deadline) -> LvmBackend:
        """The backend that a section of the configuration describes."""
        found = settings_of(section)
        for name in found.exporter().libraries:
            require(name)
        return cls(section.name, found, deadline)

    @property
    def lock_name(self) -> str:
        # Not the section's name: that can be changed, and another file can have another one for the same volumes.
        return f"volume-group-{self._settings.volume_group}"

    def until(self, deadline: Deadline) -> LvmBackend:
        other = LvmBackend(self.name, self._settings, deadline)
        other._found = self._found
        return other

    # Reading

    def inventory(self) -> Inventory:
        found = self._group.logical_volumes()
        self._found = {entry.name: entry for entry in found}
        names: dict[Optional[str], list[str]] = {}
        for entry in found:
            names.setdefault(tags.identity(entry.tags), []).append(entry.name)
        ours: dict[str, LogicalVolume] = {}
        strangers: dict[str, str] = {}
        for item_id, alike in names.items():
            if item_id is None:
                strangers.update((name, self._stranger(self._found[name])) for name in alike)
            elif len(alike) > 1:
                strangers.update((name, self._ambiguous(item_id, alike)) for name in alike)
            else:
                ours[item_id] = self._found[alike[0]]
        volumes: dict[str, Volume] = {}
        snapshots: dict[str, Snapshot] = {}
        for item_id, entry in ours.items():
            volume_id = tags.value(tags.SNAPSHOT_OF, entry.tags)
            if volume_id is None:
                volumes[entry.name] = self._volume(entry, item_id)
            else:
                # Somebody may have removed the volume by hand; of a thin one that leaves the snapshot.
                name = ours[volume_id].name if volume_id in ours else volume_id
                snapshots[entry.name] = self._snapshot(entry, item_id, name, volume_id)
        return Inventory(volumes, snapshots, strangers)

    def _volume(self, entry: LogicalVolume, volume_id: str) -> Volume:
        return Volume(
            name=entry.name,
            id=volume_id,
            size_bytes=entry.size_bytes,
            backend=self.name,
            wwn=self._exporter.wwn(volume_id),
            holders=tags.holders(entry.tags),
            shared=tags.SHARED in entry.tags,
            deleting=tags.DELETING in entry.tags,
            source=tags.source_of(entry.tags),
            unfinished=tags.UNFINISHED in entry.tags,
            growing=tags.GROWING in entry.tags,
        )

    def _snapshot(self, entry: LogicalVolume, snapshot_id: str, volume: str, volume_id: str) -> Snapshot:
        # A thick snapshot's own size is that of the room for changes. Its volume cannot grow, so that has the size it had.
        size_of = self._found.get(entry.origin, entry) if entry.copies_on_write else entry
        return Snapshot(
            name=entry.name,
            id=snapshot_id,
            volume=volume,
            volume_id=volume_id,
            size_bytes=size_of.size_bytes,
            backend=self.name,
            deleting=tags.DELETING in entry.tags,
        )

    def _stranger(self, entry: LogicalVolume) -> str:
        path = f"{self._settings.volume_group}/{entry.name}"
        if entry.is_pool:
            return f"The logical volume {path} is a thin pool, in which volumes are, and no volume."
        copied_to = tags.value(tags.COPIED_TO, entry.tags)
        if copied_to:
            return (
                f"The logical volume {path} is there as long as the volume with the id {copied_to} is being made from it; "
                "completing or deleting that volume removes it."
            )
        return (
            f"The logical volume {path} exists, but backend {self.name} did not make it, so it is never exported, grown or deleted. "
            f"To hand it over for good: lvchange --addtag {tags.ID}$(uuidgen) {path}"
        )

    def _ambiguous(self, volume_id: str, names: list[str]) -> str:
        return (
            f"The logical volumes {' and '.join(names)} of volume group {self._settings.volume_group} have the same tag "
            f"{tags.ID}{volume_id}; remove it from those that are not the volume (lvchange --deltag)."
        )

    # Volumes

    def rounded(self, size_bytes: int) -> int:
        extent = self._group.space().extent_bytes
        return -(-size_bytes // extent) * extent

    def check_name(self, name: str, field: str) -> None:
        complaint = self._group.name_complaint(name)
        if complaint:
            raise invalid(field, complaint, name)

    def create(self, name: str, size_bytes: int) -> None:
        self._allocate(name, size_bytes, [new_id()])

    def grow(self, volume: Volume, size_bytes: int) -> None:
        told = self._exporter.is_told_of_growth
        if told and not volume.growing:
            self._group.tag([volume.name], add=[tags.GROWING])
        if size_bytes > volume.size_bytes:
            self._group.extend(volume.name, size_bytes)
        if told:
            with self._reading(volume):
                self._exporter.grown(volume.id)
            self._group.tag([volume.name], remove=[tags.GROWING])

    def users(self, item: Item) -> list[str]:
        entry = self._found[item.name]
        if not entry.active:
            return []
        with self._reading(item):
            found = usage.users(usage.device_number(entry.device))
        return found or ([SOMETHING] if self._stays_open(item) else [])

    def _stays_open(self, item: Item) -> bool:
        """Whether something else than this backend has the device open: a loop device, a virtual machine, another target."""
        # Whoever deletes or copies a volume has it open for as long as that takes; other calls wait for that.
        unfinished = isinstance(item, Volume) and item.unfinished
        if item.deleting or unfinished or self._exporter.has_open(item.id):
            return False
        patience = self._deadline.within(SETTLE_SECONDS)
        opened = self._found[item.name].opened
        while opened and not patience.passed:
            time.sleep(SETTLE_POLL_SECONDS)
            opened = any(entry.opened for entry in self._group.logical_volumes() if entry.name == item.name)
        return opened

    def begin_deletion(self, items: Sequence[Item]) -> Failures:
        failures: Failures = {}
        for item in items:
            snapshots = self._snapshots_within(item)
            if snapshots:
                failures[item.name] = StorageError(
                    "failed_precondition",
                    f"The logical volume {item.name} has snapshots that backend {self.name} did not make, and that would go with it: "
                    f"{', '.join(snapshots)}. Remove them first.",
                    snapshots=snapshots,
                )
        going = [item for item in items if item.name not in failures]
        fresh = [item.name for item in going if not item.deleting]
        if fresh:
            self._group.tag(fresh, add=[tags.DELETING])
        for item in going:
            for entry in self._parts(item):
                # What a thick snapshot holds can be cleared only after nothing is copied into it any more.
                if entry.copies_on_write:
                    self._group.split(entry.name)
        self._activate([entry for item in going for entry in self._parts(item) if not entry.pool])
        return failures

    def delete(self, items: Sequence[Item]) -> Failures:
        if not items:
            return {}
        try:
            # First what would not be found again without its volume.
            copies = [entry.name for item in items for entry in self._parts(item)[:-1]]
            if copies:
                self._group.remove(copies)
            self._group.remove([item.name for item in items])
        except StorageError as error:
            # LVM removes what it can.
            self.inventory()
            return {item.name: error for item in items if item.name in self._found}
        return {}

    # Connections

    def holder(self, connector: Mapping[str, Any]) -> Holder:
        return self._exporter.holder(connector)

    def export(self, volume: Volume) -> Optional[dict[str, Any]]:
        self._refuse_other_protocols(volume)
        with self._reading(volume):
            export = self._exporter.export(volume.id)
        self._refuse_twin(volume, self._exporter.devices(export) if export else set())
        return export

    def wanted_export(self, volume: Volume) -> Optional[dict[str, Any]]:
        if not volume.holders:
            return None
        with self._reading(volume):
            return self._exporter.wanted(volume, self._found[volume.name].device)

    def reduced_export(self, volume: Volume) -> Optional[dict[str, Any]]:
        if not volume.holders:
            return None
        with self._reading(volume):
            return self._exporter.reduced(volume)

    def sessions(self, volume: Volume) -> dict[str, list[str]]:
        with self._reading(volume):
            return self._exporter.sessions(volume.id)

    def connect(self, changes: Sequence[tuple[Volume, Volume]]) -> Failures:
        volumes = [after for before, after in changes]
        try:
            self._retag(changes)
            self._activate(self._found[volume.name] for volume in volumes)
            refused, unsaved = self._change_exports(volumes, self._realise)
            failures, exported = {**unsaved, **refused}, True
        except (StorageError, OSError) as error:
            failures, exported = dict.fromkeys((volume.name for volume in volumes), _failure(error)), False
        # A connection that could not be made leaves nothing behind, or it would keep other hosts away.
        undone = [
            (after, before) for before, after in changes if after.name in failures and before.holders != after.holders
        ]
        return {**failures, **self.until(Deadline(UNDO_SECONDS))._undo(undone, exported, failures)}

    def _undo(self, changes: Sequence[tuple[Volume, Volume]], exported: bool, failures: Failures) -> Failures:
        """Take connections back that could not be made.

        Args:
            changes: each volume as it was to be, and as it was.
            exported: whether the exports were changed.
            failures: why the connections could not be made.

        Returns:
            The failures of the volumes that could not be given back either.
        """
        kept: Failures = {}
        try:
            if changes and exported:
                # What cannot be saved now was not saved before either, so no reboot brings it back.
                kept, _unsaved = self._change_exports([before for after, before in changes], self._exporter.withdraw)
            self._retag([change for change in changes if change[1].name not in kept])
        except (StorageError, OSError) as error:
            kept = dict.fromkeys((before.name for after, before in changes), _failure(error))
        return {
            name: StorageError(
                failures[name].code,
                f"{failures[name].message} The volume stays on record as connected, because that could not be taken back: "
                f"{error.message} Release it with state absent.",
                **failures[name].facts,
            )
            for name, error in kept.items()
        }

    def disconnect(self, changes: Sequence[tuple[Volume, Volume]]) -> Failures:
        refused, unsaved = self._change_exports([after for before, after in changes], self._exporter.withdraw)
        failures = {**unsaved, **refused}
        self._retag([change for change in changes if change[1].name not in failures])
        return failures

    def connection_info(self, volume: Volume, holder: Holder) -> dict[str, Any]:
        with self._reading(volume):
            return self._exporter.connection_info(volume, holder)

    # Edges

    def _realise(self, volume: Volume) -> None:
        self._exporter.realise(volume, self._found[volume.name].device)

    def _change_exports(self, volumes: Sequence[Volume], change: Callable[[Volume], None]) -> tuple[Failures, Failures]:
        """Change the exports of volumes, and save those that succeeded at once.

        A volume that failed stays marked as not saved, so that the next call for it does not take it for finished.

        Returns:
            The volumes that were not changed, and those that were, but not saved.

        Raises:
            StorageError, OSError: where nothing was changed at all.
        """
        refused: Failures = {}
        unsaved: Failures = {}
        # Other backends of this controller have their own lock, but the same target and the same files.
        with exclusive(self._exporter.lock_name, f"exports of backend {self.name}", self._deadline):
            for volume in volumes:
                try:
                    change(volume)
                except StorageError as error:
                    refused[volume.name] = error
                except self._exporter.errors as error:
                    refused[volume.name] = StorageError(
                        "unavailable",
                        f"{self._exporter.target} refused to change the export of volume {volume.name}: {error}.",
                    )
            changed = [volume for volume in volumes if volume.name not in refused]
            errors: tuple[type[Exception], ...] = (StorageError, *self._exporter.errors)
            try:
                self._exporter.save([volume.id for volume in changed])
            except errors as error:
                unsaved = dict.fromkeys((volume.name for volume in changed), _failure(error))
        return refused, unsaved

    def _retag(self, changes: Iterable[tuple[Volume, Volume]]) -> None:
        """Write down who holds the volumes, in one command for all that change in the same way."""
        alike: dict[tuple[frozenset[str], frozenset[str]], list[str]] = {}
        for before, after in changes:
            old, new = (
                tags.of_connections(before.holders, before.shared),
                tags.of_connections(after.holders, after.shared),
            )
            if old != new:
                alike.setdefault((frozenset(new - old), frozenset(old - new)), []).append(after.name)
        for (add, remove), names in alike.items():
            self._group.tag(names, sorted(add), sorted(remove))

    @contextlib.contextmanager
    def _reading(self, item: Item) -> Iterator[None]:
        """Without the lock, what is read may vanish meanwhile."""
        try:
            yield
        except OSError as error:
            raise StorageError(
                "aborted",
                f"{item.name} could not be read, or changed meanwhile: {error}; repeat the call.",
            ) from None

    def _refuse_twin(self, volume: Volume, exported: set[str]) -> None:
        """A copy of a volume group has the same tags: what is exported under the id may be the volume that was copied."""
        own = {entry.device for entry in (self._found.get(volume.name),) if entry}
        for device in sorted(exported - own):
            if device.startswith(lvm2.DEVICES) and os.path.exists(device):
                path = f"{self._settings.volume_group}/{volume.name}"
                raise StorageError(
                    "failed_precondition",
                    f"Another logical volume, {device}, is exported under the id of volume {volume.name}, {volume.id}. If {path} is a copy "
                    f"of that, give it an id of its own: lvchange --deltag {tags.ID}{volume.id} --addtag {tags.ID}$(uuidgen) {path}",
                )

    def _refuse_other_protocols(self, volume: Volume) -> None:
        """What was exported by another protocol cannot be seen, or closed, by this one."""
        others = [holder for holder in volume.holders if not self._exporter.knows(holder.initiator)]
        if others:
            described = " and ".join(f"{holder.host} as {holder.initiator}" for holder in others)
            raise StorageError(
                "failed_precondition",
                f"Volume {volume.name} is connected to {described}, which is not target_protocol {self._settings.target_protocol} of "
                f"backend {self.name}. Set target_protocol back, release the volume, and change it then.",
                holders=[holder.host for holder in others],
                field="target_protocol",
            )


def _failure(error: Exception) -> StorageError:
    if isinstance(error, StorageError):
        return error
    return StorageError(
        "unavailable",
        f"The controller could not change or save its exports: {error}. Correct that, and repeat the call.",
    )
