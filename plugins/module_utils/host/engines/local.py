# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Devices that this host has of itself: there is nothing to bring and nothing to take away, only to verify."""

from __future__ import annotations

from typing import cast

from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.host.attempt import Attempt
from ansible_collections.brickwork.storage.plugins.module_utils.host.engines.engine import Engine
from ansible_collections.brickwork.storage.plugins.module_utils.host.plan import is_too_small
from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols.local import LocalExport
from ansible_collections.brickwork.storage.plugins.module_utils.host.removal import Removal


class Local(Engine):
    """Whether a device is the volume, is seen at the first look; waiting changes nothing."""

    @classmethod
    def require(cls) -> None:
        """Nothing is needed."""

    def start(self, attempts: list[Attempt]) -> None:
        for attempt in attempts:
            export = cast(LocalExport, attempt.export)
            attempt.found = export.find(self._view, None)
            if not attempt.found.paths:
                attempt.error = StorageError(
                    "not_found",
                    f"{export.device_path} is not a block device of this host. Connect the volume again, or see why it is missing.",
                )
            elif is_too_small(attempt.wanted.connection.volume, attempt.found):
                attempt.error = attempt.late()

    def go_on(self, attempts: list[Attempt]) -> None:
        """Nothing is under way."""

    def end(self, attempts: list[Attempt]) -> None:
        """Nothing is left to do."""

    def settle(self, removals: list[Removal]) -> None:
        """Nothing was begun."""

    def take_away(self, removals: list[Removal]) -> None:
        """The device stays; that it was flushed is all."""
