# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""User-Mode Linux: machines as ordinary processes, without virtualisation."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from .commands import run
from .errors import LabError
from .hypervisor import INIT, UML, Boot
from .image import Image, Kernel

_PROGRAM = Path("/usr/bin/linux.uml")
_MODULES = Path("/usr/lib/uml/modules")
_XSTATE = Path(__file__).resolve().parent / "uml-xstate.c"


class Uml:
    name = UML
    seconds_to_boot = 300

    def kernel(self) -> Kernel:
        if not _PROGRAM.exists():
            raise LabError("User-Mode Linux is missing: install the Debian package user-mode-linux")
        version = subprocess.run([_PROGRAM, "--version"], capture_output=True, text=True, check=True).stdout.strip()

        def add(root: Path, image: Image) -> None:
            shutil.copytree(_MODULES / version, root / "usr/lib/modules" / version, symlinks=True)
            run("depmod", "-b", root, version)
            # A copy, as an upgrade of the package must not part the program from its modules.
            shutil.copy2(_PROGRAM, image.kernel)
            run("gcc", "-O2", "-shared", "-fPIC", "-o", _preloaded(image), _XSTATE)

        return Kernel(UML, (version, _XSTATE.read_text()), (), add)

    def make_disk(self, boot: Boot) -> None:
        """UML makes its copy-on-write file itself."""

    def command(self, boot: Boot) -> list[str]:
        # gro=1: without it large frames are dropped, and everything takes minutes.
        networks = (
            f"vec{number}:transport=tap,ifname={interface.tap},depth=128,gro=1,mac={interface.mac}"
            for number, interface in enumerate(boot.machine.interfaces)
        )
        return [
            str(boot.image.kernel),
            f"umid={boot.mark}",
            f"uml_dir={boot.sockets}",
            f"mem={boot.memory}M",
            f"ubd0={boot.disk},{boot.image.root}",
            f"ubd1rd={boot.seed}",
            *networks,
            "con=null",
            "con0=null,fd:1",
            "root=/dev/ubda",
            "rw",
            "lab_root=/dev/ubda",
            "lab_seed=/dev/ubdb",
            f"init={INIT}",
        ]

    def environment(self, boot: Boot) -> Mapping[str, str]:
        return {"LD_PRELOAD": str(_preloaded(boot.image))}


def _preloaded(image: Image) -> Path:
    return image.directory / "uml-xstate.so"
