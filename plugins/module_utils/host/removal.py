# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A volume that is to leave this host: what may go, and whether."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Callable, Optional

from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.host.encryption import opened_as
from ansible_collections.brickwork.storage.plugins.module_utils.host.found import Found
from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols.export import Export, Portal
from ansible_collections.brickwork.storage.plugins.module_utils.host.sysfs import Session, Sysfs
from ansible_collections.brickwork.storage.plugins.module_utils.host.usage import users_of_each
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline

POLL_SECONDS = 0.1


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
        multipath: whether it was attached with multipath.
        attach_info: what the attach returned, in os-brick's form; empty where it is not known.
        force: go on where data can no longer be saved.
        opened_as: the device-mapper name under which this collection opens it.
        formatting: the UUID of the LUKS header that a format has begun and not finished.
        volume_id: its id; empty where nothing is kept by it.
        found: what there was of it when it was last seen that it may go.
        partly: only some of its paths leave, also where those came by every portal.
        stays_visible: whether its device is there for as long as others need what brought it; its engine says so.
        error: why it did not leave.
        warnings: what a person must know.
    """

    volume: str
    export: Export
    wwn: Optional[str]
    portals: tuple[Portal, ...]
    kept_portals: frozenset[str] = frozenset()
    needed_elsewhere: frozenset[tuple[str, str]] = frozenset()
    multipath: bool = False
    attach_info: dict[str, Any] = field(default_factory=dict)
    force: bool = False
    opened_as: Optional[str] = None
    formatting: Optional[str] = None
    volume_id: str = ""
    found: Found = field(default_factory=Found)
    partly: bool = False
    stays_visible: bool = False
    error: Optional[StorageError] = None
    warnings: list[str] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        return not self.partly and set(self.portals) == set(self.export.portals)

    def find(self, view: Sysfs) -> Found:
        """What there is of the volume."""
        export = self.export.knowing(self.attach_info)
        # By some portals all leaves that these have brought, whatever it is.
        return export.find_own(view, self.wwn) if self.whole else export.find(view, self.wwn)

    def ends(self, session: Session) -> bool:
        """Whether a session is this removal's to end, once nothing else comes by it."""
        return self.owns(session.portal, session.target) and any(
            (portal.address, portal.target) == (session.portal, session.target) for portal in self.portals
        )

    def owns(self, address: str, target: str) -> bool:
        """Whether what this host has of a portal is this removal's to take away."""
        return address not in self.kept_portals and (address, target) not in self.needed_elsewhere

    def leaves(self, address: str) -> bool:
        """Whether the volume is to leave by a portal; wholly, it leaves also by those that nobody named."""
        return self.whole or any(portal.address == address for portal in self.portals)


def refusal(view: Sysfs, removal: Removal, found: Found) -> Optional[StorageError]:
    """Why a volume must not be taken away now; see I(refusals)."""
    [error] = refusals(view, [(removal, found)])
    return error


def refusals(view: Sysfs, removals: Sequence[tuple[Removal, Found]]) -> list[Optional[StorageError]]:
    """Why volumes must not be taken away now.

    Args:
        view: the host.
        removals: each with what there is of it.

    Returns:
        For each C(failed_precondition) while it is in use, whatever C(force) says; C(unavailable) where all its paths are dead
        and nobody said C(force); None where it may be taken away.
    """
    # A path more or less does not disturb who uses the volume by the others.
    whole = [(removal, found) for removal, found in removals if removal.whole]
    opened = [opened_device(view, removal) for removal, _found in whole]
    using = users_of_each(view, [(found, over) for (_removal, found), over in zip(whole, opened)])
    of_removal = {id(removal): seen for (removal, _found), seen in zip(whole, zip(using, opened))}
    return [_refusal(removal, found, *of_removal.get(id(removal), ([], None))) for removal, found in removals]


def _refusal(removal: Removal, found: Found, using: list[str], opened: Optional[str]) -> Optional[StorageError]:
    if using:
        return StorageError(
            "failed_precondition",
            f"{found.node or f'/dev/{opened}'} is in use: {', '.join(using)}. Unmount or stop what uses it, then detach.",
            users=using,
        )
    if removal.whole and found.node and not found.running_paths and not removal.force:
        states = ", ".join(f"{path.portal} {path.state}" for path in found.paths) or "no path left"
        return StorageError(
            "unavailable",
            f"All paths of {found.node} are dead ({states}): what was not written yet cannot be saved, so everything was "
            "left as it is. Bring a path back, or give that data up with force.",
            portals=sorted(path.portal for path in found.paths),
        )
    return None


def opened_device(view: Sysfs, removal: Removal) -> Optional[str]:
    """The kernel name of what this collection has opened over a volume; None where nothing is."""
    opened = opened_as(view, removal.opened_as) if removal.opened_as else None
    return opened.device if opened and opened.is_luks else None


def remaining(removals: Iterable[Removal]) -> list[Removal]:
    """Those that nothing has stopped yet."""
    return [removal for removal in removals if removal.error is None]


def wait_until_gone(
    removals: list[Removal], view: Sysfs, deadline: Deadline, still_there: Callable[[Removal, Sysfs], Optional[str]]
) -> None:
    """Look until nothing is left, or the deadline.

    Args:
        removals: the batch; what has not gone in time is told in their C(error).
        view: the host.
        deadline: for all of it.
        still_there: what is left of a removal, in words; None where nothing is.
    """
    waiting = list(removals)
    while waiting:
        now = view.glance()
        left = {id(removal): still_there(removal, now) for removal in waiting}
        waiting = [removal for removal in waiting if left[id(removal)]]
        if deadline.passed:
            for removal in waiting:
                removal.error = StorageError(
                    "deadline_exceeded", f"{left[id(removal)]} did not go in time; repeat the detach."
                )
            return
        if waiting:
            time.sleep(POLL_SECONDS)
