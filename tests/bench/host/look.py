# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is on the host of volumes that came by iSCSI: asked from multipathd and the kernel, not from the collection."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path


def main() -> None:
    """Print it as JSON."""
    asked = subprocess.run(["multipathd", "show", "maps", "json"], stdout=subprocess.PIPE, check=True)
    maps = [
        {
            "wwid": shown["uuid"],
            "linked": Path("/dev/disk/by-id", f"dm-uuid-mpath-{shown['uuid']}").exists(),
            "paths": [
                {
                    "device": path["dev"],
                    "wwid": text(Path("/sys/block", path["dev"], "device/wwid")),
                    "state": f"{path['dm_st']} {path['dev_st']} {path['chk_st']}",
                    "portal": path["host_adapter"],
                }
                for group in shown["path_groups"]
                for path in group["paths"]
            ],
        }
        for shown in json.loads(asked.stdout)["maps"]
    ]
    sessions = Path("/sys/class/iscsi_session")
    print(
        json.dumps(
            {
                "maps": maps,
                "sessions": sorted(text(session / "targetname") for session in sessions.glob("*")),
                "disks": sorted(disk.name for disk in sessions.glob("*/device/target*/*/block/*")),
                "nodes": sorted(node.parent.name for node in Path("/var/lib/iscsi/nodes").glob("*/*")),
                "records": sorted(record.name for record in Path("/var/lib/brickwork/attachments").glob("*.json")),
            }
        )
    )


def text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:  # gone meanwhile
        return ""


if __name__ == "__main__":
    main()
