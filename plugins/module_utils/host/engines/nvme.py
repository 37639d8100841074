# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NVMe over TCP through the kernel itself: controllers, and the namespaces that come by them."""

from __future__ import annotations

import time
from typing import Optional, cast

from ansible_collections.brickwork.storage.plugins.module_utils.apart import write_attributes
from ansible_collections.brickwork.storage.plugins.module_utils.commands import Running
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.host import nvme_fabrics, nvme_sysfs
from ansible_collections.brickwork.storage.plugins.module_utils.host.attempt import Attempt
from ansible_collections.brickwork.storage.plugins.module_utils.host.engines.engine import WRITE_SECONDS, Engine
from ansible_collections.brickwork.storage.plugins.module_utils.host.found import Found, FoundPath
from ansible_collections.brickwork.storage.plugins.module_utils.host.nvme_boot import NvmeBoot
from ansible_collections.brickwork.storage.plugins.module_utils.host.nvme_sysfs import Controller
from ansible_collections.brickwork.storage.plugins.module_utils.host.probing import PROBE_SECONDS, unreachable
from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols.export import Portal
from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols.nvmeof import NvmeExport
from ansible_collections.brickwork.storage.plugins.module_utils.host.removal import (
    POLL_SECONDS,
    Removal,
    remaining,
    wait_until_gone,
)
from ansible_collections.brickwork.storage.plugins.module_utils.host.scsi_removal import remove_maps
from ansible_collections.brickwork.storage.plugins.module_utils.host.sysfs import Sysfs
from ansible_collections.brickwork.storage.plugins.module_utils.host.usage import users
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline

# A namespace that was not there at the first look.
RESCAN_SECONDS = 2.0


class Nvme(Engine):
    """One write for each controller, however many volumes come by it; all of them at once."""

    def __init__(self, view: Sysfs, deadline: Deadline) -> None:
        super().__init__(view, deadline)
        self._boot = NvmeBoot(deadline, view.root)
        self._running: dict[Portal, Running] = {}
        self._waiting: dict[Portal, list[Attempt]] = {}
        self._rescanned: dict[int, float] = {}

    @classmethod
    def require(cls) -> None:
        nvme_fabrics.load()

    def start(self, attempts: list[Attempt]) -> None:
        portals = [portal for attempt in attempts for portal in attempt.plan.login]
        dead = unreachable(portals, self._deadline.within(PROBE_SECONDS))
        for attempt in attempts:
            self._connect(attempt, attempt.start(dead))

    def go_on(self, attempts: list[Attempt]) -> None:
        for portal, running in list(self._running.items()):
            if running.ended:
                del self._running[portal]
                self._note(portal, running)
        writes = [write for attempt in attempts for write in self.rescans(attempt)]
        write_attributes(writes, self._deadline.within(WRITE_SECONDS))

    def end(self, attempts: list[Attempt]) -> None:
        for running in self._running.values():
            running.wait(Deadline(0))  # ends it: nobody waits for its controller any more
        for attempt in attempts:
            volume_id = attempt.wanted.connection.volume.id
            try:
                controllers = self._at_boot(attempt) if attempt.wanted.persistent else []
                if controllers:
                    self._boot.remember(volume_id, controllers)
                else:
                    self._boot.forget(volume_id)
            except StorageError as error:
                attempt.error = error

    def settle(self, removals: list[Removal]) -> None:
        while nvme_fabrics.being_connected(self._view) and not self._deadline.passed:
            time.sleep(POLL_SECONDS)

    def take_away(self, removals: list[Removal]) -> None:
        leaving = self._leaving(removals)
        for removal in removals:
            if removal.whole:
                self._boot.forget(removal.volume_id)
        self.settle(removals)  # the unit may have been at it
        remove_maps([removal for removal in removals if not removal.stays_visible], self._view, self._deadline)
        stopped = [removal for removal in removals if removal.error]
        going = [
            controller.session
            for controller in leaving
            if not any(removal.ends(controller.session) for removal in stopped)
        ]
        write_attributes([nvme_fabrics.disconnect(self._view, session) for session in going], self._deadline)
        numbers = {session.number for session in going}

        def still_there(removal: Removal, now: Sysfs) -> Optional[str]:
            left = [
                controller.session.portal
                for controller in now.once(nvme_sysfs.controllers)
                if controller.session.number in numbers and removal.ends(controller.session)
            ]
            return f"the controller at {', '.join(left)}" if left else None

        wait_until_gone(remaining(removals), self._view, self._deadline, still_there)

    def rescans(self, attempt: Attempt) -> list[tuple[str, str]]:
        """The writes that make a controller look for namespaces where it has not brought the volume's."""
        now, writes = time.monotonic(), []
        with_path = {path.portal for path in attempt.found.paths}
        for session in attempt.found.sessions:
            # A new controller looks by itself, one that was there before was told to at the start.
            due = now - self._rescanned.setdefault(session.number, now) >= RESCAN_SECONDS
            if session.works and session.portal not in with_path and due:
                self._rescanned[session.number] = now
                writes.append(nvme_fabrics.rescan(self._view, session))
        return writes

    def _connect(self, attempt: Attempt, portals: list[Portal]) -> None:
        for portal in portals:
            self._waiting.setdefault(portal, []).append(attempt)
            if portal in self._running:
                continue
            try:
                line = nvme_fabrics.connect_line(self._view, cast(NvmeExport, attempt.export), portal)
            except StorageError as error:
                attempt.error = error
                return
            self._running[portal] = nvme_fabrics.connect(line)

    def _note(self, portal: Portal, running: Running) -> None:
        """Note a failure for all that wait for a controller, and go on to their next portal where there is one."""
        finished = running.wait(Deadline(1))
        why = None if finished.succeeded else nvme_fabrics.reason(finished.complaint)
        for attempt in self._waiting.pop(portal):
            if why:
                attempt.failures[portal.address] = why
                attempt.refused = attempt.refused or nvme_fabrics.REFUSED in finished.complaint
                self._connect(attempt, attempt.next_logins())

    def _at_boot(self, attempt: Attempt) -> list[list[str]]:
        """For each controller that is to be there after a boot, the lines of which one brings it."""
        lines = [
            nvme_fabrics.connect_line(self._view, cast(NvmeExport, attempt.export), portal)
            for portal in attempt.wanted.portals
            if portal.address not in attempt.record.kept_portals
        ]
        return [[line] for line in lines] if attempt.wanted.multipath or not lines else [lines]

    def _leaving(self, removals: list[Removal]) -> list[Controller]:
        """The controllers that may go; the volumes that stay visible without them are told so."""
        now = self._view.glance()
        found = {id(removal): removal.find(now) for removal in removals}
        own = {path.device for removal in removals if removal.whole for path in found[id(removal)].paths}
        leaving = [
            controller
            for controller in now.once(nvme_sysfs.controllers)
            if any(removal.ends(controller.session) for removal in removals)
            and not any(self._is_used(path) for path in controller.paths if path.name not in own)
        ]
        numbers = {controller.session.number for controller in leaving}
        for removal in removals:
            staying = [session.portal for session in found[id(removal)].sessions if session.number not in numbers]
            if removal.whole and found[id(removal)].node and staying:
                removal.stays_visible = True
                removal.warnings.append(
                    f"{removal.volume}: {found[id(removal)].node} was flushed and is free, but stays visible until the volume is "
                    f"disconnected: other volumes come by the controllers at {', '.join(staying)}, or they were there before."
                )
        return leaving

    def _is_used(self, path: nvme_sysfs.NvmePath) -> bool:
        """Whether anybody uses a namespace that is none of the volumes that leave."""
        there = FoundPath(path.name, "", path.state, path.wwid, path.size_bytes, False)
        over = None if path.namespace else self._view.map_over(path.name)
        return bool(users(self._view, Found(paths=(there,), multipath_map=over, namespace=path.namespace)))
