# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""os-brick, used as its callers do: one volume after another in one process. Argument: attach or detach."""

from __future__ import annotations

import copy
import json
import os
import sys
from pathlib import Path
from typing import Any

# What makes its import fastest.
os.environ["EVENTLET_NO_GREENDNS"] = "yes"

import os_brick
from os_brick.initiator import connector
from os_brick.privileged import default
from oslo_concurrency import lockutils
from oslo_config import cfg

HERE = Path(__file__).resolve().parent
ATTACHED = HERE / "attached.json"


def main() -> None:
    """Attach or detach every volume of connections.json."""
    default.set_client_mode(False)  # root already: no daemon
    lockutils.set_defaults(str(HERE / "locks"))
    cfg.CONF([])
    os_brick.setup(cfg.CONF)
    iscsi = connector.InitiatorConnector.factory("ISCSI", "", use_multipath=True)
    connections = json.loads((HERE / "connections.json").read_text(encoding="utf-8"))
    # os-brick changes what it is given.
    wanted: list[dict[str, Any]] = [copy.deepcopy(given["connection_info"]["data"]) for given in connections]
    if sys.argv[1] == "attach":
        ATTACHED.write_text(json.dumps([iscsi.connect_volume(data) for data in wanted]), encoding="utf-8")
    else:
        for data, info in zip(wanted, json.loads(ATTACHED.read_text(encoding="utf-8")), strict=True):
            iscsi.disconnect_volume(data, info)


if __name__ == "__main__":
    main()
