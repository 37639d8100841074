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
    package_lists: tuple[Path, ...]
    environments: tuple[Environment, ...] = ()

    @property
    def packages(self) -> list[str]:
        return [line for path in self.package_lists for line in lines(path)]


def lines(path: Path) -> list[str]:
    """A list's entries, one a line."""
    return [line for line in path.read_text().splitlines() if line and not line.startswith("#")]


_EVERYWHERE = _HERE / "rootfs-packages.txt"

DEBIAN13 = System(
    plan.DEBIAN13,
    "trixie",
    (_EVERYWHERE, _HERE / "rootfs-packages-debian13.txt"),
    (
        Environment(
            "/opt/os-brick-7.1", "3.13", _HERE / "rootfs-os-brick-7.1.txt", imports="os_brick.initiator.connector"
        ),
        # As controller_setup makes it.
        Environment(
            "/opt/brickwork/cinder",
            "3.13",
            _HERE / "rootfs-cinder-29.txt",
            imports="cinder.volume.driver",
            programs=("cinder-rtstool",),
            sees_system=True,
        ),
    ),
)
DEBIAN12 = System(plan.DEBIAN12, "bookworm", (_EVERYWHERE,))

SYSTEMS = {system.name: system for system in (DEBIAN13, DEBIAN12)}
