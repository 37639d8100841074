# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook report, run for real on this machine: hosts and controllers that answer, that cannot, and that are out of reach."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

CHECKOUT = Path(__file__).resolve().parents[3]
HERE = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "ansible_become": False}
# Nothing answers at this port.
DOWN = {"ansible_host": "127.0.0.1", "ansible_port": 1, "ansible_ssh_args": "-o ConnectTimeout=5"}


def run(folder: Path, *options: str) -> str:
    """Run the playbook, which must succeed; return what it printed."""
    # The first of the hosts is the one that Ansible has the report written for.
    hosts = {"adown": DOWN, "db1": HERE, "db2": HERE, "stor": HERE, "stor2": DOWN}
    inventory = folder / "inventory.yml"
    inventory.write_text(yaml.safe_dump({"all": {"hosts": hosts}}), encoding="utf-8")
    command = [
        str(Path(sys.executable).parent / "ansible-playbook"),
        f"--inventory={inventory}",
        "brickwork.storage.report",
        f"--extra-vars=report_file={folder / 'report.html'}",
        *options,
    ]
    env = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / ".tree"),
        "ANSIBLE_LOCAL_TEMP": str(folder / "tmp"),
        "ANSIBLE_REMOTE_TEMP": str(folder / "tmp"),
        "ANSIBLE_NOCOLOR": "1",
    }
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=env, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return " ".join(done.stdout.split())


@pytest.mark.parametrize("controllers", ["stor, stor2", ["stor", "stor2"]])
def test_whoever_cannot_answer_is_in_the_report(tmp_path: Path, controllers: object) -> None:
    told = run(tmp_path, "--extra-vars", json.dumps({"report_controllers": controllers}))
    assert "adown could not be reached." in told
    assert "stor could not tell. There is no configuration" in told
    assert "stor2 could not be reached." in told
    assert f"The report is {tmp_path}/report.html on localhost" in told
    written = (tmp_path / "report.html").read_text(encoding="utf-8")
    for name in ("adown", "db1", "db2", "stor", "stor2"):
        assert f'"name":"{name}"' in written
    assert (tmp_path / "report.html").stat().st_mode & 0o777 == 0o640


def test_hosts_alone_are_enough_and_a_check_writes_nothing(tmp_path: Path) -> None:
    told = run(tmp_path, "--check", "--diff", "--limit", "db1,db2")
    assert "Hosts: 2 ok" in told
    assert f"The report would be {tmp_path}/report.html" in told
    assert not (tmp_path / "report.html").exists()


def test_controllers_are_asked_whatever_the_limit(tmp_path: Path) -> None:
    told = run(tmp_path, "--limit", "db1", "--extra-vars", "volume_attachment_controller=stor")
    assert "stor could not tell." in told
    assert (tmp_path / "report.html").exists()
