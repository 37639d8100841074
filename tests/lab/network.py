# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's network: one namespace with a bridge for each network and a tap for each machine on it.

Everything lives inside the namespace, so that deleting it leaves nothing and two labs never meet.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from . import plan
from .errors import LabError

_NAMESPACES = Path("/run/netns")


@dataclass(frozen=True)
class Link:
    """What the namespace knows of a network interface. Its master is the bridge that it is a port of."""

    up: bool
    master: str | None = None


_ABSENT = Link(up=False)


class Network:
    def __init__(self, name: str) -> None:
        self.name = name
        self.path = _NAMESPACES / name

    def exists(self) -> bool:
        """Whether the namespace is there: its file alone, as a crash can leave it, is not one."""
        try:
            return self.path.stat().st_dev == Path("/proc/self/ns/net").stat().st_dev
        except FileNotFoundError:
            return False

    def enter(self, command: Iterable[str]) -> list[str]:
        """The command line that runs `command` inside the namespace."""
        return ["nsenter", f"--net={self.path}", "--", *command]

    def create(self, machines: Iterable[plan.Machine]) -> None:
        """Make what is missing of the namespace, its bridges and the machines' taps."""
        if not self.exists():
            self.path.unlink(missing_ok=True)
            _ip("netns", "add", self.name)
        for steps in missing_steps(self._links(), machines):
            self._batch(steps)

    def remove(self) -> None:
        if self.exists():
            _ip("netns", "delete", self.name)
        self.path.unlink(missing_ok=True)

    def set_path(self, interface: plan.Interface, *, up: bool) -> None:
        """Connect a machine with a network, or cut it off.

        The tap leaves the bridge, as a cable leaves a switch, and stays so over a reboot of the machine. It does not go
        down: that is an error to the machine behind it, from which User-Mode Linux's interface does not recover.
        """
        change = f"master {plan.bridge(interface.network)}" if up else "nomaster"
        self._batch([f"link set {interface.tap} {change}"])

    def is_connected(self, interface: plan.Interface) -> bool:
        return self._links().get(interface.tap, _ABSENT).master == plan.bridge(interface.network)

    def processes(self) -> list[int]:
        """Every process inside the namespace, whoever started it."""
        if not self.exists():
            return []
        inode = self.path.stat().st_ino
        return [pid for pid in _all_processes() if _namespace_of(pid) == inode]

    def _links(self) -> dict[str, Link]:
        links = json.loads(_ip("-n", self.name, "-json", "link", "show"))
        return {link["ifname"]: Link("UP" in link["flags"], link.get("master")) for link in links}

    def _batch(self, lines: Iterable[str]) -> None:
        _ip("-n", self.name, "-batch", "-", text="".join(f"{line}\n" for line in lines))


def missing_steps(links: dict[str, Link], machines: Iterable[plan.Machine]) -> Iterable[list[str]]:
    """The `ip` batches that complete a namespace which has these links, by name.

    The last step of each tells that it was finished: a link that a crash left half-made is made again.
    """
    if not links["lo"].up:
        yield ["link set lo up"]
    for network in plan.NETWORKS:
        name = plan.bridge(network)
        if links.get(name, _ABSENT).up:
            continue
        steps = [f"link delete {name}"] if name in links else []
        steps += [f"link add {name} type bridge forward_delay 0 mcast_snooping 0"]
        if network == plan.MANAGEMENT:
            steps += [f"address add {plan.gateway()}/24 dev {name}"]
        yield [*steps, f"link set {name} up"]
    for machine in machines:
        for interface in machine.interfaces:
            # One that is up and on no bridge was cut: that is for `heal` to end.
            if links.get(interface.tap, _ABSENT).up:
                continue
            steps = [f"link delete {interface.tap}"] if interface.tap in links else []
            steps += [f"tuntap add dev {interface.tap} mode tap"]
            steps += [f"link set {interface.tap} master {plan.bridge(interface.network)}"]
            yield [*steps, f"link set {interface.tap} up"]


def _ip(*arguments: str, text: str | None = None) -> str:
    done = subprocess.run(["ip", *arguments], input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        what = "\n".join(filter(None, (text, done.stderr.strip())))
        raise LabError(f"`ip {' '.join(arguments)}` failed: {what}")
    return done.stdout


def _all_processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _namespace_of(pid: int) -> int | None:
    try:
        match = re.fullmatch(r"net:\[(\d+)]", os.readlink(f"/proc/{pid}/ns/net"))
    except OSError:  # it ended, or it is a kernel thread
        return None
    return int(match[1]) if match else None
