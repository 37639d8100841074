# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""LIO, the kernel's target for SCSI, through rtslib-fb: the devices that it exports, and what it restores at boot.

How hosts reach them is the protocols': iscsi.py, fibre_channel.py.
"""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

from ansible_collections.brickwork.storage.plugins.module_utils.controller.libraries import library
from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm.exporter import (
    Exporter,
    Portal,
    write_durably,
)
from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm.saved import Entries, Saved
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError

CONFIGFS = Path("/sys/kernel/config/target")
# One file for each volume whose export was changed and not saved yet. Lost at a reboot, as the unsaved changes are.
UNSAVED = Path("/run/brickwork/unsaved")
# How the directories in which LIO has block devices begin; a number follows.
ADAPTER = "iblock_"


class Lio(Exporter):
    """LIO's exports of one backend, by one protocol. Behind each is a storage object with the volume's id as its name."""

    lock_name = "lio"
    target = "LIO"
    libraries = ("rtslib_fb",)

    def __init__(self, prefix: str, portals: Sequence[Portal]) -> None:
        super().__init__(prefix, portals)
        self._read: tuple[Optional[tuple[int, ...]], Saved] = (None, Saved())

    @property
    def _rtslib(self) -> Any:
        return library("rtslib_fb")

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        return (OSError, self._rtslib.RTSLibError)

    def wwn(self, volume_id: str) -> str:
        return wwn(volume_id)

    def devices(self, export: Mapping[str, Any]) -> set[str]:
        return {export["device"]} if export["device"] else set()

    def has_open(self, volume_id: str) -> bool:
        return _adapter_of(volume_id) is not None

    def save(self, volume_ids: Iterable[str]) -> None:
        """Save the exports of these volumes where targetctl restores them from at boot.

        What others have in that file stays as they saved it.
        """
        changed = {volume_id for volume_id in volume_ids if is_marked(volume_id)}
        if not changed:
            return
        saved = self._saved()
        present = filter(None, map(self._storage_object, sorted(changed)))
        objects = saved.storage_objects.replaced(
            changed, lambda entry: entry.get("name") in changed, [storage_object.dump() for storage_object in present]
        )
        targets = self._targets_to_save(saved.targets, changed)
        path = Path(self._rtslib.root.default_save_file)
        write_durably(path, Saved(objects, targets, saved.others).text())
        for volume_id in changed:
            _marker(volume_id).unlink(missing_ok=True)

    @abstractmethod
    def _targets_to_save(self, saved: Entries, changed: set[str]) -> Entries:
        """What is saved of all targets, with what the kernel has of the volumes that were changed."""

    # Pieces

    def _begin(self, volume_id: str) -> None:
        """Note that what follows is not saved yet."""
        if is_marked(volume_id):
            _remove_empty_adapters()
        mark(volume_id)

    def _load(self) -> None:
        """Load the kernel's modules."""
        # Makes LIO keep its own files beside the saved configuration, which takes the directory.
        Path(self._rtslib.root.default_save_file).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._rtslib.RTSRoot()

    def _storage_object(self, volume_id: str) -> Optional[Any]:
        adapter = _adapter_of(volume_id)
        # Without the number rtslib would look at every storage object there is, and keep what it saw.
        return self._rtslib.BlockStorageObject(volume_id, index=_number_of(adapter)) if adapter else None

    def _storage_object_over(self, volume_id: str, device: str) -> Any:
        """The storage object over this device; its unit serial is the volume's id, which fixes the WWN that hosts see."""
        storage_object = self._storage_object(volume_id)
        if storage_object and not (
            storage_object.is_configured() and (storage_object.wwn, storage_object.udev_path) == (volume_id, device)
        ):
            storage_object.delete()
            storage_object = None
        if storage_object is None:
            storage_object = self._rtslib.BlockStorageObject(volume_id, dev=device, wwn=volume_id, index=_free_number())
        # Of one that is there, too: a call may have been killed before it came to this.
        _allow_discard(storage_object, device)
        return storage_object

    def _delete_storage_object(self, volume_id: str) -> None:
        """Take it away, and with it the LUNs over it."""
        adapter = _adapter_of(volume_id)
        if adapter is None:
            return
        try:
            (adapter / volume_id).rmdir()
        except OSError:
            # There are LUNs over it; rtslib looks for them in all targets, and takes them away.
            self._rtslib.BlockStorageObject(volume_id, index=_number_of(adapter)).delete()
        else:
            adapter.rmdir()

    def _saved(self) -> Saved:
        """What a reboot brings back; read once as long as it is the same."""
        path = Path(self._rtslib.root.default_save_file)
        try:
            found = path.stat()
        except FileNotFoundError:
            return Saved()
        version = (found.st_ino, found.st_mtime_ns, found.st_size)
        if self._read[0] != version:
            self._read = (version, _parsed(path))
        return self._read[1]


def _parsed(path: Path) -> Saved:
    try:
        return Saved.parsed(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise StorageError(
            "failed_precondition",
            f"{path}, from which LIO is restored at boot, is not JSON ({error}); repair it, or write it anew with "
            "targetctl save.",
        ) from None


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


def text(path: Path) -> str:
    """What a file of the kernel's says."""
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read().strip()


def tied_to(lun: Path | str) -> Optional[str]:
    """What a LUN is a link to; None without the LUN, or where a call was killed before it made the link."""
    try:
        with os.scandir(lun) as entries:
            links = [entry.path for entry in entries if entry.is_symlink()]
        return os.readlink(links[0]) if links else None
    except FileNotFoundError:  # or another call has just taken it away
        return None


def device_of(volume_id: str) -> Optional[str]:
    """The device of a volume's storage object; None without one."""
    adapter = _adapter_of(volume_id)
    return text(adapter / volume_id / "udev_path") if adapter else None


def _adapters() -> list[str]:
    """The directories of storage objects, one for each."""
    core = CONFIGFS / "core"
    return [f"{core}/{name}" for name in os.listdir(core) if name.startswith(ADAPTER)] if core.is_dir() else []


def _adapter_of(volume_id: str) -> Optional[Path]:
    # There may be thousands: no Path is made of the others.
    return next((Path(adapter) for adapter in _adapters() if os.path.isdir(f"{adapter}/{volume_id}")), None)


def _number_of(adapter: Path) -> int:
    return int(adapter.name[len(ADAPTER) :])


def _free_number() -> int:
    """A number that no storage object has, of whatever kind."""
    numbers = (name.rpartition("_")[2] for name in os.listdir(CONFIGFS / "core"))
    taken = {int(number) for number in numbers if number.isdigit()}
    return min(set(range(len(taken) + 1)) - taken)


def _remove_empty_adapters() -> None:
    """A call that was killed may leave the directory in which a storage object was to be made, or was."""
    for adapter in _adapters():
        with os.scandir(adapter) as entries:
            empty = not any(entry.is_dir() for entry in entries)
        if empty:
            os.rmdir(adapter)


def _marker(volume_id: str) -> Path:
    return UNSAVED / volume_id


def _allow_discard(storage_object: Any, device: str) -> None:
    """Let hosts discard, where the device can: LIO refuses to offer it otherwise."""
    number = os.stat(device).st_rdev
    limit = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}/queue/discard_max_bytes")
    if int(limit.read_text(encoding="ascii")) and storage_object.get_attribute("emulate_tpu") != "1":
        storage_object.set_attribute("emulate_tpu", 1)
