# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cache of images and archives: what is made once, and what is thrown away."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.brickwork.storage.tests.lab import cache

KIND = "debian13-uml"


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return cache.directory()


def test_disposable_are_the_oldest_that_nobody_uses() -> None:
    entries = [(float(age), age == 1, Path(str(age))) for age in range(6)]
    assert cache.disposable(entries, current=Path("0"), keep=2) == [Path("2"), Path("3")]


def test_an_entry_is_built_once_and_appears_complete(directory: Path) -> None:
    built: list[Path] = []

    def build(new: Path) -> None:
        built.append(new)
        new.mkdir()
        (new / "content").touch()

    # A crash left this one; it is neither taken for an entry nor in the way of the next.
    (directory / f"building-{KIND}-key" / "root").mkdir(parents=True)
    found = cache.get(KIND, "key", "it", build)
    assert found == cache.get(KIND, "key", "it", build)
    assert (found / "content").exists()
    assert len(built) == 1
    assert built[0] != found
    assert sorted(path.name for path in directory.iterdir()) == [f"{KIND}-key", f"{KIND}.lock"]


def test_an_entry_in_use_stays(tmp_path: Path) -> None:
    first = cache.get(KIND, "first", "it", Path.mkdir)
    cache.use(first, "lab", tmp_path)
    for key in range(cache.KEEP + 2):
        cache.get(KIND, str(key), "it", Path.mkdir)
    assert first.exists()
    cache.release("lab")
    cache.get(KIND, "0", "it", Path.mkdir)
    assert not first.exists()


def test_entries_of_another_kind_stay() -> None:
    other = cache.get("archive", "key", "it", Path.mkdir)
    for key in range(cache.KEEP + 2):
        cache.get(KIND, str(key), "it", Path.mkdir)
    assert other.exists()
