# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What volume_backend_info does: the backends of a controller, what they can do, and how full they are. It changes nothing."""

from __future__ import annotations

from typing import Any

from ansible_collections.brickwork.storage.plugins.module_utils.controller.backend import Backend
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder import catalogue
from ansible_collections.brickwork.storage.plugins.module_utils.controller.connection_info import BACKEND_SECONDS
from ansible_collections.brickwork.storage.plugins.module_utils.controller.registry import open_backends
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline

# To import all of Cinder's drivers.
CATALOGUE_SECONDS = 120


def info(params: dict[str, Any], _check_mode: bool) -> dict[str, Any]:
    """Look at the backends of a controller.

    Args:
        params: of C(volume_backend_info).

    Returns:
        C(backends), one that cannot be used among them, with the reason: it must not hide the others. With C(drivers) the drivers of
        Cinder that there are; see catalogue.drivers.
    """
    if params["drivers"]:
        return {"changed": False, "backends": [], "drivers": catalogue.drivers(Deadline(CATALOGUE_SECONDS))}
    backends = open_backends(params["config"], params["backend"], BACKEND_SECONDS)
    return {"changed": False, "backends": [_tell(name, backend) for name, backend in backends.items()]}


def _tell(name: str, backend: Backend | StorageError) -> dict[str, Any]:
    try:
        if isinstance(backend, StorageError):
            raise backend
        backend = backend.until(Deadline(BACKEND_SECONDS))
        capacity = backend.capacity()
        return {
            "name": name,
            "usable": True,
            "driver": backend.driver,
            "protocol": backend.protocol,
            "capabilities": sorted(backend.capabilities),
            "total_bytes": capacity.total_bytes,
            "free_bytes": capacity.free_bytes,
            "volumes": len(backend.inventory().volumes),
            "error": None,
        }
    except StorageError as error:
        nothing = dict.fromkeys(("driver", "protocol", "total_bytes", "free_bytes", "volumes"))
        return {"name": name, "usable": False, "capabilities": [], "error": error.as_dict(), **nothing}
