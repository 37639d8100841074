# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab as the tests use it: modules, plays and looks with other eyes than the modules'."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.brickwork.storage.tests.integration.adhoc import AdHoc

CHECKOUT = Path(__file__).resolve().parents[2]
LAB = CHECKOUT / ".lab"
LIMIT = 600
# What an attachment leaves on a host; each line is something, so nothing is an empty text.
HOST_LEFTOVERS = """
ls -d /sys/class/iscsi_session/session* /sys/class/nvme/nvme* /sys/block/sd* /sys/block/dm-* 2>/dev/null | xargs -r -n1 basename
find /var/lib/iscsi/nodes /etc/iscsi/nodes /var/lib/brickwork/attachments -mindepth 1 2>/dev/null
true
"""


@dataclass(frozen=True)
class Play:
    """How a run of ansible-playbook ended."""

    status: int
    output: str

    @property
    def recap(self) -> dict[str, dict[str, int]]:
        """The counters of each host."""
        lines = self.output.rpartition("PLAY RECAP")[2].splitlines()
        parts = [line.partition(":") for line in lines if "ok=" in line]
        return {
            host.strip(): {
                key: int(value) for key, _equals, value in (pair.partition("=") for pair in counters.split())
            }
            for host, _colon, counters in parts
        }


@dataclass
class Lab:
    """The machines of a lab that is up."""

    _sockets: str = field(default_factory=lambda: tempfile.mkdtemp(prefix="lab-"))
    _ad_hoc: AdHoc = field(default_factory=lambda: AdHoc([str(LAB / "run")], LIMIT))
    _connectors: dict[tuple[str, bool], dict[str, Any]] = field(default_factory=dict)

    def ansible(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run an ad-hoc command."""
        return self._ad_hoc.run(["-i", str(LAB / "inventory.yml"), *arguments])

    def module(
        self, machine: str, name: str, *, check: bool = False, python: str = "", **arguments: Any
    ) -> dict[str, Any]:
        """Run a module of the collection ad hoc, and return its result whether it failed or not."""
        options = ["--check", "--diff"] if check else []
        if python:
            options += ["-e", f"ansible_python_interpreter={python}"]
        if arguments:
            options += ["-a", json.dumps(arguments)]
        done = self.ansible(machine, "-m", f"brickwork.storage.{name}", *options)
        start = done.stdout.find(" => ")
        assert start >= 0, f"no result: {done.stdout}{done.stderr}"
        result: dict[str, Any] = json.JSONDecoder().raw_decode(done.stdout[start + 4 :].lstrip())[0]
        result["failed"] = done.returncode != 0
        # Ansible shows warnings beside the result.
        result["warnings"] = done.stderr
        assert "Traceback" not in done.stdout + done.stderr, done.stdout + done.stderr
        return result

    def succeed(self, machine: str, name: str, **arguments: Any) -> dict[str, Any]:
        """Run a module that must not fail."""
        result = self.module(machine, name, **arguments)
        assert not result["failed"], result
        return result

    def refuse(self, machine: str, name: str, code: str, **arguments: Any) -> dict[str, Any]:
        """Run a module that must fail with a code."""
        result = self.module(machine, name, **arguments)
        assert (result["failed"], result.get("error_code")) == (True, code), result
        return result

    def connector(self, host: str, multipath: bool = True) -> dict[str, Any]:
        """Step 1; a host's does not change while it is up."""
        key = (host, multipath)
        if key not in self._connectors:
            facts = self.succeed(host, "volume_connector_facts", multipath=multipath)
            self._connectors[key] = facts["ansible_facts"]["volume_connector"]
        return self._connectors[key]

    def connect(self, host: str, *volumes: str, multipath: bool = True, **arguments: Any) -> list[dict[str, Any]]:
        """Step 2."""
        connector = self.connector(host, multipath)
        done = self.succeed("controller", "volume_connection", volumes=list(volumes), connector=connector, **arguments)
        connections: list[dict[str, Any]] = done["connections"]
        return connections

    def attach(self, host: str, connections: list[dict[str, Any]], **arguments: Any) -> dict[str, Any]:
        """Step 3, over all paths unless told otherwise."""
        return self.succeed(host, "volume_attach", connections=connections, **{"multipath": True, **arguments})

    def detach(self, host: str, *volumes: str, **arguments: Any) -> dict[str, Any]:
        """Step 3 undone."""
        return self.succeed(host, "volume_attach", volumes=list(volumes), state="absent", **arguments)

    def disconnect(self, host: str, *volumes: str, **arguments: Any) -> dict[str, Any]:
        """Step 2 undone."""
        return self.succeed(
            "controller", "volume_connection", volumes=list(volumes), host=host, state="absent", **arguments
        )

    def play(self, playbook: str, *options: str, **variables: Any) -> Play:
        """Run a playbook of the collection; the variables are those of the role volume_attachment."""
        prefixed = {f"volume_attachment_{name}": value for name, value in variables.items()}
        return self.playbook(playbook, *options, variables=prefixed)

    def playbook(self, playbook: str, *options: str, variables: dict[str, Any], limit: int = LIMIT) -> Play:
        """Run any playbook."""
        command = [str(LAB / "run"), "ansible-playbook", "-i", str(LAB / "inventory.yml"), playbook]
        environment = {**os.environ, "ANSIBLE_NOCOLOR": "1"}
        extra = ["-e", json.dumps(variables)]
        done = subprocess.run(
            [*command, *extra, *options], capture_output=True, text=True, timeout=limit, env=environment, check=False
        )
        return Play(done.returncode, done.stdout + done.stderr)

    def ssh(self, host: str, script: str, check: bool = True) -> str:
        """Run a shell script on a machine and return what it printed."""
        done = subprocess.run(
            self._ssh(host, "bash -s"), input=script, capture_output=True, text=True, timeout=LIMIT, check=False
        )
        assert not check or done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        return done.stdout

    def _ssh(self, *arguments: str) -> list[str]:
        # One connection for all commands: a new one takes a second of the machine.
        share = ["-o", "ControlMaster=auto", "-o", "ControlPersist=60", "-o", f"ControlPath={self._sockets}/%C"]
        return [str(LAB / "run"), "ssh", "-F", str(LAB / "ssh_config"), *share, *arguments]

    def control(self, *arguments: str) -> None:
        """Run the lab's own program, to cut networks, to reboot and the like."""
        if arguments[0] in ("reboot", "renew", "kill"):
            # The connection would outlive the machine, and hang.
            subprocess.run(self._ssh("-O", "exit", arguments[1]), check=False, capture_output=True)
        subprocess.run(
            ["python3", str(CHECKOUT / "tests/lab"), *arguments], check=True, timeout=LIMIT, capture_output=True
        )

    def leftovers(self, host: str) -> str:
        """What attachments have left on a host; empty where nothing."""
        return self.ssh(host, HOST_LEFTOVERS).strip()

    def exported(self) -> str:
        """What connections have left on the controller; empty where nothing."""
        look = "ls -d /sys/kernel/config/target/iscsi/iqn.* 2>/dev/null; lvs --noheadings -o lv_tags vg0 | grep -o brickwork.connection.*; true"
        return self.ssh("controller", look).strip()


def made_by_hand(host: str, volume: str, protocol: str, size_bytes: int, **data: Any) -> dict[str, Any]:
    """A connection that no backend made: for protocols that are tried against a server of their own."""
    return {
        "volume": {
            "name": volume,
            "id": f"{protocol}-{volume}",
            "size_bytes": size_bytes,
            "backend": None,
            "wwn": None,
        },
        "host": host,
        "connector": {"host": host},
        "connection_info": {"driver_volume_type": protocol, "data": data},
        "connected": True,
    }
