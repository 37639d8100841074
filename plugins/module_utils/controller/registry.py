# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which volume_driver is which backend."""

from __future__ import annotations

import re
from typing import Callable, Optional

from ansible_collections.brickwork.storage.plugins.module_utils.controller import config, rules
from ansible_collections.brickwork.storage.plugins.module_utils.controller.backend import Backend
from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm.backend import LvmBackend
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline

# How the names of Cinder's drivers begin.
CINDER = "cinder.volume.drivers."
# A module and a class of one, however they begin.
_CINDERS = re.compile(r"(?:cinder\.)?(?:volumes?\.)?(?:drivers?\.)?(\w+(?:\.\w+)+)")

# What follows is imported by who uses it alone: each takes as long as the built-in backend's whole code, which Ansible's modules
# compile anew in each call.


def _cinder(section: config.Section, deadline: Deadline) -> Backend:
    from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder.backend import CinderBackend

    return CinderBackend.from_section(section, deadline)


def _cinder_service(section: config.Section, deadline: Deadline) -> Backend:
    from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder_service.backend import (
        CinderServiceBackend,
    )

    return CinderServiceBackend.from_section(section, deadline)


DRIVERS: dict[str, Callable[[config.Section, Deadline], Backend]] = {
    "cinder_service": _cinder_service,
    "lvm": LvmBackend.from_section,
}


def open_backends(path: str, name: Optional[str], seconds: float) -> dict[str, Backend | StorageError]:
    """The backend of this name, or all that are enabled, by name; one that cannot be opened with the reason.

    Args:
        path: of the configuration.
        name: of the backend; None for all.
        seconds: in which what is asked of each must have ended; one that says nothing must not hide the others.

    Raises:
        StorageError: C(not_found) without the file or the backend; C(invalid_argument) where the file enables none.
    """
    enabled = config.names_of_enabled(path)
    if name is not None and name not in enabled:
        config.enabled(path, name)  # which says what there is
    backends: dict[str, Backend | StorageError] = {}
    for each in enabled if name is None else [name]:
        try:
            backends[each] = open_backend(path, each, Deadline(seconds))
        except StorageError as error:
            backends[each] = error
    return backends


def open_backend(path: str, name: Optional[str], deadline: Deadline) -> Backend:
    """The backend of this name, or the only enabled one.

    Args:
        path: of the configuration.
        name: of the backend; None where there is but one.
        deadline: by when everything that is asked of it must have ended.
    """
    section = config.enabled(path, name)
    if section.driver.startswith(CINDER):
        return _cinder(section, deadline)
    if section.driver not in DRIVERS:
        raise unknown_driver(section)
    return DRIVERS[section.driver](section, deadline)


def unknown_driver(section: config.Section) -> StorageError:
    """The failure where there is no such driver."""
    named = _CINDERS.fullmatch(section.driver)
    candidates = rules.near(section.driver, DRIVERS) or ([CINDER + named[1]] if named else [])
    hint = f"; did you mean {' or '.join(candidates)}?" if candidates else ""
    return section.error(
        "volume_driver",
        f"there is no driver {section.driver!r}; there is {', '.join(DRIVERS)}, and Cinder's, {CINDER}…{hint}",
        candidates=candidates,
    )
