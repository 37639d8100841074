# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An opened LUKS volume, put over the volume of a captured tree."""

from __future__ import annotations

from ansible_collections.brickwork.storage.plugins.module_utils.host.encryption import name_of
from ansible_collections.brickwork.storage.tests.unit.host.examples import CAPTURE_ID, CAPTURE_SIZE
from ansible_collections.brickwork.storage.tests.unit.host.tree import Tree

NAME = name_of(CAPTURE_ID)
HEADER_BYTES = 16 * 1024**2
OPENED_SIZE = CAPTURE_SIZE - HEADER_BYTES
LUKS_UUID = "f87a260bb96e4c2ea4c0a3e6bf1ce1f1"


def put_opened(
    tree: Tree, *, name: str = NAME, on: str = "dm-0", uuid: str = "CRYPT-LUKS2", size_bytes: int = OPENED_SIZE
) -> None:
    """As cryptsetup leaves it, under the kernel name dm-5."""
    here = "/sys/devices/virtual/block/dm-5"
    tree.put(f"{here}/dev", "254:5\n")
    tree.put(f"{here}/size", f"{size_bytes // 512}\n")
    tree.put(f"{here}/dm/name", f"{name}\n")
    tree.put(f"{here}/dm/uuid", f"{uuid}-{LUKS_UUID}-{name}\n")
    tree.put(f"{here}/slaves/{on}", {"link": f"../../{on}"})
    tree.put("/sys/block/dm-5", {"link": "../devices/virtual/block/dm-5"})
    tree.put("/sys/class/block/dm-5", {"link": "../../devices/virtual/block/dm-5"})
    if (tree.root / f"sys/block/{on}").exists():
        tree.put(tree.resolve(f"/sys/block/{on}") + "/holders/dm-5", {"link": f"../../{on}"})
