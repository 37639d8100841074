# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role's tasks must never do, whatever a play sets around them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROLES = Path(__file__).parents[3] / "roles"
TASKS = ROLES / "volume_attachment" / "tasks"
# A module that writes down what it is asked, and answers what the test says.
STAND_IN = """\
import json
from ansible.module_utils.basic import AnsibleModule
given = json.loads({given!r})
module = AnsibleModule({{name: {{"type": "raw"}} for name in given["options"]}}, supports_check_mode=True)
with open(given["asked"], "a") as asked:
    asked.write(json.dumps([given["name"], module.params]) + "\\n")
failed = given["answer"].pop("failed", False)
(module.fail_json if failed else module.exit_json)(**given["answer"])
"""


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


class Play:
    """The role's absent.yml on one host, with modules that stand in for ours."""

    options = ("volumes", "backend", "config", "host", "fenced", "state", "timeout", "force")

    def __init__(self, root: Path) -> None:
        self._root = root
        self._collection = root / "ansible_collections/brickwork/storage"
        (self._collection / "plugins/modules").mkdir(parents=True)
        shutil.copytree(ROLES, self._collection / "roles")
        self.failed = False
        self.output = ""

    def detach(self, volumes: Any, **answers: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
        """What the modules are asked, in order, when these volumes are to go."""
        asked = self._root / "asked"
        for name in ("volume_connection_info", "volume_attach", "volume_connection"):
            given = {"name": name, "options": self.options, "asked": str(asked), "answer": answers.get(name, {})}
            module = self._collection / "plugins/modules" / f"{name}.py"
            module.write_text(STAND_IN.format(given=json.dumps(given)), encoding="utf-8")
        variables = {
            "volume_attachment_volumes": volumes,
            "volume_attachment_controller": "localhost",
            "volume_attachment_state": "absent",
            "ansible_python_interpreter": sys.executable,
        }
        role = {"ansible.builtin.include_role": {"name": "brickwork.storage.volume_attachment"}}
        play = {"hosts": "localhost", "connection": "local", "gather_facts": False, "vars": variables, "tasks": [role]}
        playbook = self._root / "play.yml"
        playbook.write_text(yaml.safe_dump([play]), encoding="utf-8")
        done = subprocess.run(
            [str(Path(sys.executable).parent / "ansible-playbook"), str(playbook)],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(self._root)},
        )
        self.failed, self.output = done.returncode != 0, done.stdout + done.stderr
        lines = asked.read_text(encoding="utf-8").splitlines()
        return [
            (name, {key: value for key, value in params.items() if value}) for name, params in map(json.loads, lines)
        ]


@pytest.fixture
def play(tmp_path: Path) -> Play:
    return Play(tmp_path)


def known(name: str, volume_id: str, backend: str = "lvm") -> dict[str, Any]:
    return {"name": name, "id": volume_id, "backend": backend}


def detached(*volumes: dict[str, Any]) -> dict[str, Any]:
    return {"attachments": [{"volume": volume, "host": "host1"} for volume in volumes]}


def test_names_that_differ_in_case_are_two_volumes(play: Play) -> None:
    volumes = [known("Data", "1"), known("data", "2")]
    _info, (_attach, detach), (_connection, release) = play.detach(
        "Data,data,Data",
        volume_connection_info={"volumes": volumes},
        volume_attach=detached(*volumes),
        volume_connection={"connections": [{"volume": volume} for volume in volumes]},
    )
    assert not play.failed, play.output
    assert detach["volumes"] == ["1", "2"]
    assert release["volumes"] == ["Data", "data"]


def test_a_volume_that_stays_on_the_host_is_not_released_for_the_name_of_another(play: Play) -> None:
    # The second one's name is the first one's id.
    volumes = [known("first", "1"), known("1", "2")]
    *_before, (_connection, release) = play.detach(
        ["first", "1"],
        volume_connection_info={"volumes": volumes},
        volume_attach={**detached(volumes[1]), "failed": True, "error_code": "failed_precondition", "msg": "mounted"},
        volume_connection={"connections": [{"volume": volumes[1]}]},
    )
    assert play.failed
    assert release["volumes"] == ["1"]


def test_what_the_host_does_not_know_is_released_all_the_same(play: Play) -> None:
    *_before, (_connection, release) = play.detach(
        "data",
        volume_connection_info={"volumes": [known("data", "1")]},
        volume_attach=detached({"name": "1", "id": None}),
        volume_connection={"connections": [{"volume": known("data", "1")}]},
    )
    assert not play.failed, play.output
    assert (release["volumes"], release["host"]) == (["data"], "host1")


def test_it_is_the_backend_that_has_the_volumes_which_releases_them(play: Play) -> None:
    volume = known("data", "1", "second")
    *_before, (_connection, release) = play.detach(
        "data",
        volume_connection_info={"volumes": [volume]},
        volume_attach=detached(volume),
        volume_connection={"connections": [{"volume": volume}]},
    )
    assert release["backend"] == "second"


def test_what_several_backends_have_is_refused_before_the_detach(play: Play) -> None:
    volumes = [known("data", "1", "one"), known("log", "2", "two")]
    asked = play.detach("data,log", volume_connection_info={"volumes": volumes})
    assert [name for name, _params in asked] == ["volume_connection_info"]
    assert "one and two; say which one with volume_attachment_backend" in " ".join(play.output.split())


def test_what_the_controller_takes_for_no_volume_is_not_gone(play: Play) -> None:
    stranger = {"name": "data", "backend": "lvm", "msg": "The logical volumes data and copy have the same tag."}
    asked = play.detach("data", volume_connection_info={"volumes": [], "strangers": [stranger]})
    assert [name for name, _params in asked] == ["volume_connection_info"]
    assert play.failed
    assert stranger["msg"] in " ".join(play.output.split())
