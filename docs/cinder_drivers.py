# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the list of Cinder's drivers into the manual, from the result of volume_backend_info with drivers: true.

.lab/run .venv/bin/ansible -i .lab/inventory.yml controller -m brickwork.storage.volume_backend_info -a drivers=true |
    python3 docs/cinder_drivers.py
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parent / "docsite/rst/cinder_drivers.rst"
BEGIN = ".. Written by docs/cinder_drivers.py, from here\n"
PREFIX = "cinder.volume.drivers."
WIDTH = 138
TABLE = """
.. list-table::
   :header-rows: 1
   :widths: 40 60

   * - Driver
     - Options
"""


def main() -> None:
    # What Ansible prints before it says whose result follows.
    result = sys.stdin.read().partition("=>")[2]
    drivers = json.loads(result)["drivers"]
    before = PAGE.read_text(encoding="utf-8").partition(BEGIN)[0]
    PAGE.write_text(before + BEGIN + TABLE + "".join(map(_row, _that_load(drivers))), encoding="utf-8")


def _that_load(drivers: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [driver for driver in drivers if driver["error"] is None]


def _row(driver: dict[str, Any]) -> str:
    name = driver["driver"].removeprefix(PREFIX)
    protocol = f"``{driver['protocol']}``" if driver["protocol"] else "protocol by its options"
    kept = "" if driver["maintained"] else ", not maintained"
    options = [f"``{option}``" for option in driver["options"]]
    return f"   * - ``{name}``\n\n       {protocol}{kept}\n     - {_wrapped(options)}\n"


def _wrapped(words: Sequence[str]) -> str:
    """The words with commas between them, on lines of the table's cell."""
    lines = [""]
    for word in ", ".join(words).split(" "):
        if len(lines[-1]) + len(word) > WIDTH - 7:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".lstrip()
    return "\n       ".join(lines) or "none"


if __name__ == "__main__":
    main()
