# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role's tasks must never do, whatever a play sets around them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

TASKS = Path(__file__).parents[3] / "roles" / "volume_attachment" / "tasks"


def calls(file: str, module: str) -> list[dict[str, Any]]:
    tasks: list[dict[str, Any]] = yaml.safe_load((TASKS / file).read_text(encoding="utf-8"))
    return [task for task in tasks if f"brickwork.storage.{module}" in task]


def release() -> dict[str, Any]:
    [task] = calls("absent.yml", "volume_connection")
    return task


def test_fenced_is_said_in_check_mode_alone() -> None:
    fenced = [
        task
        for file in TASKS.glob("*.yml")
        for task in calls(file.name, "volume_connection")
        if "fenced" in task["brickwork.storage.volume_connection"]
    ]
    assert fenced == [release()]
    assert release()["brickwork.storage.volume_connection"]["fenced"] == "{{ ansible_check_mode }}"


@pytest.mark.parametrize(
    ("of_play", "options", "changes"),
    [
        ({}, [], True),
        ({}, ["--check"], False),
        # ansible_check_mode follows the command line: what says fenced must not be done, whatever the play says.
        ({"check_mode": False}, ["--check"], False),
        ({"check_mode": True}, [], False),
    ],
)
def test_what_is_said_to_be_fenced_is_only_predicted(
    tmp_path: Path, of_play: dict[str, Any], options: list[str], changes: bool
) -> None:
    made = tmp_path / "made"
    task = {"ansible.builtin.file": {"path": str(made), "state": "touch"}, "check_mode": release()["check_mode"]}
    play = {"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": [task], **of_play}
    playbook = tmp_path / "play.yml"
    playbook.write_text(yaml.safe_dump([play]), encoding="utf-8")
    command = [str(Path(sys.executable).parent / "ansible-playbook"), *options, str(playbook)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert made.exists() == changes


def test_a_release_is_for_the_host_by_which_the_volume_was_attached() -> None:
    assert "map(attribute='host') | unique" in release()["loop"]
    assert "selectattr('host', 'equalto'" in release()["vars"]["__volume_attachment_of_host"]


def test_a_host_detaches_by_ids_alone() -> None:
    # Another controller may have given it volumes of the same names.
    detaches = [*calls("absent.yml", "volume_attach"), *calls("failed.yml", "volume_attach")]
    assert len(detaches) == 2
    for task in detaches:
        assert "map(attribute='id')" in task["brickwork.storage.volume_attach"]["volumes"]
