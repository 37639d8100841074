# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""LIO, the kernel's target for SCSI, through rtslib-fb: the devices that it exports, and what it restores at boot.

How hosts reach them is the protocols': iscsi.py, fibre_channel.py.
"""

from __future__ import annotations

import json
import os
from abc import abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Optional

from ansible_collections.brickwork.storage.plugins.module_utils.controller.libraries import library
from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm.exporter import Exporter, write_durably
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError

CONFIGFS = Path("/sys/kernel/config/target")
# One file for each volume whose export was changed and not saved yet. Lost at a reboot, as the unsaved changes are.
UNSAVED = Path("/run/brickwork/unsaved")


class Lio(Exporter):
    """LIO's exports of one backend, by one protocol. Behind each is a storage object with the volume's id as its name."""

    lock_name = "lio"
    target = "LIO"
    libraries = ("rtslib_fb",)

    @property
    def _rtslib(self) -> Any:
        return library("rtslib_fb")

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        return (OSError, self._rtslib.RTSLibError)

    def forget_cached(self) -> None:
        # rtslib keeps the numbers of storage objects.
        self._rtslib.tcm.bs_cache.clear()

    def wwn(self, volume_id: str) -> str:
        return wwn(volume_id)

    def has_open(self, volume_id: str) -> bool:
        return any(CONFIGFS.glob(f"core/iblock_*/{volume_id}"))

    def save(self, volume_ids: Iterable[str]) -> None:
        """Save the exports of these volumes where targetctl restores them from at boot.

        What others have in that file stays as they saved it.
        """
        changed = {volume_id for volume_id in volume_ids if is_marked(volume_id)}
        if not changed:
            return
        saved = self._saved()
        objects = [entry for entry in saved.get("storage_objects", []) if entry.get("name") not in changed]
        for volume_id in sorted(changed):
            storage_object = self._storage_object(volume_id)
            objects += [storage_object.dump()] if storage_object else []
        targets = self._targets_to_save(saved.get("targets", []), changed)
        saved.update(storage_objects=objects, targets=targets)
        path = Path(self._rtslib.root.default_save_file)
        write_durably(path, json.dumps(saved, sort_keys=True, indent=2) + "\n")
        for volume_id in changed:
            _marker(volume_id).unlink(missing_ok=True)

    @abstractmethod
    def _targets_to_save(self, saved: list[dict[str, Any]], changed: set[str]) -> list[dict[str, Any]]:
        """What is saved of all targets, with what the kernel has of the volumes that were changed."""

    # Pieces

    def _begin(self, volume_id: str) -> None:
        """Load the kernel's modules, after having noted that what follows is not saved yet."""
        mark(volume_id)
        # Makes LIO keep its own files beside the saved configuration, which takes the directory.
        Path(self._rtslib.root.default_save_file).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._rtslib.RTSRoot()

    def _storage_object(self, volume_id: str) -> Optional[Any]:
        try:
            return self._rtslib.BlockStorageObject(volume_id)
        except self._rtslib.RTSLibError:
            return None

    def _storage_object_over(self, volume_id: str, device: str) -> Any:
        """The storage object over this device; its unit serial is the volume's id, which fixes the WWN that hosts see."""
        storage_object = self._storage_object(volume_id)
        if storage_object and not (
            storage_object.is_configured() and (storage_object.wwn, storage_object.udev_path) == (volume_id, device)
        ):
            storage_object.delete()
            storage_object = None
        if storage_object is None:
            storage_object = self._rtslib.BlockStorageObject(volume_id, dev=device, wwn=volume_id)
            _allow_discard(storage_object, device)
        return storage_object

    def _delete_storage_object(self, volume_id: str) -> None:
        """Take it away, and with it the LUNs over it."""
        storage_object = self._storage_object(volume_id)
        if storage_object:
            storage_object.delete()

    def _saved(self) -> dict[str, Any]:
        """What a reboot brings back, in rtslib's form."""
        path = Path(self._rtslib.root.default_save_file)
        try:
            saved: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise StorageError(
                "failed_precondition",
                f"{path}, from which LIO is restored at boot, is not JSON ({error}); repair it, or write it anew with "
                "targetctl save.",
            ) from None
        return saved


def wwn(volume_id: str) -> str:
    """The WWN under which hosts see a volume, as multipath shows it.

    LIO makes its NAA identifier from the unit serial: 6 (the format), 001405 (LIO's company id), then 25 hexadecimal digits of the
    serial. scsi_id puts a 3 in front, which says that it is an NAA identifier.
    """
    return "36001405" + volume_id.replace("-", "")[:25]


def mark(volume_id: str) -> None:
    """Note that what is changed of a volume's export from now on is not saved."""
    UNSAVED.mkdir(mode=0o700, parents=True, exist_ok=True)
    _marker(volume_id).touch()


def is_marked(volume_id: str) -> bool:
    """Whether what is in the kernel of a volume's export is something else than what is saved."""
    return _marker(volume_id).exists()


def remove_empty_adapters() -> None:
    """A call that was killed may leave the directory in which a storage object was to be made."""
    for adapter in (CONFIGFS / "core").glob("iblock_*"):
        if not any(entry.is_dir() for entry in adapter.iterdir()):
            adapter.rmdir()


def _marker(volume_id: str) -> Path:
    return UNSAVED / volume_id


def _allow_discard(storage_object: Any, device: str) -> None:
    """Let hosts discard, where the device can: LIO refuses to offer it otherwise."""
    number = os.stat(device).st_rdev
    limit = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}/queue/discard_max_bytes")
    if int(limit.read_text(encoding="ascii")):
        storage_object.set_attribute("emulate_tpu", 1)
