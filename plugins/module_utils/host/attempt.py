# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One volume on its way to this host: when it has come, and when it cannot come any more. Nothing here touches the host."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.host.attachment import stable_link
from ansible_collections.brickwork.storage.plugins.module_utils.host.found import Found
from ansible_collections.brickwork.storage.plugins.module_utils.host.plan import (
    AttachPlan,
    Wanted,
    check_identity,
    is_too_small,
    too_few_paths,
)
from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols.export import Export, Portal
from ansible_collections.brickwork.storage.plugins.module_utils.host.records import Record
from ansible_collections.brickwork.storage.plugins.module_utils.host.sysfs import Sysfs

# A disk that multipathd left alone; a path that comes later than the others.
NUDGE_SECONDS = 4.0
STRAGGLER_SECONDS = 10.0


@dataclass
class Attempt:
    """One volume on its way to this host.

    Args:
        wanted: as asked for.
        plan: what it lacks.
        record: of it; its WWN counts where the connection tells none.
        at_boot: address and target of the portals that other attachments need when the host boots.
        tried: the portals that this attempt has logged in to, or tried to.
        failures: why a portal brings no path, by address.
        refused: whether a target refused the login.
        found: what there is at the end.
        attach_info: what os-brick returned, where it was asked.
        link: the stable link at the end.
        error: why it did not come.
    """

    wanted: Wanted
    plan: AttachPlan
    record: Record
    at_boot: frozenset[tuple[str, str]] = frozenset()
    tried: list[Portal] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    refused: bool = False
    found: Found = field(default_factory=Found)
    attach_info: dict[str, Any] = field(default_factory=dict)
    link: Optional[str] = None
    error: Optional[StorageError] = None
    _waiting: list[Portal] = field(default_factory=list)
    _seen: dict[str, float] = field(default_factory=dict)
    _nudged: bool = False
    _rescanned: bool = False
    _usable_since: Optional[float] = None

    @property
    def export(self) -> Export:
        return self.wanted.export.knowing(self.attach_info or self.record.attach_info)

    @property
    def has_disks(self) -> bool:
        """Whether every portal has brought a disk or has failed, so that the rest is up to udev and multipathd."""
        tried = {portal.address for portal in self.tried}
        return not self._waiting and tried <= {path.portal for path in self.found.paths} | set(self.failures)

    @property
    def is_usable(self) -> bool:
        """Whether the last look found enough to use, though a path may still be on its way."""
        return self._usable_since is not None

    def start(self, dead: dict[str, str]) -> list[Portal]:
        """The portals to log in to at first, those that do not answer left out."""
        for portal in self.plan.login:
            if portal.address in dead:
                self.failures[portal.address] = dead[portal.address]
            else:
                self._waiting.append(portal)
        return self.next_logins()

    def next_logins(self) -> list[Portal]:
        """All that wait with multipath, else the next one."""
        count = len(self._waiting) if self.wanted.multipath else 1
        logins, self._waiting = self._waiting[:count], self._waiting[count:]
        self.tried += logins
        return logins

    def look(self, view: Sysfs) -> bool:
        """Look at the host again; true when the attempt has ended, well or not.

        Raises:
            StorageError: where what came is not the volume, or too few paths can come.
        """
        volume = self.wanted.connection.volume
        self.found = self.export.find(view, volume.wwn)
        check_identity(volume, self.record, self.found)
        usable = self._usable_paths()
        settled = {path.portal for path in self.found.paths if path.device in usable} | set(self.failures)
        # By Fibre Channel a disk comes without being asked for, and multipathd may not have taken it yet.
        pending = {session.portal for session in self.found.sessions} | {
            path.portal for path in self.found.running_paths
        }
        pending = (pending | {portal.address for portal in self.tried}) - settled
        if not pending and not self._waiting and len(usable) < self.wanted.paths_needed:
            raise too_few_paths(self.wanted, self.found, self.failures, self.refused)
        self.link = stable_link(view, self.export, self.found)
        if len(usable) < self.wanted.paths_needed or self.link is None or is_too_small(volume, self.found):
            self._usable_since = None
            return False
        if self._usable_since is None:
            self._usable_since = time.monotonic()
        return not pending or time.monotonic() - self._usable_since > STRAGGLER_SECONDS

    def _usable_paths(self) -> set[str]:
        """The devices that are running, told who they are and, where a map is wanted, are in it."""
        return {
            path.device
            for path in self.found.running_paths
            if (path.wwid or not self.wanted.export.has_wwn) and (path.in_map or not self.plan.multipath_map)
        }

    def rescans(self, view: Sysfs) -> list[tuple[str, str]]:
        """The writes that make the kernel read the size again, once, where the device is smaller than the volume."""
        if self._rescanned or not is_too_small(self.wanted.connection.volume, self.found):
            return []
        self._rescanned = True
        return self.wanted.export.rescans(view, self.found)

    def left_alone(self, view: Sysfs) -> list[str]:
        """The paths that multipathd has not taken for some time, once: it may not know that it should."""
        now = time.monotonic()
        if self._nudged or not self.plan.multipath_map:
            return []
        if view.udev_is_busy():
            self._seen.clear()  # multipathd has not heard of them yet
            return []
        outside = [path.device for path in self.found.running_paths if not path.in_map]
        late = [device for device in outside if now - self._seen.setdefault(device, now) > NUDGE_SECONDS]
        self._nudged = bool(late)
        return late

    def late(self) -> StorageError:
        """Why the attempt had not ended at the deadline."""
        volume, found = self.wanted.connection.volume, self.found
        if is_too_small(volume, found) and len(found.running_paths) >= self.wanted.paths_needed:
            return StorageError(
                "data_loss",
                f"{found.node} has {found.size_bytes} bytes after a rescan, the volume {volume.size_bytes}: it may be another "
                "volume, or a path has not seen it grow. Nothing was written to it.",
            )
        with_path = {path.portal for path in found.running_paths}
        for address in self.wanted.export.addresses:
            if address not in with_path:
                self.failures.setdefault(address, "the volume did not appear by it in time")
        if len(found.running_paths) >= self.wanted.paths_needed:
            outside = self.plan.multipath_map and len(self._usable_paths()) < self.wanted.paths_needed
            what = "multipathd made no map over its paths" if outside else "udev made no link to it"
            return StorageError(
                "deadline_exceeded",
                f"{found.node} came, but {what} in time. Look at multipathd and udev, or give a longer timeout.",
            )
        return too_few_paths(self.wanted, found, self.failures, self.refused)
