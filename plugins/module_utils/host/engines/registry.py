# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engines, by the name under which a protocol asks for one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar, Union

from ansible_collections.brickwork.storage.plugins.module_utils.host.attempt import Attempt
from ansible_collections.brickwork.storage.plugins.module_utils.host.engines.engine import Engine
from ansible_collections.brickwork.storage.plugins.module_utils.host.engines.fibre_channel import FibreChannel
from ansible_collections.brickwork.storage.plugins.module_utils.host.engines.iscsi import Iscsi
from ansible_collections.brickwork.storage.plugins.module_utils.host.engines.local import Local
from ansible_collections.brickwork.storage.plugins.module_utils.host.engines.nfs import Nfs
from ansible_collections.brickwork.storage.plugins.module_utils.host.engines.nvme import Nvme
from ansible_collections.brickwork.storage.plugins.module_utils.host.engines.os_brick import OsBrick
from ansible_collections.brickwork.storage.plugins.module_utils.host.engines.rbd import Rbd
from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols.export import Export
from ansible_collections.brickwork.storage.plugins.module_utils.host.removal import Removal
from ansible_collections.brickwork.storage.plugins.module_utils.host.sysfs import Sysfs
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline

ENGINES: dict[str, type[Engine]] = {
    "fibre_channel": FibreChannel,
    "iscsi": Iscsi,
    "local": Local,
    "nfs": Nfs,
    "nvme": Nvme,
    "os_brick": OsBrick,
    "rbd": Rbd,
}

Task = TypeVar("Task", bound=Union[Attempt, Removal])


def by_engine(tasks: Iterable[Task], view: Sysfs, deadline: Deadline) -> list[tuple[Engine, list[Task]]]:
    """The engines that a batch needs, each with its part of it."""
    parts: dict[str, list[Task]] = {}
    for task in tasks:
        parts.setdefault(task.export.engine, []).append(task)
    return [(ENGINES[name](view, deadline), part) for name, part in parts.items()]


def require(exports: Iterable[Export]) -> None:
    """See that this host has what a batch needs, before anything is begun.

    Raises:
        StorageError, AnotherInterpreterError: see Engine.require.
    """
    for name in sorted({export.engine for export in exports}):
        ENGINES[name].require()
