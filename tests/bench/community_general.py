# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection community.general, one of the ways compared: taken from the Python package C(ansible), kept in a cache."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from .errors import BenchmarkError
from .say import say

# The newest for the ansible-core of tests/requirements.txt.
PACKAGE = "ansible==12.3.0"
WANTED = "ansible_collections/community/general/"


def collections() -> Path:
    """Where it is."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "brickwork-bench" / PACKAGE.replace("==", "-")


def fetch() -> None:
    """Have it in the cache.

    Raises:
        BenchmarkError: when the package cannot be had.
    """
    place = collections()
    if place.is_dir():
        return
    say(f"fetching community.general from {PACKAGE}")
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent) as name:
        temporary = Path(name)
        pip = [sys.executable, "-m", "pip", "download", "-qq", "--disable-pip-version-check", "--no-deps"]
        options = ["--only-binary", ":all:", "--dest", name]
        if subprocess.run([*pip, *options, PACKAGE], check=False).returncode:
            raise BenchmarkError(f"{PACKAGE} cannot be downloaded; leave this way out with --ways")
        with zipfile.ZipFile(next(temporary.glob("*.whl"))) as wheel:
            wheel.extractall(temporary / "new", [file for file in wheel.namelist() if file.startswith(WANTED)])
        (temporary / "new").rename(place)
