# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of the kernel and of udev, which may be gone at any moment."""

from __future__ import annotations

from pathlib import Path


def text(path: Path) -> str:
    """A file's text without the blanks around it; empty where it is gone."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def entries(directory: Path) -> list[Path]:
    """What is in a directory, by name; nothing where it is gone."""
    try:
        return sorted(directory.iterdir())
    except OSError:
        return []
