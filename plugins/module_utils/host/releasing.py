# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Taking volumes away from this host: flush, map, disks, sessions, node records, each step for the whole batch at once.

The order protects data, and each step is verified in sysfs before the next begins.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Callable, Optional

from ansible_collections.brickwork.storage.plugins.module_utils.commands import Running, run, write_attributes
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.host import open_iscsi
from ansible_collections.brickwork.storage.plugins.module_utils.host.found import Found
from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols import iscsi
from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols.iscsi import Export, Portal
from ansible_collections.brickwork.storage.plugins.module_utils.host.sysfs import Session, Sysfs
from ansible_collections.brickwork.storage.plugins.module_utils.host.usage import may_pass, users
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline

POLL_SECONDS = 0.1
RETRY_SECONDS = 1.0
# For programs that only look at a new device.
PATIENCE_SECONDS = 3.0
LAST_FLUSH_SECONDS = 10.0


@dataclass
class Removal:
    """A volume that is to leave this host, wholly or by some of its portals.

    Args:
        volume: its name.
        export: where it comes from.
        wwn: where it is known.
        portals: by which it is to leave: all, or those that a failed attach had added.
        kept_portals: addresses whose sessions were there before us; they stay.
        needed_elsewhere: portals that other attachments of this host use.
        force: go on where data can no longer be saved.
        error: why it did not leave.
        warnings: what a person must know.
    """

    volume: str
    export: Export
    wwn: Optional[str]
    portals: tuple[Portal, ...]
    kept_portals: frozenset[str] = frozenset()
    needed_elsewhere: frozenset[tuple[str, str]] = frozenset()
    force: bool = False
    error: Optional[StorageError] = None
    warnings: list[str] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        return set(self.portals) == set(self.export.portals)

    def find(self, view: Sysfs, sessions: Optional[list[Session]] = None) -> Found:
        """What there is of the volume."""
        return iscsi.find(view, self.export, self.wwn, sessions)

    def ends(self, session: Session) -> bool:
        """Whether a session is this removal's to end, once nothing else comes by it."""
        return (
            session.portal not in self.kept_portals
            and (session.portal, session.target) not in self.needed_elsewhere
            and any((portal.address, portal.target) == (session.portal, session.target) for portal in self.portals)
        )


def refusal(view: Sysfs, removal: Removal, found: Found) -> Optional[StorageError]:
    """Why a volume must not be taken away now; None where it may.

    Returns:
        C(failed_precondition) while it is in use, whatever C(force) says; C(unavailable) where all its paths are dead and
        nobody said C(force).
    """
    # A path more or less does not disturb who uses the volume by the others.
    using = users(view, found) if removal.whole else []
    if using:
        return StorageError(
            "failed_precondition",
            f"/dev/{found.device} is in use: {', '.join(using)}. Unmount or stop what uses it, then detach.",
            users=using,
        )
    if removal.whole and found.device and not found.running_paths and not removal.force:
        states = ", ".join(f"{path.portal} {path.state}" for path in found.paths) or "no path left"
        return StorageError(
            "unavailable",
            f"All paths of /dev/{found.device} are dead ({states}): what was not written yet cannot be saved, so everything was "
            "left as it is. Bring a path back, or give that data up with force.",
            portals=sorted(path.portal for path in found.paths),
        )
    return None


def release(removals: list[Removal], view: Sysfs, deadline: Deadline) -> None:
    """Take volumes away; what did not work is in each removal's C(error).

    Args:
        removals: the batch.
        view: the host.
        deadline: for all of it.
    """
    for step in (_await_logins, _check, _flush, _remove_maps, _remove_disks, _end_sessions, _remove_nodes):
        remaining = [removal for removal in removals if removal.error is None]
        if remaining:
            step(remaining, view, deadline)


def _await_logins(removals: list[Removal], view: Sysfs, deadline: Deadline) -> None:
    """Let the logins end that a call which was killed has left running: their sessions would come when nobody looks."""
    targets = {portal.target for removal in removals for portal in removal.portals}
    while not deadline.passed and any(
        "--login" in line and targets.intersection(line) for line in view.command_lines()
    ):
        time.sleep(POLL_SECONDS)


def _check(removals: list[Removal], view: Sysfs, deadline: Deadline) -> None:
    patience = deadline.within(PATIENCE_SECONDS)
    waiting = removals
    while waiting:
        sessions = view.sessions()
        for removal in waiting:
            removal.error = refusal(view, removal, removal.find(view, sessions))
        waiting = [
            removal
            for removal in waiting
            if removal.error and "users" in removal.error.facts and may_pass(removal.error.facts["users"])
        ]
        if patience.passed:
            return
        if waiting:
            time.sleep(POLL_SECONDS)


def _flush(removals: list[Removal], view: Sysfs, deadline: Deadline) -> None:
    flushing = []
    sessions = view.sessions()
    for removal in removals:
        found = removal.find(view, sessions)
        if not removal.whole or found.device is None:
            continue
        if removal.force and not found.running_paths:
            if found.multipath_map:
                # Otherwise what is queued waits for a path for ever, and whoever flushes with it.
                run(["dmsetup", "message", found.multipath_map.alias, "0", "fail_if_no_path"], deadline)
            removal.warnings.append(
                f"{removal.volume}: all paths of /dev/{found.device} were dead; what was not written to it before is lost."
            )
            continue
        # Without a map each path is a device of its own, with data of its own to write.
        devices = [found.device] if found.multipath_map else [path.device for path in found.paths]
        flushing += [(removal, device, Running(["sync", f"/dev/{device}"])) for device in devices]
    for removal, device, running in flushing:
        finished = running.wait(deadline.within(LAST_FLUSH_SECONDS) if removal.force else deadline)
        if finished.succeeded:
            continue
        if removal.force:
            removal.warnings.append(
                f"{removal.volume}: /dev/{device} could not be flushed ({finished.complaint}); some of what was written may be lost."
            )
        else:
            removal.error = StorageError(
                "deadline_exceeded" if finished.status is None else "unavailable",
                f"/dev/{device} could not be flushed ({finished.complaint}), so it was left as it is. "
                "Bring its paths back, or give the unwritten data up with force.",
            )


def _remove_maps(removals: list[Removal], view: Sysfs, deadline: Deadline) -> None:
    removing = []
    sessions = view.sessions()
    for removal in removals:
        over = removal.find(view, sessions).own_map
        if removal.whole and over:
            removing.append((removal, over.alias, over.wwid, Running(["multipath", "-f", over.alias])))
    for removal, alias, wwid, running in removing:
        finished = running.wait(deadline)
        # udev may have had it open for a moment.
        while view.map_of(wwid) and not deadline.passed:
            time.sleep(RETRY_SECONDS)
            if view.map_of(wwid):
                removal.error = refusal(view, removal, removal.find(view))
                if removal.error:
                    break
                finished = run(["multipath", "-f", alias], deadline)
        if removal.error is None and view.map_of(wwid):
            removal.error = StorageError(
                "deadline_exceeded",
                f"The multipath map {alias} could not be removed in time ({finished.complaint}); repeat it.",
            )


def _remove_disks(removals: list[Removal], view: Sysfs, deadline: Deadline) -> None:
    writes = []
    sessions = view.sessions()
    for removal in removals:
        for path in removal.find(view, sessions).paths:
            if _leaves(removal, path.portal):
                writes.append((view.attribute_path(f"block/{path.device}/device/delete"), "1"))
    write_attributes(writes, deadline)

    def still_there(removal: Removal, sessions: list[Session]) -> Optional[str]:
        found = removal.find(view, sessions)
        left = [f"/dev/{path.device}" for path in found.paths if _leaves(removal, path.portal)]
        if removal.whole and found.own_map and not left:
            # multipathd made the map anew from a path that was still there.
            run(["multipath", "-f", found.own_map.alias], deadline)
            left = [f"/dev/{found.own_map.name}"]
        return ", ".join(left) or None

    _wait_until_gone(removals, view, deadline, still_there)


def _leaves(removal: Removal, address: str) -> bool:
    return any(portal.address == address for portal in removal.portals)


def _end_sessions(removals: list[Removal], view: Sysfs, deadline: Deadline) -> None:
    nodes = open_iscsi.database()
    sessions = view.sessions()
    leaving = {
        session.number: session
        for removal in removals
        for session in sessions
        # Another volume of a shared target may still come by it.
        if removal.ends(session) and not view.disks(session)
    }
    running = []
    for target in sorted({session.target for session in leaving.values()}):
        of_target = [session for session in sessions if session.target == target]
        alone = all(session.number in leaving for session in of_target)
        portals = [portal for removal in removals for portal in removal.portals if portal.target == target]
        if alone and all(open_iscsi.has_node(nodes, portal) for portal in portals):
            running.append(open_iscsi.logout_target(target))
        else:
            running += [open_iscsi.logout(session.number) for session in of_target if session.number in leaving]
    for process in running:
        process.wait(deadline)
    # Several iscsiadm at once get into each other's way: one may overlook its session, and say nothing.
    overlooked = [open_iscsi.logout(session.number) for session in view.sessions() if session.number in leaving]
    for process in overlooked:
        process.wait(deadline)

    def still_there(removal: Removal, now: list[Session]) -> Optional[str]:
        numbers = {session.number for session in now}
        left = [session.portal for session in leaving.values() if session.number in numbers and removal.ends(session)]
        return f"the session to {', '.join(left)}" if left else None

    _wait_until_gone(removals, view, deadline, still_there)


def _remove_nodes(removals: list[Removal], view: Sysfs, _deadline: Deadline) -> None:
    nodes = open_iscsi.database()
    in_use = {(session.portal, session.target) for session in view.sessions()}
    for removal in removals:
        for portal in removal.portals:
            key = (portal.address, portal.target)
            if portal.address not in removal.kept_portals and key not in removal.needed_elsewhere and key not in in_use:
                open_iscsi.remove_node(nodes, portal)


def _wait_until_gone(
    removals: list[Removal],
    view: Sysfs,
    deadline: Deadline,
    still_there: Callable[[Removal, list[Session]], Optional[str]],
) -> None:
    waiting = list(removals)
    while waiting:
        sessions = view.sessions()
        left = {id(removal): still_there(removal, sessions) for removal in waiting}
        waiting = [removal for removal in waiting if left[id(removal)]]
        if deadline.passed:
            for removal in waiting:
                removal.error = StorageError(
                    "deadline_exceeded", f"{left[id(removal)]} did not go in time; repeat the detach."
                )
            return
        if waiting:
            time.sleep(POLL_SECONDS)
