# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How volumes come to this host and leave it: what every engine does."""

from __future__ import annotations

from abc import ABC, abstractmethod

from ansible_collections.brickwork.storage.plugins.module_utils.host.attempt import Attempt
from ansible_collections.brickwork.storage.plugins.module_utils.host.removal import Removal
from ansible_collections.brickwork.storage.plugins.module_utils.host.sysfs import Sysfs
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline

# For writes to the kernel. One that hangs on a dead path must not hold up what comes by the others until the call's time is over.
WRITE_SECONDS = 5.0


class Engine(ABC):
    """What brings the volumes of some protocols to this host and takes them away; one object for one batch.

    It never decides whether a volume may leave, nor whether it has come: it acts, and notes what failed.

    Args:
        view: the host.
        deadline: for the whole call.
    """

    def __init__(self, view: Sysfs, deadline: Deadline) -> None:
        self._view = view
        self._deadline = deadline

    @classmethod
    @abstractmethod
    def require(cls) -> None:
        """See that this host has what the engine needs, before anything is begun.

        Raises:
            StorageError: C(failed_precondition), saying what to install.
            AnotherInterpreterError: where the module is to go on in another interpreter.
        """

    @abstractmethod
    def start(self, attempts: list[Attempt]) -> None:
        """Begin to bring volumes here, all at once, without waiting for them."""

    @abstractmethod
    def go_on(self, attempts: list[Attempt]) -> None:
        """Do what is due for those that have not come yet, and note by which portals they cannot come, and why."""

    @abstractmethod
    def end(self, attempts: list[Attempt]) -> None:
        """Do what is left to do for those that have come."""

    @abstractmethod
    def settle(self, removals: list[Removal]) -> None:
        """Let end what a call that was killed has left running: what it still brings would come when nobody looks."""

    @abstractmethod
    def take_away(self, removals: list[Removal]) -> None:
        """Take volumes away that nothing uses and that are flushed; what does not leave is told in its C(error)."""
