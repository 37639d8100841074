# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the LVM tags of a volume or snapshot say: that it is ours, who holds it, what it was made from, and whether it is going.

Tags are changed atomically and durably with the volume group's metadata, and go where the volume group goes. They are the truth
about who holds a volume; its export is made from them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Optional

from ansible_collections.brickwork.storage.plugins.module_utils.controller.backend import (
    SNAPSHOT,
    VOLUME,
    Holder,
    Source,
)

ID = "brickwork.id="
CONNECTION = "brickwork.connection="
SHARED = "brickwork.shared"
DELETING = "brickwork.deleting"
# The id of the volume that a snapshot is of.
SNAPSHOT_OF = "brickwork.snapshot-of="
# What a volume was made from, and that its data is not whole yet.
SOURCE = "brickwork.source="
UNFINISHED = "brickwork.unfinished"
# Its target may not have been told yet how much it has grown.
GROWING = "brickwork.growing"
# The id of the volume that is made from a snapshot, which is there for that alone.
COPIED_TO = "brickwork.copied-to="
# Compiled once: each call reads the tags of all volumes.
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_HOLDER = re.compile(r"([^/]+)/([01])/(.+)")


def identity(tags: Iterable[str]) -> Optional[str]:
    """The volume's id; None where it has none that can be one."""
    found = value(ID, tags)
    return found if found and _UUID.fullmatch(found) else None


def value(label: str, tags: Iterable[str]) -> Optional[str]:
    """What follows I(label) in the tag that begins with it; None where not exactly one does."""
    values = [tag[len(label) :] for tag in tags if tag.startswith(label)]
    return values[0] if len(values) == 1 else None


def encode_source(source: Source) -> str:
    """What a volume was made from, as a tag. Names of volumes consist of characters that LVM allows in a tag, without the slash."""
    return f"{SOURCE}{source.kind}/{source.name}"


def source_of(tags: Iterable[str]) -> Optional[Source]:
    """What a volume was made from; None where no tag says that."""
    kind, _slash, name = (value(SOURCE, tags) or "").partition("/")
    return Source(kind, name) if name and kind in (SNAPSHOT, VOLUME) else None


def encode(holder: Holder) -> str:
    """A holder as a tag. Names of hosts and initiators consist of characters that LVM allows in a tag, without the slash."""
    return f"{CONNECTION}{holder.host}/{int(holder.multipath)}/{holder.initiator}"


def decode(tag: str) -> Optional[Holder]:
    """The holder that a tag stands for; None where it stands for none."""
    matched = _HOLDER.fullmatch(tag, len(CONNECTION)) if tag.startswith(CONNECTION) else None
    if not matched:
        return None
    host, multipath, initiator = matched.groups()
    return Holder(host, initiator, multipath == "1")


def holders(tags: Iterable[str]) -> tuple[Holder, ...]:
    """Every holder, in the order of the names: LVM keeps tags in no order that means anything."""
    found = filter(None, (decode(tag) for tag in tags))
    return tuple(sorted(found, key=lambda holder: holder.host))


def of_connections(volume_holders: Iterable[Holder], shared: bool) -> set[str]:
    """The tags that say who holds a volume."""
    return {encode(holder) for holder in volume_holders} | ({SHARED} if shared else set())
