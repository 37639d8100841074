# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bringing volumes to this host: their engines start all of a batch at once, and one wait is for all of them."""

from __future__ import annotations

import time

from ansible_collections.brickwork.storage.plugins.module_utils.apart import write_attributes
from ansible_collections.brickwork.storage.plugins.module_utils.commands import run
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.host.attempt import Attempt
from ansible_collections.brickwork.storage.plugins.module_utils.host.engines.engine import WRITE_SECONDS
from ansible_collections.brickwork.storage.plugins.module_utils.host.engines.registry import by_engine
from ansible_collections.brickwork.storage.plugins.module_utils.host.sysfs import Sysfs
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline

POLL_SECONDS = 0.2
MOST_POLL_SECONDS = 2.0
# How many times longer to wait than the last look took of the processor.
POLL_SHARE = 9
# Once all disks are there, nothing more comes before udev has seen to them; but udev may never be idle.
UDEV_SECONDS = 4.0
# Where it hangs over one volume, the others still come.
MULTIPATHD_SECONDS = 10.0


def connect(attempts: list[Attempt], view: Sysfs, deadline: Deadline) -> None:
    """Bring the batch to this host, or as much of it as comes before the deadline.

    Args:
        attempts: the volumes; each holds its outcome at the end.
        view: the host.
        deadline: for all of them.
    """
    # The kernel keeps what a disk said when it came; the target may have put another volume in its place since.
    present = view.glance()
    writes = [
        write for attempt in attempts for write in attempt.export.rescans(view, attempt.export.find(present, None))
    ]
    write_attributes(writes, deadline.within(WRITE_SECONDS))
    engines = by_engine(attempts, view, deadline)
    for engine, its in engines:
        engine.start(its)
    waiting = [attempt for attempt in attempts if attempt.error is None]
    while waiting and not deadline.passed:
        began = time.process_time()
        for engine, its in engines:
            engine.go_on([attempt for attempt in its if attempt in waiting])
        now = view.glance()
        waiting = [attempt for attempt in waiting if not _ended(attempt, now)]
        _resize(waiting, view, deadline)
        for attempt in waiting:
            for device in attempt.left_alone(view):
                run(["multipath", "-a", f"/dev/{device}"], deadline.within(MULTIPATHD_SECONDS))
                run(["multipathd", "add", "path", device], deadline.within(MULTIPATHD_SECONDS))
        if waiting:
            _rest(waiting, view, time.process_time() - began)
    for attempt in waiting:
        if not attempt.is_usable:
            attempt.error = attempt.late()
    for engine, its in engines:
        engine.end([attempt for attempt in its if attempt.error is None])


def _rest(waiting: list[Attempt], view: Sysfs, spent: float) -> None:
    """Leave the processor to udev and multipathd, which need it more than looking does.

    Args:
        waiting: what has not come yet.
        view: the host.
        spent: seconds that the last look took of the processor.
    """
    time.sleep(min(MOST_POLL_SECONDS, max(POLL_SECONDS, POLL_SHARE * spent)))
    limit = Deadline(UDEV_SECONDS)
    while all(attempt.has_disks for attempt in waiting) and view.udev_is_busy() and not limit.passed:
        time.sleep(POLL_SECONDS)


def _ended(attempt: Attempt, view: Sysfs) -> bool:
    try:
        return attempt.error is not None or attempt.look(view)
    except StorageError as error:
        attempt.error = error
        return True


def _resize(attempts: list[Attempt], view: Sysfs, deadline: Deadline) -> None:
    """A volume that has grown: every path first, then the map over them."""
    for attempt in attempts:
        writes = attempt.rescans(view)
        write_attributes(writes, deadline.within(WRITE_SECONDS))
        if writes and attempt.found.multipath_map:
            resize = ["multipathd", "resize", "map", attempt.found.multipath_map.alias]
            run(resize, deadline.within(MULTIPATHD_SECONDS))
