# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that others may read at any moment."""

from __future__ import annotations

from pathlib import Path


def write(path: Path, text: str, mode: int = 0o644) -> None:
    """Replace a file at once, so that nobody reads half of it."""
    temporary = path.with_name(f"{path.name}.new")
    temporary.write_text(text)
    temporary.chmod(mode)
    temporary.rename(path)
