# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Any of Cinder's volume drivers as a backend.

Who holds what is read from the store, so a repeat needs no driver and no Cinder. For a change, the record is written before the driver
is called and settled right after it. Whatever moment a call is killed at, the record then says what the driver may have done; the same
call again does that step once more, and the opposite one takes it back.
"""

from __future__ import annotations

import contextlib
import os
import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Callable, Optional

from ansible_collections.brickwork.storage.plugins.module_utils.controller.backend import (
    SNAPSHOT,
    VOLUME,
    Backend,
    Capacity,
    Failures,
    Holder,
    Inventory,
    Item,
    Snapshot,
    Source,
    Volume,
)
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder import (
    connecting,
    identity,
    local_target,
    volume_type,
)
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder.store import (
    AVAILABLE,
    CREATING,
    DELETING,
    PLANNED,
    TEMPORARY,
    BackendRecord,
    SnapshotRecord,
    Store,
    VolumeRecord,
)
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder.worker import Worker
from ansible_collections.brickwork.storage.plugins.module_utils.controller.config import Section
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError, invalid
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline

GIB = 1024**3
# To take back what could not be finished, whatever the time of the call.
UNDO_SECONDS = 60
# To grow what another call wants to be larger than this one has made it.
GROW_SECONDS = 300
# Clearing and copying may take hours.
LONG_SECONDS = 7 * 24 * 3600
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,127}")
NAME_FORM = "a name of letters, digits and _ . + -, with 128 characters at most"
# The target_helper that has its targets on this controller, and in the kernel, which forgets them.
LIO = "lioadm"
# What a driver refuses before it has done anything.
REFUSALS = frozenset({"failed_precondition", "invalid_argument", "resource_exhausted", "unimplemented"})

# A step of a module opens its backend anew; the driver stays loaded for all of them.
_workers: dict[tuple[str, str, str], Worker] = {}


class CinderBackend(Backend):
    """One driver with its section of the configuration.

    Args:
        section: of the configuration.
        store: the records.
        worker: the driver's process.
        known: what the driver said of itself.
        deadline: of what is asked of the driver.
    """

    def __init__(
        self, section: Section, store: Store, worker: Worker, known: BackendRecord, deadline: Deadline
    ) -> None:
        self.name = section.name
        self.driver = section.driver
        self.protocol = known.protocol
        self.capabilities = frozenset(known.capabilities)
        self._section = section
        self._store = store
        self._worker = worker
        self._known = known
        self._deadline = deadline
        self._volumes: dict[str, VolumeRecord] = {}
        self._snapshots: dict[str, SnapshotRecord] = {}
        self._connectors: dict[str, dict[str, Any]] = {}

    @classmethod
    def from_section(cls, section: Section, deadline: Deadline) -> CinderBackend:
        """The backend that a section of the configuration describes.

        Where the section is new or was changed, its driver is loaded: that says whether its options are right, and what it can do.

        Raises:
            StorageError: C(invalid_argument) for an unknown driver or option.
        """
        volume_type.specs_of(section)
        store = Store(deadline)
        worker = _worker(section, store)
        return cls(section, store, worker, _known(section, store, worker, deadline), deadline)

    def until(self, deadline: Deadline) -> CinderBackend:
        other = CinderBackend(self._section, Store(deadline, self._store.path), self._worker, self._known, deadline)
        other._volumes, other._snapshots, other._connectors = self._volumes, self._snapshots, self._connectors
        return other

    @property
    def is_prepared(self) -> bool:
        return False  # the driver is loaded while the lock is waited for

    def prepare(self) -> None:
        self._worker.start()
        if self._store.backend(self.name) != self._known:
            self._store.put(self._known)

    # Reading

    def inventory(self) -> Inventory:
        self._volumes = {record.id: record for record in self._store.volumes(self.name)}
        snapshots = self._store.snapshots(self.name)
        self._snapshots = {record.id: record for record in snapshots if record.state != TEMPORARY}
        return Inventory(
            {record.name: self._volume(record) for record in self._volumes.values()},
            {record.name: self._snapshot(record) for record in self._snapshots.values()},
        )

    def _volume(self, record: VolumeRecord) -> Volume:
        source = Source(record.source_kind, record.source_name) if record.source_kind and record.source_name else None
        begun = record.state in (PLANNED, CREATING)
        return Volume(
            name=record.name,
            id=record.id,
            size_bytes=record.size_gib * GIB,
            backend=self.name,
            holders=tuple(identity.holder_of(attachment) for attachment in record.attachments),
            shared=record.shared,
            # What an interrupted call was making from nothing has no data, and is to go; what it was copying is copied again.
            deleting=record.state == DELETING or (begun and source is None),
            source=source,
            unfinished=begun and source is not None,
            growing=record.growing_gib is not None,
        )

    def _snapshot(self, record: SnapshotRecord) -> Snapshot:
        volume = self._volumes.get(record.volume_id)
        return Snapshot(
            name=record.name,
            id=record.id,
            volume=volume.name if volume else record.volume_id,
            volume_id=record.volume_id,
            size_bytes=record.size_gib * GIB,
            backend=self.name,
            deleting=record.state != AVAILABLE,
        )

    def capacity(self) -> Capacity:
        return Capacity(**self._ask("capacity"))

    # Volumes

    def rounded(self, size_bytes: int) -> int:
        return -(-size_bytes // GIB) * GIB

    def check_name(self, name: str, field: str) -> None:
        if not NAME.fullmatch(name):
            raise invalid(field, NAME_FORM, name)

    def create(self, name: str, size_bytes: int) -> None:
        record = self._planned(name, size_bytes, CREATING)
        self._store.put(record)
        self._make(VolumeRecord, record.id, "create_volume", "delete_volume")

    def check_growth(self, volume: Volume) -> None:
        self._check_while_connected(volume, "grow", "grow a connected volume")

    def check_copying(self, volume: Volume) -> None:
        self._check_while_connected(volume, "snapshot", "make or delete snapshots or copies of a connected volume")

    def _check_while_connected(self, volume: Volume, wanted: str, doing: str) -> None:
        if volume.holders and wanted not in self._known.while_connected:
            raise StorageError(
                "failed_precondition",
                f"Volume {volume.name} is connected to {', '.join(volume.hosts)}, and {self.driver} cannot {doing}. "
                "Detach and disconnect it first.",
                holders=volume.hosts,
            )

    def grow(self, volume: Volume, size_bytes: int) -> None:
        record = self._volumes[volume.id]
        if record.state == PLANNED:
            # It gets that size when it is made.
            self._store.update(VolumeRecord, record.id, size_gib=_gib(size_bytes))
            return
        size_gib = max(_gib(size_bytes), record.growing_gib or 0)
        self._store.update(VolumeRecord, record.id, growing_gib=size_gib)
        # What is being made at this moment grows when that is done.
        if not volume.unfinished:
            self._extend(record.id, size_gib, again=record.growing_gib is not None)

    def _extend(self, volume_id: str, size_gib: int, again: bool) -> None:
        try:
            self._ask("extend_volume", volume_id, size_gib, again)
        except StorageError as error:
            if not again and error.code in REFUSALS:
                self._store.update(VolumeRecord, volume_id, growing_gib=None)
            raise
        self._store.update(VolumeRecord, volume_id, size_gib=size_gib, growing_gib=None)

    def users(self, item: Item) -> list[str]:
        """Nothing can be told of it: most storage is not this controller's."""
        return []

    def begin_deletion(self, items: Sequence[Item]) -> Failures:
        for item in items:
            self._store.update(_kind(item), item.id, state=DELETING)
        return {}

    def clear(self, item: Item) -> None:
        # The driver clears what it deletes.
        patient = self.until(Deadline(LONG_SECONDS))
        if isinstance(item, Snapshot):
            patient._ask("delete_snapshot", item.id)
        else:
            patient._delete_volume(item.id)

    def delete(self, items: Sequence[Item]) -> Failures:
        for item in items:
            self._store.remove(_kind(item), item.id)
        return {}

    # Snapshots, and volumes made from them or from other volumes

    def snapshot_bytes(self, volume: Volume) -> int:
        """Nothing that a driver would tell beforehand; it refuses by itself what does not fit."""
        return 0

    def create_snapshot(self, name: str, volume: Volume) -> None:
        record = SnapshotRecord(str(uuid.uuid4()), self.name, name, volume.id, _gib(volume.size_bytes), CREATING)
        self._store.put(record)
        self._make(SnapshotRecord, record.id, "create_snapshot", "delete_snapshot")

    def copy_bytes(self, size_bytes: int, original: Item) -> int:
        return size_bytes

    def create_from(self, name: str, size_bytes: int, original: Item) -> None:
        kind = SNAPSHOT if isinstance(original, Snapshot) else VOLUME
        self._store.put(self._planned(name, size_bytes, PLANNED, Source(kind, original.name)))

    def complete(
        self, volume: Volume, original: Item, locked: Callable[[], contextlib.AbstractContextManager[None]]
    ) -> None:
        patient = self.until(Deadline(LONG_SECONDS))
        with locked():
            begun_before = self._being_made(volume).state == CREATING
            self._store.update(VolumeRecord, volume.id, state=CREATING)
        if begun_before:
            # Nobody knows how far an earlier call came.
            patient._delete_volume(volume.id)
        kind = "snapshot" if isinstance(original, Snapshot) else "volume"
        try:
            model = patient._ask(f"create_from_{kind}", volume.id, original.id)
        except StorageError:
            # It can be tried again, or deleted.
            with contextlib.suppress(StorageError):
                self.until(Deadline(UNDO_SECONDS))._delete_volume(volume.id)
            raise
        with locked():
            record = self._being_made(volume)
            self._store.settle(VolumeRecord, volume.id, model, state=AVAILABLE)
            if record.growing_gib is not None:
                self.until(Deadline(GROW_SECONDS))._extend(volume.id, record.growing_gib, again=False)

    def _being_made(self, volume: Volume) -> VolumeRecord:
        record = self._store.volume(volume.id)
        if record is None or record.state not in (PLANNED, CREATING):
            raise StorageError("aborted", f"Another call has begun to delete volume {volume.name} meanwhile.")
        return record

    # Connections

    def holder(self, connector: Mapping[str, Any]) -> Holder:
        found = identity.holder(self.protocol, connector)
        self._connectors[found.host] = {**connector, "multipath": found.multipath}
        return found

    def export(self, volume: Volume) -> Optional[dict[str, Any]]:
        record = self._volumes[volume.id]
        return connecting.export(record, self._lost(record))

    def wanted_export(self, volume: Volume) -> Optional[dict[str, Any]]:
        return connecting.wanted_export(volume.hosts)

    def reduced_export(self, volume: Volume) -> Optional[dict[str, Any]]:
        record = self._volumes[volume.id]
        return connecting.reduced_export(record, self._lost(record), volume.hosts)

    def sessions(self, volume: Volume) -> dict[str, list[str]]:
        return local_target.sessions(self._volumes[volume.id])

    def connect(self, changes: Sequence[tuple[Volume, Volume]]) -> Failures:
        failures: Failures = {}
        for before, after in changes:
            try:
                self._require_time(after)
                self._connection(before).connect(before, after, self._connectors)
            except StorageError as error:
                failures[after.name] = error
        return failures

    def disconnect(self, changes: Sequence[tuple[Volume, Volume]]) -> Failures:
        failures: Failures = {}
        for before, after in changes:
            try:
                self._require_time(after)
                self._connection(before).disconnect(after.hosts, after.shared)
            except StorageError as error:
                failures[after.name] = error
        return failures

    def connection_info(self, volume: Volume, holder: Holder) -> dict[str, Any]:
        record = self._store.volume(volume.id)
        attachment = record.attachment(holder.host) if record else None
        if attachment and attachment.connection_info:
            return attachment.connection_info
        return connecting.predicted(self.protocol)

    # Edges

    def _connection(self, volume: Volume) -> connecting.Connections:
        def to_undo() -> tuple[Store, connecting.Ask]:
            undo = self.until(Deadline(UNDO_SECONDS))
            return undo._store, undo._ask

        return connecting.Connections(volume.id, self._store, self._ask, to_undo, self._lost(self._volumes[volume.id]))

    def _lost(self, record: VolumeRecord) -> connecting.Lost:
        if {**self._section.shared, **self._section.given}.get("target_helper") != LIO:
            return connecting.Lost()
        if local_target.is_lost(record):
            return connecting.Lost(export=True)
        return connecting.Lost(hosts=local_target.kept_out(record))

    def _require_time(self, volume: Volume) -> None:
        """Refuse to begin with what could not be ended; taking it back would take its time too."""
        if self._deadline.passed:
            raise StorageError(
                "deadline_exceeded",
                f"The time of the call, {self._deadline.seconds:g} s, was up before the turn of volume {volume.name}, of which nothing was "
                "changed. Repeat the call, or give it a longer timeout.",
            )

    def _ask(self, method: str, *arguments: Any) -> Any:
        return self._worker.call(method, *arguments, deadline=self._deadline)

    def _planned(self, name: str, size_bytes: int, state: str, source: Optional[Source] = None) -> VolumeRecord:
        return VolumeRecord(
            id=str(uuid.uuid4()),
            backend=self.name,
            name=name,
            size_gib=_gib(size_bytes),
            state=state,
            host=self._ask("pool"),
            source_kind=source.kind if source else None,
            source_name=source.name if source else None,
            specs=volume_type.specs_of(self._section),
        )

    def _make(self, kind: type[Any], record_id: str, create: str, delete: str) -> None:
        """Have the driver make what is on record; what it could not make is not on record either."""
        try:
            model = self._ask(create, record_id)
        except StorageError:
            # Where it cannot be cleaned up, the record stays, for the next call to do that.
            with contextlib.suppress(StorageError):
                undo = self.until(Deadline(UNDO_SECONDS))
                undo._ask(delete, record_id)
                undo._store.remove(kind, record_id)
            raise
        self._store.settle(kind, record_id, model, state=AVAILABLE)

    def _delete_volume(self, volume_id: str) -> None:
        """Delete a volume, with the snapshots that the driver took of another one to copy that to it."""
        for record in self._store.snapshots(self.name):
            if record.state == TEMPORARY and record.name.endswith(volume_id):
                self._ask("delete_snapshot", record.id)
                self._store.remove(SnapshotRecord, record.id)
        self._ask("delete_volume", volume_id)


def _worker(section: Section, store: Store) -> Worker:
    key = (section.path, section.name, section.digest)
    if key not in _workers:
        setting = {
            "path": os.path.abspath(section.path),
            "section": section.name,
            "driver": section.driver,
            "given": sorted(set(section.given) - set(volume_type.OPTIONS)),
            "store": os.path.abspath(store.path),
        }
        _workers[key] = Worker(setting)
    return _workers[key]


def _known(section: Section, store: Store, worker: Worker, deadline: Deadline) -> BackendRecord:
    """What the driver says of itself, or said when it was last asked with the same configuration."""
    record = store.backend(section.name)
    if record and record.digest == section.digest:
        return record
    if record and record.driver != section.driver and store.volumes(section.name):
        raise section.error(
            "volume_driver",
            f"is {section.driver}, but this backend has volumes that {record.driver} made, and no other driver can tell of them. Set it "
            "back, or give the new driver a section of its own",
        )
    return BackendRecord(section.name, section.driver, section.digest, **worker.call("describe", deadline=deadline))


def _kind(item: Item) -> type[Any]:
    return SnapshotRecord if isinstance(item, Snapshot) else VolumeRecord


def _gib(size_bytes: int) -> int:
    return -(-size_bytes // GIB)
