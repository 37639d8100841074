# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""User-Mode Linux: machines as ordinary processes, without virtualisation."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from . import plan
from .errors import LabError
from .image import Image, Kernel

_PROGRAM = Path("/usr/bin/linux.uml")
_MODULES = Path("/usr/lib/uml/modules")
_XSTATE_SOURCE = Path(__file__).resolve().parent / "uml-xstate.c"


def kernel() -> Kernel:
    if not _PROGRAM.exists():
        raise LabError("User-Mode Linux is missing: install the Debian package user-mode-linux")
    version = subprocess.run([_PROGRAM, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    return Kernel(
        "uml",
        version,
        modules=_MODULES / version,
        program=_PROGRAM,
        preload=_XSTATE_SOURCE,
    )


def command(machine: plan.Machine, mark: str, memory: int, image: Image, disk: Path, seed: Path, run: Path) -> list[str]:
    """The command line of a machine with `memory` MiB; `run` holds its management sockets."""
    # gro=1: without it large frames are dropped, and everything takes minutes.
    networks = (
        f"vec{number}:transport=tap,ifname={interface.tap},depth=128,gro=1,mac={interface.mac}"
        for number, interface in enumerate(machine.interfaces)
    )
    return [
        str(image.kernel),
        f"umid={mark}",
        f"uml_dir={run}",
        f"mem={memory}M",
        f"ubd0={disk},{image.root}",
        f"ubd1rd={seed}",
        *networks,
        "con=null",
        "con0=null,fd:1",
        "root=/dev/ubda",
        "rw",
        "lab_root=/dev/ubda",
        "lab_seed=/dev/ubdb",
        "init=/usr/lib/lab/init",
    ]


def environment(image: Image) -> Mapping[str, str]:
    return {"LD_PRELOAD": str(image.preload)}
