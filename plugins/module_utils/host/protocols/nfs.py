# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NFS: what a connection_info must hold, and where the volume is found on this host. It is a file of a share."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError, invalid
from ansible_collections.brickwork.storage.plugins.module_utils.host import shares
from ansible_collections.brickwork.storage.plugins.module_utils.host.found import Found, FoundPath
from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols.export import Export, Portal
from ansible_collections.brickwork.storage.plugins.module_utils.host.sysfs import Sysfs

SHARE = re.compile(r"^(\[[0-9A-Fa-f:.]+(?:%\w+)?\]|[A-Za-z0-9][A-Za-z0-9._-]*):(/\S*)$", re.ASCII)
DEFAULT_PORT = 2049


@dataclass(frozen=True)
class NfsExport(Export):
    """A file of a share; C(options) are those of mount, C(answers_tcp) is false where the server may answer by other means only."""

    share: str = ""
    name: str = ""
    options: tuple[str, ...] = ()
    answers_tcp: bool = True

    engine = "nfs"
    has_wwn = False
    several_paths = False
    is_file = True
    # The share is there for other volumes, too.
    record_decides = True

    @property
    def file(self) -> str:
        return f"{shares.directory_of(self.share)}/{self.name}"

    def find(self, view: Sysfs, wwn: Optional[str]) -> Found:
        if shares.mount_of(view, self.share) is None:
            return Found()
        state = shares.state_of(view, self.file)
        if state == shares.MISSING:
            return Found()
        path = FoundPath(self.name, self.portals[0].address, state.state, None, state.size_bytes, False)
        return Found(paths=(path,), file=self.file)

    def links(self, wwid: Optional[str], multipath: bool) -> list[str]:
        return [self.file]

    def attach_info(self, found: Found) -> dict[str, Any]:
        return {"path": self.file}


def validate(data: dict[str, Any], where: str, secret_needed: bool) -> NfsExport:
    """Check the C(data) of an NFS connection_info.

    Args:
        data: in os-brick's form.
        where: the field's name in messages, C(connections[0].connection_info.data).
        secret_needed: not used: NFS has none.

    Raises:
        StorageError: C(invalid_argument), naming the field; C(unimplemented) for a file that is not the volume's bytes.
    """
    share, name = data.get("export"), data.get("name")
    matched = SHARE.match(share) if isinstance(share, str) else None
    if not isinstance(share, str) or not matched:
        raise invalid(f"{where}.export", "a server and a directory, as in 192.0.2.1:/volumes", share)
    if not isinstance(name, str) or not re.fullmatch(r"(?!\.\.?$)[^/\x00-\x1f]+", name):
        raise invalid(f"{where}.name", "the name of a file in the share's directory", name)
    image_format = data.get("format")
    if image_format not in (None, "raw"):
        raise StorageError(
            "unimplemented",
            f"{where}.format is {image_format!r}: the file is not the volume's bytes, as it is with raw. Convert the volume to raw.",
            field=f"{where}.format",
        )
    options = _options(data.get("options"), f"{where}.options")
    settings = dict(option.partition("=")[::2] for option in options)
    port = settings.get("port") or DEFAULT_PORT
    if not 0 < int(port) < 65536:
        raise invalid(f"{where}.options", "a port from 1 to 65535", data.get("options"))
    return NfsExport(
        (Portal(f"{matched[1]}:{int(port)}", matched[2]),),
        share,
        name,
        options,
        settings.get("proto", "tcp").startswith("tcp") and not {"udp", "rdma"} & set(settings),
    )


def _options(given: Any, where: str) -> tuple[str, ...]:
    """The options of mount in C(-o vers=4.1,nconnect=2), as Cinder's file of shares has them."""
    if given is None:
        return ()
    expected = "options of mount, as in -o vers=4.1,nconnect=2"
    if not isinstance(given, str):
        raise invalid(where, expected, given)
    words, options = given.split(), []
    while words:
        word = words.pop(0)
        if word == "-o" and words:
            word += words.pop(0)
        if not re.fullmatch(r"-o[A-Za-z0-9_.,=:/@%+-]+", word):
            raise invalid(where, expected, given)
        options += [option for option in word[2:].split(",") if option]
    if any(option.startswith("port=") and not option[len("port=") :].isdigit() for option in options):
        raise invalid(where, "a number for port", given)
    return tuple(options)
