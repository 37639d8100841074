# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NVMe volumes that come back when the host boots.

Nothing that hosts have does this for single volumes: nvme-cli's own service connects all that discovery finds, or what stands
in one file that belongs to the administrator. So there is a file a volume, and one unit for all of them that is there
as long as such files are.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from urllib.parse import quote

from ansible_collections.brickwork.storage.plugins.module_utils.commands import Finished, run
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.host.placing import put, remove
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline

UNIT = "brickwork-nvme.service"
DIRECTORY = Path("var/lib/brickwork/nvme")
SCRIPT = Path("var/lib/brickwork/nvme-connect")
UNIT_FILE = Path("etc/systemd/system") / UNIT
ENABLED = Path("etc/systemd/system/multi-user.target.wants") / UNIT

UNIT_TEXT = f"""\
[Unit]
Description=Connect the NVMe volumes that brickwork.storage attached for good
ConditionDirectoryNotEmpty=/{DIRECTORY}
RequiresMountsFor=/{DIRECTORY}
Wants=network-online.target remote-fs-pre.target
After=network-online.target
Before=remote-fs-pre.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh /{SCRIPT}
# The boot goes on without what does not answer; that is tried again from time to time.
TimeoutStartSec=90
Restart=on-failure
RestartSec=30

[Install]
WantedBy=multi-user.target
"""

SCRIPT_TEXT = f"""\
#!/bin/sh
# Written by brickwork.storage, and started by {UNIT}.
#
# A file in /{DIRECTORY} is a volume. Each of its lines is to bring one controller: the first of its words
# that works. A word is what the kernel wants to be told, secrets included.
set -f
export LC_ALL=C
seconds=30

is_there() {{
    for number in $(ls /sys/class/nvme 2>/dev/null); do
        # The kernel may take either away at any moment.
        {{ read -r nqn <"/sys/class/nvme/$number/subsysnqn" && read -r address <"/sys/class/nvme/$number/address"; }} 2>/dev/null || continue
        case "nqn=$nqn,transport=tcp,$address," in "${{1%%,hostnqn=*}},"*) return 0 ;; esac
    done
    return 1
}}

bring() {{
    for word in $1; do
        if is_there "$word"; then return 0; fi
    done
    for word in $1; do
        # A portal that is down would hold up all the others.
        if printf '%s' "$word" | timeout 10 dd of=/dev/nvme-fabrics bs=4096 iflag=fullblock conv=notrunc status=none; then return 0; fi
        echo "cannot connect: ${{word%%,hostnqn=*}}" >&2
    done
    return 1
}}

modprobe nvme_tcp
began=$(date +%s)
while :; do
    missing=0
    for volume in $(ls /{DIRECTORY}); do
        while read -r line; do
            bring "$line" </dev/null || missing=$((missing + 1))
        done <"/{DIRECTORY}/$volume"
    done
    [ "$missing" -gt 0 ] || exit 0
    [ $(($(date +%s) - began)) -lt "$seconds" ] || exit 1
    sleep 2
done
"""


class NvmeBoot:
    """What this host connects when it boots.

    Args:
        deadline: for the calls of systemctl.
        root: where the files are; tests give a directory of their own.
    """

    def __init__(self, deadline: Deadline, root: Path = Path("/")) -> None:
        self._deadline = deadline
        self._root = root

    def remember(self, volume_id: str, controllers: list[list[str]]) -> None:
        """Have a volume connected at boot; the unit comes with the first.

        Args:
            volume_id: of the volume.
            controllers: for each controller the lines that bring it, the first that works being enough.

        Raises:
            StorageError: C(failed_precondition) where systemd does not take the unit.
        """
        directory = self._root / DIRECTORY
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        put(self._file(volume_id), "".join(" ".join(lines) + "\n" for lines in controllers), 0o600)
        written = [
            put(self._root / SCRIPT, SCRIPT_TEXT, 0o700),
            put(self._root / UNIT_FILE, UNIT_TEXT, 0o644),
        ]
        if any(written) or not os.path.lexists(self._root / ENABLED):
            finished = self._systemctl("enable", UNIT)
            if not finished.succeeded:
                raise StorageError(
                    "failed_precondition",
                    f"systemd does not take {UNIT}, so nothing would connect the volume when this host boots: {finished.complaint}.",
                )

    def forget(self, volume_id: str) -> None:
        """Have a volume connected at boot no more; the unit goes with the last."""
        directory = self._root / DIRECTORY
        remove(self._file(volume_id))
        with contextlib.suppress(OSError):
            directory.rmdir()
        if directory.exists():
            return
        installed = (self._root / UNIT_FILE).exists()
        if installed:
            # It may be waiting for the moment to try again.
            self._systemctl("disable", "--now", UNIT)
        remove(self._root / SCRIPT)
        # Last: as long as it is there, a call that was killed is completed by the next.
        remove(self._root / UNIT_FILE)
        if installed:
            self._systemctl("daemon-reload")

    def _systemctl(self, *arguments: str) -> Finished:
        return run(["systemctl", "--quiet", *arguments], self._deadline)

    def _file(self, volume_id: str) -> Path:
        return self._root / DIRECTORY / f"volume-{quote(volume_id, safe='')}"
