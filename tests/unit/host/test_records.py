# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's record of its attachments."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Optional

import pytest

from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.host.records import Record, Records, by_name
from ansible_collections.brickwork.storage.tests.unit.host.examples import CAPTURE_ID, parsed, record, volume


def of(name: str, volume_id: str, backend: Optional[str] = "lvm") -> Record:
    of_volume = volume(name=name, id=volume_id, backend=backend)
    return record(connection=parsed(volume=of_volume).without_secrets())


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "brickwork" / "attachments"


@pytest.fixture
def records(directory: Path) -> Records:
    return Records(directory)


def test_what_is_written_is_read(records: Records) -> None:
    records.write(record(persistent=True, kept_portals=["192.0.2.1:3260"]))
    assert records.all() == [record(persistent=True, kept_portals=["192.0.2.1:3260"])]
    assert records.get(CAPTURE_ID) == records.all()[0]
    assert records.get("another") is None


def test_a_record_replaces_the_one_before(records: Records) -> None:
    records.write(record(attached=False))
    records.write(record())
    assert [one.attached for one in records.all()] == [True]


def test_root_alone_may_read(records: Records, directory: Path) -> None:
    before = os.umask(0)
    try:
        records.write(record())
    finally:
        os.umask(before)
    (file,) = directory.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert directory.stat().st_mode & 0o777 == 0o700


def test_a_kill_while_writing_leaves_the_old_record(
    records: Records, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records.write(record())

    class Killed(BaseException):
        pass

    def kill(descriptor: int) -> None:
        raise Killed

    monkeypatch.setattr(os, "fsync", kill)
    with pytest.raises(Killed):
        records.write(record(attached=False))
    assert records.all() == [record()]
    records.remove(CAPTURE_ID)
    assert list(directory.iterdir()) == []


def test_remove(records: Records) -> None:
    records.write(of("a", "1"))
    records.write(of("b", "2"))
    records.remove("1")
    records.remove("1")
    assert [one.volume["name"] for one in records.all()] == ["b"]


def test_by_volume_name(records: Records) -> None:
    for name, volume_id in (("b", "1"), ("a", "3"), ("c", "2")):
        records.write(of(name, volume_id))
    assert [one.volume["name"] for one in records.all()] == ["a", "b", "c"]


@pytest.mark.parametrize("volume_id", ["../../etc/passwd", "a/b", ".", "with blank", "%2F"])
def test_any_id_stays_in_the_directory(records: Records, directory: Path, volume_id: str) -> None:
    records.write(of("a", volume_id))
    assert len(list(directory.iterdir())) == 1
    assert records.get(volume_id) is not None
    records.remove(volume_id)
    assert records.all() == []


def test_host_without_records(records: Records, directory: Path) -> None:
    assert records.all() == []
    records.remove("1")
    assert not directory.exists()


@pytest.mark.parametrize(
    "text", ["", "not JSON", "[]", "{}", '{"surplus": 1}', '{"connection": {}, "multipath": true, "persistent": true}']
)
def test_unreadable_file_is_named(records: Records, directory: Path, text: str) -> None:
    records.write(record())
    broken = directory / "broken.json"
    broken.write_text(text)
    with pytest.raises(StorageError, match=r"broken\.json") as caught:
        records.all()
    assert caught.value.code == "internal"


@pytest.mark.parametrize(
    ("name", "backend", "expected"),
    [
        ("a", None, "1"),
        ("a", "lvm", "1"),
        ("a", "ceph", None),
        ("twice", "ceph", "3"),
        ("2", None, "2"),
        ("x", None, None),
    ],
)
def test_by_name(name: str, backend: Optional[str], expected: Optional[str]) -> None:
    known = [of("a", "1"), of("twice", "2"), of("twice", "3", "ceph")]
    found = by_name(known, name, backend)
    assert (found.volume["id"] if found else None) == expected


def test_name_that_fits_volumes_of_two_backends() -> None:
    with pytest.raises(StorageError) as caught:
        by_name([of("twice", "2"), of("twice", "3", "ceph")], "twice", None)
    assert (caught.value.code, caught.value.facts["field"]) == ("invalid_argument", "backend")
    assert caught.value.facts["candidates"] == ["ceph", "lvm"]


def test_name_that_fits_two_volumes_of_one_backend() -> None:
    # Of two controllers, whose backends are called alike.
    with pytest.raises(StorageError, match="name it by its id") as caught:
        by_name([of("twice", "2"), of("twice", "3")], "twice", "lvm")
    assert (caught.value.code, caught.value.facts["field"]) == ("invalid_argument", "volumes")
    assert caught.value.facts["candidates"] == ["2", "3"]


def test_an_id_is_never_in_doubt() -> None:
    known = [of("data", "1"), of("1", "2")]
    assert by_name(known, "1", None) == known[0]
    assert by_name(known, "2", None) == known[1]
    assert by_name(known[1:], "1", None) == known[1]
