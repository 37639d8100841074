# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Python virtual environment of the machines, filled by this computer's pip, as they have no way out."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from .commands import run

# The checkout's own: its version is pinned, where a distribution's Python may have no pip at all.
_PIP = (Path(__file__).resolve().parents[2] / ".venv/bin/python", "-m", "pip")


@dataclass(frozen=True)
class Environment:
    path: str  # on the machines
    python: str  # the machines' own version, as in 3.13
    requirements: Path  # pins everything: what its packages need in turn, too
    imports: str  # a module whose import tells that nothing is missing

    def make(self, root: Path) -> None:
        """Make it in a machine's root directory."""
        directory = root / self.path.lstrip("/")
        packages = directory / f"lib/python{self.python}/site-packages"
        run("chroot", root, "/usr/bin/python3", "-m", "venv", "--without-pip", self.path)
        run(
            *_PIP, "install", "--quiet", "--disable-pip-version-check", "--no-compile", "--no-deps",
            "--only-binary=:all:", f"--python-version={self.python}", f"--target={packages}",
            f"--requirement={self.requirements}",
        )  # fmt: skip
        # Its programs would start with this computer's Python.
        shutil.rmtree(packages / "bin", ignore_errors=True)
        python = f"{self.path}/bin/python3"
        run("chroot", root, python, "-m", "compileall", "-q", f"{self.path}/lib")
        run("chroot", root, python, "-c", f"import {self.imports}")
