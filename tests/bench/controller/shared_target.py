# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One target for many volumes, which the collection never makes. Argument: make or remove. Reads shared_target.json beside it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import rtslib_fb as rtslib

CONFIGFS = Path("/sys/kernel/config/target")


def main() -> None:
    """Make the target, or remove what there is of it."""
    wanted = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
    # LIO keeps its own files there, and rtslib fails without the directory.
    Path(rtslib.root.default_save_file).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    rtslib.RTSRoot()
    remove(wanted)
    if sys.argv[1] == "make":
        make(wanted)


def make(wanted: dict[str, Any]) -> None:
    group = rtslib.TPG(rtslib.Target(rtslib.FabricModule("iscsi"), wanted["target"]), 1)
    for name, value in {"authentication": "1", "generate_node_acls": "0", "demo_mode_discovery": "0"}.items():
        group.set_attribute(name, value)
    acl = rtslib.NodeACL(group, wanted["initiator"])
    acl.chap_userid, acl.chap_password = wanted["user"], wanted["secret"]
    for number, volume in enumerate(wanted["volumes"]):
        behind = rtslib.BlockStorageObject(volume["name"], dev=f"/dev/vg0/{volume['name']}", wwn=volume["id"])
        rtslib.MappedLUN(acl, number, rtslib.LUN(group, number, behind))
    for portal in wanted["portals"]:
        address, _colon, port = portal.rpartition(":")
        rtslib.NetworkPortal(group, address, int(port))
    group.enable = True


def remove(wanted: dict[str, Any]) -> None:
    if (CONFIGFS / "iscsi" / wanted["target"]).is_dir():
        rtslib.Target(rtslib.FabricModule("iscsi"), wanted["target"], mode="lookup").delete()
    for volume in wanted["volumes"]:
        if any((CONFIGFS / "core").glob(f"iblock_*/{volume['name']}")):
            rtslib.BlockStorageObject(volume["name"]).delete()


if __name__ == "__main__":
    main()
