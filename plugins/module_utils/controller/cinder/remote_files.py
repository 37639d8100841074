# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Cinder's drivers on network file systems leave when they are killed, and do not look for again.

Such a driver keeps each volume in a file, and each snapshot in another one, a layer with what was written since: the snapshot's data is
in the layers below. Beside them stands which layers there are, and which one is the volume at present.
"""

from __future__ import annotations

import contextlib
import json
import os
from typing import Any


def has(driver: Any) -> bool:
    """Whether a driver is one of these."""
    return "RemoteFSSnapDriverBase" in [cls.__name__ for cls in type(driver).__mro__]


def write_at_once(driver: Any) -> None:
    """Have the driver write what layers there are at once: as it does it, the old text is gone before the new one is there."""

    def write(path: str, known: dict[str, str]) -> None:
        with open(_unfinished(path), "w", encoding="ascii") as file:
            json.dump(known, file, indent=1, sort_keys=True)
            file.flush()
            os.fsync(file.fileno())
        driver._set_rw_permissions(_unfinished(path))
        os.replace(_unfinished(path), path)

    if has(driver):
        driver._write_info_file = write


def forget(driver: Any, volume: Any) -> None:
    """Remove what was to be written of a volume that is deleted."""
    if has(driver) and volume.provider_location:
        _remove(_unfinished(driver._local_path_volume_info(volume)))


def put_back(driver: Any, snapshot: Any) -> None:
    """Put an empty layer where a deletion has merged one with what is below it and removed it, and came no further."""
    if not has(driver):
        return
    layers = _layers(driver, snapshot.volume)
    path = driver._get_new_snap_path(snapshot)
    if snapshot.id in layers and not os.path.exists(path):
        driver._do_create_snapshot(snapshot, _below(driver, snapshot), path)


def settle(driver: Any, snapshot: Any) -> None:
    """Remove the file of a snapshot that the driver has just deleted, as far as it knew of it."""
    if not has(driver):
        return
    layers = _layers(driver, snapshot.volume)
    path = driver._get_new_snap_path(snapshot)
    if os.path.basename(path) not in layers.values():
        _remove(path)
    metadata = snapshot.volume.admin_metadata
    if not set(layers) - {"active"} and "base_format" in metadata and metadata["format"] != metadata["base_format"]:
        # It noted the layer's before it wrote down that there is one.
        metadata["format"] = metadata["base_format"]
        snapshot.volume.save()


def _below(driver: Any, snapshot: Any) -> str:
    """The file that the missing layer of a snapshot stood on: the uppermost of those that still stand on each other."""
    volume = snapshot.volume
    directory = os.path.dirname(driver.local_path(volume))
    others = {name for known, name in _layers(driver, volume).items() if known not in ("active", snapshot.id)}
    above = {
        driver._qemu_img_info(os.path.join(directory, name), volume.name).backing_file: name for name in sorted(others)
    }
    below = str(volume.name)
    while below in above:
        below = above[below]
    return below


def _layers(driver: Any, volume: Any) -> dict[str, str]:
    """The files by the snapshots' ids, and C(active), the volume's own."""
    layers: dict[str, str] = driver._read_info_file(driver._local_path_volume_info(volume), empty_if_missing=True)
    return layers


def _unfinished(path: str) -> str:
    return f"{path}.new"


def _remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
