# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Cinder's drivers ask Cinder's database, answered from the store.

There is no such database here. What is on record is answered in its form; everything else is refused, because a made-up answer could
have a driver do anything.
"""

from __future__ import annotations

import inspect
import json
import uuid
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any, Callable, Optional

from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder import volume_type
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder.store import (
    AVAILABLE,
    CREATING,
    DELETING,
    TEMPORARY,
    AttachmentRecord,
    SnapshotRecord,
    Store,
    VolumeRecord,
)

# What a driver may say of a volume or snapshot, and wants to find again.
KEPT_FIELDS = frozenset(
    {
        "_name_id",
        "admin_metadata",
        "metadata",
        "provider_auth",
        "provider_geometry",
        "provider_id",
        "provider_location",
        "replication_driver_data",
        "replication_extended_status",
        "replication_status",
    }
)
# Whose all volumes are, for the drivers that keep the tenants of a cloud apart.
PROJECT = "brickwork"
# What deals with the database as a whole.
OF_THE_ENGINE = frozenset({"dispose_engine", "get_engine"})
_STATUS = {CREATING: "creating", AVAILABLE: "available", DELETING: "deleting"}


class Row(dict[str, Any]):
    """A row as Cinder's objects read it: by key, by attribute, by get(), and by vars(), which tells what was loaded with it: nothing."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class Database:
    """The functions of cinder.db.api that can be answered, under their names there.

    Args:
        store: where the answers are.
        exception: the module cinder.exception.
    """

    def __init__(self, store: Store, backend: str, exception: Any) -> None:
        self._store = store
        self._backend = backend
        self._exception = exception

    def dispose_engine(self) -> None:
        """There is none."""

    # Volumes

    def volume_get(self, _context: Any, volume_id: str, *_args: Any, **_kwargs: Any) -> Row:
        record = self._store.volume(volume_id)
        if record is None:
            raise self._exception.VolumeNotFound(volume_id=volume_id)
        return volume_row(record)

    def volume_get_all(self, _context: Any, *_args: Any, **_kwargs: Any) -> list[Row]:
        return [volume_row(record) for record in self._store.volumes(self._backend)]

    def volume_get_all_by_host(self, _context: Any, host: str, *_args: Any, **_kwargs: Any) -> list[Row]:
        records = self._store.volumes(self._backend)
        return [volume_row(record) for record in records if host in (record.host, record.host.partition("#")[0])]

    def volume_update(self, _context: Any, volume_id: str, values: Mapping[str, Any]) -> None:
        self._store.settle(VolumeRecord, volume_id, kept(values))

    def volume_metadata_get(self, _context: Any, volume_id: str) -> dict[str, str]:
        return self._metadata(volume_id, "metadata")

    def volume_admin_metadata_get(self, _context: Any, volume_id: str) -> dict[str, str]:
        return self._metadata(volume_id, "admin_metadata")

    def volume_metadata_update(
        self, _context: Any, volume_id: str, metadata: Mapping[str, str], delete: bool, *_args: Any, **_kwargs: Any
    ) -> dict[str, str]:
        return self._update_metadata(volume_id, "metadata", metadata, delete)

    def volume_admin_metadata_update(
        self, _context: Any, volume_id: str, metadata: Mapping[str, str], delete: bool, *_args: Any, **_kwargs: Any
    ) -> dict[str, str]:
        return self._update_metadata(volume_id, "admin_metadata", metadata, delete)

    def volume_metadata_delete(self, _context: Any, volume_id: str, key: str, *_args: Any) -> None:
        self._delete_metadata(volume_id, "metadata", key)

    def volume_admin_metadata_delete(self, _context: Any, volume_id: str, key: str) -> None:
        self._delete_metadata(volume_id, "admin_metadata", key)

    def volume_glance_metadata_get(self, _context: Any, volume_id: str) -> list[Row]:
        raise self._exception.GlanceMetadataNotFound(id=volume_id)

    def volume_glance_metadata_delete_by_snapshot(self, _context: Any, _snapshot_id: str) -> None:
        """No volume here comes from an image."""

    def volume_encryption_metadata_get(self, _context: Any, _volume_id: str, *_args: Any) -> dict[str, Any]:
        """No volume here is encrypted by Cinder."""
        return {"encryption_key_id": None}

    def image_volume_cache_get_by_volume_id(self, _context: Any, _volume_id: str) -> None:
        """There is no cache of images."""

    # Attachments

    def volume_attachment_get_all_by_volume_id(self, _context: Any, volume_id: str) -> list[Row]:
        record = self._store.volume(volume_id)
        return [] if record is None else attachment_rows(record)

    def volume_attachment_get_all(self, _context: Any, *_args: Any, **_kwargs: Any) -> list[Row]:
        return [row for record in self._store.volumes(self._backend) for row in attachment_rows(record)]

    def volume_attachment_get_all_by_host(self, context: Any, host: str, *_args: Any, **_kwargs: Any) -> list[Row]:
        return [row for row in self.volume_attachment_get_all(context) if row["attached_host"] == host]

    def attachment_specs_get(self, _context: Any, _attachment_id: str) -> dict[str, str]:
        """Where Cinder kept connectors once."""
        return {}

    # Snapshots

    def snapshot_get(self, _context: Any, snapshot_id: str) -> Row:
        record = self._store.snapshot(snapshot_id)
        if record is None:
            raise self._exception.SnapshotNotFound(snapshot_id=snapshot_id)
        return snapshot_row(record, self._store.volume(record.volume_id))

    def snapshot_get_all_for_volume(self, _context: Any, volume_id: str) -> list[Row]:
        volume = self._store.volume(volume_id)
        records = self._store.snapshots(self._backend)
        return [snapshot_row(record, volume) for record in records if record.volume_id == volume_id]

    def snapshot_get_all_by_host(self, _context: Any, *_args: Any, **_kwargs: Any) -> list[Row]:
        records = self._store.snapshots(self._backend)
        return [snapshot_row(record, self._store.volume(record.volume_id)) for record in records]

    def snapshot_update(self, _context: Any, snapshot_id: str, values: Mapping[str, Any]) -> None:
        self._store.settle(SnapshotRecord, snapshot_id, kept(values))

    def snapshot_metadata_get(self, _context: Any, snapshot_id: str) -> dict[str, str]:
        record = self._store.snapshot(snapshot_id)
        return dict(record.model.get("metadata") or {}) if record else {}

    def snapshot_metadata_update(
        self, _context: Any, snapshot_id: str, metadata: Mapping[str, str], _delete: bool
    ) -> dict[str, str]:
        self._store.settle(SnapshotRecord, snapshot_id, {"metadata": dict(metadata)})
        return dict(metadata)

    def snapshot_create(self, _context: Any, values: Mapping[str, Any]) -> Row:
        """A snapshot that a driver makes for itself, to copy a volume from; its name tells for which."""
        record = SnapshotRecord(
            id=str(uuid.uuid4()),
            backend=self._backend,
            name=values["display_name"],
            volume_id=values["volume_id"],
            size_gib=values["volume_size"],
            state=TEMPORARY,
            model=kept(values),
        )
        self._store.put(record)
        return snapshot_row(record, self._store.volume(record.volume_id))

    def snapshot_destroy(self, _context: Any, snapshot_id: str) -> dict[str, Any]:
        self._store.remove(SnapshotRecord, snapshot_id)
        return {"status": "deleted", "deleted": True}

    # Volume types, each known by what it asks for

    def volume_type_get(self, _context: Any, type_id: str, *_args: Any, **_kwargs: Any) -> Row:
        for specs in self._specs():
            found = volume_type.row(specs)
            if found and found["id"] == type_id:
                return Row(found)
        raise self._exception.VolumeTypeNotFound(volume_type_id=type_id)

    def volume_type_get_by_name(self, _context: Any, name: str) -> Row:
        """Cinder asks for the one of snapshots that have none."""
        return Row(id=None, name=name, extra_specs={})

    def volume_type_extra_specs_get(self, context: Any, type_id: str) -> dict[str, str]:
        return dict(self.volume_type_get(context, type_id)["extra_specs"])

    def volume_type_qos_specs_get(self, context: Any, type_id: str) -> dict[str, Any]:
        return {"qos_specs": self.volume_type_get(context, type_id)["qos_specs"]}

    def qos_specs_get(self, _context: Any, qos_id: str, *_args: Any, **_kwargs: Any) -> Row:
        for specs in self._specs():
            found = volume_type.qos_row(specs)
            if found and found["id"] == qos_id:
                return Row(found)
        raise self._exception.QoSSpecsNotFound(specs_id=qos_id)

    def _specs(self) -> list[volume_type.Specs]:
        return [record.specs for record in self._store.volumes(self._backend)]

    # Anything of these, as Cinder's objects ask

    def get_by_id(self, context: Any, model: Any, item_id: str, *_args: Any, **_kwargs: Any) -> Row:
        if model.__name__ == "Volume":
            return self.volume_get(context, item_id)
        if model.__name__ == "Snapshot":
            return self.snapshot_get(context, item_id)
        if model.__name__ == "VolumeType":
            return self.volume_type_get(context, item_id)
        if model.__name__ == "QualityOfServiceSpecs":
            return self.qos_specs_get(context, item_id)
        raise self._exception.NotFound(f"No {model.__name__} is kept here.")

    def resource_exists(self, _context: Any, model: Any, resource_id: str) -> bool:
        if model.__name__ == "Volume":
            return self._store.volume(resource_id) is not None
        return model.__name__ == "Snapshot" and self._store.snapshot(resource_id) is not None

    # What drivers note of initiators

    def driver_initiator_data_get(self, _context: Any, initiator: str, namespace: Optional[str]) -> list[Row]:
        noted = self._store.initiator_data(namespace or self._backend, initiator)
        return [Row(key=key, value=value) for key, value in noted.items()]

    def driver_initiator_data_insert_by_key(
        self, _context: Any, initiator: str, namespace: Optional[str], key: str, value: str
    ) -> None:
        if not self._store.add_initiator_data(namespace or self._backend, initiator, key, value):
            raise self._exception.DriverInitiatorDataExists(initiator=initiator, namespace=namespace, key=key)

    def _metadata(self, volume_id: str, which: str) -> dict[str, str]:
        record = self._store.volume(volume_id)
        if record is None:
            raise self._exception.VolumeNotFound(volume_id=volume_id)
        return dict(record.model.get(which) or {})

    def _update_metadata(self, volume_id: str, which: str, metadata: Mapping[str, str], delete: bool) -> dict[str, str]:
        merged = {**({} if delete else self._metadata(volume_id, which)), **metadata}
        self._store.settle(VolumeRecord, volume_id, {which: merged})
        return merged

    def _delete_metadata(self, volume_id: str, which: str, key: str) -> None:
        left = {name: value for name, value in self._metadata(volume_id, which).items() if name != key}
        self._store.settle(VolumeRecord, volume_id, {which: left})


def put_in_place_of(api: ModuleType, database: Database, refusal: type[Exception]) -> None:
    """Have the functions of cinder.db.api answer from the store, whoever imported the module; refuse the others.

    Args:
        api: the module cinder.db.api.
        database: the answers.
        refusal: what is raised for all else.
    """
    for name, function in inspect.getmembers(api, inspect.isfunction):
        asks = list(inspect.signature(function).parameters)[:1] == ["context"] or name in OF_THE_ENGINE
        if function.__module__ == api.__name__ and asks:
            setattr(api, name, getattr(database, name, None) or _refuses(name, refusal))


def _refuses(name: str, refusal: type[Exception]) -> Callable[..., Any]:
    def refuse(*_args: Any, **_kwargs: Any) -> Any:
        raise refusal(f"The driver asks Cinder's database for {name}, and there is none here that could answer.")

    return refuse


def kept(values: Mapping[str, Any]) -> dict[str, Any]:
    """Of what a driver says of a volume or snapshot, that which it wants to find again."""
    return {
        name: _metadata(value) if "metadata" in name else value for name, value in values.items() if name in KEPT_FIELDS
    }


def volume_row(record: VolumeRecord) -> Row:
    """A volume as a row."""
    row = _row(record)
    row.update(
        size=record.size_gib,
        host=record.host,
        status="in-use" if record.attachments and record.state == AVAILABLE else row["status"],
        attach_status="attached" if record.attachments else "detached",
        availability_zone="nova",
        bootable=False,
        deleted=False,
        multiattach=record.shared,
        # False is for what Cinder makes for itself, which some drivers treat differently.
        use_quota=True,
        shared_targets=False,
        volume_attachment=attachment_rows(record),
        volume_type_id=volume_type.type_id(record.specs),
        volume_type=type_row(record),
        volume_metadata=_pairs(record.model.get("metadata")),
        volume_admin_metadata=_pairs(record.model.get("admin_metadata")),
    )
    return row


def type_row(record: VolumeRecord) -> Optional[Row]:
    """The volume type of a volume as a row; None where it has none."""
    found = volume_type.row(record.specs)
    return Row(found) if found else None


def snapshot_row(record: SnapshotRecord, volume: Optional[VolumeRecord]) -> Row:
    """A snapshot as a row."""
    row = _row(record)
    row.update(
        volume_id=record.volume_id,
        volume_size=record.size_gib,
        progress="100%",
        use_quota=record.state != TEMPORARY,
        volume=None if volume is None else volume_row(volume),
        volume_type_id=None if volume is None else volume_type.type_id(volume.specs),
        snapshot_metadata=_pairs(record.model.get("metadata")),
    )
    return row


def attachment_rows(record: VolumeRecord) -> list[Row]:
    return [attachment_row(one) for one in record.attachments]


def attachment_row(record: AttachmentRecord) -> Row:
    """An attachment as a row. Its connector is told once the connection is made, as Cinder does it: drivers count them."""
    connecting = record.connection_info is None
    return Row(
        id=record.id,
        volume_id=record.volume_id,
        attached_host=record.host,
        instance_uuid=None,
        mountpoint=None,
        attach_time=None,
        detach_time=None,
        attach_mode="rw",
        attach_status="attaching" if connecting else "attached",
        connection_info=None,
        connector=None if connecting else json.dumps(record.connector),
    )


def _row(record: VolumeRecord | SnapshotRecord) -> Row:
    return Row(
        id=record.id,
        display_name=record.name,
        status=_STATUS.get(record.state, "available"),
        user_id=PROJECT,
        project_id=PROJECT,
        **{name: value for name, value in record.model.items() if "metadata" not in name},
    )


def _pairs(metadata: Optional[Mapping[str, str]]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in (metadata or {}).items()]


def _metadata(value: Any) -> dict[str, str]:
    """Metadata, which drivers give as a mapping or as a list of pairs."""
    if isinstance(value, Mapping):
        return dict(value)
    pairs: Iterable[Mapping[str, str]] = value or ()
    return {pair["key"]: pair["value"] for pair in pairs}
