# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Export block devices over Fibre Channel with LIO, or take the exports away; runs on the controller, with its own Python.

C(python3 export.py present|absent EXPORT), where EXPORT is JSON: C(ports) gives for each WWPN of the controller those that may come by
it, C(devices) a list of C(device), C(name), C(serial) and C(lun). A port that is to serve LUNs at some time must be made, even
without any, before the other side comes by it. Nothing is saved: a reboot forgets it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from rtslib_fb import LUN, TPG, BlockStorageObject, FabricModule, MappedLUN, NodeACL, RTSRoot, Target

FABRIC = Path("/sys/kernel/config/target/fc")


def present(ports: dict[str, list[str]], devices: list[dict[str, Any]]) -> None:
    """Make what is missing."""
    objects = {found.name: found for found in RTSRoot().storage_objects}
    for device in devices:
        name = device["name"]
        if name not in objects:
            objects[name] = BlockStorageObject(name, dev=device["device"], wwn=device["serial"])
    for port, initiators in ports.items():
        group = TPG(Target(FabricModule("tcm_fc"), naa(port)), 1)
        luns = {lun.storage_object.name: lun for lun in group.luns}
        for initiator in initiators:
            acl = NodeACL(group, naa(initiator))
            mapped = {lun.mapped_lun for lun in acl.mapped_luns}
            for device in devices:
                name, number = device["name"], device["lun"]
                luns.setdefault(name, None)
                luns[name] = luns[name] or LUN(group, storage_object=objects[name])
                if number not in mapped:
                    MappedLUN(acl, number, luns[name])


def absent(ports: dict[str, list[str]], devices: list[dict[str, Any]]) -> None:
    """Take away what is there."""
    for found in RTSRoot().storage_objects if FABRIC.parent.exists() else ():
        if found.name in [device["name"] for device in devices]:
            found.delete()  # and the LUNs over it
    for target in FabricModule("tcm_fc").targets if FABRIC.exists() else ():
        if target.wwn in [naa(port) for port in ports]:
            target.delete()


def naa(wwpn: str) -> str:
    """A WWPN as LIO writes it."""
    return f"naa.{wwpn}"


if __name__ == "__main__":
    {"present": present, "absent": absent}[sys.argv[1]](**json.loads(sys.argv[2]))
