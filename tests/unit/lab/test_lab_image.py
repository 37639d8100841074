# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cache of images: what makes a new one, and what is thrown away."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.brickwork.storage.tests.lab import image
from ansible_collections.brickwork.storage.tests.lab.image import Image, Kernel
from ansible_collections.brickwork.storage.tests.lab.system import DEBIAN12, DEBIAN13, SYSTEMS, System, lines

SYSTEM = DEBIAN13


def kernel(name: str = "uml", version: str = "6.1", packages: tuple[str, ...] = ()) -> Kernel:
    return Kernel(name, (version,), packages, lambda _root, _image: None)


@pytest.fixture
def overlay(tmp_path: Path) -> Path:
    path = tmp_path / "rootfs"
    (path / "etc").mkdir(parents=True)
    (path / "etc/hostname").write_text("one\n")
    return path


def test_same_parts_same_key(overlay: Path, tmp_path: Path) -> None:
    other = shutil.copytree(overlay, tmp_path / "elsewhere")
    assert image.key(SYSTEM, kernel(), overlay) == image.key(SYSTEM, kernel(), other)


@pytest.mark.parametrize(
    "other", [kernel(name="qemu"), kernel(version="6.2"), kernel(packages=("linux-image-amd64",))], ids=str
)
def test_other_kernel_other_key(overlay: Path, other: Kernel) -> None:
    assert image.key(SYSTEM, kernel(), overlay) != image.key(SYSTEM, other, overlay)


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
    before = image.key(SYSTEM, kernel(), overlay)
    change(overlay)
    assert image.key(SYSTEM, kernel(), overlay) != before


def test_other_system_other_key(overlay: Path, tmp_path: Path) -> None:
    before = image.key(DEBIAN13, kernel(), overlay)
    assert image.key(DEBIAN12, kernel(), overlay) != before
    environment = DEBIAN13.environments[0]
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("os-brick==7.1.0\n")
    other = replace(DEBIAN13, environments=(replace(environment, requirements=requirements),))
    assert image.key(other, kernel(), overlay) != before


def test_every_package_of_an_environment_is_pinned() -> None:
    for system in SYSTEMS.values():
        for environment in system.environments:
            assert all("==" in line for line in lines(environment.requirements))


def test_packages_of_the_contract() -> None:
    assert {"open-iscsi", "multipath-tools", "lvm2", "python3-rtslib-fb", "python3-os-brick", "sudo"} <= set(
        DEBIAN13.packages
    )


def test_disposable_are_the_oldest_that_nobody_uses() -> None:
    images = [(float(age), age == 1, Path(str(age))) for age in range(6)]
    assert image.disposable(images, current=Path("0"), keep=2) == [Path("2"), Path("3")]


def test_image_is_built_once_and_appears_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    built: list[Path] = []

    def build(new: Image, _system: System, _kernel: Kernel) -> None:
        built.append(new.directory)
        new.directory.mkdir()
        new.root.touch()

    monkeypatch.setattr(image, "_build", build)
    # A crash left this one; it is neither taken for an image nor in the way of the next.
    (image.cache_directory() / f"building-{image.key(SYSTEM, kernel())}" / "root").mkdir(parents=True)
    found = image.get(SYSTEM, kernel())
    assert found == image.get(SYSTEM, kernel())
    assert found.root.exists()
    assert len(built) == 1
    assert built[0] != found.directory
    assert sorted(path.name for path in image.cache_directory().iterdir()) == sorted(
        ["debian13-uml.lock", image.key(SYSTEM, kernel())]
    )


def test_image_in_use_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(image, "_build", lambda new, _system, _kernel: new.directory.mkdir())
    first = image.get(SYSTEM, kernel(version="first"))
    image.use(first, "lab", tmp_path)
    for version in range(image.KEEP + 2):
        image.get(SYSTEM, kernel(version=str(version)))
    assert first.directory.exists()
    image.release("lab")
    image.get(SYSTEM, kernel(version="0"))
    assert not first.directory.exists()
