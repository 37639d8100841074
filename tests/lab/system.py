# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the machines run: Debian's releases, with the packages and virtual environments added to each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from . import plan
from .environment import Environment

_HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class System:
    name: str
    suite: str
    python: str  # its own version, as in 3.13
    package_lists: tuple[Path, ...]
    overlays: tuple[Path, ...]  # directories of files that are added
    environments: tuple[Environment, ...] = ()

    @property
    def packages(self) -> list[str]:
        return [line for path in self.package_lists for line in lines(path)]


def lines(path: Path) -> list[str]:
    """A list's entries, one a line."""
    return [line for line in path.read_text().splitlines() if line and not line.startswith("#")]


_EVERYWHERE = _HERE / "rootfs-packages.txt"
_BARE = _HERE / "rootfs-packages-bare.txt"
_FILES = _HERE / "rootfs"
_FILES_FOR_STORAGE = _HERE / "rootfs-storage"

DEBIAN13 = System(
    plan.DEBIAN13,
    "trixie",
    "3.13",
    (_EVERYWHERE, _HERE / "rootfs-packages-debian13.txt"),
    (_FILES, _FILES_FOR_STORAGE),
    (
        Environment("/opt/os-brick-7.1", _HERE / "rootfs-os-brick-7.1.txt", imports="os_brick.initiator.connector"),
        # As controller_setup makes it.
        Environment(
            "/opt/brickwork/cinder",
            _HERE / "rootfs-cinder-29.txt",
            imports="cinder.volume.driver",
            programs=("cinder-rtstool",),
            sees_system=True,
        ),
    ),
)
DEBIAN12 = System(plan.DEBIAN12, "bookworm", "3.11", (_EVERYWHERE,), (_FILES, _FILES_FOR_STORAGE))
BARE13 = System(plan.BARE13, DEBIAN13.suite, DEBIAN13.python, (_BARE,), (_FILES,))
BARE12 = System(plan.BARE12, DEBIAN12.suite, DEBIAN12.python, (_BARE,), (_FILES,))

SYSTEMS = {system.name: system for system in (DEBIAN13, DEBIAN12, BARE13, BARE12)}
