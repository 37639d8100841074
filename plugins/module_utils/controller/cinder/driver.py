# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One of Cinder's volume drivers, without a Cinder service around it.

It runs in the process of worker.py, and is told what to do by names: what it has to know of them is on record before it is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional

from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder import (
    leftovers,
    local_target,
    remote_files,
    translation,
)
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder.database import (
    KEPT_FIELDS,
    Row,
    kept,
    snapshot_row,
    volume_row,
)
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder.store import (
    SnapshotRecord,
    Store,
    VolumeRecord,
)
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError

# Set on a volume once it is as it is on record.
READ = "read_from_record"
METHODS = frozenset(
    {
        "capacity",
        "create_export",
        "create_from_snapshot",
        "create_from_volume",
        "create_snapshot",
        "create_volume",
        "delete_snapshot",
        "delete_volume",
        "describe",
        "extend_volume",
        "initialize_connection",
        "new_secret",
        "pool",
        "remove_export",
        "terminate_connection",
        "validate_connector",
    }
)


class CinderDriver:
    """A driver that was loaded.

    Args:
        driver: Cinder's.
        configuration: its options.
        store: where the records are.
        secrets: that must not be told.
    """

    def __init__(self, driver: Any, configuration: Any, store: Store, secrets: translation.Secrets) -> None:
        self._driver = driver
        self._configuration = configuration
        self._store = store
        self._secrets = secrets
        self._context = context()
        self._volume_class = _kept_volume(store)
        self._stats: Optional[dict[str, Any]] = None

    def call(self, method: str, arguments: Sequence[Any]) -> Any:
        """Do what is asked.

        Raises:
            StorageError: as the driver failed, without any secret.
        """
        if method not in METHODS:
            raise ValueError(f"unknown method {method!r}")
        try:
            return getattr(self, method)(*arguments)
        except StorageError:
            raise
        except Exception as error:  # a driver may raise anything
            raise translation.failure(error, method.replace("_", " "), self._secrets) from None

    # What it is

    def describe(self) -> dict[str, Any]:
        """Its C(protocol), C(capabilities) and C(while_connected); see BackendRecord."""
        stats = self._read_stats()
        pools = [stats, *(stats.get("pools") or ())]
        protocol = next((pool["storage_protocol"] for pool in pools if pool.get("storage_protocol")), None)
        capabilities = {"clone", "grow", "snapshot"}
        if any(pool.get("multiattach") for pool in pools):
            capabilities.add("share")
        # Of the drivers on network file systems, only some know snapshots, and they must be told to.
        prefix = getattr(self._driver, "driver_prefix", None)
        if prefix and self._configuration.safe_get(f"{prefix}_snapshot_support") is False:
            capabilities -= {"clone", "snapshot"}
        connected = set(capabilities)
        if not all(pool.get("online_extend_support", True) for pool in pools):
            connected -= {"grow"}
        if remote_files.has(self._driver):
            # Nova would have to tell the virtual machines that use the file of another one.
            connected -= {"clone", "grow", "snapshot"}
        return {
            "protocol": translation.protocol(protocol),
            "capabilities": sorted(capabilities),
            "while_connected": sorted(connected),
        }

    def capacity(self) -> dict[str, int]:
        """C(total_bytes) and C(free_bytes) of all its pools."""
        pools = translation.pools(self._read_stats())
        return {
            "total_bytes": sum(pool.total_bytes for pool in pools),
            "free_bytes": sum(pool.free_bytes for pool in pools),
        }

    def pool(self) -> str:
        """Where a new volume goes, C(host@backend#pool): the pool with the most space, as Cinder's scheduler would have it."""
        best = max(translation.pools(self._stats or self._read_stats()), key=lambda pool: pool.free_bytes)
        return f"{self._driver.host}#{best.name}"

    # Volumes and snapshots

    def create_volume(self, volume_id: str) -> dict[str, Any]:
        return kept(self._driver.create_volume(self._volume(volume_id)) or {})

    def create_from_snapshot(self, volume_id: str, snapshot_id: str) -> dict[str, Any]:
        volume = self._volume(volume_id, snapshot_id=snapshot_id)
        return kept(self._driver.create_volume_from_snapshot(volume, self._snapshot(snapshot_id)) or {})

    def create_from_volume(self, volume_id: str, source_id: str) -> dict[str, Any]:
        volume, source = self._volume(volume_id, source_volid=source_id), self._volume(source_id)
        if remote_files.has(self._driver):
            # The copy's file comes beside the original's. They tell so only afterwards, and would not find one that is half made.
            volume.provider_location = source.provider_location
        return kept(self._driver.create_cloned_volume(volume, source) or {})

    def delete_volume(self, volume_id: str) -> None:
        volume = self._volume(volume_id)
        leftovers.wait_for_dead_clients(self._driver, volume)
        self._unless_gone(lambda: self._driver.delete_volume(volume))
        remote_files.forget(self._driver, volume)
        record = self._record(volume_id)
        if record.source_kind == "volume":
            originals = [one for one in self._store.volumes(record.backend) if one.name == record.source_name]
            leftovers.remove(self._driver, volume, self._volume(originals[0].id) if originals else None)

    def extend_volume(self, volume_id: str, size_gib: int, again: bool) -> None:
        """Grow a volume; one that an earlier call may have grown (I(again)) may have the size already."""
        volume = self._volume(volume_id)
        try:
            self._driver.extend_volume(volume, size_gib)
        except Exception:
            if not again or self._size_gib(volume) != size_gib:
                raise

    def create_snapshot(self, snapshot_id: str) -> dict[str, Any]:
        return kept(self._driver.create_snapshot(self._snapshot(snapshot_id)) or {})

    def delete_snapshot(self, snapshot_id: str) -> None:
        snapshot = self._snapshot(snapshot_id)
        remote_files.put_back(self._driver, snapshot)
        self._unless_gone(lambda: self._driver.delete_snapshot(snapshot))
        remote_files.settle(self._driver, snapshot)

    # Connections

    def validate_connector(self, connector: dict[str, Any]) -> None:
        self._driver.validate_connector(connector)

    def new_secret(self) -> dict[str, Any]:
        """What is to be on record before an export is opened: for the targets that Cinder runs itself the secret, which they take
        from there. One that only they knew would be lost where they are interrupted."""
        from cinder.volume import volume_utils
        from cinder.volume.targets import iscsi

        target = getattr(self._driver, "target_driver", None)
        if not isinstance(target, iscsi.ISCSITarget) or isinstance(target, iscsi.SanISCSITarget):
            return {}
        return {"provider_auth": f"CHAP {volume_utils.generate_username()} {volume_utils.generate_password()}"}

    def create_export(self, volume_id: str, host: str, again: bool) -> dict[str, Any]:
        """Export a volume; an earlier call may have begun with that (I(again))."""
        volume = self._volume(volume_id)
        if again:
            leftovers.remove_target(self._driver, volume)
        update = self._driver.create_export(self._context, volume, self._connector(volume_id, host))
        if leftovers.exports_by_lio(self._driver):
            local_target.set_serial(volume.name, volume.id)
        return kept(update or {})

    def remove_export(self, volume_id: str, again: bool) -> dict[str, Any]:
        """Remove the export of a volume that no host holds; an earlier call may have begun with that, or not have made it whole (I(again))."""
        volume = self._volume(volume_id)
        update = self._driver.remove_export(self._context, volume)
        # Where it fails to look for a target, the driver takes it for removed.
        if again or local_target.is_there(volume.name):
            leftovers.remove_target(self._driver, volume)
        return kept(update if isinstance(update, dict) else {})

    def initialize_connection(self, volume_id: str, host: str) -> dict[str, Any]:
        volume, connector = self._volume(volume_id), self._connector(volume_id, host)
        answer = self._driver.initialize_connection(volume, connector)
        discard = bool(self._configuration.safe_get("report_discard_supported"))
        return translation.connection_info(answer, discard)

    def terminate_connection(self, volume_id: str, host: str) -> None:
        """Whether the driver says that others share the export counts for nothing: some say it of themselves."""
        self._driver.terminate_connection(self._volume(volume_id), self._connector(volume_id, host))

    # Cinder's objects

    def _volume(self, volume_id: str, **origin: str) -> Any:
        record = self._record(volume_id)
        self._secrets.add_of(record)
        row = Row(volume_row(record), **origin)
        expected = ["metadata", "admin_metadata", "volume_type", "volume_type.extra_specs", "volume_attachment"]
        volume = self._volume_class(self._context)
        volume = self._volume_class._from_db_object(self._context, volume, row, expected_attrs=expected)
        if row["volume_type"] is None:
            volume.volume_type = None
        volume.glance_metadata = {}
        volume.obj_reset_changes()
        setattr(volume, READ, True)
        return volume

    def _snapshot(self, snapshot_id: str) -> Any:
        from cinder import objects

        record: Optional[SnapshotRecord] = self._store.snapshot(snapshot_id)
        if record is None:
            raise StorageError("aborted", f"Another call deleted snapshot {snapshot_id} meanwhile; repeat this one.")
        row = snapshot_row(record, self._store.volume(record.volume_id))
        snapshot = objects.Snapshot._from_db_object(
            self._context, objects.Snapshot(self._context), row, expected_attrs=["metadata"]
        )
        snapshot.volume = self._volume(record.volume_id)
        snapshot.obj_reset_changes()
        return snapshot

    def _record(self, volume_id: str) -> VolumeRecord:
        record = self._store.volume(volume_id)
        if record is None:
            raise StorageError("aborted", f"Another call deleted volume {volume_id} meanwhile; repeat this one.")
        return record

    def _connector(self, volume_id: str, host: str) -> dict[str, Any]:
        attachment = self._record(volume_id).attachment(host)
        if attachment is None:
            raise StorageError("aborted", f"Another call released {host} meanwhile; repeat this one.")
        return dict(attachment.connector)

    def _size_gib(self, volume: Any) -> Optional[int]:
        """The size that the storage tells; None where the driver cannot ask for it."""
        try:
            return int(self._driver.manage_existing_get_size(volume, {"source-name": volume.name}))
        except Exception:  # a driver may raise anything
            return None

    def _unless_gone(self, delete: Any) -> None:
        from cinder import exception

        try:
            delete()
        except (exception.VolumeNotFound, exception.SnapshotNotFound):
            return  # as it was to be

    def _read_stats(self) -> dict[str, Any]:
        backend = self._driver.host.rpartition("@")[2]
        # Where a driver does not tell it, Cinder's scheduler counts it.
        promised = sum(record.size_gib for record in self._store.volumes(backend))
        self._stats = {"provisioned_capacity_gb": promised, **self._driver.get_volume_stats(refresh=True)}
        return self._stats


def _kept_volume(store: Store) -> Any:
    """Cinder's volume, of which what the driver sets is on record at once: some set provider_location before they make a file there,
    and could not find it again if they were interrupted in between."""
    from cinder import objects

    class Volume(objects.Volume):  # type: ignore[misc]
        def __setattr__(self, name: str, value: Any) -> None:
            super().__setattr__(name, value)
            if self.__dict__.get(READ) and name in KEPT_FIELDS and name in self.obj_what_changed():
                store.settle(VolumeRecord, self.id, kept({name: value}))

    return Volume


def context() -> Any:
    """Of somebody who may do everything."""
    from cinder.context import get_admin_context

    return get_admin_context()
