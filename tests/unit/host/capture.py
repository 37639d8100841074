# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copy what the host side reads of a machine, as JSON, for the unit tests to build again under a temporary root.

Runs on a machine of the lab, with nothing but its own Python:
C(tests/lab ssh host2 /usr/bin/python3 - < tests/unit/host/capture.py > tests/unit/host/trees/NAME.json)
"""

from __future__ import annotations

import glob
import json
import os
import re
import subprocess
import sys
from typing import Union

# A file's text, or where a symbolic link points to.
Entry = Union[str, dict[str, str]]

SESSION = "/sys/class/iscsi_session/session*"
REMOTE_PORT = "/sys/class/fc_remote_ports/rport-*"
CONTROLLER = "/sys/class/nvme/nvme*"
# Nothing that holds a secret: sysfs shows a session's CHAP password to root.
PATTERNS = (
    f"{SESSION}/targetname",
    f"{SESSION}/state",
    f"{SESSION}/device/connection*/iscsi_connection/connection*/persistent_address",
    f"{SESSION}/device/connection*/iscsi_connection/connection*/persistent_port",
    f"{SESSION}/device/target*/*/block/*/dev",
    f"{SESSION}/device/target*/*/block/*/size",
    f"{SESSION}/device/target*/*/block/*/device/state",
    f"{SESSION}/device/target*/*/block/*/device/wwid",
    "/sys/class/fc_host/host*/port_name",
    "/sys/class/fc_host/host*/port_state",
    f"{REMOTE_PORT}/port_name",
    f"{REMOTE_PORT}/port_state",
    f"{REMOTE_PORT}/scsi_target_id",
    f"{REMOTE_PORT}/device/target*/*/block/*/dev",
    f"{REMOTE_PORT}/device/target*/*/block/*/size",
    f"{REMOTE_PORT}/device/target*/*/block/*/device/state",
    f"{REMOTE_PORT}/device/target*/*/block/*/device/wwid",
    f"{CONTROLLER}/subsysnqn",
    f"{CONTROLLER}/address",
    f"{CONTROLLER}/transport",
    f"{CONTROLLER}/cntrltype",
    f"{CONTROLLER}/hostnqn",
    f"{CONTROLLER}/state",
    f"{CONTROLLER}/nvme*n*/dev",
    f"{CONTROLLER}/nvme*n*/nsid",
    f"{CONTROLLER}/nvme*n*/uuid",
    f"{CONTROLLER}/nvme*n*/nguid",
    f"{CONTROLLER}/nvme*n*/wwid",
    f"{CONTROLLER}/nvme*n*/size",
    f"{CONTROLLER}/nvme*n*/ana_state",
    "/sys/class/block/nvme*/wwid",
    "/sys/module/nvme_core/parameters/multipath",
    "/sys/class/scsi_host/host*",
    "/sys/class/fc_remote_ports/*/port_name",
    "/sys/class/fc_remote_ports/*/port_state",
    "/sys/class/fc_remote_ports/*/roles",
    "/sys/class/fc_remote_ports/*/device/target*/*/block/*/dev",
    "/sys/class/fc_remote_ports/*/device/target*/*/block/*/size",
    "/sys/class/fc_remote_ports/*/device/target*/*/block/*/device/state",
    "/sys/class/fc_remote_ports/*/device/target*/*/block/*/device/wwid",
    *(f"/sys/class/nvme/*/{name}" for name in ("address", "cntrltype", "state", "subsysnqn", "transport")),
    *(f"/sys/class/nvme/*/nvme*n*/{name}" for name in ("ana_state", "size", "wwid")),
    "/sys/class/block/nvme*/wwid",
    *(f"/sys/bus/rbd/devices/*/{name}" for name in ("current_snap", "name", "pool", "pool_ns")),
    "/sys/fs/btrfs/*/devices/*",
    "/sys/block/*",
    "/sys/class/block/*/dev",
    "/sys/class/block/*/size",
    "/sys/class/block/*/ro",
    "/sys/class/block/*/*/partition",
    "/sys/class/block/*/dm/name",
    "/sys/class/block/*/dm/uuid",
    "/sys/class/block/*/dm/suspended",
    "/sys/class/block/*/loop/backing_file",
    "/sys/class/block/*/holders/*",
    "/sys/class/block/*/slaves/*",
    "/dev/disk/by-id/*",
    "/proc/[0-9]*/comm",
    "/proc/1/ns/mnt",
    "/proc/1/mountinfo",
    "/proc/swaps",
    "/run/udev/data/b8:*",
    "/run/udev/data/b25[0-9]:*",
    "/etc/iscsi/initiatorname.iscsi",
    "/etc/nvme/hostnqn",
    "/etc/nvme/hostid",
)
# Always there, never a volume.
OTHER_DISKS = re.compile(r"/(loop|nbd|ram|ubd)[^/]*(/|$)")


def main() -> None:
    entries: dict[str, Entry] = {}
    for pattern in PATTERNS:
        for path in sorted(glob.glob(pattern)):
            if not (OTHER_DISKS.search(path) or is_kernel_thread(path)):
                copy(path, entries)
    captured = {"entries": dict(sorted(entries.items())), "map_status": map_status()}
    json.dump(captured, sys.stdout, indent=1)
    print()


def copy(path: str, entries: dict[str, Entry]) -> None:
    """Note a path, and every link on the way to it."""
    done, waiting = "", [part for part in path.split("/") if part]
    while waiting:
        here = f"{done}/{waiting.pop(0)}"
        if not os.path.islink(here):
            done = here
            continue
        target = os.readlink(here)
        entries[here] = {"link": target}
        if not os.path.exists(here) or here.startswith("/proc"):
            return
        done, waiting = "", os.path.normpath(os.path.join(os.path.dirname(here), target)).split("/")[1:] + waiting
    if os.path.isfile(done):
        try:
            with open(done, encoding="utf-8") as file:
                entries[done] = file.read()
        except OSError:
            return  # a process that has ended, a disk that is gone
    elif not os.path.isdir(done):
        entries[done] = ""  # a device: that it exists is what counts


def is_kernel_thread(path: str) -> bool:
    """Whether a path is of a process without a program: there are many, and nobody looks for them."""
    return path.endswith("/comm") and not os.path.exists(os.path.dirname(path) + "/exe")


def map_status() -> dict[str, str]:
    """The status line of each multipath map, by its alias, as dmsetup prints it."""
    told = subprocess.run(
        ["/usr/sbin/dmsetup", "status", "--noflush", "--target", "multipath"],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return dict(re.findall(r"^(\S+): \d+ \d+ multipath (.*)$", told.stdout, re.MULTILINE))


if __name__ == "__main__":
    main()
