# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a host keeps its names, and the record of the machine that they were given to."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Optional

from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.host.files import text
from ansible_collections.brickwork.storage.plugins.module_utils.host.nvme_sysfs import HOST_ID, HOST_NQN
from ansible_collections.brickwork.storage.plugins.module_utils.host.placing import put
from ansible_collections.brickwork.storage.plugins.module_utils.host.sysfs import INITIATOR_NAME, Sysfs
from ansible_collections.brickwork.storage.plugins.module_utils.host.unique_names import (
    Given,
    Names,
    machine_of,
    with_initiator_name,
)

RECORD = "var/lib/brickwork/names.json"
PRODUCT_UUID = "sys/class/dmi/id/product_uuid"
MACHINE_ID = "etc/machine-id"
# Another one at each boot, and the same for all that one kernel runs.
BOOT_ID = "proc/sys/kernel/random/boot_id"
# Debian's: it makes a name when iscsid starts next, whatever stands there.
GENERATE = re.compile(r"^GenerateName=yes", re.MULTILINE)


class NameFiles:
    """The files.

    Args:
        view: the host.
    """

    def __init__(self, view: Sysfs) -> None:
        self._view = view
        self._root = view.root

    def found(self) -> Names:
        """The names that the host has."""
        to_be_made = GENERATE.search(text(self._root / INITIATOR_NAME))
        return Names(
            None if to_be_made else self._view.initiator_name(),
            self._view.host_nqn(),
            text(self._root / HOST_ID) or None,
        )

    def given(self) -> Optional[Given]:
        """The record; None where there is none.

        Raises:
            StorageError: C(internal) for a file that is no record: nobody but this collection writes there.
        """
        path = self._root / RECORD
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            return Given(str(record["machine"]), Names(**record["names"]))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise StorageError(
                "internal", f"{path} cannot be read as a record ({error}); move it away and repeat."
            ) from error

    def machine(self) -> str:
        """What tells this machine from all others.

        Raises:
            StorageError: C(failed_precondition) where nothing does.
        """
        machine = machine_of(text(self._root / PRODUCT_UUID), text(self._root / MACHINE_ID))
        if machine is None:
            raise StorageError(
                "failed_precondition",
                "Nothing tells this machine from others: its firmware has no UUID, and /etc/machine-id is not set; set it with "
                "systemd-machine-id-setup.",
            )
        return machine

    def boot(self) -> str:
        """What tells this machine, as it runs now, from others that run."""
        return text(self._root / BOOT_ID)

    def write(self, names: Names) -> None:
        """Put the names in place, each in its file."""
        initiator = self._root / INITIATOR_NAME
        if names.initiator != self.found().initiator:
            self._put(initiator, with_initiator_name(text(initiator), str(names.initiator)), 0o600)
        for path, name in ((HOST_NQN, names.nqn), (HOST_ID, names.hostid)):
            if text(self._root / path) != name:
                self._put(self._root / path, f"{name}\n", 0o644)

    def record(self, given: Given) -> None:
        """Write down which machine the names were given to."""
        self._put(self._root / RECORD, json.dumps(asdict(given), indent=1) + "\n", 0o600)

    def _put(self, path: Path, content: str, mode: int) -> None:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        put(path, content, mode)
