# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What this collection keeps in the metadata of a Cinder service's volumes and snapshots. All of it pure.

The service knows the attachments, and this says whose they are. There is one entry for each host; it is written before the host's
attachment is made, and without the attachment's id until that is known: whoever is killed in between leaves an attachment
that gives access to nobody yet, and an entry that says for whom it was. Before an attachment is deleted its entry says so: the service
itself shows it unchanged until it is gone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Optional

from ansible_collections.brickwork.storage.plugins.module_utils.controller.backend import Holder, Source

# Says that this collection made it.
MARK = "brickwork"
SHARED = "brickwork:shared"
SOURCE = "brickwork:source"
# The host stands in the middle: what ends with .json, the service takes for something else in the address of an entry.
_KEY = re.compile(r"brickwork:(.+):holder")
_TEXT = re.compile(r"([01])/([0-9a-f-]*)/(\S+)( leaving)?")


@dataclass(frozen=True)
class Record:
    """A host that holds a volume, or was about to.

    Args:
        attachment: the id of its attachment; empty as long as none is known.
        leaving: whether the deletion of its attachment has begun.
    """

    holder: Holder
    attachment: str = ""
    leaving: bool = False

    @property
    def entry(self) -> dict[str, str]:
        """The entry of the metadata."""
        text = f"{int(self.holder.multipath)}/{self.attachment}/{self.holder.initiator}"
        return {key_of(self.holder.host): text + " leaving" * self.leaving}

    def of(self, attachment: str) -> Record:
        return replace(self, attachment=attachment)


def key_of(host: str) -> str:
    """The key of a host's entry."""
    return f"brickwork:{host}:holder"


def records_in(metadata: Mapping[str, str], known_by: str) -> dict[str, Record]:
    """The records in a volume's metadata, by host, in the order of the hosts.

    Args:
        known_by: the connector's field with what hosts connect as.
    """
    found = {}
    for key, text in sorted(metadata.items()):
        named, said = _KEY.fullmatch(key), _TEXT.fullmatch(text)
        if named and said:
            multipath, attachment, initiator, leaving = said.groups()
            holder = Holder(named[1], initiator, multipath == "1", known_by)
            found[named[1]] = Record(holder, attachment, bool(leaving))
    return dict(sorted(found.items()))


def source_text(source: Source) -> str:
    """What a volume was made from, as it is kept."""
    return f"{source.kind}/{source.name}"


def source_in(metadata: Mapping[str, str]) -> Optional[Source]:
    """What a volume was made from; None where it was made empty."""
    kind, slash, name = metadata.get(SOURCE, "").partition("/")
    return Source(kind, name) if slash else None
