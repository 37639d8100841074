# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engines, by the name under which a protocol asks for one. Each is imported where a volume of the batch needs it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar, Union

from ansible_collections.brickwork.storage.plugins.module_utils.host.attempt import Attempt
from ansible_collections.brickwork.storage.plugins.module_utils.host.engines.engine import Engine
from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols.export import Export
from ansible_collections.brickwork.storage.plugins.module_utils.host.removal import Removal
from ansible_collections.brickwork.storage.plugins.module_utils.host.sysfs import Sysfs
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline

Task = TypeVar("Task", bound=Union[Attempt, Removal])


def engine_named(name: str) -> type[Engine]:
    """The engine of that name.

    Raises:
        KeyError: where there is none.
    """
    if name == "fibre_channel":
        from ansible_collections.brickwork.storage.plugins.module_utils.host.engines.fibre_channel import FibreChannel

        return FibreChannel
    if name == "iscsi":
        from ansible_collections.brickwork.storage.plugins.module_utils.host.engines.iscsi import Iscsi

        return Iscsi
    if name == "local":
        from ansible_collections.brickwork.storage.plugins.module_utils.host.engines.local import Local

        return Local
    if name == "nfs":
        from ansible_collections.brickwork.storage.plugins.module_utils.host.engines.nfs import Nfs

        return Nfs
    if name == "nvme":
        from ansible_collections.brickwork.storage.plugins.module_utils.host.engines.nvme import Nvme

        return Nvme
    if name == "os_brick":
        from ansible_collections.brickwork.storage.plugins.module_utils.host.engines.os_brick import OsBrick

        return OsBrick
    if name == "rbd":
        from ansible_collections.brickwork.storage.plugins.module_utils.host.engines.rbd import Rbd

        return Rbd
    raise KeyError(name)


def by_engine(tasks: Iterable[Task], view: Sysfs, deadline: Deadline) -> list[tuple[Engine, list[Task]]]:
    """The engines that a batch needs, each with its part of it."""
    parts: dict[str, list[Task]] = {}
    for task in tasks:
        parts.setdefault(task.export.engine, []).append(task)
    return [(engine_named(name)(view, deadline), part) for name, part in parts.items()]


def require(exports: Iterable[Export]) -> None:
    """See that this host has what a batch needs, before anything is begun.

    Raises:
        StorageError, AnotherInterpreterError: see Engine.require.
    """
    for name in sorted({export.engine for export in exports}):
        engine_named(name).require()
