# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What some of Cinder's drivers leave when they are killed, and do not look for again.

While they copy a volume, two of them take a snapshot of the original that bears the copy's name, and is in no database. While it is
there the same copy cannot be made again, and the original cannot be deleted. The other drivers that take one have it in the database;
see Database.snapshot_create. What drivers on network file systems leave is in remote_files.py.

A target of LIO that was not made to the end is taken for one that is whole.
"""

from __future__ import annotations

import contextlib
import re
import sys
import time
from typing import Any, Optional

from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline

# Ceph takes half a minute, where nobody set it otherwise.
CEPH_SECONDS = 40
CEPH_POLL_SECONDS = 1
# Put at the end of the name of what cannot be deleted yet.
KEPT = ".deleted"
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def remove_target(driver: Any, volume: Any) -> None:
    """Remove what is left of a target that nobody was let in to yet, so that it can be made anew."""
    if exports_by_lio(driver):
        # This also removes a storage object without a target; what is not there is passed over.
        driver.target_driver.remove_iscsi_target(0, 0, volume.id, volume.name)


def exports_by_lio(driver: Any) -> bool:
    """Whether the driver's targets are those of LIO on this machine."""
    return "LioAdm" in [cls.__name__ for cls in type(getattr(driver, "target_driver", None)).__mro__]


def wait_for_dead_clients(driver: Any, volume: Any) -> None:
    """Wait until Ceph has given up those clients of an image that do not answer any more, such as a driver that was killed: while it
    takes them for alive, it refuses to delete the image."""
    module = sys.modules[type(driver).__module__]
    if type(driver).__name__ != "RBDDriver":
        return
    patience = Deadline(CEPH_SECONDS)
    with contextlib.suppress(driver.rbd.ImageNotFound):
        while not patience.passed:
            # Who only reads is no such client itself.
            with module.RBDVolumeProxy(driver, volume.name, read_only=True) as image:
                if not list(image.watchers_list()):
                    return
            time.sleep(CEPH_POLL_SECONDS)


def remove(driver: Any, copy: Any, original: Optional[Any]) -> None:
    """Remove it where it is left, once the copy is gone.

    Args:
        driver: Cinder's.
        copy: Cinder's volume that was to be made.
        original: Cinder's volume that it was to be made from; None where that was deleted.
    """
    for cls in type(driver).__mro__:
        if cls.__name__ in _REMOVE:
            _REMOVE[cls.__name__](driver, sys.modules[cls.__module__], copy, original)
            return


def _of_lvm(driver: Any, _module: Any, copy: Any, original: Optional[Any]) -> None:
    # As create_cloned_volume() names it; what is not there is passed over. While it was there, the original could not be deleted.
    if original is None:
        return
    size = original.size
    driver.delete_snapshot(
        {"id": f"tmp-snap-{copy.id}", "name": f"clone-snap-{copy.id}", "size": size, "volume_size": size}
    )


def _of_rbd(driver: Any, module: Any, copy: Any, original: Optional[Any]) -> None:
    """Also without being killed: the driver only looks for it where the copy could not be removed at once. An original that was
    deleted before its copies is kept as C(NAME.deleted) until they are gone, and may be a copy itself."""
    left_by = [copy.name]
    # Called as the copy is, but for the id: the pool may have images of others.
    kept_name = re.compile(UUID.pattern.join(map(re.escape, UUID.split(copy.name))) + re.escape(KEPT))
    with module.RADOSClient(driver) as client:
        pool = driver.RBDProxy()
        kept = [name for name in pool.list(client.ioctx) if kept_name.fullmatch(name)]
        while left_by:
            snapshot = f"{left_by.pop()}.clone_snap"
            for origin in [*([original.name] if original else []), *kept]:
                with module.RBDVolumeProxy(driver, origin) as image:
                    _remove_snapshot(image, snapshot)
                    needed = bool(list(image.list_snaps()))
                if origin in kept and not needed:
                    pool.remove(client.ioctx, origin)
                    kept = [other for other in kept if other != origin]
                    left_by.append(origin[: -len(KEPT)])


def _remove_snapshot(image: Any, name: str) -> None:
    if name in [snapshot["name"] for snapshot in image.list_snaps()]:
        if image.is_protected_snap(name):
            image.unprotect_snap(name)
        image.remove_snap(name)


_REMOVE = {"LVMVolumeDriver": _of_lvm, "RBDDriver": _of_rbd}
