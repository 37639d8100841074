# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a lab that is up leaves for Ansible: an inventory, ssh settings and the `run` program. Pure text."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from pathlib import Path

from . import plan

# Half a minute without an answer is a machine that lost its power, not one that is slow.
_KEEP_ALIVE = {"ServerAliveInterval": "10", "ServerAliveCountMax": "6"}


def inventory(machines: Iterable[plan.Machine], state: Path, control_sockets: Path) -> str:
    """The inventory, as YAML (which JSON is a part of)."""
    # Those of the hosts that run Debian 12 are in a group of their own as well.
    groups: dict[str, dict[str, dict[str, object]]] = {"controllers": {}, "hosts": {}, "bare": {}, plan.DEBIAN12: {}}
    for machine in machines:
        kind = "controllers" if machine.is_controller else "bare" if machine.is_bare else "hosts"
        groups[kind][machine.name] = {
            "ansible_host": machine.address,
            **{f"lab_address_{network}": machine.on(network).address for network in plan.STORAGE_NETWORKS},
        }
        if machine.system == plan.DEBIAN12:
            groups[plan.DEBIAN12][machine.name] = {}
    options = {**_KEEP_ALIVE, "UserKnownHostsFile": str(state / "known_hosts"), "IdentitiesOnly": "yes"}
    variables = {
        "ansible_user": "root",
        "ansible_python_interpreter": "/usr/bin/python3",
        "ansible_ssh_private_key_file": str(state / "key"),
        "ansible_ssh_common_args": " ".join(shlex.quote(f"-o{name}={value}") for name, value in options.items()),
        # All labs have the same addresses: one's connections must not be taken for another's.
        "ansible_control_path_dir": str(control_sockets),
        "ansible_pipelining": True,
    }
    tree = {
        "all": {
            "vars": variables,
            "children": {group: {"hosts": members} for group, members in groups.items()},
        }
    }
    return "# Written by `tests/lab up`.\n" + _yaml(tree)


def _yaml(tree: object, depth: int = 0) -> str:
    if not isinstance(tree, dict):
        return f" {json.dumps(tree)}\n"
    lines = "".join(f"{'  ' * depth}{key}:{_yaml(value, depth + 1)}" for key, value in tree.items())
    return f"\n{lines}" if depth else lines


def ssh_config(machines: Iterable[plan.Machine], state: Path) -> str:
    settings = {
        "User": "root",
        "IdentityFile": f'"{state / "key"}"',
        "IdentitiesOnly": "yes",
        "UserKnownHostsFile": f'"{state / "known_hosts"}"',
        "StrictHostKeyChecking": "yes",
        "ConnectTimeout": "10",
        "LogLevel": "ERROR",
        **_KEEP_ALIVE,
    }
    hosts = "".join(f"Host {machine.name}\n  HostName {machine.address}\n" for machine in machines)
    return hosts + "Host *\n" + "".join(f"  {name} {value}\n" for name, value in settings.items())


def known_hosts(machines: Iterable[plan.Machine], public_key: str) -> str:
    return "".join(f"{machine.address} {public_key.strip()}\n" for machine in machines)


def run_program(checkout: Path, namespace: Path) -> str:
    """A shell script that runs its arguments where they reach the machines and find the collection."""
    return f"""#!/bin/sh
# Written by `tests/lab up`: runs a command where it reaches the lab's machines and Ansible finds the collection.
# Arguments, standard input and output, directory and exit status are the command's own.
checkout={shlex.quote(str(checkout))}
namespace={shlex.quote(str(namespace))}
[ $# -gt 0 ] || {{ echo "usage: $0 COMMAND [ARGUMENT…]" >&2; exit 2; }}
[ -e "$namespace" ] || {{ echo "$0: the lab is down; start it with \\`make lab\\`" >&2; exit 1; }}
export PATH="$checkout/.venv/bin:$PATH"
export ANSIBLE_CONFIG="${{ANSIBLE_CONFIG:-$checkout/ansible.cfg}}"
export ANSIBLE_COLLECTIONS_PATH="$checkout/.tree${{ANSIBLE_COLLECTIONS_PATH:+:$ANSIBLE_COLLECTIONS_PATH}}"
if [ "$(id -u)" = 0 ]; then exec nsenter --net="$namespace" -- "$@"; fi
# Only root can enter; the command itself runs as whoever asked for it, with the environment of now.
exec sudo -E nsenter --net="$namespace" -- setpriv --reuid="$(id -u)" --regid="$(id -g)" --init-groups \\
    env HOME="$HOME" PATH="$PATH" "$@"
"""
