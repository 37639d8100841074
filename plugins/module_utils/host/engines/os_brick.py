# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""os-brick's connectors, for every protocol that is not done by hand here."""

from __future__ import annotations

from typing import Optional, cast

from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.host import brick
from ansible_collections.brickwork.storage.plugins.module_utils.host.attempt import Attempt
from ansible_collections.brickwork.storage.plugins.module_utils.host.engines.engine import Engine
from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols.export import BrickExport
from ansible_collections.brickwork.storage.plugins.module_utils.host.removal import Removal


class OsBrick(Engine):
    """One process for a batch; os-brick's own lock lets only one volume through at a time anyway."""

    _attempts: list[Attempt]
    _calls: Optional[brick.Calls] = None

    @classmethod
    def require(cls) -> None:
        brick.require()

    def start(self, attempts: list[Attempt]) -> None:
        self._attempts = attempts
        for attempt in attempts:
            attempt.start({})
        self._calls = brick.Calls(
            [brick.Call(cast(BrickExport, attempt.export), attempt.wanted.multipath) for attempt in attempts]
        )

    def go_on(self, attempts: list[Attempt]) -> None:
        for answer in self._calls.answers() if self._calls else []:
            attempt = self._attempts[answer.number]
            attempt.attach_info = cast(BrickExport, attempt.export).to_keep(self._view, answer.device)
            found = {path.portal for path in attempt.export.find(self._view, None).paths}
            for address in attempt.export.addresses:
                if address not in found:
                    attempt.failures[address] = answer.failure or "os-brick brought no path by it"

    def end(self, attempts: list[Attempt]) -> None:
        if self._calls:
            self._calls.stop()

    def settle(self, removals: list[Removal]) -> None:
        """A call of os-brick that goes on after a kill holds the lock of the module that began it: by now it has ended."""

    def take_away(self, removals: list[Removal]) -> None:
        now = self._view.glance()
        # What is not there any more, os-brick would look for in vain.
        there = [removal for removal in removals if removal.find(now).node]
        calls = [
            brick.Call(
                cast(BrickExport, removal.export),
                removal.multipath,
                removal.attach_info or removal.export.attach_info(removal.find(now)),
                removal.force,
            )
            for removal in there
        ]
        answers = {answer.number: answer for answer in brick.Calls(calls).wait(self._deadline)} if calls else {}
        for number, removal in enumerate(there):
            answer = answers.get(number)
            if answer is None:
                removal.error = StorageError("deadline_exceeded", "os-brick did not take it away in time; repeat it.")
            elif answer.failure:
                removal.error = StorageError("internal", f"os-brick could not take it away: {answer.failure}")
