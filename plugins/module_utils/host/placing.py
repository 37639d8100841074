# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of this host that are put in place whole or not at all."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def put(path: Path, content: str, mode: int) -> bool:
    """Put a file in place, and on the disk before this returns; true where it was another before."""
    with contextlib.suppress(OSError):
        if path.read_text(encoding="utf-8") == content:
            return False
    temporary = _unfinished(path)
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", encoding="utf-8") as file:
        # Whatever the umask, and whatever a call that was killed has left.
        os.fchmod(file.fileno(), mode)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    return True


def remove(path: Path) -> None:
    """Remove a file, and before it what a call that was killed may have left of one that was to take its place."""
    _unfinished(path).unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def _unfinished(path: Path) -> Path:
    # Hidden, so that nobody who reads the directory takes it for a file of its own.
    return path.with_name(f".{path.name}.new")
