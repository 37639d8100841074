# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a controller exports, and what its volumes' tags say of who holds them, as JSON: seen with other eyes than the modules'."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

TARGETS = Path("/sys/kernel/config/target/iscsi")
CORE = Path("/sys/kernel/config/target/core")
LVS = ["lvs", "--noheadings", "-o", "lv_name,lv_tags", sys.argv[1]]
CONNECTION = "brickwork.connection="


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8").strip()


def export(target: Path) -> dict[str, object]:
    group = target / "tpgt_1"
    acls = {acl.name: [text(acl / "auth/userid"), text(acl / "auth/password")] for acl in (group / "acls").iterdir()}
    links = [os.readlink(entry) for entry in (group / "lun/lun_0").iterdir() if entry.is_symlink()]
    return {"initiators": acls, "volume": links[0].rpartition("/")[2] if links else None}


def main() -> None:
    exports = {target.name: export(target) for target in TARGETS.glob("iqn.*")}
    held = {}
    for line in subprocess.run(LVS, capture_output=True, text=True, check=True).stdout.splitlines():
        name, *tags = line.replace(",", " ").split()
        held[name] = [tag[len(CONNECTION) :].partition("/")[0] for tag in tags if tag.startswith(CONNECTION)]
    print(json.dumps({"exports": exports, "held": held}))


if __name__ == "__main__":
    main()
