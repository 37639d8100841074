# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""iSCSI, over TCP or RDMA, through open-iscsi: sessions, and the node records behind them."""

from __future__ import annotations

import time
from functools import cached_property
from pathlib import Path
from typing import Optional, cast

from ansible_collections.brickwork.storage.plugins.module_utils.apart import write_attributes
from ansible_collections.brickwork.storage.plugins.module_utils.commands import Running
from ansible_collections.brickwork.storage.plugins.module_utils.host import open_iscsi, processes
from ansible_collections.brickwork.storage.plugins.module_utils.host.attempt import Attempt
from ansible_collections.brickwork.storage.plugins.module_utils.host.engines.engine import WRITE_SECONDS, Engine
from ansible_collections.brickwork.storage.plugins.module_utils.host.probing import PROBE_SECONDS, unreachable
from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols.export import Portal
from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols.iscsi import IscsiExport
from ansible_collections.brickwork.storage.plugins.module_utils.host.removal import (
    POLL_SECONDS,
    Removal,
    remaining,
    wait_until_gone,
)
from ansible_collections.brickwork.storage.plugins.module_utils.host.scsi_removal import (
    remove_disks,
    remove_maps,
    wait_until_disks_are_gone,
)
from ansible_collections.brickwork.storage.plugins.module_utils.host.sysfs import Session, Sysfs
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline

# A LUN that was not there at the first look.
RESCAN_SECONDS = 2.0


class Iscsi(Engine):
    """One iscsiadm for each target, however many volumes and portals it has."""

    def __init__(self, view: Sysfs, deadline: Deadline) -> None:
        super().__init__(view, deadline)
        self._queued: dict[str, dict[Portal, Attempt]] = {}
        self._running: dict[str, tuple[list[Running], list[tuple[Portal, Attempt]]]] = {}
        self._scanned: dict[tuple[int, int], float] = {}

    @cached_property
    def _nodes(self) -> Path:
        return open_iscsi.database()

    @classmethod
    def require(cls) -> None:
        open_iscsi.database()

    def start(self, attempts: list[Attempt]) -> None:
        # A portal for RDMA does not answer over TCP.
        by_tcp = [attempt for attempt in attempts if cast(IscsiExport, attempt.export).transport == "tcp"]
        portals = [portal for attempt in by_tcp for portal in attempt.plan.login]
        dead = unreachable(portals, self._deadline.within(PROBE_SECONDS))
        for attempt in attempts:
            self._queue(attempt, attempt.start(dead))
        self._log_in()

    def go_on(self, attempts: list[Attempt]) -> None:
        self._collect()
        self._log_in()
        writes = [write for attempt in attempts for write in self.scans(attempt)]
        write_attributes(writes, self._deadline.within(WRITE_SECONDS))

    def end(self, attempts: list[Attempt]) -> None:
        for _running, logins in self._running.values():
            self._keep_startup(logins)
        for attempt in attempts:
            for portal in attempt.wanted.portals:
                if portal.address not in attempt.record.kept_portals:
                    needed = (portal.address, portal.target) in attempt.at_boot
                    open_iscsi.set_startup(self._nodes, portal, attempt.wanted.persistent or needed)

    def settle(self, removals: list[Removal]) -> None:
        targets = {portal.target for removal in removals for portal in removal.portals}
        while not self._deadline.passed and any(
            "--login" in line and targets.intersection(line) for line in processes.command_lines(self._view)
        ):
            time.sleep(POLL_SECONDS)

    def take_away(self, removals: list[Removal]) -> None:
        remove_maps(removals, self._view, self._deadline)
        going = going_with_session(remaining(removals), self._view.glance())
        remove_disks(remaining(removals), self._view, self._deadline, going)
        self._end_sessions(remaining(removals))
        if going:
            wait_until_disks_are_gone(remaining(removals), self._view, self._deadline)
        self._remove_nodes(remaining(removals))
        staying = self._view.sessions()
        for removal in remaining(removals):
            if any(removal.ends(session) for session in staying):
                removal.warnings += in_its_place(removal, self._view.glance())

    def _queue(self, attempt: Attempt, portals: list[Portal]) -> None:
        for portal in portals:
            self._queued.setdefault(portal.target, {})[portal] = attempt

    def _log_in(self) -> None:
        for target in [target for target in self._queued if target not in self._running]:
            logins = list(self._queued.pop(target).items())
            for portal, attempt in logins:
                open_iscsi.write_node(self._nodes, portal, cast(IscsiExport, attempt.export))
            self._running[target] = (
                open_iscsi.login(self._nodes, target, [portal for portal, _attempt in logins]),
                logins,
            )

    def _collect(self) -> None:
        """Note the failures of the logins that have ended, and go on to the next portal where there is one."""
        for target, (running, logins) in list(self._running.items()):
            if not all(process.ended for process in running):
                continue
            del self._running[target]
            self._keep_startup(logins)
            finished = [process.wait(Deadline(1)) for process in running]
            told = open_iscsi.login_failures("".join(each.stderr for each in finished))
            complaint = "; ".join(each.complaint for each in finished)
            there = {(session.portal, session.target) for session in self._view.sessions()}
            for portal, attempt in logins:
                if (portal.address, target) in there:
                    continue
                number, words = told.get(portal.address, (0, complaint))
                attempt.failures[portal.address] = words
                attempt.refused = attempt.refused or number == open_iscsi.LOGIN_REFUSED
                self._queue(attempt, attempt.next_logins())

    def _keep_startup(self, logins: list[tuple[Portal, Attempt]]) -> None:
        """For the login the node record was written anew; what comes by it at boot must still come where the attempt fails."""
        for portal, attempt in logins:
            if attempt.record.persistent or (portal.address, portal.target) in attempt.at_boot:
                open_iscsi.set_startup(self._nodes, portal, True)

    def scans(self, attempt: Attempt) -> list[tuple[str, str]]:
        """The writes that make the kernel look for the LUN where a session has not brought it."""
        now, writes = time.monotonic(), []
        luns = {(portal.address, portal.target): portal.lun for portal in attempt.wanted.portals}
        with_disk = {path.portal for path in attempt.found.paths}
        for session in attempt.found.sessions:
            lun = luns[(session.portal, session.target)]
            key = (session.number, lun)
            due = now - self._scanned.get(key, -RESCAN_SECONDS) >= RESCAN_SECONDS
            if session.portal not in with_disk and session.state == "LOGGED_IN" and due:
                self._scanned[key] = now
                path = self._view.attribute_path(f"class/scsi_host/host{session.scsi_host}/scan")
                writes.append((path, f"0 0 {lun}"))
        return writes

    def _end_sessions(self, removals: list[Removal]) -> None:
        leaving = {session.number for session in ending(removals, self._view.glance())}
        if not leaving:
            return
        together = open_iscsi.logout_together(leaving, self._view.attribute_path("class/iscsi_session"))
        if together:
            together.wait(self._deadline)
        # Where that could not be, and those that it has overlooked.
        left = [session for session in self._view.sessions() if session.number in leaving]
        for process in [open_iscsi.logout(session.number) for session in left]:
            process.wait(self._deadline)

        def still_there(removal: Removal, now: Sysfs) -> Optional[str]:
            left = [session.portal for session in now.sessions() if session.number in leaving and removal.ends(session)]
            return f"the session to {', '.join(left)}" if left else None

        wait_until_gone(removals, self._view, self._deadline, still_there)

    def _remove_nodes(self, removals: list[Removal]) -> None:
        in_use = {(session.portal, session.target) for session in self._view.sessions()}
        for removal in removals:
            for portal in removal.portals:
                if removal.owns(portal.address, portal.target) and (portal.address, portal.target) not in in_use:
                    open_iscsi.remove_node(self._nodes, portal)


def ending(removals: list[Removal], now: Sysfs) -> list[Session]:
    """The sessions that are the removals' to end, and by which no other volume of a shared target comes."""
    own = {path.device for removal in removals for path in removal.find(now).paths if removal.leaves(path.portal)}
    return [
        session
        for session in now.sessions()
        if any(removal.ends(session) for removal in removals)
        and own.issuperset(disk.name for disk in now.disks(session))
    ]


def in_its_place(removal: Removal, now: Sysfs) -> list[str]:
    """What a person must know of another volume that has the LUN by now, and keeps the session that nobody else needs."""
    own = {path.device for path in removal.find(now).paths}
    luns = {(portal.address, portal.target): portal.lun for portal in removal.portals}
    others = [
        f"/dev/{disk.name} by {session.portal}"
        for session in now.sessions()
        if removal.ends(session)
        for disk in now.disks(session)
        if disk.lun == luns[(session.portal, session.target)] and disk.name not in own
    ]
    told = (
        f"{removal.volume}: its LUN shows another volume by now ({', '.join(others)}), which stays, and so do the sessions that bring it. "
        "Where nobody needs that, end them with iscsiadm."
    )
    return [told] if others else []


def going_with_session(removals: list[Removal], now: Sysfs) -> set[str]:
    """The kernel names of the disks that the kernel takes away by itself, in order and all at once, when their session ends.

    That is as long as the session works; a disk whose session does not is taken away first, where it can be waited for apart.
    """
    disks = [now.disks(session) for session in ending(removals, now) if session.works]
    return {disk.name for its in disks if all(disk.works for disk in its) for disk in its}
