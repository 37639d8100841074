# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts built again from what capture.py wrote, as they were or with a change."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from ansible_collections.brickwork.storage.plugins.module_utils.host.device_mapper import path_states
from ansible_collections.brickwork.storage.plugins.module_utils.host.sysfs import Session, Sysfs

CAPTURED = Path(__file__).parent / "trees"


class Tree:
    """A host under a root of its own.

    Args:
        root: where it is built.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.map_status: dict[str, str] = {}
        root.mkdir()

    @classmethod
    def captured(cls, name: str, root: Path) -> Tree:
        """A host as it was captured from the lab."""
        saved = json.loads((CAPTURED / f"{name}.json").read_text(encoding="utf-8"))
        tree = cls(root)
        tree.map_status = saved["map_status"]
        for path, entry in saved["entries"].items():
            tree.put(path, entry)
        return tree

    @property
    def view(self) -> Sysfs:
        """The code's own view of it; device-mapper answers as it did when the tree was captured."""
        return Sysfs(self.root, lambda alias: path_states(self.map_status.get(alias, "")))

    def put(self, path: str, entry: str | dict[str, str]) -> None:
        """Make or replace a file by its text, or a link by {"link": where to}."""
        here = self._inside(path)
        here.parent.mkdir(parents=True, exist_ok=True)
        here.unlink(missing_ok=True)
        if isinstance(entry, str):
            here.write_text(entry, encoding="utf-8")
        else:
            here.symlink_to(entry["link"])

    def remove(self, path: str) -> None:
        """Take a file, a link, or a directory with all in it away."""
        here = self._inside(path)
        if here.is_symlink() or here.is_file():
            here.unlink()
        else:
            shutil.rmtree(here)

    def resolve(self, path: str) -> str:
        """The path behind the links on the way."""
        return "/" + os.path.relpath(os.path.realpath(self._inside(path)), self.root)

    def link(self, path: str) -> str:
        """Where a link points to, as it is written."""
        return os.readlink(self._inside(path))

    def session(self, portal: str) -> Session:
        """The session by a portal."""
        return next(session for session in self.view.sessions() if session.portal == portal)

    def _inside(self, path: str) -> Path:
        return self.root / path.lstrip("/")


# Builds a captured tree by its name.
Capture = Callable[[str], Tree]
