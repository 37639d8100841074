# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a volume's LVM tags say: that it is ours, who holds it, and whether it is going.

Tags are changed atomically and durably with the volume group's metadata, and go where the volume group goes. They are the truth
about who holds a volume; its export is made from them.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable
from typing import Optional

from ansible_collections.brickwork.storage.plugins.module_utils.controller.backend import Holder

ID = "brickwork.id="
CONNECTION = "brickwork.connection="
SHARED = "brickwork.shared"
DELETING = "brickwork.deleting"


def identity(tags: Iterable[str]) -> Optional[str]:
    """The volume's id; None where it has none that can be one."""
    ids = [tag[len(ID) :] for tag in tags if tag.startswith(ID)]
    if len(ids) != 1:
        return None
    try:
        return ids[0] if str(uuid.UUID(ids[0])) == ids[0] else None
    except ValueError:
        return None


def encode(holder: Holder) -> str:
    """A holder as a tag. Names of hosts and initiators consist of characters that LVM allows in a tag, without the slash."""
    return f"{CONNECTION}{holder.host}/{int(holder.multipath)}/{holder.initiator}"


def decode(tag: str) -> Optional[Holder]:
    """The holder that a tag stands for; None where it stands for none."""
    matched = re.fullmatch(re.escape(CONNECTION) + r"([^/]+)/([01])/(.+)", tag)
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
