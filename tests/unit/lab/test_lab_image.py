# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What makes a new image, and what is in it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.brickwork.storage.tests.lab import cache, image
from ansible_collections.brickwork.storage.tests.lab.image import Kernel
from ansible_collections.brickwork.storage.tests.lab.system import (
    BARE12,
    BARE13,
    DEBIAN12,
    DEBIAN13,
    SYSTEMS,
    System,
    lines,
)

SYSTEM = DEBIAN13


def kernel(name: str = "uml", version: str = "6.1", packages: tuple[str, ...] = ()) -> Kernel:
    return Kernel(name, (version,), packages, lambda _root, _image: None)


@pytest.fixture
def overlay(tmp_path: Path) -> Path:
    path = tmp_path / "rootfs"
    (path / "etc").mkdir(parents=True)
    (path / "etc/hostname").write_text("one\n")
    return path


def with_files(*overlays: Path) -> System:
    return replace(SYSTEM, overlays=overlays)


def test_same_parts_same_key(overlay: Path, tmp_path: Path) -> None:
    other = shutil.copytree(overlay, tmp_path / "elsewhere")
    assert image.key(with_files(overlay), kernel()) == image.key(with_files(other), kernel())


@pytest.mark.parametrize(
    "other", [kernel(name="qemu"), kernel(version="6.2"), kernel(packages=("linux-image-amd64",))], ids=str
)
def test_other_kernel_other_key(other: Kernel) -> None:
    assert image.key(SYSTEM, kernel()) != image.key(SYSTEM, other)


@pytest.mark.parametrize(
    "change",
    [
        lambda path: (path / "etc/hostname").write_text("two\n"),
        lambda path: (path / "etc/hostname").chmod(0o755),
        lambda path: (path / "etc/hostname").rename(path / "etc/hosts"),
        lambda path: (path / "etc/new").touch(),
    ],
    ids=["content", "mode", "name", "new file"],
)
def test_other_file_other_key(overlay: Path, change: Callable[[Path], object]) -> None:
    before = image.key(with_files(overlay), kernel())
    change(overlay)
    assert image.key(with_files(overlay), kernel()) != before


def test_other_system_other_key(tmp_path: Path) -> None:
    before = image.key(DEBIAN13, kernel())
    assert image.key(DEBIAN12, kernel()) != before
    environment = DEBIAN13.environments[0]
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("os-brick==7.1.0\n")
    other = replace(DEBIAN13, environments=(replace(environment, requirements=requirements),))
    assert image.key(other, kernel()) != before


def test_every_package_of_an_environment_is_pinned() -> None:
    for system in SYSTEMS.values():
        for environment in system.environments:
            assert all("==" in line for line in lines(environment.requirements))


def test_packages_of_the_contract() -> None:
    assert {"open-iscsi", "multipath-tools", "lvm2", "python3-rtslib-fb", "python3-os-brick", "sudo"} <= set(
        DEBIAN13.packages
    )


def test_a_bare_machine_has_nothing_of_storage() -> None:
    needed = set(DEBIAN13.packages)
    for bare in (BARE13, BARE12):
        assert set(bare.packages) <= needed | {"ca-certificates"}
        assert not set(bare.packages) & {
            "lvm2",
            "open-iscsi",
            "multipath-tools",
            "python3-rtslib-fb",
            "python3-os-brick",
        }
        assert not bare.environments
        assert not any((overlay / "etc/multipath.conf").exists() for overlay in bare.overlays)


def test_image_is_built_where_the_cache_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(image, "_build", lambda directory, system, kernel: directory.mkdir())
    assert image.get(SYSTEM, kernel()).directory == cache.directory() / image.name(SYSTEM, kernel())
