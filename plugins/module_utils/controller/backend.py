# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a backend is: the volumes it made, the hosts that hold them, and what it can do to them.

The rules (who may connect, what a repeat answers) are not a backend's: they are in rules.py, once for all backends.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Callable, Optional, Union

from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline

# What became of the volumes or snapshots of a batch: the failures by name; who is not in it succeeded.
Failures = dict[str, StorageError]
# What a volume can be made from.
SNAPSHOT, VOLUME = "snapshot", "volume"


@dataclass(frozen=True)
class Holder:
    """A host that a volume is connected to.

    Args:
        host: its name (C(connector.host)).
        initiator: what it connects as: an IQN, an NQN, or the WWPNs of its ports in order, with a C(+) between them.
        multipath: whether it connects by all portals.
        known_by: the connector's field with what it connects as, for messages.
    """

    host: str
    initiator: str
    multipath: bool
    known_by: str = field(default="initiator", compare=False, repr=False)

    @property
    def names(self) -> frozenset[str]:
        """Each of what it connects as; no other host may have any of them."""
        return frozenset(self.initiator.split("+"))


@dataclass(frozen=True)
class Source:
    """What a volume was made from, by its name: that outlives the snapshot.

    Args:
        kind: C(snapshot) or C(volume).
    """

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


@dataclass(frozen=True)
class Volume:
    """A volume that the backend made, as the backend has it on record.

    Args:
        id: empty as long as the volume is only planned.
        wwn: as multipath and scsi_id show it on the host; None where the backend cannot know.
        holders: in the order of their names.
        shared: whether more than one host may hold it.
        deleting: whether a deletion has begun, so that its data is no longer whole.
        source: what it was made from; None where it was made empty.
        unfinished: whether the data of its source is not whole in it yet.
        growing: whether it may not be seen everywhere how much it has grown.
    """

    name: str
    id: str
    size_bytes: int
    backend: str
    wwn: Optional[str] = None
    holders: tuple[Holder, ...] = ()
    shared: bool = False
    deleting: bool = False
    source: Optional[Source] = None
    unfinished: bool = False
    growing: bool = False

    @property
    def hosts(self) -> list[str]:
        return [holder.host for holder in self.holders]

    def holder(self, host: str) -> Optional[Holder]:
        return next((holder for holder in self.holders if holder.host == host), None)

    def as_dict(self) -> dict[str, Any]:
        """C(name), C(id), C(size_bytes), C(backend) and C(wwn), as every module returns a volume."""
        return {
            "name": self.name,
            "id": self.id or None,
            "size_bytes": self.size_bytes,
            "backend": self.backend,
            "wwn": self.wwn,
        }


@dataclass(frozen=True)
class Snapshot:
    """What a volume was at one moment, as the backend has it on record.

    Args:
        id: empty as long as the snapshot is only planned.
        volume: the name of its volume.
        size_bytes: of the volume at that moment.
        deleting: whether a deletion has begun, so that its data is no longer whole.
    """

    name: str
    id: str
    volume: str
    volume_id: str
    size_bytes: int
    backend: str
    deleting: bool = False

    def as_dict(self) -> dict[str, Any]:
        """C(name), C(id), C(volume), C(volume_id), C(size_bytes) and C(backend), as the modules return a snapshot."""
        return {
            "name": self.name,
            "id": self.id or None,
            "volume": self.volume,
            "volume_id": self.volume_id,
            "size_bytes": self.size_bytes,
            "backend": self.backend,
        }


# What can be made and deleted by name.
Item = Union[Volume, Snapshot]


@dataclass(frozen=True)
class Inventory:
    """Everything in a backend that bears a name; no two things bear the same.

    Args:
        volumes: by name, what the backend made.
        snapshots: by name, those that the backend made.
        strangers: by name, what it did not make, and a sentence about that for a person.
    """

    volumes: Mapping[str, Volume] = field(default_factory=dict)
    snapshots: Mapping[str, Snapshot] = field(default_factory=dict)
    strangers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Capacity:
    """How many bytes a backend has, and how many are left for new volumes and snapshots."""

    total_bytes: int
    free_bytes: int


class Backend(ABC):
    """One section of the controller's configuration.

    Changes are made under the backend's lock, by one call at a time; what only reads may run at any moment, also while
    another call changes something.
    """

    name: str
    driver: str
    # C(driver_volume_type) of its connections.
    protocol: str
    # Of C(clone), C(grow), C(share), C(snapshot).
    capabilities: frozenset[str]
    # Whether connect() and disconnect() fail unless the record is what it was to be. Else it is read again and compared.
    commits_records = False

    @property
    def lock_name(self) -> str:
        """The lock under which changes are made."""
        return f"backend-{self.name}"

    @abstractmethod
    def until(self, deadline: Deadline) -> Backend:
        """The same backend, with another deadline: to end in good order what was begun."""

    @property
    def is_prepared(self) -> bool:
        """Whether a change can be made at once, without prepare()."""
        return True

    def prepare(self) -> None:  # noqa: B027 - most backends need nothing
        """Get what a change needs that takes long; called before the lock is taken."""

    @abstractmethod
    def inventory(self) -> Inventory:
        """Everything in the backend, read anew."""

    # Volumes

    @abstractmethod
    def rounded(self, size_bytes: int) -> int:
        """The size that a volume gets when I(size_bytes) is asked for."""

    @abstractmethod
    def check_name(self, name: str, field: str) -> None:
        """Raise C(invalid_argument) for I(field) if no volume or snapshot can have this name."""

    @abstractmethod
    def capacity(self) -> Capacity: ...

    @abstractmethod
    def create(self, name: str, size_bytes: int) -> None: ...

    @abstractmethod
    def check_growth(self, volume: Volume) -> None:
        """Raise C(failed_precondition) if the volume cannot grow as things are."""

    @abstractmethod
    def grow(self, volume: Volume, size_bytes: int) -> None:
        """Give the volume this size, and have it seen. One that is growing may have the size already."""

    @abstractmethod
    def users(self, item: Item) -> list[str]:
        """What uses a volume or snapshot on the controller itself, past this backend: mount points, devices built on it."""

    @abstractmethod
    def begin_deletion(self, items: Sequence[Item]) -> Failures:
        """Record durably that volumes or snapshots are going, so that nobody can use them from now on."""

    @abstractmethod
    def clear(self, item: Item) -> None:
        """Make the data unreadable for whoever gets the space next. Takes long, so it is called without the backend's lock."""

    @abstractmethod
    def delete(self, items: Sequence[Item]) -> Failures: ...

    # Snapshots, and volumes made from them or from other volumes

    def check_copying(self, volume: Volume) -> None:  # noqa: B027 - most backends can always do it
        """Raise C(failed_precondition) if no snapshot or copy of the volume can be made or deleted as things are."""

    @abstractmethod
    def snapshot_bytes(self, volume: Volume) -> int:
        """What a snapshot of the volume takes of the capacity."""

    @abstractmethod
    def create_snapshot(self, name: str, volume: Volume) -> None:
        """Keep what the volume is at this moment. Hosts may be writing to it."""

    @abstractmethod
    def copy_bytes(self, size_bytes: int, original: Item) -> int:
        """What a volume of this size takes of the capacity while it is made from I(original)."""

    @abstractmethod
    def create_from(self, name: str, size_bytes: int, original: Item) -> None:
        """Make a volume with the data of another, or of a snapshot; hosts may be writing to the other one.

        Where that takes long, this only begins it: the volume is then unfinished, and complete() does the rest.
        """

    @abstractmethod
    def complete(
        self, volume: Volume, original: Item, locked: Callable[[], contextlib.AbstractContextManager[None]]
    ) -> None:
        """Make an unfinished volume whole, whatever was done of that before.

        Takes long, so it is called without the backend's lock.

        Args:
            volume: nobody else completes or deletes it meanwhile.
            original: what it is made from; it stays meanwhile.
            locked: the backend's lock, for the steps that change something.
        """

    # Connections

    @abstractmethod
    def holder(self, connector: Mapping[str, Any]) -> Holder:
        """The host that a connector describes.

        Raises:
            StorageError: C(invalid_argument), where the connector lacks what this backend's protocol needs.
        """

    @abstractmethod
    def export(self, volume: Volume) -> Optional[dict[str, Any]]:
        """How the volume is exported at present, without secrets; None where it is not."""

    @abstractmethod
    def wanted_export(self, volume: Volume) -> Optional[dict[str, Any]]:
        """How the volume is to be exported to its holders: what export() answers after connect()."""

    @abstractmethod
    def reduced_export(self, volume: Volume) -> Optional[dict[str, Any]]:
        """The present export, without whoever does not hold the volume (any more): what export() answers after disconnect()."""

    @abstractmethod
    def sessions(self, volume: Volume) -> dict[str, list[str]]:
        """The initiators that use the volume at this moment, each with the addresses it comes from."""

    @abstractmethod
    def connect(self, changes: Sequence[tuple[Volume, Volume]]) -> Failures:
        """Record and realise connections, and repair what there is of them: each volume as it is, and as it is to be.

        A connection that could not be made is not on record either.
        """

    @abstractmethod
    def disconnect(self, changes: Sequence[tuple[Volume, Volume]]) -> Failures:
        """Take the volumes away from the holders that leave, and nothing else: each volume as it is, and as it is to be."""

    @abstractmethod
    def connection_info(self, volume: Volume, holder: Holder) -> dict[str, Any]:
        """What the host connects with, in os-brick's form. What can be known before the connection is made is known in it; a
        secret that is not made yet is None."""
