# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How hosts get an attachment of a volume, and lose it again.

A volume's metadata says who holds it, and follows the order that the built-in backend keeps with LVM's tags: an entry is written
before a host gets access, and removed only after that is taken away. A host's attachment is first reserved, then its id is written
down, and only then the host is given access; before it is deleted, that is written down too. So whatever moment a call is killed at,
every attachment with access is on record with its host, and the same call again, or its opposite, finishes the work.

The service goes on with what a killed call has asked for, and shows nothing of it: an attachment that its driver is giving access by
looks reserved, and one that its driver is taking access from looks attached. The records tell both, and who finds them waits.

Other controllers may work on the same project, and their locks are not seen here. But the service lets one attachment alone be
incomplete, so who has reserved one looks again at who holds the volume.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Optional

from ansible_collections.brickwork.storage.plugins.module_utils.controller.backend import Holder, Volume
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder_service import records
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder_service.client import Client, Entity
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder_service.found import (
    ATTACHED,
    ATTACHING,
    LEAVING,
    RESERVED,
    FoundVolume,
    volume_of,
)
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder_service.identity import connector_of
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder_service.records import Record
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder_service.rest import RefusedError
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder_service.settings import Settings
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline

# To take back what could not be made, whatever the time of the call.
UNDO_SECONDS = 30
# For a deletion that a killed call has begun to end by itself: two at once can take from each other what they need, and the later one
# from whoever comes next.
GRACE_SECONDS = 10
POLL_SECONDS = 0.5


@dataclass
class Attaching:
    """What is done to the attachments of the volumes of a backend.

    Args:
        backend: its name.
        connectors: by host: what it connects with, all of it; the service wants that, and does not give it back.
        answers: by volume's id and host: the connection_info that this call was answered with.
    """

    backend: str
    settings: Settings
    client: Client
    deadline: Deadline
    connectors: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    answers: dict[tuple[str, str], Entity] = field(default_factory=dict)
    # The ids of the attachments that no driver can be busy with: reserved by this call, and not exported.
    _untouched: set[str] = field(default_factory=set)

    def until(self, deadline: Deadline) -> Attaching:
        """The same, with another deadline."""
        return replace(self, client=self.client.until(deadline), deadline=deadline)

    def anew(self, found: FoundVolume) -> Optional[FoundVolume]:
        """A volume as it is at this moment, with all attachments; None where it is gone."""
        # In this order: whoever made one of these attachments had said for whom.
        attachments = self.client.attachments(found.id)
        told = self.client.find("volume", found.id)
        return volume_of(told, self.settings.protocol.known_by, attachments) if told else None

    def connect(self, found: FoundVolume, before: Volume, after: Volume) -> None:
        """Give the volume to the hosts that are to hold it, as far as their connectors are known."""
        try:
            found = self._without_what_goes(found)
            if after.shared and not before.shared:
                self.client.set_metadata(found.id, found.name, {records.SHARED: "true"})
            for holder in after.holders:
                if holder.host in self.connectors and found.states.get(holder.host) != ATTACHED:
                    self._attach(found, holder, after)
            if before.shared and not after.shared:
                self.client.remove_metadata(found.id, found.name, records.SHARED)
        except StorageError as error:
            # A connection that could not be made leaves nothing behind, or it would keep other hosts away.
            if before.holders != after.holders or before.shared != after.shared:
                self.until(Deadline(UNDO_SECONDS))._undo(found, before, after, error)
            raise

    def disconnect(self, found: FoundVolume, before: Volume, after: Volume) -> None:
        """Take the volume from the hosts that are not to hold it any more."""
        for host in found.records:
            if host not in after.hosts:
                self._release(found, host)
            elif found.states.get(host) == LEAVING:
                self._end(found, host)
        if before.shared and not after.shared:
            self.client.remove_metadata(found.id, found.name, records.SHARED)

    # Getting

    def _attach(self, found: FoundVolume, holder: Holder, after: Volume) -> None:
        attachment = found.attachment_of.get(holder.host)
        record = Record(holder)
        if attachment:
            attachment_id = attachment.id
        else:
            if found.records.get(holder.host) != record:
                self.client.set_metadata(found.id, found.name, record.entry)
            attachment_id = self._reserve(found, holder, after)
        if found.records.get(holder.host) != record.of(attachment_id):
            self.client.set_metadata(found.id, found.name, record.of(attachment_id).entry)
        self._look_again(found, holder, attachment_id, after)
        exported = self._export(found, holder, attachment_id)
        self.client.complete(attachment_id, found.name)
        self.answers[found.id, holder.host] = exported

    def _reserve(self, found: FoundVolume, holder: Holder, after: Volume) -> str:
        try:
            attachment_id = self.client.reserve(found.id, found.name)
        except RefusedError as error:
            if error.status != 400:
                raise
            if holder.host not in found.records:
                # Or what another controller has just reserved would be taken for this host's.
                self.client.remove_metadata(found.id, found.name, records.key_of(holder.host))
            present = self.anew(found)
            if not present:
                raise
            self._refuse_newcomers(found, present.records, after)
            begun = [host for host, state in present.states.items() if state in (RESERVED, ATTACHING)]
            if not begun:
                raise
            # One that is not complete keeps every other away, whoever it is for.
            raise StorageError(
                "failed_precondition",
                f"The attachment of volume {found.name} to {', '.join(begun)} was begun and has not ended, which keeps other hosts away. "
                "Repeat that call, or release the volume there.",
                holders=begun,
            ) from None
        self._untouched.add(attachment_id)
        return attachment_id

    def _look_again(self, found: FoundVolume, holder: Holder, attachment_id: str, after: Volume) -> None:
        """Refuse what another controller has decided meanwhile; from now on, no other can get an attachment."""
        told = self.client.find("volume", found.id)
        if told is None:
            raise _deleted_meanwhile(found)
        present = records.records_in(told.get("metadata") or {}, self.settings.protocol.known_by)
        taken = [host for host, record in present.items() if record.attachment == attachment_id and host != holder.host]
        if taken:
            # Both took what was lost for theirs; a record that stays would end the other's attachment one day.
            self.client.set_metadata(found.id, found.name, Record(holder).entry)
        if taken or holder.host not in present:
            raise StorageError(
                "aborted", f"Another controller changes the attachments of volume {found.name}; repeat the call."
            )
        self._refuse_newcomers(found, present, after)

    def _refuse_newcomers(self, found: FoundVolume, present: Mapping[str, Record], after: Volume) -> None:
        newcomers = [host for host, record in present.items() if record.attachment and host not in after.hosts]
        if newcomers and not after.shared:
            raise StorageError(
                "failed_precondition",
                f"Volume {found.name} is held by {', '.join(newcomers)}, which another controller has just connected. Release it there "
                "first, or say shared if every host that uses it can deal with that.",
                holders=newcomers,
            )

    def _export(self, found: FoundVolume, holder: Holder, attachment_id: str) -> Entity:
        untouched = attachment_id in self._untouched
        self._untouched.discard(attachment_id)
        try:
            told = self.client.export(attachment_id, found.name, self.connectors[holder.host])
        except RefusedError as error:
            # Above that the service may only have waited for its driver in vain.
            if untouched and error.status < 500:
                self._untouched.add(attachment_id)
            if error.status == 400 and "onnector" in error.said:
                raise StorageError("invalid_argument", error.message, field="connector") from None
            raise
        exported: Entity = told.get("connection_info") or {}
        protocol = exported.get("driver_volume_type")
        if protocol not in self.settings.protocol.types:
            raise StorageError(
                "failed_precondition",
                f"The Cinder service exports volume {found.name} by {protocol}, not by storage_protocol "
                f"{self.settings.protocol.option} of backend {self.backend}. Correct that option: it says what hosts are known by.",
                field="storage_protocol",
            )
        return exported

    # Losing

    def _without_what_goes(self, found: FoundVolume) -> FoundVolume:
        """The volume once the attachments are gone that are leaving, or that went wrong for a host to connect.

        Another host's too: its driver may yet take away the export that all hosts have in common.
        """
        going = [
            host
            for host, state in found.states.items()
            if state == LEAVING or (host in self.connectors and state not in (RESERVED, ATTACHING, ATTACHED))
        ]
        if not going:
            return found
        for host in going:
            self._end(found, host)
        present = self.anew(found)
        if not present:
            raise _deleted_meanwhile(found)
        return present

    def _release(self, found: FoundVolume, host: str) -> None:
        self._end(found, host)
        if host in found.records:
            self.client.remove_metadata(found.id, found.name, records.key_of(host))
        self.answers.pop((found.id, host), None)

    def _end(self, found: FoundVolume, host: str) -> None:
        """Delete a host's attachment, whatever of that was done before. The record stays."""
        attachment = found.attachment_of.get(host)
        if not attachment:
            return
        record = found.records[host]
        if record.leaving:
            if self._goes(attachment.id):
                return
        else:
            self.client.set_metadata(found.id, found.name, replace(record, leaving=True).entry)
        if attachment.status == RESERVED and record.attachment and attachment.id not in self._untouched:
            self._await_export(found, record)
        try:
            self.client.detach(attachment.id, found.name)
        except RefusedError as error:
            # The earlier deletion may have been at work until now.
            if not record.leaving or error.status < 500 or not self._goes(attachment.id):
                raise

    def _await_export(self, found: FoundVolume, record: Record) -> None:
        """Wait until no driver is busy with an export that somebody may have asked for who did not get the answer.

        Until then the attachment looks as if it gave nobody access, so deleting it would leave the access. The service answers one request
        for an export to a host after the other: this one, for the same, when nothing is under way any more.
        """
        connector = self.connectors.get(record.holder.host) or connector_of(record.holder)
        # A refusal is an answer, too.
        with contextlib.suppress(RefusedError):
            self.client.export(record.attachment, found.name, connector)

    def _goes(self, attachment_id: str) -> bool:
        """Whether an attachment whose deletion has begun is gone before long."""
        patience = self.deadline.within(GRACE_SECONDS)
        while self.client.find("attachment", attachment_id):
            if patience.passed:
                return False
            time.sleep(POLL_SECONDS)
        return True

    def _undo(self, found: FoundVolume, before: Volume, after: Volume, failure: StorageError) -> None:
        """Take back what there is of connections that could not be made."""
        try:
            present = self.anew(found)
            if not present:
                return
            for host in set(after.hosts).difference(before.hosts):
                self._release(present, host)
            if after.shared and not before.shared:
                self.client.remove_metadata(found.id, found.name, records.SHARED)
        except StorageError as error:
            raise StorageError(
                failure.code,
                f"{failure.message} The volume stays on record as connected, because that could not be taken back: {error.message} "
                "Release it with state absent.",
                **failure.facts,
            ) from None


def _deleted_meanwhile(found: FoundVolume) -> StorageError:
    return StorageError("aborted", f"Volume {found.name} was deleted meanwhile; repeat the call.")
