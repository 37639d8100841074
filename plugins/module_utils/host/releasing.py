# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Taking volumes away from this host: what uses them is asked, they are flushed, their engine lets go of them, each step verified.

The order protects data.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Optional

from ansible_collections.brickwork.storage.plugins.module_utils.apart import OUT_OF_TIME, flush
from ansible_collections.brickwork.storage.plugins.module_utils.commands import run
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.host import cryptsetup
from ansible_collections.brickwork.storage.plugins.module_utils.host.engines.registry import by_engine
from ansible_collections.brickwork.storage.plugins.module_utils.host.removal import (
    POLL_SECONDS,
    Removal,
    opened_device,
    refusals,
    remaining,
    wait_until_gone,
)
from ansible_collections.brickwork.storage.plugins.module_utils.host.sysfs import Sysfs
from ansible_collections.brickwork.storage.plugins.module_utils.host.usage import may_pass, users
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline

# For programs that only look at a new device.
PATIENCE_SECONDS = 3.0
# Forced: a flush that hangs is given up in time for what comes after it, but has a moment in any case.
LAST_FLUSH_SECONDS = 10.0
AFTER_FLUSH_SECONDS = 30.0
# A map must not stay as it was never meant to be, also where the time is over.
TAKE_BACK_SECONDS = 10.0


def release(removals: list[Removal], view: Sysfs, deadline: Deadline) -> None:
    """Take volumes away; what did not work is in each removal's C(error).

    Args:
        removals: the batch.
        view: the host.
        deadline: for all of it.
    """
    engines = by_engine(removals, view, deadline)
    for engine, its in engines:
        engine.settle(its)
    cryptsetup.settle(((removal.opened_as, removal.find(view)) for removal in removals), view, deadline)
    given_up = _give_up(remaining(removals), view, deadline)
    _check(remaining(removals), view, deadline)
    cryptsetup.discard_unfinished(remaining(removals), view, deadline)
    opened = [removal for removal in remaining(removals) if cryptsetup.standing(view, removal)]
    # What is on its way through the opened device first, then what it has left to the one beneath.
    _flush(opened, view, deadline)
    cryptsetup.close(remaining(opened), view, deadline)
    _flush(remaining(removals), view, deadline)
    # A session that brings several volumes must not go while one of them has not been flushed.
    stopped = {
        (portal.address, portal.target) for removal in removals if removal.error for portal in removal.export.portals
    }
    for removal in remaining(removals):
        removal.needed_elsewhere |= stopped
    for engine, its in engines:
        engine.take_away(remaining(its))
    for removal in remaining(removals):
        if removal.export.stays_mounted and removal.whole and removal.found.file:
            removal.warnings.append(
                f"{removal.volume}: {removal.found.file} was flushed and is free, but its file system stays mounted: os-brick does not "
                "unmount it. Unmount it where no other volume needs it."
            )
    _find_left_by_others(remaining(removals), view)
    wait_until_gone(remaining(removals), view, deadline, _left)
    _tell_of(given_up)


def _left(removal: Removal, now: Sysfs) -> Optional[str]:
    """Whatever an engine did: the volume is gone only when it is seen to be."""
    if removal.export.record_decides:
        return None
    found = removal.find(now)
    leaving = removal.whole and not removal.stays_visible and not found.others
    return found.node if leaving else None


def _find_left_by_others(removals: list[Removal], view: Sysfs) -> None:
    """Fail for volumes that are still there by portals that nobody named: they are not detached."""
    now = view.glance()
    for removal in removals:
        if not removal.whole or removal.wwn is None:
            continue
        found = removal.find(now)
        if found.others and found.multipath_map and found.multipath_map.wwid == removal.wwn:
            devices = ", ".join(f"/dev/{path.device}" for path in found.others)
            removal.error = StorageError(
                "failed_precondition",
                f"{found.node} is left with the paths {devices}, which came by portals that neither the connection nor this host's "
                "record names. End the sessions that brought them, then repeat the detach.",
            )


@dataclass(frozen=True)
class _GivenUp:
    """A volume whose paths are all dead; alias is of its map, which was told to fail what it had queued before, if it did."""

    removal: Removal
    node: str
    alias: Optional[str]
    queued: bool


def _give_up(removals: list[Removal], view: Sysfs, deadline: Deadline) -> list[_GivenUp]:
    """With force, have dead maps fail what they queue.

    This comes before anything is asked: a program that hangs in a write to such a map uses it, and cannot even be killed before.
    What is mounted or stacked on it is not touched; that is refused in the next step.
    """
    now = view.glance()
    given_up = []
    for removal in [removal for removal in removals if removal.force]:
        found = removal.find(now)
        opened = opened_device(now, removal)
        node = found.node or (f"/dev/{opened}" if opened else None)
        # A map with the paths of somebody else is not this volume's alone to give up.
        dead = removal.whole and node and not found.running_paths and not found.others
        if not (dead and may_pass(users(now, found, opened))):
            continue
        alias = found.multipath_map.alias if found.multipath_map else None
        queued = False
        if alias:
            queued = "queue_if_no_path" in run(["dmsetup", "table", alias], deadline).stdout
            run(["dmsetup", "message", alias, "0", "fail_if_no_path"], deadline)
        given_up.append(_GivenUp(removal, str(node), alias, queued))
    return given_up


def _tell_of(given_up: list[_GivenUp]) -> None:
    """Tell what was lost; where a volume did not leave after all, its map queues again."""
    deadline = Deadline(TAKE_BACK_SECONDS)
    for one in given_up:
        name, told = one.removal.volume, ""
        if one.alias:
            told = f" The map {one.alias} was told to fail what it had queued (fail_if_no_path)."
        if not one.removal.error:
            one.removal.warnings.append(
                f"{name}: all paths of {one.node} were dead; what was not written to it before is lost.{told}"
            )
        elif one.alias and one.queued:
            run(["dmsetup", "message", one.alias, "0", "queue_if_no_path"], deadline)
            one.removal.warnings.append(
                f"{name}: all paths of {one.node} are dead. What waited to be written to it has failed; what comes from now on "
                "waits for a path again (queue_if_no_path)."
            )


def _check(removals: list[Removal], view: Sysfs, deadline: Deadline) -> None:
    patience = deadline.within(PATIENCE_SECONDS)
    waiting = removals
    while waiting:
        now = view.glance()
        for removal in waiting:
            removal.found = removal.find(now)
        for removal, error in zip(waiting, refusals(now, [(removal, removal.found) for removal in waiting])):
            removal.error = error
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
    now = view.glance()
    for removal in removals:
        found, opened = removal.found, cryptsetup.standing(now, removal)
        nodes = [opened.path] if opened else found.nodes_to_flush
        if not removal.whole or not nodes:
            continue
        if removal.force and not found.running_paths:
            continue
        flushing += [(removal, node) for node in nodes]
    if any(removal.force for removal in removals):
        deadline = deadline.within(max(LAST_FLUSH_SECONDS, deadline.remaining() - AFTER_FLUSH_SECONDS))
    failures = flush([node for _removal, node in flushing], deadline)
    for (removal, node), failure in zip(flushing, failures):
        if failure and removal.force:
            removal.warnings.append(
                f"{removal.volume}: {node} could not be flushed ({failure}); some of what was written may be lost."
            )
        elif failure:
            removal.error = StorageError(
                "deadline_exceeded" if failure in OUT_OF_TIME else "unavailable",
                f"{node} could not be flushed ({failure}), so it was left as it is. "
                "Bring its paths back, or give the unwritten data up with force.",
            )
