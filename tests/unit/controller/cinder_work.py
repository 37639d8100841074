# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules' work with one configuration, called as the modules call it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible_collections.brickwork.storage.plugins.module_utils.controller import (
    backend_info,
    connection_info,
    connections,
    snapshots,
    volumes,
)


class Controller:
    """The modules' work with one configuration."""

    def __init__(self, config: Path) -> None:
        self._config = str(config)

    def connect(self, *names: str, check_mode: bool = False, **given: Any) -> dict[str, Any]:
        params: dict[str, Any] = {
            "connector": None,
            "host": None,
            "backend": None,
            "shared": False,
            "all_hosts": False,
            "fenced": False,
        }
        params.update(volumes=list(names or ["a"]), state="present", timeout=5, config=self._config)
        return connections.work({**params, **given}, check_mode)

    def release(self, *names: str, **given: Any) -> dict[str, Any]:
        return self.connect(*names, state="absent", **given)

    def volume(self, *names: str, check_mode: bool = False, **given: Any) -> dict[str, Any]:
        params = {"volumes": list(names), "size": None, "backend": None, "state": "present", "config": self._config}
        params.update(snapshot=None, source_volume=None)
        return volumes.work({**params, **given}, check_mode)

    def snapshot(self, *names: str, check_mode: bool = False, **given: Any) -> dict[str, Any]:
        params = {"snapshots": list(names), "volume": "a", "backend": None, "state": "present", "config": self._config}
        return snapshots.work({**params, **given}, check_mode)

    def seen(self) -> dict[str, Any]:
        return connection_info.info({"backend": None, "volumes": None, "config": self._config}, False)

    def backend(self) -> dict[str, Any]:
        (found,) = backend_info.info({"backend": None, "drivers": False, "config": self._config}, False)["backends"]
        told: dict[str, Any] = found
        return told
