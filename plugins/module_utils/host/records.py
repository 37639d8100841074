# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's durable record of its attachments: one file a volume, readable by root alone."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Optional
from urllib.parse import quote

from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError

DIRECTORY = Path("/var/lib/brickwork/attachments")
# Attach and detach on one host wait for each other.
LOCK = "attachments"


@dataclass
class Record:
    """One attachment, made or being made.

    It is written before anything is done to the host, so that a call that was killed can be repeated or negated by name.

    Args:
        connection: as given, without its secret.
        multipath: as asked for.
        persistent: as asked for.
        attached: false while the attachment is being made.
        kept_portals: sessions that were there before: not ours to end.
        wwn: of the device that was found at the first attach.
        attach_info: what the first attach returned, in os-brick's form.
        encrypted: as asked for.
        formatting: the UUID of the LUKS header that a format has begun to write, until it has ended.
        header_bytes: how much smaller than the device the opened volume was; None while it has never been open.
    """

    connection: dict[str, Any]
    multipath: bool
    persistent: bool
    attached: bool = False
    kept_portals: list[str] = field(default_factory=list)
    wwn: Optional[str] = None
    attach_info: dict[str, Any] = field(default_factory=dict)
    encrypted: bool = False
    formatting: Optional[str] = None
    header_bytes: Optional[int] = None

    @property
    def volume(self) -> dict[str, Any]:
        found: dict[str, Any] = self.connection["volume"]
        return found


class Records:
    """The records of this host.

    Args:
        directory: where they are.
    """

    def __init__(self, directory: Path = DIRECTORY) -> None:
        self._directory = directory

    def all(self) -> list[Record]:
        """Every record, by volume name.

        Raises:
            StorageError: C(internal) for a file that is not a record: nobody but this collection writes there.
        """
        found = []
        for path in self._directory.glob("*.json"):
            try:
                record = Record(**json.loads(path.read_text(encoding="utf-8")))
                found.append((str(record.volume["name"]), record))
            except FileNotFoundError:
                continue  # another call has just released it
            except (OSError, ValueError, TypeError, KeyError) as error:
                raise StorageError(
                    "internal", f"{path} cannot be read as a record ({error}); move it away and repeat."
                ) from error
        return [record for _name, record in sorted(found, key=lambda named: named[0])]

    def get(self, volume_id: str) -> Optional[Record]:
        """The record of a volume, by its id."""
        return next((record for record in self.all() if record.volume["id"] == volume_id), None)

    def write(self, record: Record) -> None:
        """Put a record in place, whole or not at all, and on the disk before this returns."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._path(record.volume["id"])
        temporary = path.with_suffix(".new")
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump(asdict(record), file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)

    def remove(self, volume_id: str) -> None:
        """Forget a volume."""
        self._path(volume_id).unlink(missing_ok=True)
        self._path(volume_id).with_suffix(".new").unlink(missing_ok=True)

    def _path(self, volume_id: str) -> Path:
        return self._directory / f"{quote(volume_id, safe='')}.json"


def by_name(records: list[Record], name: str, backend: Optional[str]) -> Optional[Record]:
    """The record that an id means, or a name.

    Raises:
        StorageError: C(invalid_argument) where the name fits several volumes.
    """
    of_backend = [record for record in records if backend in (None, record.volume["backend"])]
    # An id is never in doubt: somebody may have named another volume as it.
    fitting = [record for record in of_backend if record.volume["id"] == name]
    fitting = fitting or [record for record in of_backend if record.volume["name"] == name]
    if len(fitting) > 1:
        backends = sorted({str(record.volume["backend"]) for record in fitting})
        ids = sorted(str(record.volume["id"]) for record in fitting)
        told_apart = len(backends) == len(fitting)
        way = "say which one with backend" if told_apart else f"name it by its id ({', '.join(ids)})"
        raise StorageError(
            "invalid_argument",
            f"{name} is {len(fitting)} volumes on this host, of {', '.join(backends)}; {way}.",
            field="backend" if told_apart else "volumes",
            candidates=backends if told_apart else ids,
        )
    return fitting[0] if fitting else None
