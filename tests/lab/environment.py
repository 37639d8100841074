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
PIP = (Path(__file__).resolve().parents[2] / ".venv/bin/python", "-m", "pip")

# Run by the environment's Python, as pip would do it there: a program's name and path.
_WRITE_PROGRAM = """
import importlib.metadata, pathlib, sys
name, path = sys.argv[1], pathlib.Path(sys.argv[2])
(found,) = importlib.metadata.entry_points(group="console_scripts", name=name)
path.write_text(f"#!{sys.executable}\\nimport sys\\nfrom {found.module} import {found.attr}\\nsys.exit({found.attr}())\\n")
path.chmod(0o755)
"""


@dataclass(frozen=True)
class Environment:
    path: str  # on the machines
    requirements: Path  # pins everything: what its packages need in turn, too
    imports: str  # a module whose import tells that nothing is missing
    programs: tuple[str, ...] = ()  # those of its packages' that somebody starts
    sees_system: bool = False  # Debian's packages, for libraries that pip has not, such as Ceph's

    def make(self, root: Path, version: str) -> None:
        """Make it in a machine's root directory, for the version of Python that the machine has."""
        directory = root / self.path.lstrip("/")
        packages = directory / f"lib/python{version}/site-packages"
        options = ["--without-pip", *(["--system-site-packages"] if self.sees_system else [])]
        run("chroot", root, "/usr/bin/python3", "-m", "venv", *options, self.path)
        run(
            *PIP, "install", "--quiet", "--disable-pip-version-check", "--no-compile", "--no-deps",
            "--only-binary=:all:", f"--python-version={version}", f"--target={packages}",
            f"--requirement={self.requirements}",
        )  # fmt: skip
        # Its programs would start with this computer's Python.
        shutil.rmtree(packages / "bin", ignore_errors=True)
        python = f"{self.path}/bin/python3"
        for program in self.programs:
            run("chroot", root, python, "-c", _WRITE_PROGRAM, program, f"{self.path}/bin/{program}")
        run("chroot", root, python, "-m", "compileall", "-q", f"{self.path}/lib")
        run("chroot", root, python, "-c", f"import {self.imports}")
