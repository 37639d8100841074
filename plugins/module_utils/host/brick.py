# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""os-brick: the only file that imports it."""

from __future__ import annotations

import json
import os
import socket
from typing import Any, Optional

from ansible_collections.brickwork.storage.plugins.module_utils.commands import run
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.host.sysfs import Sysfs
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline

# Only addresses for documentation have no host behind them; connecting a datagram socket sends nothing.
ANYWHERE = (("192.0.2.1", 9), ("2001:db8::1", 9))
COMMAND_SECONDS = 10.0


def connector(ip: Optional[str], multipath: bool, enforce_multipath: bool) -> dict[str, Any]:
    """What this host connects with, as os-brick tells it, and without os-brick's writes.

    Args:
        ip: this host's address; None for the one it reaches others from.
        multipath: whether volumes are to be attached over several paths.
        enforce_multipath: whether to fail where multipathd does not run.

    Returns:
        The dict of os-brick's get_connector_properties.

    Raises:
        StorageError: C(failed_precondition) where multipathd does not run and must, or a tool that os-brick calls is missing.
    """
    # Resolving names the green way takes longer than all else in the import, and is of no use here.
    os.environ.setdefault("EVENTLET_NO_GREENDNS", "yes")
    from os_brick import exception
    from os_brick.initiator import connector as os_brick_connector
    from os_brick.privileged import default, nvmeof

    default.set_client_mode(False)  # root already: no daemon
    # os-brick would make /etc/nvme/hostnqn and hostid where they are missing. Facts change nothing.
    nvmeof.create_hostnqn = lambda *_args, **_kwargs: ""
    nvmeof.create_hostid = lambda *_args, **_kwargs: None
    if multipath and enforce_multipath and "multipathd" not in Sysfs().process_names():
        # From 6.10 on os-brick asks only when it attaches.
        raise StorageError(
            "failed_precondition",
            "multipathd does not run on this host. Start it, or do not ask for enforce_multipath.",
            field="enforce_multipath",
        )
    try:
        properties: dict[str, Any] = os_brick_connector.get_connector_properties(
            "", ip or own_address(), multipath, enforce_multipath
        )
    except FileNotFoundError as error:
        raise StorageError(
            "failed_precondition", f"os-brick needs {error.filename} on this host; install the package that has it."
        ) from error
    except exception.BrickException as error:
        raise StorageError(
            "failed_precondition", f"os-brick cannot tell what this host connects with: {error}"
        ) from error
    return properties


def own_address() -> str:
    """The address this host reaches others from, else its first global one.

    Raises:
        StorageError: C(failed_precondition) where it has none.
    """
    for family, destination in zip((socket.AF_INET, socket.AF_INET6), ANYWHERE):
        with socket.socket(family, socket.SOCK_DGRAM) as asked:
            try:
                asked.connect(destination)
                return str(asked.getsockname()[0])
            except OSError:
                continue
    finished = run(["ip", "-json", "address", "show", "scope", "global"], Deadline(COMMAND_SECONDS))
    links = json.loads(finished.stdout or "[]") if finished.succeeded else []
    addresses = [address["local"] for link in links for address in link.get("addr_info", [])]
    if not addresses:
        raise StorageError(
            "failed_precondition",
            "This host has no address of global scope; say which one it uses with ip.",
            field="ip",
        )
    return str(addresses[0])
