# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The durable record of what Cinder's drivers made: volumes, snapshots and who is connected to what.

A driver has no memory of its own. What it returned, above all provider_location and provider_auth, has to be handed back to it; with
provider_auth lost, a target would tell new secrets while the kernel keeps the old ones. So the records are written before a driver is
called, and settled right after it: whatever moment a call is killed at, they name everything that the driver may have made.

One SQLite file, which only root can read, because the secrets are in it. Every change is one transaction.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Optional, TypeVar

from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline, exclusive

PATH = Path("/var/lib/brickwork/cinder.sqlite")
# For another transaction to end; each takes milliseconds.
BUSY_SECONDS = 30
LOCK_NAME = "cinder-store"

# What can be done with a volume or snapshot. PLANNED: the driver has not been told of it. CREATING: it has, and may have made it or not.
# TEMPORARY: a snapshot that the driver itself made for as long as it copies a volume.
PLANNED, CREATING, AVAILABLE, DELETING, TEMPORARY = "planned", "creating", "available", "deleting", "temporary"
# An export: none; being opened, so that it may be there or not; open; being closed.
NONE, OPENING, OPEN, CLOSING = "none", "opening", "open", "closing"
# A connection, in the same way; its host may have access in all three.
CONNECTING, CONNECTED, DISCONNECTING = "connecting", "connected", "disconnecting"

# Each lifts the schema by one version, the first from nothing.
MIGRATIONS = (
    """
    CREATE TABLE backends (
        name TEXT PRIMARY KEY, driver TEXT NOT NULL, digest TEXT NOT NULL, protocol TEXT NOT NULL, capabilities TEXT NOT NULL,
        while_connected TEXT NOT NULL
    );
    CREATE TABLE volumes (
        id TEXT PRIMARY KEY, backend TEXT NOT NULL, name TEXT NOT NULL, size_gib INTEGER NOT NULL, state TEXT NOT NULL,
        host TEXT NOT NULL, growing_gib INTEGER, shared INTEGER NOT NULL, export TEXT NOT NULL, source_kind TEXT, source_name TEXT,
        specs TEXT NOT NULL, model TEXT NOT NULL, UNIQUE (backend, name)
    );
    CREATE TABLE snapshots (
        id TEXT PRIMARY KEY, backend TEXT NOT NULL, name TEXT NOT NULL, volume_id TEXT NOT NULL, size_gib INTEGER NOT NULL,
        state TEXT NOT NULL, model TEXT NOT NULL, UNIQUE (backend, name)
    );
    CREATE TABLE attachments (
        id TEXT PRIMARY KEY, volume_id TEXT NOT NULL, host TEXT NOT NULL, initiator TEXT NOT NULL, known_by TEXT NOT NULL,
        multipath INTEGER NOT NULL, connector TEXT NOT NULL, state TEXT NOT NULL, connection_info TEXT, UNIQUE (volume_id, host)
    );
    CREATE TABLE initiator_data (
        namespace TEXT NOT NULL, initiator TEXT NOT NULL, key TEXT NOT NULL, value TEXT, PRIMARY KEY (namespace, initiator, key)
    );
    """,
)


@dataclass(frozen=True)
class BackendRecord:
    """What a driver said of itself when it was loaded last.

    Args:
        digest: of the configuration that it was loaded with.
        protocol: C(driver_volume_type) of its connections.
        capabilities: see Backend.
        while_connected: those of them that a volume has while a host holds it.
    """

    name: str
    driver: str
    digest: str
    protocol: str
    capabilities: list[str]
    while_connected: list[str]


@dataclass(frozen=True)
class AttachmentRecord:
    """One host's connection to one volume.

    Args:
        initiator: what the host connects as; see Holder.
        connector: as the driver was given it, and wants it back.
        connection_info: what the driver answered, with its secret; None until then.
    """

    id: str
    volume_id: str
    host: str
    initiator: str
    known_by: str
    multipath: bool
    connector: dict[str, Any] = field(repr=False)
    state: str = CONNECTING
    connection_info: Optional[dict[str, Any]] = field(default=None, repr=False)


@dataclass(frozen=True)
class VolumeRecord:
    """A volume.

    Args:
        host: where Cinder's drivers think it is: C(host@backend#pool).
        growing_gib: the size that it is to have; None where it is not growing.
        specs: of its volume type; see volume_type.py.
        model: what the driver said of it (provider_location and the like), with its secret.
        attachments: in the order of the hosts' names.
    """

    id: str
    backend: str
    name: str
    size_gib: int
    state: str
    host: str
    growing_gib: Optional[int] = None
    shared: bool = False
    export: str = NONE
    source_kind: Optional[str] = None
    source_name: Optional[str] = None
    specs: dict[str, dict[str, str]] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict, repr=False)
    attachments: tuple[AttachmentRecord, ...] = ()

    def attachment(self, host: str) -> Optional[AttachmentRecord]:
        return next((one for one in self.attachments if one.host == host), None)


@dataclass(frozen=True)
class SnapshotRecord:
    """A snapshot; C(size_gib) is that of its volume at the time."""

    id: str
    backend: str
    name: str
    volume_id: str
    size_gib: int
    state: str
    model: dict[str, Any] = field(default_factory=dict, repr=False)


Record = TypeVar("Record", BackendRecord, AttachmentRecord, VolumeRecord, SnapshotRecord)
_TABLES: dict[type[Any], str] = {
    BackendRecord: "backends",
    VolumeRecord: "volumes",
    SnapshotRecord: "snapshots",
    AttachmentRecord: "attachments",
}
_IN_JSON = frozenset({"capabilities", "connection_info", "connector", "model", "specs", "while_connected"})
_BOOLEAN = frozenset({"multipath", "shared"})


class Store:
    """The file; reading does not make it.

    Args:
        path: of the file.
        deadline: until when to wait for others.
    """

    def __init__(self, deadline: Deadline, path: Optional[Path] = None) -> None:
        self.path = path or PATH
        self._deadline = deadline

    # Reading

    def backend(self, name: str) -> Optional[BackendRecord]:
        found = self._select(BackendRecord, "name = ?", name)
        return found[0] if found else None

    def volumes(self, backend: str) -> list[VolumeRecord]:
        """The backend's volumes with their attachments."""
        with self._reading() as database:
            if database is None:
                return []
            rows = database.execute(
                "SELECT attachments.* FROM attachments JOIN volumes ON volumes.id = volume_id WHERE backend = ? "
                "ORDER BY attachments.host",
                (backend,),
            )
            attachments: dict[str, list[AttachmentRecord]] = {}
            for row in rows:
                attachments.setdefault(row["volume_id"], []).append(_record(AttachmentRecord, row))
            rows = database.execute("SELECT * FROM volumes WHERE backend = ? ORDER BY name", (backend,))
            return [_record(VolumeRecord, row, attachments=tuple(attachments.get(row["id"], ()))) for row in rows]

    def volume(self, volume_id: str) -> Optional[VolumeRecord]:
        """The volume with its attachments; None where there is none."""
        with self._reading() as database:
            if database is None:
                return None
            row = database.execute("SELECT * FROM volumes WHERE id = ?", (volume_id,)).fetchone()
            rows = database.execute("SELECT * FROM attachments WHERE volume_id = ? ORDER BY host", (volume_id,))
            attachments = tuple(_record(AttachmentRecord, one) for one in rows)
            return _record(VolumeRecord, row, attachments=attachments) if row else None

    def snapshots(self, backend: str) -> list[SnapshotRecord]:
        return self._select(SnapshotRecord, "backend = ? ORDER BY name", backend)

    def snapshot(self, snapshot_id: str) -> Optional[SnapshotRecord]:
        found = self._select(SnapshotRecord, "id = ?", snapshot_id)
        return found[0] if found else None

    def initiator_data(self, namespace: str, initiator: str) -> dict[str, str]:
        """What a driver noted of an initiator."""
        with self._reading() as database:
            if database is None:
                return {}
            rows = database.execute(
                "SELECT key, value FROM initiator_data WHERE namespace = ? AND initiator = ?", (namespace, initiator)
            )
            return {row["key"]: row["value"] for row in rows}

    # Writing

    def put(self, *records: BackendRecord | AttachmentRecord | VolumeRecord | SnapshotRecord) -> None:
        """Write records, in place of those with the same key; attachments have records of their own.

        Raises:
            StorageError: C(aborted) where another call gave the name to something else meanwhile.
        """
        with self._writing() as database:
            for record in records:
                values: dict[str, Any] = _values(asdict(record))
                columns = ", ".join(values)
                marks = ", ".join("?" for _column in values)
                key = "name" if isinstance(record, BackendRecord) else "id"
                changed = ", ".join(f"{column} = excluded.{column}" for column in values if column != key)
                statement = (
                    f"INSERT INTO {_TABLES[type(record)]} ({columns}) VALUES ({marks}) "
                    f"ON CONFLICT ({key}) DO UPDATE SET {changed}"
                )
                database.execute(statement, tuple(values.values()))

    def update(self, kind: type[Record], record_id: str, **changes: Any) -> None:
        """Change fields of one record."""
        values: dict[str, Any] = _values(changes)
        assignments = ", ".join(f"{column} = ?" for column in values)
        with self._writing() as database:
            database.execute(
                f"UPDATE {_TABLES[kind]} SET {assignments} WHERE id = ?",
                (*values.values(), record_id),
            )

    def settle(self, kind: type[Record], record_id: str, model: Mapping[str, Any], **changes: Any) -> None:
        """Change fields of a volume's or snapshot's record, and add to what the driver said of it."""
        table = _TABLES[kind]
        values: dict[str, Any] = _values(changes)
        assignments = ", ".join(["model = ?", *(f"{column} = ?" for column in values)])
        with self._writing() as database:
            row = database.execute(f"SELECT model FROM {table} WHERE id = ?", (record_id,)).fetchone()
            if row is None:
                raise StorageError("aborted", f"Another call deleted {record_id} meanwhile; repeat this one.")
            merged = {**json.loads(row["model"]), **model}
            database.execute(
                f"UPDATE {table} SET {assignments} WHERE id = ?",
                (json.dumps(merged), *values.values(), record_id),
            )

    def remove(self, kind: type[Record], *record_ids: str) -> None:
        with self._writing() as database:
            for record_id in record_ids:
                database.execute(f"DELETE FROM {_TABLES[kind]} WHERE id = ?", (record_id,))

    def add_initiator_data(self, namespace: str, initiator: str, key: str, value: str) -> bool:
        """Note something of an initiator; false where that is noted already."""
        with self._writing() as database:
            done = database.execute(
                "INSERT OR IGNORE INTO initiator_data VALUES (?, ?, ?, ?)", (namespace, initiator, key, value)
            )
            return done.rowcount == 1

    # The file

    def _select(self, kind: type[Record], condition: str, value: str) -> list[Record]:
        with self._reading() as database:
            if database is None:
                return []
            rows = database.execute(f"SELECT * FROM {_TABLES[kind]} WHERE {condition}", (value,))
            return [_record(kind, row) for row in rows]

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Optional[sqlite3.Connection]]:
        """The file in one state for several questions; None where there is none yet."""
        if not self.path.exists():
            yield None
            return
        with self._opened() as database:
            database.execute("BEGIN")
            yield database
            database.execute("COMMIT")

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it, or nothing."""
        self._create()
        with self._opened() as database:
            database.execute("BEGIN IMMEDIATE")
            yield database
            database.execute("COMMIT")

    @contextlib.contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        try:
            with contextlib.closing(self._connect()) as database:
                if _version(database) != len(MIGRATIONS):
                    self._migrate(database)
                yield database
        except sqlite3.IntegrityError:
            raise StorageError("aborted", "Another call took the name meanwhile; repeat this one.") from None
        except sqlite3.OperationalError as error:
            busy = "locked" in str(error)
            code = "aborted" if busy else "unavailable"
            todo = "repeat the call" if busy else "see to its file system"
            raise StorageError(code, f"{self.path} cannot be used: {error}; {todo}.") from None
        except sqlite3.DatabaseError as error:
            raise StorageError(
                "internal",
                f"{self.path} is damaged: {error}. Put a copy of it back, or the one that was made before the schema changed.",
            ) from None

    def _connect(self) -> sqlite3.Connection:
        # autocommit off the module's hands: every BEGIN here is ours.
        database = sqlite3.connect(self.path, timeout=max(0.1, self._deadline.within(BUSY_SECONDS).remaining()))
        database.isolation_level = None
        database.row_factory = sqlite3.Row
        return database

    def _create(self) -> None:
        """An empty file, for root alone before anything is in it."""
        try:
            self.path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            # A link would have somebody else's file used.
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageError("unavailable", f"{self.path} cannot be written: {error.strerror}.") from None
        try:
            os.fchmod(descriptor, 0o600)
        finally:
            os.close(descriptor)

    def _migrate(self, database: sqlite3.Connection) -> None:
        """Lift the schema to this release's, with a copy of what was before."""
        with exclusive(LOCK_NAME, f"changing the schema of {self.path}", self._deadline):
            version = _version(database)
            if version > len(MIGRATIONS):
                raise StorageError(
                    "failed_precondition",
                    f"{self.path} was written by a later release (schema {version}, this one knows {len(MIGRATIONS)}); use that.",
                )
            if 0 < version < len(MIGRATIONS):
                self._back_up(database, version)
            for script in MIGRATIONS[version:]:
                version += 1
                database.executescript(f"BEGIN IMMEDIATE; {script} PRAGMA user_version = {version}; COMMIT;")

    def _back_up(self, database: sqlite3.Connection, version: int) -> None:
        path = self.path.with_name(f"{self.path.name}.schema-{version}.{time.strftime('%Y%m%dT%H%M%S')}")
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        with contextlib.closing(sqlite3.connect(path)) as copy:
            database.backup(copy)


def _version(database: sqlite3.Connection) -> int:
    return int(database.execute("PRAGMA user_version").fetchone()[0])


def _values(given: Mapping[str, Any]) -> dict[str, Any]:
    """Columns and what is in them."""
    return {
        name: json.dumps(value) if name in _IN_JSON and value is not None else value
        for name, value in given.items()
        if name != "attachments"
    }


def _record(kind: type[Record], row: sqlite3.Row, **others: Any) -> Record:
    values = {
        column.name: row[column.name]
        for column in fields(kind)
        if column.name not in others and column.name != "attachments"
    }
    for name, value in values.items():
        if name in _IN_JSON and value is not None:
            values[name] = json.loads(value)
        elif name in _BOOLEAN:
            values[name] = bool(value)
    return kind(**values, **others)
