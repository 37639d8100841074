# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The records of Cinder's drivers: the file, its schema, who may read it, and two at once."""

from __future__ import annotations

import functools
import os
import sqlite3
import stat
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.brickwork.storage.plugins.module_utils import waiting
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder import store as stores
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder.store import (
    AVAILABLE,
    AttachmentRecord,
    BackendRecord,
    SnapshotRecord,
    Store,
    VolumeRecord,
)
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline

VOLUME = VolumeRecord("id1", "fake", "db", 1, AVAILABLE, "controller@fake#p1", model={"provider_location": "here"})
ATTACHMENT = AttachmentRecord("a1", "id1", "host1", "iqn.x", "initiator", True, {"host": "host1", "multipath": True})
SNAPSHOT = SnapshotRecord("s1", "fake", "monday", "id1", 1, AVAILABLE, {"provider_id": "7"})
LATER = "ALTER TABLE volumes ADD COLUMN colour TEXT;"


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Store:
    monkeypatch.setattr(stores, "exclusive", functools.partial(waiting.exclusive, directory=tmp_path))
    return Store(Deadline(5), tmp_path / "state" / "cinder.sqlite")


def test_what_is_written_is_read_again(store: Store) -> None:
    known = BackendRecord("fake", "cinder.volume.drivers.x", "digest", "iscsi", ["clone"], [])
    store.put(known, VOLUME, ATTACHMENT, SNAPSHOT)
    assert store.backend("fake") == known
    assert store.volumes("fake") == [replace(VOLUME, attachments=(ATTACHMENT,))]
    assert store.volume("id1") == store.volumes("fake")[0]
    assert (store.snapshots("fake"), store.snapshot("s1")) == ([SNAPSHOT], SNAPSHOT)
    assert (store.volumes("other"), store.volume("id2"), store.backend("other")) == ([], None, None)


def test_reading_makes_no_file(store: Store) -> None:
    assert (store.volumes("fake"), store.snapshots("fake"), store.backend("fake")) == ([], [], None)
    assert store.initiator_data("fake", "iqn.x") == {}
    assert not store.path.parent.exists()


def test_changes_and_removals(store: Store) -> None:
    store.put(VOLUME, ATTACHMENT)
    info = {"driver_volume_type": "iscsi", "data": {"auth_password": "secret"}}
    store.update(AttachmentRecord, "a1", state="connected", connection_info=info)
    store.settle(VolumeRecord, "id1", {"provider_auth": "CHAP u p"}, export="open")
    record = store.volume("id1")
    assert record is not None
    assert record.model == {"provider_location": "here", "provider_auth": "CHAP u p"}
    assert (record.export, record.attachments[0].connection_info) == ("open", info)
    store.put(replace(record, shared=True))
    assert [one.host for one in store.volumes("fake")[0].attachments] == ["host1"]
    store.remove(AttachmentRecord, "a1")
    store.remove(VolumeRecord, "id1")
    assert store.volumes("fake") == []
    with pytest.raises(StorageError) as failure:
        store.settle(VolumeRecord, "id1", {})
    assert failure.value.code == "aborted"


def test_what_a_driver_notes_of_an_initiator_is_noted_once(store: Store) -> None:
    assert store.add_initiator_data("fake", "iqn.x", "chap", "one")
    assert not store.add_initiator_data("fake", "iqn.x", "chap", "two")
    assert store.initiator_data("fake", "iqn.x") == {"chap": "one"}


def test_a_name_is_unique_in_a_backend(store: Store) -> None:
    store.put(VOLUME, replace(VOLUME, id="id2", backend="other"))
    with pytest.raises(StorageError) as failure:
        store.put(replace(VOLUME, id="id3"))
    assert failure.value.code == "aborted"
    assert store.volume("id3") is None


def test_only_root_reads_the_file_from_its_first_moment(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    previous = os.umask(0)
    try:
        store.put(VOLUME)
    finally:
        os.umask(previous)
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
    store.path.chmod(0o644)
    store.put(VOLUME)
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600


def test_a_link_in_place_of_the_file_is_refused(store: Store, tmp_path: Path) -> None:
    store.path.parent.mkdir()
    store.path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError):
        store.put(VOLUME)
    assert not (tmp_path / "elsewhere").exists()


def test_a_transaction_that_is_cut_short_leaves_nothing(store: Store) -> None:
    store.put(VOLUME)

    def killed() -> None:
        with store._writing() as database:
            database.execute("DELETE FROM volumes")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        killed()
    assert store.volumes("fake") == [VOLUME]


def test_a_new_schema_keeps_the_records_and_a_copy_of_before(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put(VOLUME, ATTACHMENT)
    monkeypatch.setattr(stores, "MIGRATIONS", (*stores.MIGRATIONS, LATER))
    assert store.volumes("fake") == [replace(VOLUME, attachments=(ATTACHMENT,))]
    [copy] = store.path.parent.glob("cinder.sqlite.schema-1.*")
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    with sqlite3.connect(store.path) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (2,)
        assert database.execute("SELECT colour FROM volumes").fetchall() == [(None,)]
    monkeypatch.undo()
    with sqlite3.connect(copy) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (1,)
        assert database.execute("SELECT name FROM volumes").fetchall() == [("db",)]


def test_a_schema_change_that_fails_changes_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put(VOLUME)
    with monkeypatch.context() as patch:
        patch.setattr(stores, "MIGRATIONS", (*stores.MIGRATIONS, f"{LATER} UPDATE no_such_table SET x = 1;"))
        with pytest.raises(StorageError):
            store.volumes("fake")
    assert store.volumes("fake") == [VOLUME]


def test_a_later_release_s_file_is_not_touched(store: Store) -> None:
    store.put(VOLUME)
    with sqlite3.connect(store.path) as database:
        database.execute("PRAGMA user_version = 99")
    before = store.path.read_bytes()
    with pytest.raises(StorageError, match="later release") as failure:
        store.volumes("fake")
    assert failure.value.code == "failed_precondition"
    with pytest.raises(StorageError):
        store.put(VOLUME)
    assert store.path.read_bytes() == before


def test_a_damaged_file_is_told(store: Store) -> None:
    store.path.parent.mkdir()
    store.path.write_bytes(b"this is no database, whatever it may be" * 100)
    with pytest.raises(StorageError, match="is damaged") as failure:
        store.volumes("fake")
    assert failure.value.code == "internal"


def test_another_s_transaction_is_waited_for(store: Store) -> None:
    store.put(VOLUME)
    held, released = threading.Event(), threading.Event()

    def hold() -> None:
        with Store(Deadline(5), store.path)._writing() as database:
            database.execute("UPDATE volumes SET size_gib = 7")
            held.set()
            released.wait(5)

    other = threading.Thread(target=hold)
    other.start()
    held.wait(5)
    with pytest.raises(StorageError) as failure:
        Store(Deadline(0.2), store.path).update(VolumeRecord, "id1", shared=True)
    assert failure.value.code == "aborted"
    assert store.volumes("fake")[0].size_gib == 1
    threading.Timer(0.3, released.set).start()
    store.update(VolumeRecord, "id1", shared=True)
    other.join()
    assert (store.volumes("fake")[0].size_gib, store.volumes("fake")[0].shared) == (7, True)


def test_many_writers_lose_nothing(store: Store) -> None:
    def write(number: int) -> None:
        for index in range(5):
            record = replace(VOLUME, id=f"id-{number}-{index}", name=f"v-{number}-{index}")
            Store(Deadline(20), store.path).put(record)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(store.volumes("fake")) == 40
