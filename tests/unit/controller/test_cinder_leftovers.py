# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Cinder's drivers leave when they are killed. Nothing here needs Cinder."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Optional

import pytest

from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder import leftovers, remote_files


def named(number: int, **more: Any) -> Any:
    """A volume of Cinder's, which knows it by a UUID."""
    volume_id = f"00000000-0000-4000-8000-00000000000{number}"
    return SimpleNamespace(id=volume_id, name=f"volume-{volume_id}", **more)


COPY, OTHER_COPY, ORIGINAL = named(2), named(3), named(1, size=3)


# LVM


class LVMVolumeDriver:
    def __init__(self) -> None:
        self.deleted: list[dict[str, Any]] = []

    def delete_snapshot(self, snapshot: dict[str, Any]) -> None:
        self.deleted.append(snapshot)


class ThinLVM(LVMVolumeDriver):
    pass


def test_the_snapshot_that_lvm_leaves_is_removed() -> None:
    driver = ThinLVM()
    leftovers.remove(driver, COPY, None)
    leftovers.remove(driver, COPY, ORIGINAL)
    assert [(one["name"], one["volume_size"]) for one in driver.deleted] == [(f"clone-snap-{COPY.id}", 3)]


def test_other_drivers_leave_nothing() -> None:
    leftovers.remove(object(), COPY, ORIGINAL)
    leftovers.wait_for_dead_clients(object(), COPY)


class LioAdm:
    def __init__(self) -> None:
        self.removed: list[tuple[Any, ...]] = []

    def remove_iscsi_target(self, *arguments: Any) -> None:
        self.removed.append(arguments)


def test_a_target_of_lio_that_may_not_be_whole_is_removed_and_no_other() -> None:
    driver = SimpleNamespace(target_driver=LioAdm())
    leftovers.remove_target(driver, COPY)
    assert driver.target_driver.removed == [(0, 0, COPY.id, COPY.name)]
    leftovers.remove_target(SimpleNamespace(target_driver=object()), COPY)
    leftovers.remove_target(object(), COPY)


# RBD


class ImageNotFoundError(Exception):
    pass


class Image:
    def __init__(self, *snapshots: str, watchers: int = 0) -> None:
        self.snapshots = list(snapshots)
        self.protected = set(snapshots)
        self.watchers = watchers

    def list_snaps(self) -> list[dict[str, str]]:
        return [{"name": name} for name in self.snapshots]

    def is_protected_snap(self, name: str) -> bool:
        return name in self.protected

    def unprotect_snap(self, name: str) -> None:
        self.protected.remove(name)

    def remove_snap(self, name: str) -> None:
        assert name not in self.protected
        self.snapshots.remove(name)

    def watchers_list(self) -> Iterator[str]:
        """One fewer each time."""
        yield from ["somebody"] * self.watchers
        self.watchers = max(0, self.watchers - 1)


class RBDDriver:
    """A pool of images."""

    rbd = SimpleNamespace(ImageNotFound=ImageNotFoundError)

    def __init__(self, images: dict[str, Image]) -> None:
        self.images = images

    def RBDProxy(self) -> RBDDriver:  # noqa: N802 - Cinder's name
        return self

    def list(self, _pool: object) -> list[str]:
        return list(self.images)

    def remove(self, _pool: object, name: str) -> None:
        assert not self.images[name].snapshots
        del self.images[name]


@contextlib.contextmanager
def RBDVolumeProxy(driver: RBDDriver, name: str, read_only: bool = False) -> Iterator[Image]:  # noqa: N802 - Cinder's name
    if name not in driver.images:
        raise ImageNotFoundError
    yield driver.images[name]


@contextlib.contextmanager
def RADOSClient(_driver: RBDDriver) -> Iterator[Any]:  # noqa: N802 - Cinder's name
    yield SimpleNamespace(ioctx="pool")


def test_the_snapshot_that_rbd_leaves_is_removed_and_no_other() -> None:
    driver = RBDDriver({ORIGINAL.name: Image(f"{COPY.name}.clone_snap", f"{OTHER_COPY.name}.clone_snap")})
    for _time in range(2):
        leftovers.remove(driver, COPY, ORIGINAL)
    assert driver.images[ORIGINAL.name].snapshots == [f"{OTHER_COPY.name}.clone_snap"]


def test_an_original_that_was_deleted_goes_with_its_last_copy_and_what_it_was_copied_from() -> None:
    first, second = f"{named(0).name}.deleted", f"{ORIGINAL.name}.deleted"
    driver = RBDDriver(
        {
            first: Image(f"{ORIGINAL.name}.clone_snap"),
            second: Image(f"{COPY.name}.clone_snap", f"{OTHER_COPY.name}.clone_snap"),
            OTHER_COPY.name: Image(),
        }
    )
    leftovers.remove(driver, COPY, None)
    assert list(driver.images) == [first, second, OTHER_COPY.name]
    leftovers.remove(driver, OTHER_COPY, None)
    assert list(driver.images) == [OTHER_COPY.name]


def test_an_image_that_is_only_called_like_a_deleted_one_stays() -> None:
    foreign = {name: Image() for name in ("photos.deleted", "volume-backup.deleted", f"old-{ORIGINAL.name}.deleted")}
    driver = RBDDriver({**foreign, f"{ORIGINAL.name}.deleted": Image(f"{COPY.name}.clone_snap")})
    leftovers.remove(driver, COPY, None)
    assert driver.images == foreign


def test_a_client_of_ceph_that_is_dead_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "CEPH_POLL_SECONDS", 0)
    driver = RBDDriver({COPY.name: Image(watchers=3)})
    leftovers.wait_for_dead_clients(driver, COPY)
    assert driver.images[COPY.name].watchers == 0
    leftovers.wait_for_dead_clients(driver, ORIGINAL)


# Network file systems


class RemoteFSSnapDriverBase:
    """As NfsDriver, with files that say what is below them in place of images."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def local_path(self, volume: Any) -> str:
        return str(self._directory / volume.name)

    def _get_new_snap_path(self, snapshot: Any) -> str:
        return f"{self.local_path(snapshot.volume)}.{snapshot.id}"

    def _local_path_volume_info(self, volume: Any) -> str:
        return f"{self.local_path(volume)}.info"

    def _read_info_file(self, path: str, empty_if_missing: bool = False) -> Any:
        return json.loads(Path(path).read_text()) if os.path.exists(path) or not empty_if_missing else {}

    def _write_info_file(self, path: str, known: dict[str, str]) -> None:
        raise AssertionError("the driver's own")

    def _set_rw_permissions(self, path: str) -> None:
        os.chmod(path, 0o660)

    def _qemu_img_info(self, path: str, _volume: str) -> Any:
        return SimpleNamespace(backing_file=Path(path).read_text() or None)

    def _do_create_snapshot(self, _snapshot: Any, below: str, path: str) -> None:
        Path(path).write_text(below)


def volume(**metadata: str) -> Any:
    saved: list[dict[str, str]] = []
    found = SimpleNamespace(id="1", name="volume-1", admin_metadata=metadata, provider_location="a:/b", saved=saved)
    found.save = lambda: saved.append(dict(found.admin_metadata))
    return found


def snapshot(name: str, of: Optional[Any] = None) -> Any:
    return SimpleNamespace(id=name, volume=of or volume())


@pytest.fixture
def driver(tmp_path: Path) -> Any:
    """Of a volume with the layers s1, s2 and s3."""
    found: Any = RemoteFSSnapDriverBase(tmp_path)
    remote_files.write_at_once(found)
    (tmp_path / "volume-1").touch()
    for below, name in (("volume-1", "s1"), ("volume-1.s1", "s2"), ("volume-1.s2", "s3")):
        (tmp_path / f"volume-1.{name}").write_text(below)
    layers = {name: f"volume-1.{name}" for name in ("s1", "s2", "s3")}
    found._write_info_file(str(tmp_path / "volume-1.info"), {**layers, "active": "volume-1.s3"})
    return found


def test_the_layers_are_written_at_once(driver: Any, tmp_path: Path) -> None:
    path = tmp_path / "volume-1.info"
    assert (json.loads(path.read_text())["active"], path.stat().st_mode & 0o777) == ("volume-1.s3", 0o660)
    (tmp_path / "volume-1.info.new").touch()
    remote_files.forget(driver, volume())
    remote_files.forget(driver, volume())
    assert not (tmp_path / "volume-1.info.new").exists()


@pytest.mark.parametrize(("name", "below"), [("s1", "volume-1"), ("s2", "volume-1.s1"), ("s3", "volume-1.s2")])
def test_a_layer_that_was_merged_and_not_struck_off_is_put_back(
    driver: Any, tmp_path: Path, name: str, below: str
) -> None:
    layer = tmp_path / f"volume-1.{name}"
    remote_files.put_back(driver, snapshot(name))
    layer.unlink()
    remote_files.put_back(driver, snapshot(name))
    assert layer.read_text() == below


def test_the_file_of_a_snapshot_that_was_not_written_down_is_removed_and_no_other(driver: Any, tmp_path: Path) -> None:
    (tmp_path / "volume-1.s4").touch()
    for name in ("s4", "s4", "s2"):
        remote_files.settle(driver, snapshot(name))
    assert sorted(path.name for path in tmp_path.glob("volume-1.s*")) == ["volume-1.s1", "volume-1.s2", "volume-1.s3"]


def test_a_volume_without_snapshots_has_the_form_it_was_made_with(driver: Any, tmp_path: Path) -> None:
    noted = volume(format="qcow2", base_format="raw")
    remote_files.settle(driver, snapshot("s1", noted))
    assert noted.saved == []
    driver._write_info_file(str(tmp_path / "volume-1.info"), {"active": "volume-1"})
    for _time in range(2):
        remote_files.settle(driver, snapshot("s1", noted))
    assert noted.saved == [{"format": "raw", "base_format": "raw"}]


def test_other_drivers_are_left_alone() -> None:
    other: Any = object()
    remote_files.write_at_once(other)
    remote_files.put_back(other, snapshot("s1"))
    remote_files.settle(other, snapshot("s1"))
    remote_files.forget(other, volume())
