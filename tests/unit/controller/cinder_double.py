# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A driver with the interface of Cinder's drivers, and a storage behind it, both in memory.

It stands in for what cannot run where these tests do: Cinder itself, and a target in the kernel. It errs as LVM with LIO does: making
something twice fails, a target keeps the secret that it was given first, an export without provider_location is not found, and
terminate_connection answers by its count of attachments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Callable, Optional

from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder import translation
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder.database import (
    Database,
    kept,
    snapshot_row,
    volume_row,
)
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder.store import Store
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline

SECRETS = translation.Secrets()


class CinderError(Exception):
    """As cinder.exception.VolumeBackendAPIException."""


class InvalidConnectorException(CinderError):  # noqa: N818 - Cinder's name
    def __init__(self, missing: str) -> None:
        super().__init__(f"Connector doesn't have required information: {missing}")
        self.kwargs = {"missing": missing}


@dataclass
class Storage:
    """What the storage has: this is the backend's own listing."""

    volumes: dict[str, int] = field(default_factory=dict)
    snapshots: dict[str, str] = field(default_factory=dict)
    # By IQN the secret of each initiator that is let in, and the one that the target was made with.
    targets: dict[str, dict[str, str]] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    free_gib: int = 100

    def listing(self) -> Any:
        return dict(self.volumes), dict(self.snapshots), self.hosts()

    def hosts(self) -> dict[str, list[str]]:
        return {target: sorted(initiators) for target, initiators in self.targets.items()}


class FakeDriver:
    """The methods of Cinder's drivers, with their arguments."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.multiattach = True
        self.online_extend = True
        self.copies_connected = True
        self.fails: dict[str, Exception] = {}

    def get_volume_stats(self, refresh: bool = False) -> dict[str, Any]:
        used = sum(self.storage.volumes.values())
        pool = {"pool_name": "p1", "total_capacity_gb": 100, "free_capacity_gb": self.storage.free_gib - used}
        return {
            "storage_protocol": "iSCSI",
            "multiattach": self.multiattach,
            "online_extend_support": self.online_extend,
            "pools": [{**pool, "multiattach": self.multiattach}],
        }

    def validate_connector(self, connector: Mapping[str, Any]) -> None:
        if "initiator" not in connector:
            raise InvalidConnectorException("initiator")

    def create_volume(self, volume: Any) -> None:
        if volume.name in self.storage.volumes:
            raise CinderError(f"{volume.name} already exists")
        self.storage.volumes[volume.name] = volume.size

    def create_volume_from_snapshot(self, volume: Any, snapshot: Any) -> None:
        assert self.storage.snapshots[snapshot.name] in self.storage.volumes
        self.create_volume(volume)

    def create_cloned_volume(self, volume: Any, src_vref: Any) -> None:
        assert src_vref.name in self.storage.volumes
        self.create_volume(volume)

    def delete_volume(self, volume: Any) -> None:
        assert self.iqn(volume) not in self.storage.targets, "the target has it open"
        assert volume.name not in self.storage.snapshots.values()
        self.storage.volumes.pop(volume.name, None)

    def extend_volume(self, volume: Any, new_size: int) -> None:
        if self.storage.volumes[volume.name] == new_size:
            raise CinderError("New size matches existing size")
        self.storage.volumes[volume.name] = new_size

    def manage_existing_get_size(self, volume: Any, existing_ref: Mapping[str, str]) -> int:
        return self.storage.volumes[existing_ref["source-name"]]

    def create_snapshot(self, snapshot: Any) -> dict[str, str]:
        assert snapshot.name not in self.storage.snapshots
        self.storage.snapshots[snapshot.name] = f"volume-{snapshot.volume_id}"
        return {"provider_id": f"of {snapshot.name}"}

    def delete_snapshot(self, snapshot: Any) -> None:
        self.storage.snapshots.pop(snapshot.name, None)

    def create_export(self, context: Any, volume: Any, connector: Mapping[str, Any]) -> dict[str, str]:
        assert volume.name in self.storage.volumes
        self.storage.targets.setdefault(self.iqn(volume), {})
        self.storage.secrets.setdefault(self.iqn(volume), volume.provider_auth.split()[2])
        return {
            "provider_location": f"192.0.2.1:3260;198.51.100.1:3260,1 {self.iqn(volume)} 0",
            "provider_auth": volume.provider_auth,
        }

    def initialize_connection(self, volume: Any, connector: Mapping[str, Any]) -> dict[str, Any]:
        portals, iqn, _lun = volume.provider_location.split()
        secret = volume.provider_auth.split()[2]
        self.storage.targets[iqn].setdefault(connector["initiator"], self.storage.secrets[iqn])
        portal = portals.split(",")[0].split(";")[0]
        data = {
            "target_portal": portal,
            "target_iqn": iqn,
            "target_lun": 0,
            "auth_method": "CHAP",
            "auth_password": secret,
        }
        return {"driver_volume_type": "iscsi", "data": {**data, "volume_id": volume.id}}

    def terminate_connection(self, volume: Any, connector: Mapping[str, Any], **kwargs: Any) -> bool:
        self.storage.targets[self.iqn(volume)].pop(connector["initiator"], None)
        return len(volume.volume_attachment) > 1

    def remove_export(self, context: Any, volume: Any) -> None:
        if volume.provider_location is not None:
            self.storage.targets.pop(self.iqn(volume), None)
            self.storage.secrets.pop(self.iqn(volume), None)

    @staticmethod
    def iqn(volume: Any) -> str:
        return f"iqn.2010-10.org.openstack:{volume.name}"


class InProcess:
    """In place of the process of Cinder's driver: asks the driver above, with volumes as Cinder's objects have them.

    Args:
        driver: to ask.
        store: where the records are.
        step: called with the name of the step before and after each of the driver's, to fail or to be killed there.
    """

    def __init__(self, driver: FakeDriver, store: Store, step: Callable[[str], None] = lambda name: None) -> None:
        self.driver = driver
        self.step = step
        self.asked: list[str] = []
        self.started = 0
        self._store = store
        self._secrets = 0
        self._database = Database(store, "fake", None)

    def start(self) -> None:
        self.started += 1

    def call(self, method: str, *arguments: Any, deadline: Deadline) -> Any:
        if deadline.passed:
            raise StorageError("deadline_exceeded", f"the driver did not {method} in time")
        self.asked.append(method)
        self.step(f"before {method}")
        try:
            if method in self.driver.fails:
                raise self.driver.fails[method]
            answer = getattr(self, f"_{method}")(*arguments)
        except AssertionError:
            raise
        except Exception as error:
            raise translation.failure(error, method, SECRETS) from None
        self.step(f"after {method}")
        return answer

    def _describe(self) -> dict[str, Any]:
        stats = self.driver.get_volume_stats(refresh=True)
        capabilities = {"clone", "grow", "snapshot"} | ({"share"} if stats["multiattach"] else set())
        return {
            "protocol": translation.protocol(stats["storage_protocol"]),
            "capabilities": sorted(capabilities),
            "while_connected": sorted(
                capabilities
                - (set() if stats["online_extend_support"] else {"grow"})
                - (set() if self.driver.copies_connected else {"clone", "snapshot"})
            ),
        }

    def _capacity(self) -> dict[str, int]:
        [pool] = translation.pools(self.driver.get_volume_stats(refresh=True))
        return {"total_bytes": pool.total_bytes, "free_bytes": pool.free_bytes}

    def _pool(self) -> str:
        return "controller@fake#p1"

    def _create_volume(self, volume_id: str) -> Any:
        self.driver.create_volume(self._volume(volume_id))
        return {}

    def _create_from_snapshot(self, volume_id: str, snapshot_id: str) -> Any:
        self.driver.create_volume_from_snapshot(self._volume(volume_id), self._snapshot(snapshot_id))
        return {}

    def _create_from_volume(self, volume_id: str, source_id: str) -> Any:
        # As the drivers on network file systems do it: by a snapshot that they take for that, and have in Cinder's database.
        values = {"display_name": f"tmp-snap-{volume_id}", "volume_id": source_id, "volume_size": 1}
        snapshot = self._database.snapshot_create(None, values)
        self.driver.create_snapshot(self._snapshot(snapshot.id))
        self.step("with a temporary snapshot")
        self.driver.create_cloned_volume(self._volume(volume_id), self._volume(source_id))
        self.step("with a temporary snapshot and the copy")
        self.driver.delete_snapshot(self._snapshot(snapshot.id))
        self._database.snapshot_destroy(None, snapshot.id)
        return {}

    def _delete_volume(self, volume_id: str) -> None:
        self.driver.delete_volume(self._volume(volume_id))

    def _extend_volume(self, volume_id: str, size_gib: int, again: bool) -> None:
        volume = self._volume(volume_id)
        try:
            self.driver.extend_volume(volume, size_gib)
        except CinderError:
            reference = {"source-name": volume.name}
            if not again or self.driver.manage_existing_get_size(volume, reference) != size_gib:
                raise

    def _create_snapshot(self, snapshot_id: str) -> Any:
        return kept(self.driver.create_snapshot(self._snapshot(snapshot_id)))

    def _delete_snapshot(self, snapshot_id: str) -> None:
        self.driver.delete_snapshot(self._snapshot(snapshot_id))

    def _validate_connector(self, connector: dict[str, Any]) -> None:
        self.driver.validate_connector(connector)

    def _new_secret(self) -> dict[str, str]:
        self._secrets += 1
        return {"provider_auth": f"CHAP user secret{self._secrets}"}

    def _create_export(self, volume_id: str, host: str, again: bool) -> Any:
        if again:
            self._remove_target(volume_id)
        return kept(self.driver.create_export(None, self._volume(volume_id), self._connector(volume_id, host)))

    def _remove_export(self, volume_id: str, again: bool) -> Any:
        self.driver.remove_export(None, self._volume(volume_id))
        if again:
            self._remove_target(volume_id)
        return {}

    def _remove_target(self, volume_id: str) -> None:
        target = self.driver.iqn(self._volume(volume_id))
        self.driver.storage.targets.pop(target, None)
        self.driver.storage.secrets.pop(target, None)

    def _initialize_connection(self, volume_id: str, host: str) -> Any:
        answer = self.driver.initialize_connection(self._volume(volume_id), self._connector(volume_id, host))
        return translation.connection_info(answer)

    def _terminate_connection(self, volume_id: str, host: str) -> None:
        self.driver.terminate_connection(self._volume(volume_id), self._connector(volume_id, host))

    def _volume(self, volume_id: str) -> Any:
        record = self._store.volume(volume_id)
        assert record is not None
        unset: dict[str, Optional[str]] = {"provider_location": None, "provider_auth": None}
        return SimpleNamespace(**{**unset, **volume_row(record), "name": f"volume-{record.id}"})

    def _snapshot(self, snapshot_id: str) -> Any:
        record = self._store.snapshot(snapshot_id)
        assert record is not None
        return SimpleNamespace(**{**snapshot_row(record, None), "name": f"snapshot-{record.id}"})

    def _connector(self, volume_id: str, host: str) -> Any:
        record = self._store.volume(volume_id)
        attachment = record.attachment(host) if record else None
        assert attachment is not None
        return attachment.connector
