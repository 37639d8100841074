# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What some of Cinder's drivers leave when they are killed, and do not look for again.

While they copy a volume, two of them take a snapshot of the original that bears the copy's name, and is in no database. While it is
there the same copy cannot be made again, and the original cannot be deleted. The other drivers that take one have it in the database;
see Database.snapshot_create.

On a network file system, the file of a snapshot is made before its name is written down beside it.

A target of LIO that was not made to the end is taken for one that is whole.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any


def remove_target(driver: Any, volume: Any) -> None:
    """Remove what is left of a target that nobody was let in to yet, so that it can be made anew."""
    target = getattr(driver, "target_driver", None)
    if "LioAdm" in [cls.__name__ for cls in type(target).__mro__]:
        # This also removes a storage object without a target; what is not there is passed over.
        target.remove_iscsi_target(0, 0, volume.id, volume.name)  # type: ignore[union-attr]


def remove_snapshot(driver: Any, snapshot: Any) -> None:
    """Remove the file of a snapshot that the driver has just deleted, as far as it knew of it."""
    if "RemoteFSSnapDriverBase" not in [cls.__name__ for cls in type(driver).__mro__]:
        return
    path = driver._get_new_snap_path(snapshot)
    known = driver._read_info_file(driver._local_path_volume_info(snapshot.volume), empty_if_missing=True)
    if os.path.basename(path) not in known.values():
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def remove(driver: Any, copy: Any, original: Any) -> None:
    """Remove it where it is left, once the copy is gone.

    Args:
        driver: Cinder's.
        copy: Cinder's volume that was to be made.
        original: Cinder's volume that it was to be made from.
    """
    for cls in type(driver).__mro__:
        if cls.__name__ in _REMOVE:
            _REMOVE[cls.__name__](driver, sys.modules[cls.__module__], copy, original)
            return


def _of_lvm(driver: Any, _module: Any, copy: Any, original: Any) -> None:
    # As create_cloned_volume() names it; what is not there is passed over.
    size = original.size
    driver.delete_snapshot(
        {"id": f"tmp-snap-{copy.id}", "name": f"clone-snap-{copy.id}", "size": size, "volume_size": size}
    )


def _of_rbd(driver: Any, module: Any, copy: Any, original: Any) -> None:
    name = f"{copy.name}.clone_snap"
    with module.RBDVolumeProxy(driver, original.name) as image:
        if name in [snapshot["name"] for snapshot in image.list_snaps()]:
            if image.is_protected_snap(name):
                image.unprotect_snap(name)
            image.remove_snap(name)


_REMOVE = {"LVMVolumeDriver": _of_lvm, "RBDDriver": _of_rbd}
