# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What exports logical volumes: one of the kernel's targets, by one protocol.

Who holds a volume is not an exporter's to decide or to record: the tags say it, and the backend writes them before it has an export
opened to a host, and removes them after it has had it closed.
"""

from __future__ import annotations

import os
import socket
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Optional

from ansible_collections.brickwork.storage.plugins.module_utils.controller.backend import Holder, Volume
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError


@dataclass(frozen=True)
class Portal:
    """An address at which volumes are reached; an IPv6 address without brackets."""

    address: str
    port: int

    @property
    def host(self) -> str:
        return f"[{self.address}]" if ":" in self.address else self.address

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    def refused(self, by: str, reason: Exception) -> StorageError:
        """The failure where a target cannot listen here."""
        return StorageError(
            "unavailable",
            f"{by} cannot listen on {self}: {reason}. Give this controller the address, or correct target_ip_address and "
            "target_secondary_ip_addresses of the backend.",
            field="target_ip_address",
            portals=[str(self)],
        )


class Exporter(ABC):
    """The exports of one backend's volumes.

    Changes are made under the lock I(lock_name), by one call at a time; what only reads may run at any moment.

    Args:
        prefix: of the targets' names; the volume's id follows.
        portals: where the volumes are reached.
    """

    lock_name: ClassVar[str]  # other backends of this controller use the same target
    protocol: ClassVar[str]  # the driver_volume_type of its connections
    target: ClassVar[str]  # what the kernel's target is called, in messages
    libraries: ClassVar[tuple[str, ...]] = ()
    is_told_of_growth: ClassVar[bool] = False  # else it sees by itself that a device has grown
    has_portals: ClassVar[bool] = True  # else what follows is of no use
    default_port: ClassVar[int]
    default_prefix: ClassVar[str]
    prefix_form: ClassVar[str]  # a regular expression
    prefix_meaning: ClassVar[str]

    def __init__(self, prefix: str, portals: Sequence[Portal]) -> None:
        self.portals = tuple(portals)
        self._prefix = prefix

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """What is raised where the kernel refuses, beside StorageError."""
        return (OSError,)

    # What only reads

    @abstractmethod
    def wwn(self, volume_id: str) -> str:
        """The WWN under which hosts see the volume."""

    @abstractmethod
    def holder(self, connector: Mapping[str, Any]) -> Holder:
        """The host that a connector describes; see Backend.holder."""

    @abstractmethod
    def knows(self, initiator: str) -> bool:
        """Whether a host can connect as this by the exporter's protocol."""

    @abstractmethod
    def export(self, volume_id: str) -> Optional[dict[str, Any]]:
        """The export as it is, without secrets; None where there is none, and none is saved."""

    @abstractmethod
    def devices(self, export: Mapping[str, Any]) -> set[str]:
        """What is behind an export, as export() tells it."""

    @abstractmethod
    def wanted(self, volume: Volume, device: str) -> dict[str, Any]:
        """The export as it is to be, for the volume's holders."""

    @abstractmethod
    def reduced(self, volume: Volume) -> Optional[dict[str, Any]]:
        """The present export, without whoever does not hold the volume; some host holds it."""

    @abstractmethod
    def sessions(self, volume_id: str) -> dict[str, list[str]]:
        """What hosts that use the volume connect as, each with its addresses; empty where the target cannot tell."""

    @abstractmethod
    def has_open(self, volume_id: str) -> bool:
        """Whether the target has the volume's device open, exported or not."""

    @abstractmethod
    def connection_info(self, volume: Volume, holder: Holder) -> dict[str, Any]:
        """What the host connects with; see Backend.connection_info."""

    # What changes

    @abstractmethod
    def realise(self, volume: Volume, device: str) -> None:
        """Export the volume to its holders and to nobody else, changing only what differs."""

    @abstractmethod
    def withdraw(self, volume: Volume) -> None:
        """Take the volume away from every host but its holders; without any, nothing of the export is left."""

    @abstractmethod
    def save(self, volume_ids: Iterable[str]) -> None:
        """Save the exports of these volumes for the next boot."""

    def grown(self, volume_id: str) -> None:
        """Have hosts see the size that the device has now, where the target has to be told."""
        raise NotImplementedError(f"{self.target} sees the size of a device by itself")


def require_local(address: str) -> None:
    """Raise OSError for an address that the machine does not have: a target may listen there all the same, in vain."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((address, 0))


def write_durably(path: Path, text: str, mode: int = 0o600) -> None:
    """Replace a file as a whole: a power cut leaves the old one or the new one."""
    write_all_durably({path: text}, mode)


def write_all_durably(texts: Mapping[Path, str], mode: int = 0o600) -> None:
    """Replace files, each as a whole; none of them where one cannot be written."""
    written: dict[Path, Path] = {}
    try:
        for path, text in texts.items():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            written[path] = new = _unfinished(path)
            new.unlink(missing_ok=True)
            with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
    except OSError:
        for new in written.values():
            new.unlink(missing_ok=True)
        raise
    for path, new in written.items():
        os.replace(new, path)
    for directory in {path.parent for path in texts}:
        _sync_directory(directory)


def remove_durably(path: Path) -> None:
    """Remove a file, and before it what a call that was killed may have left of one that was to take its place."""
    there = [found for found in (_unfinished(path), path) if found.exists()]
    for found in there:
        found.unlink()
    if there:
        _sync_directory(path.parent)


def _unfinished(path: Path) -> Path:
    # Hidden, so that nobody takes what a kill leaves for a file of the directory.
    return path.with_name(f".{path.name}.brickwork")


def _sync_directory(path: Path) -> None:
    """Make durable which files a directory has."""
    directory = os.open(path, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
