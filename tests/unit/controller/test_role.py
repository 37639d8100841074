# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role's tasks must never do, whatever a play sets around them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

TASKS = Path(__file__).parents[3] / "roles" / "volume_attachment" / "tasks"


def calls(file: str, module: str) -> list[dict[str, Any]]:
    tasks: list[dict[str, Any]] = yaml.safe_load((TASKS / file).read_text(encoding="utf-8"))
    return [task for task in tasks if f"brickwork.storage.{module}" in task]


def test_fenced_is_said_in_check_mode_alone() -> None:
    # ansible_check_mode follows the command line, and check_mode of a play or a block overrules that.
    fenced = [
        task
        for file in TASKS.glob("*.yml")
        for task in calls(file.name, "volume_connection")
        if "fenced" in task["brickwork.storage.volume_connection"]
    ]
    assert [(task["check_mode"], task["when"]) for task in fenced] == [(True, "ansible_check_mode")]


def test_a_release_is_for_the_host_by_which_the_volume_was_attached() -> None:
    for task in calls("absent.yml", "volume_connection"):
        assert "map(attribute='host') | unique" in task["loop"]
        assert "selectattr('host', 'equalto'" in task["brickwork.storage.volume_connection"]["volumes"]
