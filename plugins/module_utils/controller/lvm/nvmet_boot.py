# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NVMe exports that come back when the controller boots.

Nothing that controllers have restores them beside what an administrator exports by hand. So there is a file for each volume that is
exported, and one unit that restores what these files say.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from ansible_collections.brickwork.storage.plugins.module_utils import commands
from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm.exporter import (
    remove_durably,
    write_all_durably,
    write_durably,
)
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import LOCK_DIRECTORY, Deadline

ROOT = Path("/")
UNIT = "brickwork-nvmet.service"
DIRECTORY = Path("var/lib/brickwork/nvmet")
SCRIPT = Path("var/lib/brickwork/nvmet-restore")
UNIT_FILE = Path("etc/systemd/system") / UNIT
ENABLED = Path("etc/systemd/system/multi-user.target.wants") / UNIT
SYSTEMCTL_SECONDS = 60

UNIT_TEXT = f"""\
[Unit]
Description=Restore the NVMe exports of brickwork.storage
ConditionDirectoryNotEmpty=/{DIRECTORY}
RequiresMountsFor=/{DIRECTORY} /sys/kernel/config
# The target listens on addresses that the machine has, and opens volumes that are active; the script waits for both.
Wants=network-online.target
After=network-online.target local-fs.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh /{SCRIPT}
# The boot goes on without a volume that is not there; that is tried again from time to time.
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
# A file in /{DIRECTORY} is a volume. Each of its lines is a subsystem: its NQN, the NQN of the host that it lets
# in, the volume's UUID, its device, and the portals, as family,address,port.
export LC_ALL=C
seconds=30

has() {{ [ "$(cat "$1" 2>/dev/null)" = "$2" ]; }}
put() {{ has "$1" "$2" || echo "$2" >"$1"; }}
tie() {{ [ -L "$2" ] || ln -s "$1" "$2"; }}

# Sets port to the one at FAMILY ADDRESS PORT.
find_port() {{
    for port in "$PWD"/ports/*; do
        if has "$port/addr_trtype" tcp && has "$port/addr_traddr" "$2" && has "$port/addr_trsvcid" "$3"; then return 0; fi
    done
    number=1
    while [ -e "ports/$number" ]; do number=$((number + 1)); done
    port=$PWD/ports/$number
    mkdir "$port" && put "$port/addr_adrfam" "$1" && put "$port/addr_trtype" tcp &&
        put "$port/addr_trsvcid" "$3" && put "$port/addr_traddr" "$2"
}}

restore() {{
    subsystem=$PWD/subsystems/$1 host=$2 uuid=$3 device=$4
    shift 4
    [ -b "$device" ] || return 1
    mkdir -p "$subsystem" "hosts/$host" || return 1
    namespace=$subsystem/namespaces/1
    put "$subsystem/attr_allow_any_host" 0 &&
        put "$subsystem/attr_serial" "$(echo "$uuid" | tr -d - | cut -c 1-20)" &&
        tie "$PWD/hosts/$host" "$subsystem/allowed_hosts/$host" &&
        mkdir -p "$namespace" || return 1
    if has "$namespace/enable" 0; then
        put "$namespace/device_path" "$device" && put "$namespace/device_uuid" "$uuid" &&
            put "$namespace/device_nguid" "$uuid" && put "$namespace/enable" 1 || return 1
    fi
    for portal in "$@"; do
        address=${{portal#*,}}
        find_port "${{portal%%,*}}" "${{address%,*}}" "${{address##*,}}" &&
            tie "$subsystem" "$port/subsystems/${{subsystem##*/}}" || return 1
    done
}}

restore_all() {{
    missing=0
    for volume in /{DIRECTORY}/*; do
        [ -f "$volume" ] || continue
        while read -r line; do
            # The words have no blanks.
            # shellcheck disable=SC2086
            restore $line </dev/null || missing=$((missing + 1))
        done <"$volume"
    done
}}

modprobe -a nvmet nvmet-tcp
cd /sys/kernel/config/nvmet || exit 1
mkdir -p {LOCK_DIRECTORY.parent} && mkdir -p -m 700 {LOCK_DIRECTORY}
exec 9>>{LOCK_DIRECTORY}/nvmet.lock
began=$(date +%s)
while :; do
    # Whoever connects or releases volumes meanwhile has the same lock.
    flock 9
    restore_all
    flock -u 9
    [ "$missing" -gt 0 ] || exit 0
    if [ $(($(date +%s) - began)) -ge "$seconds" ]; then
        echo "exports that cannot be restored: $missing" >&2
        exit 1
    fi
    sleep 2
done
"""


class NvmetBoot:
    """What this controller exports when it boots, in files below ROOT."""

    def saved(self, volume_id: str) -> str:
        """What restores the volume's exports; empty for one without any, and something else if the unit does not fit the files."""
        try:
            text = self._file(volume_id).read_text(encoding="utf-8")
        except FileNotFoundError:
            text = ""
        there = {os.path.lexists(ROOT / path) for path in (UNIT_FILE, SCRIPT, ENABLED)}
        fits = there == {self._has_files()}
        return text if fits else f"{text}{UNIT}\n"

    def save(self, exports: Mapping[str, str]) -> None:
        """Restore this at boot from now on; what is saved of other volumes stays.

        Args:
            exports: by volume id, a line for each subsystem; nothing for a volume that has none.

        Raises:
            StorageError: C(failed_precondition) where systemd does not take the unit.
        """
        if any(exports.values()):
            self._install()
        for volume_id, text in exports.items():
            if not text:
                remove_durably(self._file(volume_id))
        # All or none: what cannot be saved is taken back, and must not have been saved in part.
        write_all_durably({self._file(volume_id): text for volume_id, text in exports.items() if text})
        if not self._has_files():
            self._remove()

    def _install(self) -> None:
        """Before the first file: a volume that is saved is one that is restored."""
        (ROOT / DIRECTORY).mkdir(mode=0o700, parents=True, exist_ok=True)
        written = [_write(ROOT / SCRIPT, SCRIPT_TEXT, 0o700), _write(ROOT / UNIT_FILE, UNIT_TEXT, 0o644)]
        if any(written) or not os.path.lexists(ROOT / ENABLED):
            finished = _systemctl("enable", UNIT)
            if not finished.succeeded:
                raise StorageError(
                    "failed_precondition",
                    f"systemd does not take {UNIT}, so nothing would export the volume after a reboot: {finished.complaint}.",
                )

    def _remove(self) -> None:
        installed = any(os.path.lexists(ROOT / path) for path in (UNIT_FILE, SCRIPT, ENABLED))
        if installed:
            # It may be waiting for the moment to try again.
            _systemctl("disable", "--now", "--no-block", UNIT)
        remove_durably(ROOT / SCRIPT)
        remove_durably(ROOT / UNIT_FILE)
        if installed:
            _systemctl("daemon-reload")

    def _has_files(self) -> bool:
        directory = ROOT / DIRECTORY
        return directory.is_dir() and any(not entry.name.startswith(".") for entry in directory.iterdir())

    def _file(self, volume_id: str) -> Path:
        return ROOT / DIRECTORY / volume_id


def _systemctl(*arguments: str) -> commands.Finished:
    return commands.run(["systemctl", "--quiet", *arguments], Deadline(SYSTEMCTL_SECONDS))


def _write(path: Path, text: str, mode: int) -> bool:
    """Put a file in place; true where it was another before."""
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    write_durably(path, text, mode)
    return True
