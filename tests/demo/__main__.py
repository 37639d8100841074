# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Boot the lab, run the main job on it before the reader's eyes, and end with a table."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parent.parent.parent
LAB = CHECKOUT / ".lab"
COLUMNS = ("step", "volume", "host", "device", "paths", "seconds")


def main() -> int:
    """Run the demonstration; 0 only if the file that host1 wrote was read on host2."""
    python = str(CHECKOUT / ".venv/bin/python")
    say("Booting the lab: one storage controller and two hosts, real machines on two storage networks.")
    if subprocess.run([python, "tests/lab", "up"], cwd=CHECKOUT, check=False).returncode:
        return 1
    table = LAB / "demo.json"
    table.unlink(missing_ok=True)
    say("Creating a volume, using it on host1, moving it to host2, and deleting it (tests/demo/main.yml).")
    command = [
        str(LAB / "run"),
        str(CHECKOUT / ".venv/bin/ansible-playbook"),
        "-i",
        str(LAB / "inventory.yml"),
        str(CHECKOUT / "tests/demo/main.yml"),
        "-e",
        json.dumps({"demo_text": f"signed {secrets.token_hex(4)}", "demo_table": str(table)}),
    ]
    status = subprocess.run(
        command, cwd=CHECKOUT, check=False, env={**os.environ, "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "no"}
    )
    if status.returncode or not table.exists():
        say("The demonstration did not come to its end; what failed stands above. `make demo` starts it again.")
        return 1
    steps = json.loads(table.read_text(encoding="utf-8"))
    print()
    for line in lines(steps):
        print(line)
    say("The file that host1 wrote was read on host2. The lab is still up; `make lab-down` takes it down.")
    return 0


def lines(steps: list[dict[str, Any]]) -> list[str]:
    """The table, a line for each step under a heading."""
    rows: list[tuple[str, ...]] = [COLUMNS]
    for step in steps:
        values = {"volume": "demo-data", "device": "", "paths": "", **step, "seconds": f"{float(step['seconds']):.1f}"}
        rows.append(tuple(str(values[column]) for column in COLUMNS))
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [text[0], "-" * max(map(len, text)), *text[1:]]


def say(sentence: str) -> None:
    """Tell the reader what happens next."""
    print(f"\n=== {sentence}\n", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
