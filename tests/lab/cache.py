# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What takes minutes to make and stays the same for days: in a cache outside the repository, which all checkouts share.

An entry is a directory, named by its kind and a hash of all it was made from. It is made under another name, renamed when it is complete,
and never changed afterwards.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .say import say, timed

KEEP = 2  # entries of a kind that nobody uses and that stay, for who changes between two branches


def directory() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "brickwork-lab"


def get(kind: str, key: str, what: str, build: Callable[[Path], None]) -> Path:
    """The entry of this kind and key, built now if it is not there; `build` is given a directory to make."""
    name = f"{kind}-{key}"
    entry = directory() / name
    with _locked(directory() / f"{kind}.lock"):
        if not entry.exists():
            for leftover in directory().glob(f"building-{kind}-*"):
                shutil.rmtree(leftover)
            building = directory() / f"building-{name}"
            with timed(f"building {what} {entry} (some minutes, once)"):
                build(building)
            building.rename(entry)
        os.utime(entry)
        _prune(directory().glob(f"{kind}-*"), entry)
    return entry


def use(entry: Path, lab: str, state: Path) -> None:
    """Note that a lab's machines need this entry, so that no other checkout removes it."""
    link = entry / "used-by" / lab
    link.parent.mkdir(exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(state)


def release(lab: str) -> None:
    for link in directory().glob(f"*/used-by/{lab}"):
        link.unlink()


def disposable(entries: Iterable[tuple[float, bool, Path]], current: Path, keep: int = KEEP) -> list[Path]:
    """Which of these entries (time of last use, in use, directory) to remove."""
    idle = sorted((when, path) for when, used, path in entries if not used and path != current)
    return [path for _when, path in idle[: max(0, len(idle) - keep)]]


def _prune(directories: Iterable[Path], current: Path) -> None:
    entries = [
        (path.stat().st_mtime, any(link.exists() for link in path.glob("used-by/*")), path)
        for path in directories
        if path.is_dir()
    ]
    for path in disposable(entries, current):
        say(f"removing {path}, which nobody uses")
        shutil.rmtree(path)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another lab is building the same; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
