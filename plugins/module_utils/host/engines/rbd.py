# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""RBD images as block devices: os-brick maps them, and the kernel is told which device to let go of.

os-brick would let go of the first image of that name, in whichever pool.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from pathlib import Path
from typing import Optional, cast

from ansible_collections.brickwork.storage.plugins.module_utils.apart import write_attributes
from ansible_collections.brickwork.storage.plugins.module_utils.commands import ENVIRONMENT
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.host import rbd_mappings
from ansible_collections.brickwork.storage.plugins.module_utils.host.attempt import Attempt
from ansible_collections.brickwork.storage.plugins.module_utils.host.engines.os_brick import OsBrick
from ansible_collections.brickwork.storage.plugins.module_utils.host.probing import PROBE_SECONDS, unreachable
from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols.rbd import RbdExport
from ansible_collections.brickwork.storage.plugins.module_utils.host.removal import Removal, refusal, remaining

# os-brick writes the keyring into a file for rbd to read, and forgets about it. In memory, and readable by root alone.
KEYRINGS = Path("/run/brickwork/rbd")
RETRY_SECONDS = 0.5
# The error numbers that rbd puts in brackets before their words.
NOT_FOUND = 2
REFUSED = {1, 13}


class Rbd(OsBrick):
    """os-brick is asked only for what is not mapped yet."""

    @classmethod
    def require(cls) -> None:
        super().require()
        if shutil.which("rbd", path=ENVIRONMENT["PATH"]) is None:
            raise StorageError("failed_precondition", "rbd is not installed on this host; install ceph-common.")

    def start(self, attempts: list[Attempt]) -> None:
        now = self._view.glance()
        new = [attempt for attempt in attempts if not attempt.export.find(now, attempt.record.wwn).paths]
        monitors = [monitor for attempt in new for monitor in _export(attempt).monitors]
        dead = unreachable(monitors, self._deadline.within(PROBE_SECONDS))
        for attempt in new:
            attempt.error = self._hindrance(_export(attempt), dead)
        mapping = [attempt for attempt in new if attempt.error is None]
        if mapping:
            _forget_keyrings()
            KEYRINGS.mkdir(mode=0o700, parents=True)
            tempfile.tempdir = str(KEYRINGS)
            try:
                super().start(mapping)
            finally:
                tempfile.tempdir = None

    def go_on(self, attempts: list[Attempt]) -> None:
        super().go_on(attempts)
        for attempt in attempts:
            attempt.attach_info.pop("conf", None)
            complaint = attempt.failures.get(attempt.export.addresses[0])
            if complaint:
                attempt.error = _failure(_export(attempt), complaint)

    def end(self, attempts: list[Attempt]) -> None:
        super().end(attempts)
        _forget_keyrings()

    def settle(self, removals: list[Removal]) -> None:
        super().settle(removals)
        # Of a call that was killed.
        _forget_keyrings()

    def take_away(self, removals: list[Removal]) -> None:
        waiting = [removal for removal in removals if removal.whole]
        for removal in waiting:
            removal.error = self._foreign(removal)
        while not self._deadline.passed:
            now = self._view.glance()
            waiting = [removal for removal in remaining(waiting) if removal.find(now).paths]
            writes = []
            for removal in waiting:
                devices = [path.device for path in removal.find(now).paths]
                writes += rbd_mappings.removals(self._view, devices, removal.force)
            if not writes:
                return
            write_attributes(writes, self._deadline)
            now = self._view.glance()
            for removal in waiting:
                if removal.find(now).paths:
                    removal.error = refusal(self._view, removal, removal.find(now))
                    time.sleep(min(RETRY_SECONDS, self._deadline.remaining()))

    def _hindrance(self, export: RbdExport, dead: dict[str, str]) -> Optional[StorageError]:
        """Why an image cannot be mapped, as far as that can be known before."""
        silent = [monitor.address for monitor in export.monitors if monitor.address in dead]
        if len(silent) == len(export.monitors):
            reasons = "; ".join(f"{address}: {dead[address]}" for address in silent)
            message = f"No monitor of the cluster answers ({reasons}). Check the storage networks and the cluster."
            return StorageError("unavailable", message, portals=silent)
        for mapping in rbd_mappings.mappings_of(self._view, export.pool, export.image):
            return StorageError(
                "failed_precondition",
                f"{export.pool}/{export.image} of another cluster is on this host as /dev/{mapping.device}, through the monitors "
                f"{', '.join(sorted(mapping.monitors))}: both would be {export.link}. Take that one away first.",
            )
        return None

    def _foreign(self, removal: Removal) -> Optional[StorageError]:
        """Why what is mapped under the volume's name must stay."""
        found = removal.find(self._view)
        others = [path for path in found.paths if removal.wwn and path.wwid and path.wwid != removal.wwn]
        if not others:
            return None
        devices = ", ".join(f"/dev/{path.device}" for path in others)
        return StorageError(
            "data_loss",
            f"{devices} has the name of the volume, but is another image ({others[0].wwid}, not {removal.wwn}); it was left as it "
            "is. Where nobody needs it, unmap it with `rbd unmap`, then repeat the detach.",
            expected=removal.wwn,
            found=sorted(str(path.wwid) for path in others),
        )


def _export(attempt: Attempt) -> RbdExport:
    return cast(RbdExport, attempt.export)


def _failure(export: RbdExport, complaint: str) -> StorageError:
    """What rbd's complaint means."""
    said = re.sub(r"^.*Stderr: ['\"]?", "", complaint).replace("\\n", " ").rstrip("'\" ")
    numbers = {int(number) for number in re.findall(r"\((\d+)\) ", said)}
    user = export.data["auth_username"] or "admin"
    name = f"{export.pool}/{export.image}"
    # Its monitors have just answered: what is left for rbd not to say is that they refused the key.
    if numbers & REFUSED or "couldn't connect to the cluster" in said:
        advice = f"Check the keyring of client.{user} and what it may do in the pool."
        return StorageError("permission_denied", f"The cluster refuses {name} to client.{user} ({said}). {advice}")
    if NOT_FOUND in numbers:
        return StorageError("not_found", f"The cluster has no image {name} ({said}). Check pool and image.")
    return StorageError("failed_precondition", f"{name} could not be mapped ({said}).")


def _forget_keyrings() -> None:
    shutil.rmtree(KEYRINGS, ignore_errors=True)
