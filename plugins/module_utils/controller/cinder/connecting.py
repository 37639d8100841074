# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a volume is connected to hosts by one of Cinder's drivers, and released, so that each step can be done again or taken back.

    validate_connector -> create_export -> initialize_connection  ...  terminate_connection -> remove_export

The export is opened for the first host and removed after the last one, by the records: a driver's own answer may err.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Callable, Optional

from ansible_collections.brickwork.storage.plugins.module_utils.controller.backend import Holder, Volume
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder.store import (
    CLOSING,
    CONNECTED,
    CONNECTING,
    DISCONNECTING,
    NONE,
    OPEN,
    OPENING,
    AttachmentRecord,
    Store,
    VolumeRecord,
)
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError

# An export that is open by the records, or a connection that is made, and that the target has lost.
LOST = "lost"


@dataclass(frozen=True)
class Lost:
    """What the target has lost.

    Args:
        export: whether all of an open export.
        hosts: else those whose connection it was; it lets in the others.
    """

    export: bool = False
    hosts: frozenset[str] = frozenset()


# Ask the driver: a method, and its arguments.
Ask = Callable[..., Any]


def export(record: VolumeRecord, lost: Lost) -> Optional[dict[str, Any]]:
    """How a volume is exported, without secrets; None where it is not, and nobody has anything of it."""
    if record.export == NONE and not record.attachments:
        return None
    return _told(record, lost, record.attachments)


def wanted_export(hosts: Sequence[str]) -> Optional[dict[str, Any]]:
    """What export() tells once these hosts, and no others, are connected."""
    return {"state": OPEN, "hosts": dict.fromkeys(hosts, CONNECTED)} if hosts else None


def reduced_export(record: VolumeRecord, lost: Lost, hosts: Sequence[str]) -> Optional[dict[str, Any]]:
    """What export() tells once all other hosts have released the volume."""
    if not hosts:
        return None
    return _told(record, lost, [one for one in record.attachments if one.host in hosts])


def _told(record: VolumeRecord, lost: Lost, attachments: Iterable[AttachmentRecord]) -> dict[str, Any]:
    return {
        "state": LOST if lost.export else record.export,
        "hosts": {one.host: LOST if one.host in lost.hosts else one.state for one in attachments},
    }


def predicted(protocol: str) -> dict[str, Any]:
    """A connection that is not made yet: only the driver knows what will be in it."""
    return {"driver_volume_type": protocol, "data": None}


class Connections:
    """The connections of one volume.

    Args:
        volume_id: of the volume.
        store: the records.
        ask: the driver.
        to_undo: the records and the driver, with time from then on to take back what could not be done.
        lost: what the target has lost of them.
    """

    def __init__(
        self, volume_id: str, store: Store, ask: Ask, to_undo: Callable[[], tuple[Store, Ask]], lost: Lost
    ) -> None:
        self._id = volume_id
        self._store = store
        self._ask = ask
        self._to_undo = to_undo
        self._lost = lost

    def connect(self, before: Volume, after: Volume, connectors: Mapping[str, Mapping[str, Any]]) -> None:
        """Connect the hosts of I(after) that are not connected, and repair what an interrupted call left.

        Args:
            before: the volume as it is.
            after: as it is to be.
            connectors: of hosts, by their names; of the others the store has them.
        """
        self._begin_anew()
        attachments = [self._attachment(holder, connectors) for holder in after.holders]
        pending = [one for one in attachments if one.state != CONNECTED]
        interrupted = {one.host for one in self._record().attachments}
        for attachment in pending:
            self._ask("validate_connector", attachment.connector)
        # Drivers look at shared before they let a second host in.
        self._store.put(replace(self._record(), shared=after.shared), *pending)
        try:
            self._open(after.hosts[0])
            for attachment in pending:
                if attachment.host in interrupted:
                    # Half a connection may be taken for a whole one.
                    with contextlib.suppress(StorageError):
                        self._ask("terminate_connection", self._id, attachment.host)
                info = self._ask("initialize_connection", self._id, attachment.host)
                self._store.update(AttachmentRecord, attachment.id, state=CONNECTED, connection_info=info)
        except StorageError as error:
            self._take_back(before, error)
            raise

    def disconnect(self, staying: Sequence[str], shared: bool) -> None:
        """Release the volume from all hosts but I(staying)."""
        self._leave(self._others(staying))
        if self._record().shared != shared:
            self._store.update(VolumeRecord, self._id, shared=shared)

    def _begin_anew(self) -> None:
        """Note that what the target has lost is still to be made. The hosts keep the secret that they know."""
        record = self._record()
        attachments = [
            replace(one, state=CONNECTING)
            for one in record.attachments
            if self._lost.export or one.host in self._lost.hosts
        ]
        if attachments:
            self._store.put(replace(record, export=OPENING if self._lost.export else record.export), *attachments)
        self._lost = Lost()

    def _leave(self, leaving: Sequence[AttachmentRecord]) -> None:
        """Release hosts; with the last one the export goes."""
        for attachment in leaving:
            if attachment.state == CONNECTED:
                self._store.update(AttachmentRecord, attachment.id, state=DISCONNECTING)
            # One whose export is not whole, going already, or lost, was never let in, or is out.
            if self._record().export == OPEN and not self._lost.export:
                self._terminate(attachment)
            if len(self._record().attachments) == 1:
                self._close(attachment.host)
            self._store.remove(AttachmentRecord, attachment.id)

    def _terminate(self, attachment: AttachmentRecord) -> None:
        try:
            self._ask("terminate_connection", self._id, attachment.host)
        except StorageError:
            if attachment.state != CONNECTING:
                raise
            # Some drivers do not release a host that was not let in, and nobody knows how far that came.
            try:
                self._ask("initialize_connection", self._id, attachment.host)
            except StorageError:
                pass
            else:
                self._ask("terminate_connection", self._id, attachment.host)
                return
            raise

    def _open(self, host: str) -> None:
        """Open the export where none is on record; one that was being opened or closed is brought to an end first."""
        if self._record().export == CLOSING:
            self._store.settle(VolumeRecord, self._id, self._ask("remove_export", self._id, True), export=NONE)
        again = self._record().export == OPENING
        if self._record().export == NONE:
            # Not the secret of the hosts that had it before.
            self._store.settle(VolumeRecord, self._id, self._ask("new_secret"), export=OPENING)
        if self._record().export == OPENING:
            model = self._ask("create_export", self._id, host, again)
            self._store.settle(VolumeRecord, self._id, model, export=OPEN)

    def _close(self, host: str) -> None:
        """Remove the export."""
        if self._record().export == NONE:
            return
        again = self._lost.export or self._record().export in (OPENING, CLOSING)
        if self._record().export == OPENING:
            # Without what create_export() answers, the driver would not find what it made.
            with contextlib.suppress(StorageError):
                self._store.settle(VolumeRecord, self._id, self._ask("create_export", self._id, host, True))
        self._store.update(VolumeRecord, self._id, export=CLOSING)
        self._store.settle(VolumeRecord, self._id, self._ask("remove_export", self._id, again), export=NONE)

    def _take_back(self, before: Volume, error: StorageError) -> None:
        """Release the hosts that came with a change that failed; they must not keep others away."""
        self._store, self._ask = self._to_undo()
        try:
            self._leave(self._others(before.hosts))
            self._store.update(VolumeRecord, self._id, shared=before.shared)
        except StorageError as second:
            raise StorageError(
                error.code,
                f"{error.message} The volume stays on record as connected, because that could not be taken back: {second.message} "
                "Release it with state absent.",
                **error.facts,
            ) from None

    def _attachment(self, holder: Holder, connectors: Mapping[str, Mapping[str, Any]]) -> AttachmentRecord:
        """The record of a host's connection, as it is or as it is to begin."""
        present = self._record().attachment(holder.host)
        if present and present.state == CONNECTED:
            return present
        connector = connectors.get(holder.host) or (present.connector if present else None)
        if connector is None:
            raise StorageError("internal", f"No connector of {holder.host} is known.")
        return AttachmentRecord(
            id=present.id if present else str(uuid.uuid4()),
            volume_id=self._id,
            host=holder.host,
            initiator=holder.initiator,
            known_by=holder.known_by,
            multipath=holder.multipath,
            connector=dict(connector),
            state=CONNECTING,
        )

    def _others(self, hosts: Sequence[str]) -> list[AttachmentRecord]:
        return [one for one in self._record().attachments if one.host not in hosts]

    def _record(self) -> VolumeRecord:
        record = self._store.volume(self._id)
        if record is None:
            raise StorageError("aborted", f"Another call deleted volume {self._id} meanwhile; repeat this one.")
        return record
