# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands of this computer that must succeed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from .errors import LabError


def run(*command: str | Path) -> str:
    """A command's output; an error if it fails."""
    if not shutil.which(command[0]):
        raise LabError(f"{command[0]} is missing: `tests/bootstrap` installs it")
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )
    if done.returncode:
        raise LabError(f"`{' '.join(map(str, command))}` failed: {done.stderr.strip()}")
    return done.stdout
