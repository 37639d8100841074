# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of the kernel and of udev, which may be gone at any moment."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Union

BUFFER_BYTES = 65536

# A path may be text: joining paths otherwise took half of the time that a look at the host does.
AnyPath = Union[str, Path]


def text(path: AnyPath) -> str:
    """A file's text without the blanks around it; empty where it is gone."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        # The kernel may hand out less than it has. A Python file makes more calls, and a look at the host reads hundreds of files.
        found = part = os.read(descriptor, BUFFER_BYTES)
        while part:
            part = os.read(descriptor, BUFFER_BYTES)
            found += part
        return found.decode("utf-8", "replace").strip()
    except OSError:
        return ""
    finally:
        os.close(descriptor)


def link(path: AnyPath) -> str:
    """What a symbolic link says; empty where it is gone or none."""
    try:
        return os.readlink(path)
    except OSError:
        return ""


def names_in(directory: AnyPath) -> list[str]:
    """The names of what is in a directory, in order; none where it is gone."""
    try:
        return sorted(os.listdir(directory))
    except OSError:
        return []


def entries(directory: Path) -> list[Path]:
    """What is in a directory, by name; nothing where it is gone."""
    return [directory / name for name in names_in(directory)]


def plain(word: str) -> str:
    """A word as it is, where the kernel writes blanks and the like in octal."""
    if "\\" not in word:
        return word
    return re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), word)
