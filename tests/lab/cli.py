# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's command line."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from . import hypervisor, plan
from .errors import LabError
from .lab import Lab
from .say import say
from .settings import Wanted


def main(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    if os.geteuid() != 0:
        # The namespace and its taps need root.
        os.execvp("sudo", ["sudo", "-E", sys.executable, sys.argv[0], *arguments])
    lab = Lab(Path(__file__).resolve().parents[2])
    try:
        return _run(lab, options)
    except LabError as error:
        say(str(error))
        return 1


def _run(lab: Lab, options: argparse.Namespace) -> int:
    commands: dict[str, Callable[[], int | None]] = {
        "up": lambda: lab.up(_wanted(options)),
        "images": lambda: lab.images(_wanted(options)),
        "down": lab.down,
        "status": lambda: _status(lab),
        "ssh": lambda: lab.ssh(options.host, options.remote),
        "reboot": lambda: lab.reboot(options.host),
        "renew": lambda: lab.renew(options.host),
        "kill": lambda: lab.kill(options.host),
        "cut": lambda: lab.cut(options.host, options.network),
        "heal": lambda: lab.heal(options.host, options.network),
        "log": lambda: _log(lab, options.host),
    }
    return commands[options.command]() or 0


def _wanted(options: argparse.Namespace) -> Wanted:
    if options.debian12 > options.hosts:
        raise LabError(f"{options.debian12} of {options.hosts} hosts cannot run Debian 12; ask for more --hosts")
    return Wanted(options.hosts, options.debian12, options.bare, options.hypervisor, options.needs, options.replace)


def _log(lab: Lab, host: str) -> None:
    sys.stdout.write(lab.log(host).read_text(errors="replace"))


def _status(lab: Lab) -> int:
    rows = lab.status()
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in rows[0]}
    for row in [dict(zip(widths, widths, strict=True)), *rows]:
        print("  ".join(value.ljust(widths[name]) for name, value in row.items()).rstrip())
    return 0 if all(row["state"] == "running" for row in rows) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tests/lab", description="Real machines to run the collection on.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    up = commands.add_parser("up", help="start the lab, or what is missing of it")
    images = commands.add_parser("images", help="build what such a lab needs, and start nothing")
    for command in (up, images):
        _add_wanted(command)
    up.add_argument(
        "--replace",
        action="store_true",
        help="take a lab down that is up if a new one would have another hypervisor or newer images",
    )
    images.set_defaults(replace=False)
    commands.add_parser("down", help="end the lab and remove all that it left")
    commands.add_parser("status", help="show the machines; exit 1 if one of them is off")
    for name, help_ in (
        ("ssh", "run a command on a machine, or a shell"),
        ("reboot", "shut a machine down cleanly and start it again"),
        ("renew", "take a machine's power and disk away and start it as it was at first"),
        ("kill", "take a machine's power away; `up` starts it again"),
        ("cut", "cut a machine off from a storage network"),
        ("heal", "end a cut"),
        ("log", "print a machine's console"),
    ):
        command = commands.add_parser(name, help=help_)
        command.add_argument("host", metavar="HOST")
        if name == "ssh":
            command.add_argument(
                "remote",
                nargs=argparse.REMAINDER,
                metavar="COMMAND",
                help="one argument is for the machine's shell; several are passed as they are",
            )
        if name in ("cut", "heal"):
            command.add_argument("network", metavar="NETWORK", choices=plan.STORAGE_NETWORKS)
    return parser


def _add_wanted(parser: argparse.ArgumentParser) -> None:
    """What a lab is to be."""
    parser.add_argument("--hosts", type=_hosts, default=2, help="how many hosts beside the controller (default: 2)")
    parser.add_argument(
        "--debian12",
        type=_some,
        default=0,
        metavar="N",
        help="how many of them run Debian 12, the last ones (default: 0)",
    )
    parser.add_argument(
        "--bare",
        action="store_true",
        help="add a machine of each Debian that has nothing of storage, and what they can install, served by the lab",
    )
    parser.add_argument(
        "--hypervisor",
        type=_hypervisor,
        metavar="{" + ",".join(hypervisor.CHOICES) + "}",
        default=os.environ.get("LAB_HYPERVISOR", hypervisor.AUTO),
        help="default: $LAB_HYPERVISOR, else auto: kvm if it works, else uml if it has all that is needed, else qemu",
    )
    parser.add_argument(
        "--needs",
        type=_needs,
        default=frozenset(),
        metavar="NEED[,NEED]",
        help=f"what the machines must be able to do beyond iSCSI: {', '.join(hypervisor.NEEDS)}",
    )


def _some(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"a number of hosts, not {number}")
    return number


def _hosts(text: str) -> int:
    number = int(text)
    if not 1 <= number <= plan.MAXIMUM_HOSTS:
        raise argparse.ArgumentTypeError(f"a lab has 1 to {plan.MAXIMUM_HOSTS} hosts, not {number}")
    return number


def _hypervisor(text: str) -> str:
    # Not `choices`, which argparse does not hold a default against: this one comes from the environment.
    if text not in hypervisor.CHOICES:
        raise argparse.ArgumentTypeError(f"unknown: {text}; there is {', '.join(hypervisor.CHOICES)}")
    return text


def _needs(text: str) -> frozenset[str]:
    found = frozenset(filter(None, text.split(",")))
    if unknown := sorted(found - set(hypervisor.NEEDS)):
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; there is {', '.join(hypervisor.NEEDS)}")
    return found
