# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An iSCSI target of LIO as configfs shows it, read without rtslib, whose import takes longer than all that a repeat has to read."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm import lio

PORTAL_GROUP = "tpgt_1"
LUN = "lun_0"
# What LIO shows of a user or a secret that is not set.
UNSET = ("", "NULL")


@dataclass(frozen=True)
class Login:
    """What an initiator may log in with, and whether it sees the LUN then."""

    initiator: str
    user: str
    secret: str
    has_lun: bool

    @property
    def is_complete(self) -> bool:
        return bool(self.user and self.secret and self.has_lun)


class PortalGroup:
    """The one portal group of a target, in which everything is.

    Args:
        path: its directory in configfs.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @classmethod
    def of(cls, target: Path) -> Optional[PortalGroup]:
        """That of a target; None where a call was killed before it made it."""
        path = target / PORTAL_GROUP
        return cls(path) if path.is_dir() else None

    @property
    def is_enabled(self) -> bool:
        return lio.text(self._path / "enable") == "1"

    @property
    def portals(self) -> tuple[str, ...]:
        return tuple(sorted(os.listdir(self._path / "np")))

    @property
    def logins(self) -> list[Login]:
        return [self._login(initiator) for initiator in sorted(os.listdir(self._path / "acls"))]

    def attribute(self, name: str) -> str:
        return lio.text(self._path / "attrib" / name)

    def behind(self) -> tuple[Optional[str], Optional[str]]:
        """The unit serial and the device behind the LUN; None without one that works."""
        link = lio.tied_to(self._path / "lun" / LUN)
        if link is None:
            return None, None
        storage_object = lio.CONFIGFS / "core" / Path(link).parent.name / Path(link).name
        if lio.text(storage_object / "enable") != "1":
            return None, None
        serial = lio.text(storage_object / "wwn/vpd_unit_serial").partition(":")[2].strip()
        return serial, lio.text(storage_object / "udev_path")

    def sessions(self) -> dict[str, list[str]]:
        """The initiators that are logged in, with the addresses that the kernel shows of them."""
        found: dict[str, list[str]] = {}
        for initiator in os.listdir(self._path / "acls"):
            info = lio.text(self._path / "acls" / initiator / "info")
            if not info.startswith("No active"):
                found[initiator] = sorted(set(re.findall(r"Address (\S+)", info)))
        return found

    def _login(self, initiator: str) -> Login:
        acl = self._path / "acls" / initiator
        user, secret = (lio.text(acl / "auth" / name) for name in ("userid", "password"))
        luns = [name for name in os.listdir(acl) if name.startswith("lun_")]
        link = lio.tied_to(acl / LUN) if luns == [LUN] else None
        return Login(
            initiator,
            "" if user in UNSET else user,
            "" if secret in UNSET else secret,
            link is not None and Path(link).name == LUN,
        )
