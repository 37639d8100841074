# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's NVMe over TCP: controllers come by a line written to one device, and go by an attribute of their own.

This takes the place of os-brick's connector, which connects one portal after another, one volume after another, and waits as
long as the kernel does for a portal that is down. What is left on the host is the same: nvme-cli, which os-brick calls,
writes the same line.
"""

from __future__ import annotations

import os
import re
from typing import Optional

from ansible_collections.brickwork.storage.plugins.module_utils.commands import Running, run
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.host import nvme_sysfs, processes
from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols.export import Portal
from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols.nvmeof import NvmeExport
from ansible_collections.brickwork.storage.plugins.module_utils.host.sysfs import Session, Sysfs
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline

DEVICE = "/dev/nvme-fabrics"
MODULE = "nvme_tcp"
MODPROBE_SECONDS = 30.0
# os-brick's: -Q 128 and -l -1. For ever, because whoever uses the volume waits for its paths to come back.
QUEUE_SIZE = 128
SECONDS_UNTIL_LOST = -1
# One write is one controller. The line may hold a secret, so it comes by standard input.
WRITER = ["dd", f"of={DEVICE}", "bs=4096", "iflag=fullblock", "conv=notrunc", "status=none"]
ALREADY_CONNECTED = "Operation already in progress"
# All that the kernel says where a target that answers does not want this host; its log says more.
REFUSED = "Input/output error"


def load() -> None:
    """Have the kernel know NVMe over TCP.

    Raises:
        StorageError: C(failed_precondition) where it does not.
    """
    if os.path.exists(DEVICE) and os.path.exists(f"/sys/module/{MODULE}"):
        return
    finished = run(["modprobe", MODULE], Deadline(MODPROBE_SECONDS))
    if not finished.succeeded:
        raise StorageError(
            "failed_precondition",
            f"The kernel of this host has no NVMe over TCP ({finished.complaint}); install the package with its module {MODULE}.",
        )


def connect_line(view: Sysfs, export: NvmeExport, portal: Portal) -> str:
    """What to write for a controller.

    Raises:
        StorageError: C(failed_precondition) where this host has no NQN.
    """
    host_nqn = export.host_nqn or view.host_nqn()
    if not host_nqn:
        raise StorageError(
            "failed_precondition",
            "This host has no NQN, by which targets know it; give it one with the module host_identity, and connect the volume again.",
        )
    address, port = portal.host_and_port
    options = {
        "nqn": portal.target,
        "transport": "tcp",
        "traddr": address,
        "trsvcid": port,
        "hostnqn": host_nqn,
        "hostid": nvme_sysfs.host_id(view, host_nqn),
        "dhchap_secret": export.secret,
        "dhchap_ctrl_secret": export.controller_secret,
        "queue_size": QUEUE_SIZE,
        "ctrl_loss_tmo": SECONDS_UNTIL_LOST,
    }
    return ",".join(f"{name}={value}" for name, value in options.items() if value is not None)


def connect(line: str) -> Running:
    """Start the making of a controller, in a process of its own: the kernel may hold it up for minutes."""
    return Running(WRITER, text=line)


def reason(complaint: str) -> Optional[str]:
    """Why no controller was made, from what the writer said; None where there is one."""
    if ALREADY_CONNECTED in complaint:
        return None
    if REFUSED in complaint:
        return "refused: it has no such subsystem, or does not let this host's NQN in (the kernel's log says which)"
    said = re.search(r"writing '?[^':]*'?: (.*)", complaint)
    return said[1].strip().lower() if said else complaint


def being_connected(view: Sysfs) -> bool:
    """Whether somebody is making a controller in this moment."""
    return any(f"of={DEVICE}" in line for line in processes.command_lines(view))


def disconnect(view: Sysfs, controller: Session) -> tuple[str, str]:
    """The kernel attribute to write, path and text, so that a controller goes, and its namespaces with it."""
    return view.attribute_path(f"class/nvme/nvme{controller.number}/delete_controller"), "1"


def rescan(view: Sysfs, controller: Session) -> tuple[str, str]:
    """The same, so that it looks for namespaces and their sizes anew."""
    return view.attribute_path(f"class/nvme/nvme{controller.number}/rescan_controller"), "1"
