# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backend that lives in memory: the rules and the two modules' work, without LVM and LIO."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Callable, Optional

from ansible_collections.brickwork.storage.plugins.module_utils.controller import rules
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
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError, invalid
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline

GIB = 1024**3
EXTENT = 4 * 1024**2


class MemoryBackend(Backend):
    """Volumes by name; an export is the set of initiators that are let in, and can be made to differ from the record."""

    name = "memory"
    driver = "memory"
    protocol = "memory"
    capabilities = frozenset({"clone", "grow", "share", "snapshot"})

    def __init__(self, *volumes: Volume, free_bytes: int = 100 * GIB) -> None:
        self.volumes = {volume.name: volume for volume in volumes}
        self.snapshots: dict[str, Snapshot] = {}
        self.strangers: dict[str, str] = {}
        self.copies_slowly = False
        self.copying_fails = False
        self.cannot_grow: set[str] = set()
        self.exports = {volume.name: self.wanted_export(volume) for volume in volumes}
        self.live: dict[str, dict[str, list[str]]] = {}
        self.used: dict[str, list[str]] = {}
        self.free = free_bytes
        self.refuses: set[str] = set()
        self.calls: list[str] = []

    def until(self, deadline: Deadline) -> MemoryBackend:
        return self

    def inventory(self) -> Inventory:
        return Inventory(dict(self.volumes), dict(self.snapshots), dict(self.strangers))

    def rounded(self, size_bytes: int) -> int:
        return -(-size_bytes // EXTENT) * EXTENT

    def check_name(self, name: str, field: str) -> None:
        if "/" in name:
            raise invalid(field, "a name without slash", name)

    def capacity(self) -> Capacity:
        return Capacity(100 * GIB, self.free)

    def create(self, name: str, size_bytes: int) -> None:
        self._may(name)
        self.calls.append(f"create {name}")
        self.volumes[name] = Volume(name, f"id-of-{name}", size_bytes, self.name)
        self.exports[name] = None

    def grow(self, volume: Volume, size_bytes: int) -> None:
        self._may(volume.name)
        self.calls.append(f"grow {volume.name}")
        self.volumes[volume.name] = replace(volume, size_bytes=size_bytes, growing=False)

    def check_growth(self, volume: Volume) -> None:
        if volume.name in self.cannot_grow:
            raise StorageError("failed_precondition", f"{volume.name} cannot grow")

    def users(self, item: Item) -> list[str]:
        return self.used.get(item.name, [])

    def begin_deletion(self, items: Sequence[Item]) -> Failures:
        for item in items:
            self.calls.append(f"begin {item.name}")
            if isinstance(item, Volume):
                self.volumes[item.name] = replace(item, deleting=True)
            else:
                self.snapshots[item.name] = replace(item, deleting=True)
        return {}

    def clear(self, item: Item) -> None:
        self._may(item.name)
        self.calls.append(f"clear {item.name}")

    def delete(self, items: Sequence[Item]) -> Failures:
        for item in items:
            self.calls.append(f"delete {item.name}")
            if isinstance(item, Volume):
                del self.volumes[item.name]
            else:
                del self.snapshots[item.name]
        return {}

    def snapshot_bytes(self, volume: Volume) -> int:
        return volume.size_bytes

    def create_snapshot(self, name: str, volume: Volume) -> None:
        self._may(name)
        self.calls.append(f"snapshot {name} of {volume.name}")
        self.snapshots[name] = Snapshot(name, f"id-of-{name}", volume.name, volume.id, volume.size_bytes, self.name)

    def copy_bytes(self, size_bytes: int, original: Item) -> int:
        return size_bytes + original.size_bytes

    def create_from(self, name: str, size_bytes: int, original: Item) -> None:
        self._may(name)
        source = Source(SNAPSHOT if isinstance(original, Snapshot) else VOLUME, original.name)
        self.calls.append(f"begin {name} from {source}")
        self.volumes[name] = Volume(
            name, f"id-of-{name}", size_bytes, self.name, source=source, unfinished=self.copies_slowly
        )
        self.exports[name] = None

    def complete(
        self, volume: Volume, original: Item, locked: Callable[[], contextlib.AbstractContextManager[None]]
    ) -> None:
        if self.copying_fails:
            raise StorageError("unavailable", "the copy was cut short")
        with locked():
            self.calls.append(f"complete {volume.name} from {original.name}")
            self.volumes[volume.name] = replace(volume, unfinished=False)

    def holder(self, connector: Mapping[str, Any]) -> Holder:
        initiator = connector.get("initiator")
        if not isinstance(initiator, str):
            raise invalid("connector.initiator", "a name", initiator)
        return Holder(rules.connector_host(connector), initiator, rules.connector_multipath(connector))

    def export(self, volume: Volume) -> Optional[dict[str, Any]]:
        return self.exports[volume.name]

    def wanted_export(self, volume: Volume) -> Optional[dict[str, Any]]:
        return {"initiators": [holder.initiator for holder in volume.holders]} if volume.holders else None

    def reduced_export(self, volume: Volume) -> Optional[dict[str, Any]]:
        export, staying = self.exports[volume.name], self.wanted_export(volume)
        if export is None or staying is None:
            return None
        return {**export, "initiators": [name for name in export["initiators"] if name in staying["initiators"]]}

    def sessions(self, volume: Volume) -> dict[str, list[str]]:
        return self.live.get(volume.name, {})

    def connect(self, changes: Sequence[tuple[Volume, Volume]]) -> Failures:
        return self._become(changes)

    def disconnect(self, changes: Sequence[tuple[Volume, Volume]]) -> Failures:
        return self._become(changes)

    def connection_info(self, volume: Volume, holder: Holder) -> dict[str, Any]:
        export = self.exports[volume.name]
        known = export is not None and holder.initiator in export["initiators"]
        return {"driver_volume_type": "memory", "data": {"secret": f"of-{holder.host}" if known else None}}

    def _become(self, changes: Sequence[tuple[Volume, Volume]]) -> Failures:
        failures: Failures = {}
        for after in (change[1] for change in changes):
            try:
                self._may(after.name)
            except StorageError as error:
                failures[after.name] = error
                continue
            self.calls.append(f"change {after.name}")
            self.volumes[after.name] = after
            self.exports[after.name] = self.wanted_export(after)
        return failures

    def _may(self, name: str) -> None:
        if name in self.refuses:
            raise StorageError("unavailable", f"{name} cannot be changed")
