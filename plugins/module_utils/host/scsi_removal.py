# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Taking SCSI disks and the multipath maps over them away, each step for a whole batch, and verified in sysfs."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Optional

from ansible_collections.brickwork.storage.plugins.module_utils.apart import write_attributes
from ansible_collections.brickwork.storage.plugins.module_utils.commands import run
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.host import multipathd
from ansible_collections.brickwork.storage.plugins.module_utils.host.removal import Removal, refusal, wait_until_gone
from ansible_collections.brickwork.storage.plugins.module_utils.host.sysfs import Sysfs
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline

RETRY_SECONDS = 1.0


def remove_maps(removals: list[Removal], view: Sysfs, deadline: Deadline) -> None:
    """Flush and remove the maps of volumes that leave wholly."""
    leaving = [
        (removal, over) for removal in removals if removal.whole for over in [removal.found.own_map] if over is not None
    ]
    multipathd.remove_maps([over.alias for _removal, over in leaving], deadline)
    for removal, over in leaving:
        complaint = "multipathd did not remove it"
        while view.map_of(over.wwid) and not deadline.passed:
            # It tries harder than multipathd, and does without it.
            complaint = run(["multipath", "-f", over.alias], deadline).complaint
            if view.map_of(over.wwid):
                # udev may have had it open for a moment.
                time.sleep(RETRY_SECONDS)
                removal.error = refusal(view, removal, removal.find(view))
                if removal.error:
                    break
        if removal.error is None and view.map_of(over.wwid):
            removal.error = StorageError(
                "deadline_exceeded",
                f"The multipath map {over.alias} could not be removed in time ({complaint}); repeat it.",
            )


def remove_disks(
    removals: list[Removal], view: Sysfs, deadline: Deadline, going: Collection[str] = frozenset()
) -> None:
    """Make the kernel forget the disks that came by the portals that leave.

    Args:
        removals: the batch.
        view: the host.
        deadline: for all of it.
        going: the kernel names of disks that go with what brought them.
    """
    writes = []
    now = view.glance()
    for removal in removals:
        # Found anew: another disk may have taken the name of one that has gone since.
        for path in removal.find(now).paths:
            if removal.leaves(path.portal) and path.device not in going:
                writes.append((view.attribute_path(f"block/{path.device}/device/delete"), "1"))
    if going and not writes:
        return
    write_attributes(writes, deadline)
    wait_until_disks_are_gone(removals, view, deadline, going)


def wait_until_disks_are_gone(
    removals: list[Removal], view: Sysfs, deadline: Deadline, going: Collection[str] = frozenset()
) -> None:
    """Look until there is no disk left that came by the portals that leave; see I(remove_disks)."""

    def still_there(removal: Removal, now: Sysfs) -> Optional[str]:
        found = removal.find(now)
        left = [
            f"/dev/{path.device}" for path in found.paths if removal.leaves(path.portal) and path.device not in going
        ]
        if removal.whole and found.own_map and not found.paths:
            # multipathd made the map anew from a path that was still there.
            run(["multipath", "-f", found.own_map.alias], deadline)
            left = [f"/dev/{found.own_map.name}"]
        return ", ".join(left) or None

    wait_until_gone(removals, view, deadline, still_there)
