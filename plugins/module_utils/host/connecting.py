# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bringing volumes to this host: all logins of a batch at once, one wait for all of them."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from ansible_collections.brickwork.storage.plugins.module_utils.commands import Running, run, write_attributes
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.host import open_iscsi
from ansible_collections.brickwork.storage.plugins.module_utils.host.attachment import stable_link
from ansible_collections.brickwork.storage.plugins.module_utils.host.found import Found
from ansible_collections.brickwork.storage.plugins.module_utils.host.plan import (
    AttachPlan,
    Wanted,
    check_identity,
    is_too_small,
    too_few_paths,
)
from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols import iscsi
from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols.iscsi import Portal
from ansible_collections.brickwork.storage.plugins.module_utils.host.records import Record
from ansible_collections.brickwork.storage.plugins.module_utils.host.sysfs import Session, Sysfs
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline

POLL_SECONDS = 0.2
MOST_POLL_SECONDS = 2.0
# How many times longer to wait than the last look took of the processor.
POLL_SHARE = 9
PROBE_SECONDS = 5.0
# A LUN that was not there at the first look; a disk that multipathd left alone; a path that comes later than the others.
RESCAN_SECONDS = 2.0
NUDGE_SECONDS = 4.0
STRAGGLER_SECONDS = 10.0


@dataclass
class Attempt:
    """One volume on its way to this host.

    Args:
        wanted: as asked for.
        plan: what it lacks.
        record: of it; its WWN counts where the connection tells none.
        tried: the portals that this attempt has logged in to, or tried to.
        failures: why a portal brings no path, by address.
        refused: whether a target refused the login.
        found: what there is at the end.
        link: the stable link at the end.
        error: why it did not come.
    """

    wanted: Wanted
    plan: AttachPlan
    record: Record
    tried: list[Portal] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    refused: bool = False
    found: Found = field(default_factory=Found)
    link: Optional[str] = None
    error: Optional[StorageError] = None
    _waiting: list[Portal] = field(default_factory=list)
    _scanned: dict[int, float] = field(default_factory=dict)
    _seen: dict[str, float] = field(default_factory=dict)
    _nudged: bool = False
    _rescanned: bool = False
    _usable_since: Optional[float] = None

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

    def look(self, view: Sysfs, sessions: list[Session]) -> bool:
        """Look at the host again; true when the attempt has ended, well or not.

        Raises:
            StorageError: where what came is not the volume, or too few paths can come.
        """
        volume = self.wanted.connection.volume
        self.found = iscsi.find(view, self.wanted.export, volume.wwn, sessions)
        check_identity(volume, self.record, self.found)
        usable = self._usable_paths()
        settled = {path.portal for path in self.found.paths if path.device in usable} | set(self.failures)
        pending = {session.portal for session in self.found.sessions} | {portal.address for portal in self.tried}
        pending -= settled
        if not pending and not self._waiting and len(usable) < self.wanted.paths_needed:
            raise too_few_paths(self.wanted, self.found, self.failures, self.refused)
        self.link = stable_link(view, self.found)
        if len(usable) < self.wanted.paths_needed or self.link is None or is_too_small(volume, self.found):
            return False
        if self._usable_since is None:
            self._usable_since = time.monotonic()
        return not pending or time.monotonic() - self._usable_since > STRAGGLER_SECONDS

    def _usable_paths(self) -> set[str]:
        """The devices that are running, told who they are and, where a map is wanted, are in it."""
        return {
            path.device
            for path in self.found.running_paths
            if path.wwid and (path.in_map or not self.plan.multipath_map)
        }

    def scans(self, view: Sysfs) -> list[tuple[str, str]]:
        """The writes that make the kernel look for the LUN where a session has not brought it."""
        now, writes = time.monotonic(), []
        luns = {(portal.address, portal.target): portal.lun for portal in self.wanted.portals}
        with_disk = {path.portal for path in self.found.paths}
        for session in self.found.sessions:
            due = now - self._scanned.get(session.number, -RESCAN_SECONDS) >= RESCAN_SECONDS
            if session.portal not in with_disk and session.state == "LOGGED_IN" and due:
                self._scanned[session.number] = now
                lun = luns[(session.portal, session.target)]
                writes.append((view.attribute_path(f"class/scsi_host/host{session.scsi_host}/scan"), f"0 0 {lun}"))
        return writes

    def size_rescans(self, view: Sysfs) -> list[tuple[str, str]]:
        """The writes that make the kernel read the size again, once, where the device is smaller than the volume."""
        if self._rescanned or not is_too_small(self.wanted.connection.volume, self.found):
            return []
        self._rescanned = True
        return [(view.attribute_path(f"block/{path.device}/device/rescan"), "1") for path in self.found.running_paths]

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


class _Logins:
    """The logins under way: one iscsiadm for each target, however many volumes and portals it has."""

    def __init__(self, nodes: Path) -> None:
        self._nodes = nodes
        self._queued: dict[str, dict[Portal, Attempt]] = {}
        self._running: dict[str, tuple[Running, list[tuple[Portal, Attempt]]]] = {}

    def add(self, attempt: Attempt, portals: list[Portal]) -> None:
        for portal in portals:
            self._queued.setdefault(portal.target, {})[portal] = attempt

    def start_queued(self) -> None:
        for target in [target for target in self._queued if target not in self._running]:
            logins = list(self._queued.pop(target).items())
            for portal, attempt in logins:
                open_iscsi.write_node(self._nodes, portal, attempt.wanted.export)
            self._running[target] = (open_iscsi.login(target), logins)

    def collect(self, view: Sysfs) -> None:
        """Note the failures of the logins that have ended, and go on to the next portal where there is one."""
        for target, (running, logins) in list(self._running.items()):
            if not running.ended:
                continue
            del self._running[target]
            finished = running.wait(Deadline(1))
            told = open_iscsi.login_failures(finished.stderr)
            there = {(session.portal, session.target) for session in view.sessions()}
            for portal, attempt in logins:
                if (portal.address, target) in there:
                    continue
                number, words = told.get(portal.address, (0, finished.complaint))
                attempt.failures[portal.address] = words
                attempt.refused = attempt.refused or number == open_iscsi.LOGIN_REFUSED
                self.add(attempt, attempt.next_logins())


def connect(attempts: list[Attempt], view: Sysfs, deadline: Deadline) -> None:
    """Bring the batch to this host, or as much of it as comes before the deadline.

    Args:
        attempts: the volumes; each holds its outcome at the end.
        view: the host.
        deadline: for all of them.
    """
    portals = [portal for attempt in attempts for portal in attempt.plan.login]
    dead = open_iscsi.unreachable(portals, deadline.within(PROBE_SECONDS))
    logins = _Logins(open_iscsi.database())
    for attempt in attempts:
        logins.add(attempt, attempt.start(dead))
    waiting = list(attempts)
    while waiting:
        began = time.process_time()
        logins.start_queued()
        logins.collect(view)
        sessions = view.sessions()
        waiting = [attempt for attempt in waiting if not _ended(attempt, view, sessions)]
        if deadline.passed:
            for attempt in waiting:
                attempt.error = _late(attempt)
            return
        write_attributes([write for attempt in waiting for write in attempt.scans(view)], deadline)
        _resize(waiting, view, deadline)
        for attempt in waiting:
            for device in attempt.left_alone(view):
                run(["multipath", "-a", f"/dev/{device}"], deadline)
                run(["multipathd", "add", "path", device], deadline)
        if waiting:
            # udev and multipathd need the processor more than this loop does.
            time.sleep(min(MOST_POLL_SECONDS, max(POLL_SECONDS, POLL_SHARE * (time.process_time() - began))))


def _ended(attempt: Attempt, view: Sysfs, sessions: list[Session]) -> bool:
    try:
        return attempt.look(view, sessions)
    except StorageError as error:
        attempt.error = error
        return True


def _resize(attempts: list[Attempt], view: Sysfs, deadline: Deadline) -> None:
    """A volume that has grown: every path first, then the map over them."""
    for attempt in attempts:
        writes = attempt.size_rescans(view)
        write_attributes(writes, deadline)
        if writes and attempt.found.multipath_map:
            run(["multipathd", "resize", "map", attempt.found.multipath_map.alias], deadline)


def _late(attempt: Attempt) -> StorageError:
    """Why an attempt had not ended at the deadline."""
    volume, found = attempt.wanted.connection.volume, attempt.found
    if is_too_small(volume, found) and len(found.running_paths) >= attempt.wanted.paths_needed:
        return StorageError(
            "data_loss",
            f"/dev/{found.device} has {found.size_bytes} bytes after a rescan, the volume {volume.size_bytes}: it may be another "
            "volume, or a path has not seen it grow. Nothing was written to it.",
        )
    with_path = {path.portal for path in found.running_paths}
    for address in attempt.wanted.export.addresses:
        if address not in with_path:
            attempt.failures.setdefault(address, "its LUN did not appear in time")
    if len(found.running_paths) >= attempt.wanted.paths_needed:
        what = "multipathd made no map over its paths" if attempt.plan.multipath_map else "udev made no link to it"
        return StorageError(
            "deadline_exceeded",
            f"/dev/{found.device} came, but {what} in time. Look at multipathd and udev, or give a longer timeout.",
        )
    return too_few_paths(attempt.wanted, found, attempt.failures, attempt.refused)
