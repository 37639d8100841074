# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Cinder service as a backend: its volumes, and their attachments as connections.

Everything is in the service: its volumes and attachments, and in the metadata of a volume, who holds it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, Optional

from ansible_collections.brickwork.storage.plugins.module_utils.controller.backend import (
    Failures,
    Holder,
    Inventory,
    Snapshot,
    Volume,
)
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder_service import records
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder_service.attaching import Attaching
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder_service.client import Client, Entity
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder_service.found import (
    ATTACHED,
    LEAVING,
    PASSING,
    FoundVolume,
    connection_info_of,
    volume_of,
)
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder_service.identity import holder_of
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder_service.provisioning import (
    ServiceVolumes,
)
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder_service.settings import (
    NOAUTH,
    Settings,
    settings_of,
)
from ansible_collections.brickwork.storage.plugins.module_utils.controller.config import Section
from ansible_collections.brickwork.storage.plugins.module_utils.controller.libraries import require
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline

# The changes of volumes that are asked of the service at the same time.
AT_ONCE = 4


class CinderServiceBackend(ServiceVolumes):
    """The volumes of one project that this collection made, of one volume type where the section names one."""

    driver = "cinder_service"
    # Whether a volume can be shared is its volume type's to say.
    capabilities = frozenset({"clone", "grow", "share", "snapshot"})

    def __init__(self, name: str, settings: Settings, deadline: Deadline, client: Optional[Client] = None) -> None:
        self.name = name
        self.protocol = settings.protocol.types[0]
        self._settings = settings
        self._deadline = deadline
        self._client = client or Client(settings, deadline)
        self._attaching = Attaching(name, settings, self._client, deadline)
        self._found: Mapping[str, FoundVolume] = {}

    @classmethod
    def from_section(cls, section: Section, deadline: Deadline) -> CinderServiceBackend:
        """The backend that a section of the configuration describes."""
        settings = settings_of(section)
        if settings.auth_type != NOAUTH:
            require("keystoneauth1")
        return cls(section.name, settings, deadline)

    @property
    def lock_name(self) -> str:
        # Not the section's name: that can be changed, and another file can have another one for the same volumes.
        return f"cinder-service-{self._settings.place}"

    def until(self, deadline: Deadline) -> CinderServiceBackend:
        other = CinderServiceBackend(self.name, self._settings, deadline, self._client.until(deadline))
        other._attaching, other._found = self._attaching.until(deadline), self._found
        return other

    # Reading

    def inventory(self) -> Inventory:
        known_by = self._settings.protocol.known_by
        everything = [volume_of(told, known_by) for told in self._client.volumes() if not _is_migration_target(told)]
        here = [found for found in everything if self._settings.volume_type in (None, found.volume_type)]
        snapshots = self._client.snapshots()
        ours: dict[str, list[FoundVolume]] = {}
        strangers = {}
        for found in here:
            if records.MARK in found.metadata:
                ours.setdefault(found.name, []).append(found)
            else:
                strangers[found.name] = self._stranger("volume", found.name, found.id)
        names = {found.id: found.name for found in here}
        own_snapshots: dict[str, list[Snapshot]] = {}
        for told in snapshots:
            if told["volume_id"] not in names and self._settings.volume_type:
                continue  # another backend's
            if records.MARK in (told.get("metadata") or {}) and told.get("name"):
                own_snapshots.setdefault(told["name"], []).append(self._snapshot(told, names))
            else:
                name = told.get("name") or told["id"]
                strangers[name] = self._stranger("snapshot", name, told["id"])
        alike: dict[str, list[str]] = {}
        for name in {*ours, *own_snapshots}:
            ids = [found.id for found in ours.get(name, [])] + [one.id for one in own_snapshots.get(name, [])]
            if len(ids) > 1:
                alike[name] = ids
        strangers = {name: said for name, said in strangers.items() if name not in ours and name not in own_snapshots}
        strangers.update((name, self._ambiguous(name, ids)) for name, ids in alike.items())
        in_full = [self._in_full(these[0]) for name, these in ours.items() if name not in alike]
        self._found = {found.name: found for found in in_full if found}
        return Inventory(
            {name: self._volume(found) for name, found in self._found.items()},
            {name: these[0] for name, these in own_snapshots.items() if name not in alike},
            strangers,
        )

    def _in_full(self, found: FoundVolume) -> Optional[FoundVolume]:
        """With the attachments that are not complete, where there may be any; None where it is gone by now."""
        return self._attaching.anew(found) if found.must_be_asked_for_attachments else found

    def _stranger(self, kind: str, name: str, item_id: str) -> str:
        return (
            f"The {kind} {name} ({item_id}) exists in the Cinder service, but backend {self.name} did not make it, so it is never "
            f"exported, grown or deleted. To hand it over for good: openstack volume {'snapshot ' if kind == 'snapshot' else ''}set "
            f"--property {records.MARK}={kind} {item_id}"
        )

    def _ambiguous(self, name: str, ids: Iterable[str]) -> str:
        return (
            f"Backend {self.name} has several things with the name {name}: {', '.join(sorted(ids))}. Give all but one another name in the "
            "Cinder service (openstack volume set --name), or delete them there."
        )

    # Connections

    def holder(self, connector: Mapping[str, Any]) -> Holder:
        holder = holder_of(connector, self._settings.protocol)
        # Templates make strings of booleans, and any string is true to a driver.
        self._attaching.connectors[holder.host] = {**connector, "multipath": holder.multipath}
        return holder

    def export(self, volume: Volume) -> Optional[dict[str, Any]]:
        return self._found[volume.name].export

    def wanted_export(self, volume: Volume) -> Optional[dict[str, Any]]:
        if not volume.holders:
            return None
        found = self._found[volume.name]
        present, wanted, connectors = found.states, {}, self._attaching.connectors
        for host in volume.hosts:
            # What another host lacks only a call for that host can give, for its connector is not known here.
            ours_to_make = not connectors or host in connectors
            if host not in found.strangers and ours_to_make:
                wanted[host] = ATTACHED
            elif present.get(host, LEAVING) != LEAVING:
                wanted[host] = present[host]
        if connectors and volume.shared and not found.shared:
            self._require_multiattach(found)
        if connectors and any(present.get(host) != state for host, state in wanted.items()):
            self._require_attachable(found)
        return {"attachments": dict(sorted(wanted.items()))} if wanted else None

    def reduced_export(self, volume: Volume) -> Optional[dict[str, Any]]:
        found = self._found[volume.name]
        leaving = [attachment for host, attachment in found.strangers.items() if host not in volume.hosts]
        if leaving:
            raise StorageError(
                "failed_precondition",
                f"Volume {volume.name} is attached to {' and '.join(one.described for one in leaving)}, which this collection did not do. "
                "Detach it there with what attached it.",
                holders=[one.stranger.host for one in leaving],
            )
        staying = {host: state for host, state in found.states.items() if host in volume.hosts and state != LEAVING}
        return {"attachments": staying} if staying else None

    def sessions(self, volume: Volume) -> dict[str, list[str]]:
        """None that the service could tell."""
        return {}

    def connect(self, changes: Sequence[tuple[Volume, Volume]]) -> Failures:
        return self._change_each(changes, self._attaching.connect)

    def disconnect(self, changes: Sequence[tuple[Volume, Volume]]) -> Failures:
        return self._change_each(changes, self._attaching.disconnect)

    def connection_info(self, volume: Volume, holder: Holder) -> dict[str, Any]:
        told = self._attaching.answers.get((volume.id, holder.host))
        found = self._found[volume.name]
        if told is None and found.states.get(holder.host) == ATTACHED:
            told = self._client.attachment(found.attachment_of[holder.host].id).get("connection_info") or {}
        if told is None:
            # Only the driver behind the service knows, and only once it has made the export.
            return {"driver_volume_type": self.protocol, "data": None}
        return connection_info_of(told)

    # What changes

    def _change_each(
        self, changes: Sequence[tuple[Volume, Volume]], change: Callable[[FoundVolume, Volume, Volume], None]
    ) -> Failures:
        def attempt(one: tuple[Volume, Volume]) -> Optional[StorageError]:
            before, after = one
            try:
                change(self._found[after.name], before, after)
            except StorageError as error:
                return error
            return None

        # An export takes its driver seconds, and the service does several at once.
        with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
            results = pool.map(attempt, changes)
            return {after.name: error for (_before, after), error in zip(changes, results) if error}

    def _require_multiattach(self, found: FoundVolume) -> None:
        if not found.multiattach:
            raise StorageError(
                "failed_precondition",
                f"Volume {found.name} cannot be shared: its volume type {found.volume_type} is not one for several hosts. Give a type the "
                "property multiattach='<is> True' and make the volume anew with it (volume_type of the backend), or have the volume "
                "retyped while no host holds it (openstack volume set --type).",
                field="volume_type",
            )

    def _require_attachable(self, found: FoundVolume) -> None:
        if found.status in PASSING:
            raise StorageError(
                "aborted",
                f"Volume {found.name} is {found.status} in the Cinder service; repeat the call when that has ended.",
            )
        if found.status.startswith("error") and found.status not in ("error_attaching", "error_detaching"):
            raise self._in_wrong_state("volume", found.name, found.id, found.status)


def _is_migration_target(told: Entity) -> bool:
    """What the service makes for itself while it moves a volume; it has the volume's name and metadata."""
    return str(told.get("migration_status") or "").startswith("target:")
