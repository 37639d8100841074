# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lab writes: seeds, inventory, the `run` program."""

from __future__ import annotations

import configparser
import os
import subprocess
import tarfile
from pathlib import Path

import pytest
import yaml

from ansible_collections.brickwork.storage.tests.lab import files, inventory, lab, plan, seed

KEYS = {"authorized": "ssh-ed25519 A\n", "host": "PRIVATE\n", "host_public": "ssh-ed25519 B\n"}
MACHINES = plan.machines([plan.DEBIAN13, plan.DEBIAN12])
CONTROLLER, HOST1, HOST2 = MACHINES


@pytest.mark.parametrize(
    "path",
    [
        "etc/hostname",
        "etc/machine-id",
        "etc/lab/root-uuid",
        "etc/iscsi/initiatorname.iscsi",
        "etc/nvme/hostid",
        "etc/nvme/hostnqn",
    ],
)
def test_no_two_machines_share_an_identity(path: str) -> None:
    assert seed.files(HOST1, KEYS)[path] != seed.files(HOST2, KEYS)[path]


def test_identity_is_the_inventory_name() -> None:
    files = seed.files(HOST1, KEYS)
    assert files["etc/hostname"] == "host1\n"
    assert files["etc/iscsi/initiatorname.iscsi"] == "InitiatorName=iqn.2026-11.org.example:host1\n"
    assert files["etc/nvme/hostid"].strip() in files["etc/nvme/hostnqn"]


def test_backend_of_the_controller_has_a_portal_on_each_storage_network() -> None:
    parser = configparser.ConfigParser(default_section="")
    parser.read_string(seed.files(CONTROLLER, KEYS)["etc/brickwork/backends.conf"])
    assert dict(parser["lvm"]) == {
        "volume_driver": "lvm",
        "volume_group": "vg0",
        "target_protocol": "iscsi",
        "target_ip_address": CONTROLLER.on("a").address,
        "target_secondary_ip_addresses": CONTROLLER.on("b").address,
    }
    assert "etc/brickwork/backends.conf" not in seed.files(HOST1, KEYS)


def test_a_bare_machine_gets_nothing_but_where_to_install_from() -> None:
    *_others, bare = plan.machines([plan.DEBIAN13, plan.BARE12])
    files = seed.files(bare, KEYS)
    assert files["etc/apt/sources.list"] == "deb [trusted=yes] http://10.77.0.1:8077/bookworm ./\n"
    assert "find-links = http://10.77.0.1:8077/wheels/\n" in files["etc/pip.conf"]
    assert not [path for path in files if path.startswith(("etc/iscsi", "etc/nvme", "etc/brickwork"))]
    assert "etc/pip.conf" not in seed.files(HOST1, KEYS)


def test_seed_is_an_archive_that_keeps_secrets(tmp_path: Path) -> None:
    seed.write(tmp_path / "seed", CONTROLLER, seed.files(CONTROLLER, KEYS))
    with tarfile.open(tmp_path / "seed") as archive:
        modes = {member.name: member.mode for member in archive if member.isfile()}
        links = [member.name for member in archive if member.issym()]
    assert modes["etc/ssh/ssh_host_ed25519_key"] == 0o600
    assert modes["etc/hostname"] == 0o644
    assert [Path(link).name for link in links] == ["lab-volume-group.service", "rtslib-fb-targetctl.service"]
    # A disk's size is a whole number of sectors.
    assert (tmp_path / "seed").stat().st_size % 512 == 0


def test_inventory() -> None:
    text = inventory.inventory(MACHINES, Path("/check out/.lab"), Path("/run/lab/cp"))
    everything = yaml.safe_load(text)["all"]
    assert list(everything["children"]["controllers"]["hosts"]) == ["controller"]
    assert not everything["children"]["bare"]["hosts"]
    hosts = everything["children"]["hosts"]["hosts"]
    assert hosts["host2"] == {
        "ansible_host": HOST2.address,
        "lab_address_a": HOST2.on("a").address,
        "lab_address_b": HOST2.on("b").address,
    }
    assert list(everything["children"]["debian12"]["hosts"]) == ["host2"]
    variables = everything["vars"]
    assert variables["ansible_user"] == "root"
    assert variables["ansible_ssh_private_key_file"] == "/check out/.lab/key"
    assert "'-oUserKnownHostsFile=/check out/.lab/known_hosts'" in variables["ansible_ssh_common_args"]


@pytest.mark.parametrize(
    ("command", "remote"),
    [
        ([], []),
        (["ls *.txt | wc -l"], ["ls *.txt | wc -l"]),
        (["printf", "%s\n", "a b", "$HOME", ""], ["printf '%s\n' 'a b' '$HOME' ''"]),
    ],
)
def test_remote_command(command: list[str], remote: list[str]) -> None:
    assert lab.remote_command(command) == remote


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The `run` program of a checkout with a difficult name, entering a namespace that anybody may enter: none."""
    checkout = tmp_path / "it's a check-out"
    bin_ = checkout / ".venv/bin"
    bin_.mkdir(parents=True)
    for name, last_option in (("nsenter", "--"), ("sudo", "-E"), ("setpriv", "--init-groups")):
        stub = f'#!/bin/sh\nwhile [ "$1" != {last_option} ]; do shift; done; shift; exec "$@"\n'
        files.write(bin_ / name, stub, mode=0o755)
    program = checkout / "run"
    files.write(program, inventory.run_program(checkout, tmp_path), mode=0o755)
    return program


def test_run_changes_nothing_of_a_command(run: Path, tmp_path: Path) -> None:
    script = "import os, sys; print([os.getcwd(), sys.stdin.read(), *sys.argv[1:]]); sys.exit(7)"
    arguments = ["", " a  b ", "two\nlines", "$HOME", '"', "'", "\\", "*", "-x", "--"]
    done = subprocess.run(
        [run, "python3", "-c", script, *arguments],
        input="typed",
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == f"{[str(tmp_path), 'typed', *arguments]}\n"
    assert done.stderr == ""
    assert done.returncode == 7


def test_run_ends_by_the_signal_that_ends_the_command(run: Path) -> None:
    assert subprocess.run([run, "sh", "-c", "kill -TERM $$"], check=False).returncode == -15


def test_run_has_ansible_find_the_collection(run: Path) -> None:
    checkout = run.parent
    names = ("ANSIBLE_CONFIG", "ANSIBLE_COLLECTIONS_PATH")

    def environment(**given: str) -> list[str]:
        clean = {name: value for name, value in os.environ.items() if name not in names}
        show = 'printf "%s\\n" "$ANSIBLE_CONFIG" "$ANSIBLE_COLLECTIONS_PATH" "$PATH"'
        done = subprocess.run(
            [run, "sh", "-c", show], capture_output=True, text=True, env={**clean, **given}, check=False
        )
        return done.stdout.splitlines()

    config, collections, path = environment()
    assert (config, collections) == (f"{checkout}/ansible.cfg", f"{checkout}/.tree")
    assert path.split(":")[0] == f"{checkout}/.venv/bin"
    assert environment(ANSIBLE_CONFIG="/mine", ANSIBLE_COLLECTIONS_PATH="/a:/b")[:2] == [
        "/mine",
        f"{checkout}/.tree:/a:/b",
    ]


def test_run_says_that_the_lab_is_down(tmp_path: Path) -> None:
    files.write(tmp_path / "run", inventory.run_program(tmp_path, tmp_path / "gone"), mode=0o755)
    done = subprocess.run([tmp_path / "run", "true"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "the lab is down" in done.stderr
