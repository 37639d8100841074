# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The drivers that Cinder has on this controller: those that load, with their protocol and options."""

from __future__ import annotations

import importlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder import loading, options, translation
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder.worker import Worker
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline

_ATTRIBUTES = ("storage_protocol", "STORAGE_PROTOCOL", "driver_volume_type", "PROTOCOL", "protocol")
# In the names of drivers, and of the classes that they come from.
_NAMED = {
    "iscsi": re.compile("iscsi", re.IGNORECASE),
    "fibre_channel": re.compile("FibreChannel|FC(?=[A-Z]|$)"),
    "nvmeof": re.compile("nvme", re.IGNORECASE),
    "nfs": re.compile("nfs", re.IGNORECASE),
    "rbd": re.compile("(?<!d)rbd", re.IGNORECASE),
}


def drivers(deadline: Deadline) -> list[dict[str, Any]]:
    """Every driver of Cinder's package.

    Returns:
        For each C(driver), the volume_driver; C(protocol), the driver_volume_type of its connections, None where that depends on its
        options; C(options), the names of its own; C(maintained), whether Cinder's developers still take it for that; C(error), why it
        does not load, None where it does.

    Raises:
        StorageError: C(failed_precondition) where Cinder is not installed.
    """
    worker = Worker({}, service="catalogue")
    try:
        found: list[dict[str, Any]] = worker.call("drivers", deadline=deadline)
        return found
    finally:
        worker.stop()


def load() -> Catalogue:
    """In the worker's process."""
    loading.silence()
    return Catalogue()


class Catalogue:
    """What the worker's process is asked for the list."""

    def call(self, method: str, arguments: Sequence[Any]) -> list[dict[str, Any]]:
        if method != "drivers":
            raise ValueError(f"unknown method {method!r}")
        import cinder
        from cinder import objects

        objects.register_all()
        names = options.installed_drivers(Path(str(cinder.__file__)).parent)
        classes = {name: _imported(name) for name in names}
        # Not earlier: what some of them import registers it itself.
        loading.register_options_of_the_manager()
        return [_described(name, cls) for name, cls in classes.items()]


def _imported(name: str) -> Any:
    """A driver's class, or why it cannot be imported."""
    module, _dot, class_name = name.rpartition(".")
    try:
        return getattr(importlib.import_module(module), class_name)
    except Exception as error:  # a driver may raise anything; it must not hide the others
        return error


def _described(name: str, cls: Any) -> dict[str, Any]:
    shown: dict[str, Any] = {"driver": name, "protocol": None, "options": [], "maintained": False, "error": None}
    try:
        if isinstance(cls, Exception):
            raise cls
        shown["options"] = sorted({option.dest for option in cls.get_driver_options() or ()})
    except Exception as error:  # the same
        return {**shown, "error": f"{type(error).__name__}: {error}"}
    return {**shown, "protocol": protocol_of(cls), "maintained": bool(cls.SUPPORTED)}


def protocol_of(cls: type) -> Optional[str]:
    """By what a driver's class says of itself, or is called; None where it could be one or the other."""
    for attribute in _ATTRIBUTES:
        told = getattr(cls, attribute, None)
        if isinstance(told, str) and re.fullmatch(r"[A-Za-z][A-Za-z-]+", told):
            return translation.protocol(told)
    for base in cls.__mro__:
        found = [
            protocol for protocol, name in _NAMED.items() if re.search(name, base.__name__.replace("ISCSI", "iscsi"))
        ]
        # A driver on NFS may be the base of one that is not.
        if len(found) == 1:
            return found[0]
    return None
