# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NFS: shares mounted below a directory of this collection, one mount for all volumes of a share.

os-brick would mount them, too, and leave them mounted for ever.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Optional, cast

from ansible_collections.brickwork.storage.plugins.module_utils.commands import ENVIRONMENT, Running, run
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.host import processes, shares
from ansible_collections.brickwork.storage.plugins.module_utils.host.attempt import Attempt
from ansible_collections.brickwork.storage.plugins.module_utils.host.engines.engine import Engine
from ansible_collections.brickwork.storage.plugins.module_utils.host.plan import is_too_small
from ansible_collections.brickwork.storage.plugins.module_utils.host.probing import PROBE_SECONDS, unreachable
from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols.nfs import NfsExport
from ansible_collections.brickwork.storage.plugins.module_utils.host.removal import POLL_SECONDS, Removal
from ansible_collections.brickwork.storage.plugins.module_utils.host.sysfs import Sysfs
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline

# mount would start it, and it would go on where mount is ended.
MOUNT = "mount.nfs"
# What a volume's file needs none of.
OPTIONS = ("nodev", "nosuid", "noexec")
REFUSED = ("access denied", "operation not permitted", "permission denied")


class Nfs(Engine):
    """One mount for each share, all at once."""

    def __init__(self, view: Sysfs, deadline: Deadline) -> None:
        super().__init__(view, deadline)
        self._running: dict[str, Running] = {}
        self._batch: list[Removal] = []

    @classmethod
    def require(cls) -> None:
        directories = ENVIRONMENT["PATH"].split(os.pathsep)
        if not any(os.access(os.path.join(directory, MOUNT), os.X_OK) for directory in directories):
            raise StorageError(
                "failed_precondition", f"{MOUNT} is not installed on this host; install nfs-common (nfs-utils)."
            )

    def start(self, attempts: list[Attempt]) -> None:
        asked = [attempt.export.portals[0] for attempt in attempts if _export(attempt).answers_tcp]
        dead = unreachable(asked, self._deadline.within(PROBE_SECONDS))
        for attempt in attempts:
            export = _export(attempt)
            if attempt.start(dead) and not shares.mount_of(self._view, export.share):
                self._mount(export)

    def _mount(self, export: NfsExport) -> None:
        if export.share not in self._running:
            directory = shares.directory_of(export.share)
            Path(directory).mkdir(parents=True, exist_ok=True)
            options = ",".join([*OPTIONS, *export.options])
            self._running[export.share] = Running([MOUNT, export.share, directory, "-o", options])

    def go_on(self, attempts: list[Attempt]) -> None:
        ended = {share: running for share, running in self._running.items() if running.ended}
        failures = {}
        for share, running in ended.items():
            finished = running.wait(Deadline(1))
            if not finished.succeeded:
                failures[share] = finished.complaint
        for attempt in attempts:
            export = _export(attempt)
            if export.share in failures:
                attempt.error = _failure(export, failures[export.share])
            elif shares.mount_of(self._view, export.share):
                attempt.error = self._flaw(attempt)

    def _flaw(self, attempt: Attempt) -> Optional[StorageError]:
        """Why what is on the share is not the volume; waiting does not mend that."""
        export = _export(attempt)
        if shares.state_of(self._view, export.file) == shares.MISSING:
            return StorageError(
                "not_found",
                f"{export.share} has no file {export.name}. Connect the volume again, or look on the server.",
            )
        found = export.find(self._view, None)
        if found.running_paths and is_too_small(attempt.wanted.connection.volume, found):
            attempt.found = found
            return attempt.late()
        return None

    def end(self, attempts: list[Attempt]) -> None:
        for running in self._running.values():
            if not running.ended:
                running.wait(Deadline(0))

    def settle(self, removals: list[Removal]) -> None:
        self._batch = removals
        directories = _directories(removals)
        while not self._deadline.passed and any(
            MOUNT in line[0] and directories.intersection(line) for line in processes.command_lines(self._view)
        ):
            time.sleep(POLL_SECONDS)

    def take_away(self, removals: list[Removal]) -> None:
        leaving = [removal for removal in removals if removal.whole]
        # Volumes of this call that may not leave, and those that it does not ask for.
        staying = {_share(removal) for removal in self._batch if removal.error}
        staying |= {_share(removal) for removal in leaving if not _owned(removal)}
        for share in sorted({_share(removal) for removal in leaving} - staying):
            its = [removal for removal in leaving if _share(removal) == share]
            error = self._unmount(share, its)
            for removal in its:
                removal.error = error

    def _unmount(self, share: str, removals: list[Removal]) -> Optional[StorageError]:
        mount, directory = shares.mount_of(self._view, share), shares.directory_of(share)
        if mount:
            now = self._view.glance()
            dead = any(removal.find(now).paths and not removal.find(now).running_paths for removal in removals)
            # Without asking the server for anything: it may be dead by now.
            command = ["umount", "--internal-only", "--no-canonicalize"]
            if dead and all(removal.force for removal in removals):
                command += ["--force", "--lazy"]
            finished = run([*command, directory], self._deadline)
            if shares.mount_of(self._view, share):
                using = shares.users_of_mount(self._view, mount)
                return StorageError(
                    "failed_precondition" if using else "deadline_exceeded",
                    f"{share} could not be unmounted from {directory} ({finished.complaint}"
                    f"{'; in use by ' + ', '.join(using) if using else ''}). Stop what uses it, then repeat the detach.",
                    users=using or None,
                )
        with suppress(OSError):
            os.rmdir(directory)
        return None


def _export(task: Attempt | Removal) -> NfsExport:
    return cast(NfsExport, task.export)


def _share(removal: Removal) -> str:
    return _export(removal).share


def _owned(removal: Removal) -> bool:
    return all(removal.owns(portal.address, portal.target) for portal in removal.portals)


def _directories(removals: Iterable[Removal]) -> set[str]:
    return {shares.directory_of(_share(removal)) for removal in removals}


def _failure(export: NfsExport, complaint: str) -> StorageError:
    """What the complaint of mount.nfs means."""
    # Before that it may tell of services that it has started.
    why = complaint.rpartition(f"{MOUNT}: ")[2]
    said = f"{export.share} could not be mounted ({why})."
    if any(words in why.lower() for words in REFUSED):
        return StorageError("permission_denied", f"{said} See that the server exports it to this host.")
    if "no such file" in why.lower():
        return StorageError("not_found", f"{said} See that the server exports this directory.")
    return StorageError("unavailable", f"{said} Check the storage networks and the server.")
