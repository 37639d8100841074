# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Cinder service as a backend: its volumes, and their attachments as connections.

Everything is in the service. A volume's metadata says who holds it, and follows the order that the built-in backend keeps with LVM's
tags: an entry is written before a host gets access, and removed only after that is taken away. A host's attachment is first
reserved, then its id is written down, and only then the host is given access: whatever moment a call is killed at, every attachment
with access is on record with its host, and the same call again, or its opposite, finishes the work.

Other controllers may work on the same project, and their locks are not seen here. But the service lets one attachment alone be
incomplete, so who has reserved one looks again at who holds the volume.
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
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder_service.client import Client, Entity
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder_service.found import (
    ATTACHED,
    ATTACHING,
    PASSING,
    RESERVED,
    FoundVolume,
    connection_info_of,
    volume_of,
)
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder_service.identity import holder_of
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder_service.provisioning import (
    UNDO_SECONDS,
    ServiceVolumes,
)
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder_service.records import Record
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder_service.rest import RefusedError
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
        self._found: Mapping[str, FoundVolume] = {}
        # By host: what it connects with, all of it; the service wants that, and does not give it back.
        self._connectors: dict[str, Mapping[str, Any]] = {}
        # By volume's id and host: what this call was answered.
        self._connection_infos: dict[tuple[str, str], Entity] = {}

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
        other._found, other._connectors = self._found, self._connectors
        other._connection_infos = self._connection_infos
        return other

    # Reading

    def inventory(self) -> Inventory:
        everything = [self._volume_as_told(told) for told in self._client.volumes() if not _is_migration_target(told)]
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

    def _volume_as_told(self, told: Entity, attachments: Optional[Sequence[Entity]] = None) -> FoundVolume:
        return volume_of(told, self._settings.protocol.known_by, attachments)

    def _in_full(self, found: FoundVolume) -> Optional[FoundVolume]:
        """With the attachments that are not complete, where there may be any; None where it is gone by now."""
        return self._anew(found) if found.must_be_asked_for_attachments else found

    def _anew(self, found: FoundVolume) -> Optional[FoundVolume]:
        """As it is at this moment, with all attachments; None where it is gone."""
        # In this order: whoever made one of these attachments had said for whom.
        attachments = self._client.attachments(found.id)
        told = self._client.find("volume", found.id)
        return self._volume_as_told(told, attachments) if told else None

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
        self._connectors[holder.host] = {**connector, "multipath": holder.multipath}
        return holder

    def export(self, volume: Volume) -> Optional[dict[str, Any]]:
        return self._found[volume.name].export

    def wanted_export(self, volume: Volume) -> Optional[dict[str, Any]]:
        if not volume.holders:
            return None
        found = self._found[volume.name]
        present, wanted = found.states, {}
        for host in volume.hosts:
            # What another host lacks only a call for that host can give, for its connector is not known here.
            ours_to_make = not self._connectors or host in self._connectors
            if host not in found.strangers and ours_to_make:
                wanted[host] = ATTACHED
            elif host in present:
                wanted[host] = present[host]
        if self._connectors and volume.shared and not found.shared:
            self._require_multiattach(found)
        if self._connectors and any(present.get(host) != state for host, state in wanted.items()):
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
        staying = {host: state for host, state in found.states.items() if host in volume.hosts}
        return {"attachments": staying} if staying else None

    def sessions(self, volume: Volume) -> dict[str, list[str]]:
        """None that the service could tell."""
        return {}

    def connect(self, changes: Sequence[tuple[Volume, Volume]]) -> Failures:
        return self._change_each(changes, self._connect)

    def disconnect(self, changes: Sequence[tuple[Volume, Volume]]) -> Failures:
        return self._change_each(changes, self._disconnect)

    def connection_info(self, volume: Volume, holder: Holder) -> dict[str, Any]:
        told = self._connection_infos.get((volume.id, holder.host))
        attachment = self._found[volume.name].attachment_of.get(holder.host)
        if told is None and attachment and attachment.status == ATTACHED:
            told = self._client.attachment(attachment.id).get("connection_info") or {}
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

    def _connect(self, found: FoundVolume, before: Volume, after: Volume) -> None:
        try:
            if after.shared and not before.shared:
                self._client.set_metadata(found.id, found.name, {records.SHARED: "true"})
            for holder in after.holders:
                attachment = found.attachment_of.get(holder.host)
                if holder.host in self._connectors and not (attachment and attachment.status == ATTACHED):
                    self._attach(found, holder, after)
            if before.shared and not after.shared:
                self._client.remove_metadata(found.id, found.name, records.SHARED)
        except StorageError as error:
            # A connection that could not be made leaves nothing behind, or it would keep other hosts away.
            if before.holders != after.holders or before.shared != after.shared:
                self.until(Deadline(UNDO_SECONDS))._undo(found, before, after, error)
            raise

    def _attach(self, found: FoundVolume, holder: Holder, after: Volume) -> None:
        attachment = found.attachment_of.get(holder.host)
        record = Record(holder)
        if attachment and attachment.status in (RESERVED, ATTACHING):
            attachment_id = attachment.id
        else:
            if attachment:  # one that went wrong; on record until it is gone
                self._client.detach(attachment.id, found.name)
            if found.records.get(holder.host) != record:
                self._client.set_metadata(found.id, found.name, record.entry)
            attachment_id = self._reserve(found, holder, after)
        if found.records.get(holder.host) != record.of(attachment_id):
            self._client.set_metadata(found.id, found.name, record.of(attachment_id).entry)
        self._look_again(found, holder, attachment_id, after)
        exported = self._export(found, holder, attachment_id)
        self._client.complete(attachment_id, found.name)
        self._connection_infos[found.id, holder.host] = exported

    def _reserve(self, found: FoundVolume, holder: Holder, after: Volume) -> str:
        try:
            return self._client.reserve(found.id, found.name)
        except RefusedError as error:
            if error.status != 400:
                raise
            if holder.host not in found.records:
                # Or what another controller has just reserved would be taken for this host's.
                self._client.remove_metadata(found.id, found.name, records.key_of(holder.host))
            present = self._anew(found)
            if not present:
                raise
            self._refuse_newcomers(found, present.records, after)
            begun = [host for host, state in present.states.items() if state in (RESERVED, ATTACHING)]
            if not begun:
                raise
            # One that is not complete keeps every other away, whoever it is for.
            raise StorageError(
                "failed_precondition",
                f"The attachment of volume {found.name} to {', '.join(begun)} was begun and has not ended, which keeps other hosts away. "
                "Repeat that call, or release the volume there.",
                holders=begun,
            ) from None

    def _look_again(self, found: FoundVolume, holder: Holder, attachment_id: str, after: Volume) -> None:
        """Refuse what another controller has decided meanwhile; from now on, no other can get an attachment."""
        told = self._client.find("volume", found.id)
        if told is None:
            raise StorageError("aborted", f"Volume {found.name} was deleted meanwhile; repeat the call.")
        present = records.records_in(told.get("metadata") or {}, self._settings.protocol.known_by)
        taken = [host for host, record in present.items() if record.attachment == attachment_id and host != holder.host]
        if taken:
            # Both took what was lost for theirs; a record that stays would end the other's attachment one day.
            self._client.set_metadata(found.id, found.name, Record(holder).entry)
        if taken or holder.host not in present:
            raise StorageError(
                "aborted", f"Another controller changes the attachments of volume {found.name}; repeat the call."
            )
        self._refuse_newcomers(found, present, after)

    def _refuse_newcomers(self, found: FoundVolume, present: Mapping[str, Record], after: Volume) -> None:
        newcomers = [host for host, record in present.items() if record.attachment and host not in after.hosts]
        if newcomers and not after.shared:
            raise StorageError(
                "failed_precondition",
                f"Volume {found.name} is held by {', '.join(newcomers)}, which another controller has just connected. Release it there "
                "first, or say shared if every host that uses it can deal with that.",
                holders=newcomers,
            )

    def _export(self, found: FoundVolume, holder: Holder, attachment_id: str) -> Entity:
        try:
            told = self._client.export(attachment_id, found.name, self._connectors[holder.host])
        except RefusedError as error:
            if error.status == 400 and "onnector" in error.said:
                raise StorageError("invalid_argument", error.message, field="connector") from None
            raise
        exported: Entity = told.get("connection_info") or {}
        protocol = exported.get("driver_volume_type")
        if protocol not in self._settings.protocol.types:
            raise StorageError(
                "failed_precondition",
                f"The Cinder service exports volume {found.name} by {protocol}, not by storage_protocol {self._settings.protocol.option} of "
                f"backend {self.name}. Correct that option: it says what hosts are known by.",
                field="storage_protocol",
            )
        return exported

    def _disconnect(self, found: FoundVolume, before: Volume, after: Volume) -> None:
        for host in {*found.records, *found.attachment_of}.difference(after.hosts):
            self._release(found, host)
        if before.shared and not after.shared:
            self._client.remove_metadata(found.id, found.name, records.SHARED)

    def _release(self, found: FoundVolume, host: str) -> None:
        attachment = found.attachment_of.get(host)
        if attachment:
            self._client.detach(attachment.id, found.name)
        if host in found.records:
            self._client.remove_metadata(found.id, found.name, records.key_of(host))
        self._connection_infos.pop((found.id, host), None)

    def _undo(self, found: FoundVolume, before: Volume, after: Volume, failure: StorageError) -> None:
        """Take back what there is of connections that could not be made."""
        try:
            present = self._anew(found)
            if not present:
                return
            for host in set(after.hosts).difference(before.hosts):
                self._release(present, host)
            if after.shared and not before.shared:
                self._client.remove_metadata(found.id, found.name, records.SHARED)
        except StorageError as error:
            raise StorageError(
                failure.code,
                f"{failure.message} The volume stays on record as connected, because that could not be taken back: {error.message} "
                "Release it with state absent.",
                **failure.facts,
            ) from None

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
