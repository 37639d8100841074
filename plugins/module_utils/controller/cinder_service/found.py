# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A volume as the service has it, and which of its attachments is whose. All of it pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.brickwork.storage.plugins.module_utils.controller.backend import Holder
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder_service import records
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder_service.records import Record

GIB = 1024**3
# A volume or snapshot that is being made; then it is, or it has failed.
MAKING = frozenset({"creating", "downloading"})
# It becomes something else by itself, before long.
PASSING = MAKING | {"extending", "retyping", "managing", "restoring-backup", "backing-up", "uploading", "reverting"}
GOING = frozenset({"deleting", "error_deleting"})
# What the states of an attachment are called.
RESERVED, ATTACHING, ATTACHED = "reserved", "attaching", "attached"
# Not the service's word, which shows one unchanged until it is gone: it is on record that its deletion has begun.
LEAVING = "leaving"


@dataclass(frozen=True)
class Attachment:
    """An attachment of a volume.

    Args:
        server: the id of the server of Nova that it is for; empty where it is for none.
        host: as the service calls the host, if it does; only an administrator may know.
    """

    id: str
    status: str
    server: str = ""
    host: str = ""

    @property
    def stranger(self) -> Holder:
        """Whoever has it, where it is not this collection's."""
        name = f"server-{self.server}" if self.server else f"attachment-{self.id}"
        return Holder(name, name, False)

    @property
    def described(self) -> str:
        """It, for a person, where it is not this collection's."""
        if self.server:
            return f"server {self.server} of Nova"
        return f"{f'host {self.host}' if self.host else 'somebody'} by attachment {self.id}"


@dataclass(frozen=True)
class FoundVolume:
    """A volume as the service has it.

    Args:
        attachments: all that are known: where they were not asked for, those that are complete.
        records: by host, see records.py.
    """

    id: str
    name: str
    size_bytes: int
    status: str
    multiattach: bool
    volume_type: Optional[str]
    metadata: Mapping[str, str]
    attachments: tuple[Attachment, ...]
    records: Mapping[str, Record]

    @property
    def shared(self) -> bool:
        return records.SHARED in self.metadata

    @property
    def must_be_asked_for_attachments(self) -> bool:
        """Whether it may have attachments that are not complete; those are not told with the volume."""
        complete = {attachment.id for attachment in self.attachments}
        recorded = {record.attachment for record in self.records.values()}
        return recorded != complete or self.status in (
            RESERVED,
            ATTACHING,
            "detaching",
            "error_attaching",
            "error_detaching",
        )

    @property
    def attachment_of(self) -> Mapping[str, Attachment]:
        """The attachments of those that are on record, by host."""
        left = {attachment.id: attachment for attachment in self.attachments}
        found = {}
        for host, record in self.records.items():
            attachment = left.get(record.attachment)
            # Where the service says whose it is, a record that says otherwise is wrong.
            if attachment and attachment.host in ("", host):
                found[host] = left.pop(attachment.id)
        # Reserved, and on no record: whoever made it did not come to write its id down, and nobody has access by it.
        lost = [one for one in left.values() if one.status == RESERVED and not one.server]
        for host, record in self.records.items():
            if not record.attachment and lost:
                found[host] = lost.pop(0)
        return found

    @property
    def strangers(self) -> Mapping[str, Attachment]:
        """The attachments of everybody else, by the name that stands for a host's."""
        own = {attachment.id for attachment in self.attachment_of.values()}
        return {one.stranger.host: one for one in self.attachments if one.id not in own}

    @property
    def holders(self) -> tuple[Holder, ...]:
        """Everybody who may have access, in the order of their names."""
        everybody = [record.holder for record in self.records.values()]
        everybody += [attachment.stranger for attachment in self.strangers.values()]
        return tuple(sorted(everybody, key=lambda holder: holder.host))

    @property
    def states(self) -> Mapping[str, str]:
        """The states of the attachments, by host."""
        states = {host: attachment.status for host, attachment in {**self.attachment_of, **self.strangers}.items()}
        states.update((host, LEAVING) for host, record in self.records.items() if record.leaving and host in states)
        return dict(sorted(states.items()))

    @property
    def export(self) -> Optional[dict[str, Any]]:
        """The attachments, as a diff shows them; None where there is none."""
        return {"attachments": self.states} if self.attachments else None


def volume_of(
    told: Mapping[str, Any], known_by: str, attachments: Optional[Sequence[Mapping[str, Any]]] = None
) -> FoundVolume:
    """A volume as the service tells it.

    Args:
        told: as in a detailed list.
        known_by: the connector's field with what hosts connect as.
        attachments: all attachments, where they were asked for.
    """
    complete = {
        one["attachment_id"]: Attachment(
            one["attachment_id"], ATTACHED, one.get("server_id") or "", one.get("host_name") or ""
        )
        for one in told.get("attachments") or []
    }
    if attachments is not None:
        everything = [
            Attachment(
                one["id"],
                one.get("status") or "",
                one.get("instance") or "",
                complete[one["id"]].host if one["id"] in complete else "",
            )
            for one in attachments
        ]
    else:
        everything = list(complete.values())
    metadata = told.get("metadata") or {}
    return FoundVolume(
        id=told["id"],
        name=told.get("name") or told["id"],
        size_bytes=int(told["size"]) * GIB,
        status=told["status"],
        multiattach=bool(told.get("multiattach")),
        volume_type=told.get("volume_type"),
        metadata=metadata,
        attachments=tuple(everything),
        records=records.records_in(metadata, known_by),
    )


def connection_info_of(told: Mapping[str, Any]) -> dict[str, Any]:
    """An attachment's connection_info in os-brick's form: the service takes the level C(data) out of it.

    iSCSI's has the singular keys and the plural ones.
    """
    data = {key: value for key, value in told.items() if key not in ("driver_volume_type", "attachment_id")}
    inner = data.pop("data", None)
    if isinstance(inner, dict):
        data.update(inner)
    protocol = told.get("driver_volume_type")
    if protocol in ("iscsi", "iser"):
        for one, several in (
            ("target_portal", "target_portals"),
            ("target_iqn", "target_iqns"),
            ("target_lun", "target_luns"),
        ):
            if data.get(several):
                data.setdefault(one, data[several][0])
            elif one in data:
                data[several] = [data[one]]
    return {"driver_volume_type": protocol, "data": data}
