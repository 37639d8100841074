# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes and snapshots of a Cinder service, whoever holds them.

The service says yes at once, and does it later: what is asked for here is waited for. What it begins it goes on with whatever becomes
of this process, and the state of a volume says how far that is; so there is nothing to keep but that the volume is ours, and what it was
made from, and both are given with the request that makes it.
"""

from __future__ import annotations

import contextlib
import re
import time
from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Callable, Optional

from ansible_collections.brickwork.storage.plugins.module_utils.controller.backend import (
    SNAPSHOT,
    VOLUME,
    Backend,
    Capacity,
    Failures,
    Item,
    Snapshot,
    Source,
    Volume,
)
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder_service import records
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder_service.client import Client, Entity
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder_service.found import (
    GIB,
    GOING,
    MAKING,
    PASSING,
    FoundVolume,
)
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder_service.rest import RefusedError
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder_service.settings import Settings
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError, invalid
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline

# Copying or clearing slower than this means that the service hangs.
LEAST_BYTES_PER_SECOND = 10 * 1024**2
# To take back what could not be made, whatever the time of the call.
UNDO_SECONDS = 30
FIRST_POLL_SECONDS = 0.2
LONGEST_POLL_SECONDS = 2.0
MOST_NAME_CHARACTERS = 240
# Where neither a quota nor a driver sets a bound.
UNBOUNDED_BYTES = 2**63 - 1
READY = ("available", "in-use")
# What the service says where nothing has room.
_NO_ROOM = re.compile(r"weighted backend|could be allocated|free space|insufficient|quota|exceed", re.IGNORECASE)


class ServiceVolumes(Backend):
    """What a Cinder service does to volumes and snapshots without any connection."""

    _settings: Settings
    _client: Client
    _deadline: Deadline
    # By name; what inventory() found last.
    _found: Mapping[str, FoundVolume]

    @abstractmethod
    def until(self, deadline: Deadline) -> ServiceVolumes: ...

    # Volumes

    def rounded(self, size_bytes: int) -> int:
        return -(-size_bytes // GIB) * GIB

    def check_name(self, name: str, field: str) -> None:
        if len(name) > MOST_NAME_CHARACTERS or not name.isprintable():
            raise invalid(field, f"a name of at most {MOST_NAME_CHARACTERS} printable characters", name)

    def capacity(self) -> Capacity:
        """The project's quota; where it has none, what the drivers tell an administrator."""
        limits = self._client.absolute_limits()
        total = int(limits.get("maxTotalVolumeGigabytes", -1))
        if total >= 0:
            return Capacity(total * GIB, max(0, total - int(limits.get("totalGigabytesUsed", 0))) * GIB)
        try:
            pools = self._client.pools()
        except RefusedError:
            # For administrators alone, and it fails in some releases: nothing that a volume should have to wait for.
            pools = []
        return Capacity(_sum(pools, "total_capacity_gb"), _sum(pools, "free_capacity_gb"))

    def create(self, name: str, size_bytes: int) -> None:
        created = self._client.create_volume(**self._new(name, size_bytes, {}))
        self._await_made(VOLUME, created["id"], name, self._deadline)

    def check_growth(self, volume: Volume) -> None:
        status = self._found[volume.name].status
        if status not in READY and status not in PASSING:
            raise self._in_wrong_state(VOLUME, volume.name, volume.id, status)

    def grow(self, volume: Volume, size_bytes: int) -> None:
        told = self._await_settled(VOLUME, volume.id, volume.name, PASSING, self._deadline)
        if told is None or told["status"] not in READY:
            raise self._in_wrong_state(VOLUME, volume.name, volume.id, told["status"] if told else "deleted")
        if told["size"] * GIB >= size_bytes:
            return
        self._client.extend(volume.id, volume.name, size_bytes // GIB)
        told = self._await_settled(VOLUME, volume.id, volume.name, PASSING, self._deadline)
        status = told["status"] if told else "deleted"
        if told is None or status not in READY:
            raise self._in_wrong_state(VOLUME, volume.name, volume.id, status)
        if told["size"] * GIB < size_bytes:
            raise self._not_made(f"Volume {volume.name} did not grow", self._client.reason(volume.id))

    def users(self, item: Item) -> list[str]:
        return []

    def begin_deletion(self, items: Sequence[Item]) -> Failures:
        failures: Failures = {}
        for item in items:
            try:
                self._begin_to_delete(item)
            except StorageError as error:
                failures[item.name] = error
        return failures

    def _begin_to_delete(self, item: Item) -> None:
        kind = _kind(item)
        told = self._await_settled(kind, item.id, item.name, PASSING, self._deadline.within(UNDO_SECONDS))
        if told is None or told["status"] == "deleting":
            return
        if told["status"] == "error_deleting":
            self._client.delete_by_force(kind, item.id, item.name)
        else:
            self._client.delete(kind, item.id, item.name)

    def clear(self, item: Item) -> None:
        """Wait for the service, which has begun to delete it, and makes the data unreadable as its driver is told to."""
        kind = _kind(item)
        patience = self._patience(item.size_bytes)
        told = self._await_settled(kind, item.id, item.name, {"deleting"}, patience)
        if told:
            raise self._in_wrong_state(kind, item.name, item.id, told["status"])

    def delete(self, items: Sequence[Item]) -> Failures:
        """Whatever clear() waited for is gone."""
        return {
            item.name: self._in_wrong_state(_kind(item), item.name, item.id, "not deleted, though it was to be")
            for item in items
            if self._client.find(_kind(item), item.id)
        }

    # Snapshots, and volumes made from them or from other volumes

    def snapshot_bytes(self, volume: Volume) -> int:
        return volume.size_bytes

    def create_snapshot(self, name: str, volume: Volume) -> None:
        created = self._client.create_snapshot(name=name, volume_id=volume.id, metadata={records.MARK: SNAPSHOT})
        self._await_made(SNAPSHOT, created["id"], name, self._deadline)

    def copy_bytes(self, size_bytes: int, original: Item) -> int:
        return size_bytes

    def create_from(self, name: str, size_bytes: int, original: Item) -> None:
        kind = _kind(original)
        # Another call may have begun it just now.
        self._await_settled(kind, original.id, original.name, PASSING, self._deadline)
        source = {"snapshot_id" if kind == SNAPSHOT else "source_volid": original.id}
        noted = {records.SOURCE: records.source_text(Source(kind, original.name))}
        self._client.create_volume(**self._new(name, size_bytes, noted), **source)

    def complete(
        self, volume: Volume, original: Item, locked: Callable[[], contextlib.AbstractContextManager[None]]
    ) -> None:
        self._await_made(VOLUME, volume.id, volume.name, self._patience(volume.size_bytes))

    # Pieces

    def _new(self, name: str, size_bytes: int, noted: Mapping[str, str]) -> dict[str, Any]:
        """A volume, as it is asked for."""
        wanted = {
            "name": name,
            "size": size_bytes // GIB,
            "metadata": {records.MARK: VOLUME, **noted},
            "volume_type": self._settings.volume_type,
            "availability_zone": self._settings.availability_zone,
        }
        return {key: value for key, value in wanted.items() if value is not None}

    def _patience(self, size_bytes: int) -> Deadline:
        return Deadline(self._deadline.remaining() + size_bytes / LEAST_BYTES_PER_SECOND)

    def _await_made(self, kind: str, item_id: str, name: str, patience: Deadline) -> None:
        """Wait until what is being made is there; what the service failed to make was never whole, and goes again."""
        told = self._await_settled(kind, item_id, name, MAKING, patience)
        # In any other state it is made, and somebody else has begun to use it.
        if told and told["status"] != "error" and told["status"] not in GOING:
            return
        reason = self._client.reason(item_id)
        undoing = Deadline(UNDO_SECONDS)
        left = ""
        if told:
            try:
                self._client.until(undoing).delete(kind, item_id, name)
                left = "" if self._await_settled(kind, item_id, name, {"deleting"}, undoing) is None else "It"
            except StorageError as error:
                left = f"{error.message} It"
        failure = self._not_made(f"{kind.capitalize()} {name} was not made", reason)
        if left:
            failure = StorageError(failure.code, f"{failure.message} {left} is still there; delete it (state: absent).")
        raise failure

    def _await_settled(
        self, kind: str, item_id: str, name: str, passing: Collection[str], patience: Deadline
    ) -> Optional[Entity]:
        """The volume or snapshot in a state that is not passing; None once it is gone."""
        client, pause = self._client.until(patience), FIRST_POLL_SECONDS
        told = client.find(kind, item_id)
        while told is not None and told["status"] in passing:
            late = StorageError(
                "deadline_exceeded",
                f"{kind.capitalize()} {name} is {told['status']} in the Cinder service, and was for the {patience.seconds:.0f} s that it was "
                "waited for. See to its volume service, and repeat the call: it is waited for again.",
            )
            if patience.remaining() < pause:
                raise late
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_POLL_SECONDS)
            try:
                told = client.find(kind, item_id)
            except StorageError as error:
                raise late if error.code == "deadline_exceeded" else error from None
        return told

    def _in_wrong_state(self, kind: str, name: str, item_id: str, status: str) -> StorageError:
        reason = self._client.reason(item_id)
        return StorageError(
            "failed_precondition",
            f"{kind.capitalize()} {name} is {status} in the Cinder service{f' ({reason})' if reason else ''}. See to it there; once an "
            "administrator has set its state right (openstack volume set --state), repeat the call, or delete it (state: absent).",
        )

    @staticmethod
    def _not_made(what: str, reason: str) -> StorageError:
        code = "resource_exhausted" if _NO_ROOM.search(reason) else "unavailable"
        said = reason or "the service does not say why"
        return StorageError(code, f"{what}: {said}. See the log of the Cinder service, and repeat the call.")

    def _snapshot(self, told: Entity, volumes: Mapping[str, str]) -> Snapshot:
        """A snapshot as the service tells it; one that could not be made holds nothing, and is as good as going."""
        return Snapshot(
            name=told["name"],
            id=told["id"],
            volume=volumes.get(told["volume_id"], told["volume_id"]),
            volume_id=told["volume_id"],
            size_bytes=int(told["size"]) * GIB,
            backend=self.name,
            deleting=told["status"] in GOING or told["status"] == "error",
        )

    def _volume(self, found: FoundVolume) -> Volume:
        source = records.source_in(found.metadata)
        making = found.status in MAKING
        return Volume(
            name=found.name,
            id=found.id,
            size_bytes=found.size_bytes,
            backend=self.name,
            holders=found.holders,
            shared=found.shared,
            deleting=found.status in GOING,
            source=source,
            unfinished=making and source is not None,
            # Whoever asks for it again waits for it, and is told where it went wrong.
            growing=(making and source is None)
            or found.status == "extending"
            or (found.status.startswith("error") and found.status not in GOING),
        )


def _kind(item: Item) -> str:
    return SNAPSHOT if isinstance(item, Snapshot) else VOLUME


def _sum(pools: Sequence[Entity], key: str) -> int:
    """What pools have together; drivers that do not know say so in words."""
    known = [pool.get(key) for pool in pools]
    numbers = [float(value) for value in known if isinstance(value, (int, float))]
    return int(sum(numbers) * GIB) if numbers and len(numbers) == len(known) else UNBOUNDED_BYTES
