# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab of one checkout: what the commands do, in terms of the other modules."""

from __future__ import annotations

import fcntl
import functools
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from . import archive, cache, image, inventory, plan, processes, qemu, seed, settings
from .errors import LabError
from .files import write
from .hypervisor import Boot, Hypervisor, choose
from .network import Network
from .say import say, timed
from .settings import Settings, Wanted
from .system import DEBIAN13, SYSTEMS
from .uml import Uml

RUN = Path("/run/brickwork-lab")
MEMORY = 1024  # MiB for each host; it takes what it uses, about 150 when idle
CONTROLLER_MEMORY = 3072  # for many modules at once

_HYPERVISORS: dict[str, Hypervisor] = {each.name: each for each in (Uml(), qemu.EMULATION, qemu.ACCELERATED)}

_FILES = (
    *("*.disk", "*.ready", "*.seed", "*.new", "key", "key.pub", "host_key", "host_key.pub"),
    *("inventory.yml", "known_hosts", "lab.json", "run", "ssh_config"),
)
_SECONDS_TO_POWER_OFF = 90
_LINES_OF_LOG = 15


class Lab:
    def __init__(self, checkout: Path) -> None:
        self.checkout = checkout
        self.id = plan.lab_id(checkout)
        self.state = checkout / ".lab"
        # Sockets and links to the rest: these paths are short and plain, where a checkout's may be neither.
        self.run = RUN / self.id
        self.network = Network(plan.namespace(self.id))
        self._file = self.state / "lab.json"

    # What the commands do

    def up(self, wanted: Wanted) -> None:
        with self._locked():
            remove_abandoned()
            made = self._settings(wanted)
            machines = plan.machines(made.hosts)
            self.run.mkdir(parents=True, exist_ok=True)
            self._link("checkout", self.checkout)
            self.network.create(machines)
            self._serve_archive(made)
            self._write_ssh(machines)
            off = [machine for machine in machines if not self._is_running(machine)]
            # A machine that runs and has not answered yet: the `up` that started it was interrupted.
            awaited = [machine for machine in machines if machine in off or not self._ready(machine).exists()]
            if not awaited:
                say(f"up already: {', '.join(machine.name for machine in machines)}")
            else:
                with timed(f"starting {', '.join(machine.name for machine in awaited)} ({made.hypervisor})"):
                    for machine in off:
                        self._start(machine, made)
                    self._wait(awaited, made)
            self._write_for_ansible(machines)

    def images(self, wanted: Wanted) -> None:
        """Build what a new lab would need, without it."""
        hypervisor = choose(wanted.hypervisor, wanted.needs, _kvm_works)
        hosts = plan.systems([], wanted.hosts, wanted.debian12, wanted.bare)
        for system in dict.fromkeys(machine.system for machine in plan.machines(hosts)):
            image.get(SYSTEMS[system], _HYPERVISORS[hypervisor].kernel())
        if wanted.bare:
            archive.get()

    def down(self) -> None:
        with self._locked():
            dismantle(self.id)
            self._clear()
        say("down")

    def reboot(self, name: str) -> None:
        with self._locked():
            made, machine = self._known(), self.machine(name)
            with timed(f"rebooting {name}"):
                self._power_off(machine)
                self._start(machine, made)
                self._wait([machine], made)

    def kill(self, name: str) -> None:
        with self._locked():
            machine = self.machine(name)
            processes.stop(self.network, self._mark(machine))
            self._forget_connections()
        say(f"{name} lost its power; `up` starts it again on its disk")

    def renew(self, name: str) -> None:
        with self._locked():
            made, machine = self._known(), self.machine(name)
            with timed(f"starting {name} on a new disk"):
                processes.stop(self.network, self._mark(machine))
                self._forget_connections()
                self._ready(machine).unlink(missing_ok=True)
                self._start(machine, made)
                self._wait([machine], made)

    def cut(self, name: str, network: str) -> None:
        self.network.set_path(self.machine(name).on(network), up=False)
        say(f"{name} is cut off from network {network}")

    def heal(self, name: str, network: str) -> None:
        self.network.set_path(self.machine(name).on(network), up=True)
        say(f"{name} is on network {network} again")

    def status(self) -> list[dict[str, str]]:
        return [
            {
                "machine": machine.name,
                "state": "running" if self._is_running(machine) else "off",
                "management": machine.address,
                **{
                    f"network {network}": machine.on(network).address
                    + ("" if self.network.is_connected(machine.on(network)) else " (cut)")
                    for network in plan.STORAGE_NETWORKS
                },
            }
            for machine in self.machines()
        ]

    def ssh(self, name: str, command: Sequence[str]) -> NoReturn:
        """Become a command on a machine, or a shell."""
        ssh = ["ssh", "-F", str(self.state / "ssh_config"), self.machine(name).name]
        entered = self.network.enter([*ssh, *remote_command(command)])
        os.execvp(entered[0], entered)

    def log(self, name: str) -> Path:
        path = self.state / f"{name}.log"
        if not path.exists():
            raise LabError(f"{name} has no console log: it was never started")
        return path

    def machines(self) -> tuple[plan.Machine, ...]:
        return plan.machines(self._known().hosts)

    def machine(self, name: str) -> plan.Machine:
        for machine in self.machines():
            if machine.name == name:
                return machine
        names = ", ".join(machine.name for machine in self.machines())
        raise LabError(f"there is no machine {name} in this lab; it has {names}")

    # Deciding what the lab is made of

    def _settings(self, wanted: Wanted) -> Settings:
        """Those of the lab that is there, with more hosts if asked for; else new ones on a clean ground."""
        found = self._reusable(wanted)
        if found is None:
            dismantle(self.id)
            self._clear()
            found = Settings(choose(wanted.hypervisor, wanted.needs, _kvm_works), hosts=[], images={})
        hosts = plan.systems(found.hosts, wanted.hosts, wanted.debian12, wanted.bare)
        if (number := sum(system not in plan.BARE for system in hosts)) > plan.MAXIMUM_HOSTS:
            raise LabError(f"a lab has {plan.MAXIMUM_HOSTS} hosts at most, and this one would have {number}")
        images = dict(found.images)
        for machine in plan.machines(hosts):
            if machine.system not in images:
                new = image.get(SYSTEMS[machine.system], _HYPERVISORS[found.hypervisor].kernel())
                cache.use(new.directory, self.id, self.state)
                images[machine.system] = str(new.directory)
        served = found.archive
        if served is None and any(system in plan.BARE for system in hosts):
            served = str(archive.get())
            cache.use(Path(served), self.id, self.state)
        made = Settings(found.hypervisor, hosts, images, served)
        made.write(self._file)
        return made

    def _reusable(self, wanted: Wanted) -> Settings | None:
        try:
            found = settings.read(self._file)
        except LabError:
            if not wanted.replace:
                raise
            found = None
        if found is None:
            return None
        kernel = _HYPERVISORS[found.hypervisor].kernel()
        good = settings.serves(
            found,
            wanted,
            alive=any(self._is_running(machine) for machine in plan.machines(found.hosts)),
            current=all(
                Path(path).exists() and Path(path).name == image.name(SYSTEMS[system], kernel)
                for system, path in found.images.items()
            )
            and (found.archive is None or Path(found.archive).name == archive.name()),
            new=lambda: choose(wanted.hypervisor, wanted.needs, _kvm_works),
        )
        if not good:
            say(f"the lab that was here, under {found.hypervisor}, is replaced")
        return found if good else None

    def _known(self) -> Settings:
        found = settings.read(self._file)
        if found is None or not self.network.exists():
            raise LabError("the lab is down; start it with `up`")
        return found

    def _clear(self) -> None:
        """Forget the lab; what somebody else keeps in its directory stays, and so do the consoles, for a late look."""
        for pattern in _FILES:
            for path in self.state.glob(pattern):
                path.unlink()

    def _serve_archive(self, made: Settings) -> None:
        """Where there is one, by a process that ends with the lab."""
        if made.archive and not processes.is_running(self.network, made.archive):
            processes.start(
                self.network, archive.server(Path(made.archive)), self.state / "archive.log", environment={}
            )

    # Machines

    def _mark(self, machine: plan.Machine) -> str:
        return f"{plan.namespace(self.id)}-{machine.name}"

    def _is_running(self, machine: plan.Machine) -> bool:
        return processes.is_running(self.network, self._mark(machine))

    def _ready(self, machine: plan.Machine) -> Path:
        """Exists once the machine has answered: from then on its disk is worth keeping."""
        return self.state / f"{machine.name}.ready"

    def _start(self, machine: plan.Machine, made: Settings) -> None:
        hypervisor = _HYPERVISORS[made.hypervisor]
        log = self.state / f"{machine.name}.log"
        # By these links, as a blank or a comma in a path would end it for UML's and QEMU's arguments.
        self._link(machine.system, Path(made.images[machine.system]))
        state = self.run / "checkout" / self.state.name
        boot = Boot(
            machine=machine,
            mark=self._mark(machine),
            memory=CONTROLLER_MEMORY if machine.is_controller else MEMORY,
            image=image.Image(self.run / machine.system),
            disk=state / f"{machine.name}.disk",
            seed=state / f"{machine.name}.seed",
            sockets=self.run,
        )
        processes.stop(self.network, boot.mark)
        if not self._ready(machine).exists():
            boot.disk.unlink(missing_ok=True)
            log.unlink(missing_ok=True)
            seed.write(boot.seed, machine, seed.files(machine, self._keys()))
            hypervisor.make_disk(boot)
        processes.start(self.network, hypervisor.command(boot), log, hypervisor.environment(boot))

    def _wait(self, machines: Sequence[plan.Machine], made: Settings) -> None:
        seconds = _HYPERVISORS[made.hypervisor].seconds_to_boot
        with ThreadPoolExecutor(len(machines)) as pool:
            list(pool.map(lambda machine: self._wait_for(machine, seconds), machines))

    def _wait_for(self, machine: plan.Machine, seconds: int) -> None:
        start = time.monotonic()
        while (answer := self._ask(machine, "systemctl is-system-running --wait", seconds)) is None:
            if not self._is_running(machine) or "end Kernel panic" in self._last_lines(machine):
                raise LabError(f"{machine.name} died while it booted; {self._last_lines(machine)}")
            if time.monotonic() - start > seconds:
                raise LabError(f"{machine.name} does not answer ssh after {seconds} s; {self._last_lines(machine)}")
            time.sleep(0.5)
        say(f"{machine.name}: up after {time.monotonic() - start:.0f} s")
        if answer != "running":
            failed = self._ask(machine, "systemctl --failed --plain --no-legend") or ""
            say(f"{machine.name} is {answer}: {' '.join(line.split()[0] for line in failed.splitlines())}")
        self._ready(machine).touch()

    def _ask(self, machine: plan.Machine, command: str, seconds: float = 60) -> str | None:
        """The command's output on the machine, None if the machine does not answer."""
        # Time for a key exchange on an emulated processor: each one given up is lost work to a machine that boots.
        ssh = ["ssh", "-F", str(self.state / "ssh_config"), "-o", "ConnectTimeout=30", machine.name, command]
        entered = self.network.enter(ssh)
        try:
            done = subprocess.run(
                entered, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=seconds, check=False
            )
        except subprocess.TimeoutExpired:
            return None
        return None if done.returncode == 255 else done.stdout.strip()

    def _power_off(self, machine: plan.Machine) -> None:
        self._ask(machine, "systemctl poweroff")
        deadline = time.monotonic() + _SECONDS_TO_POWER_OFF
        while self._is_running(machine):
            if time.monotonic() > deadline:
                say(f"{machine.name} does not power off; taking its power away")
                break
            time.sleep(0.2)
        processes.stop(self.network, self._mark(machine))
        self._forget_connections()

    def _forget_connections(self) -> None:
        """Have Ansible's next task connect anew, where a kept connection would lead to a machine that is gone."""
        for socket in (self.run / "cp").glob("*"):
            subprocess.run(["ssh", "-O", "stop", "-S", socket, "lab"], capture_output=True, check=False)

    def _last_lines(self, machine: plan.Machine) -> str:
        path = self.state / f"{machine.name}.log"
        lines = path.read_text(errors="replace").splitlines()[-_LINES_OF_LOG:]
        return "\n".join([f"the last lines of {path}:", *lines])

    # Files

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One command at a time changes this lab."""
        self.state.mkdir(exist_ok=True)
        with (self.state / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say("waiting for another lab command to finish")
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _link(self, name: str, target: Path) -> None:
        link = self.run / name
        if not link.is_symlink() or link.readlink() != target:
            link.unlink(missing_ok=True)
            link.symlink_to(target)

    def _keys(self) -> dict[str, str]:
        return {
            "authorized": (self.state / "key.pub").read_text(),
            "host": (self.state / "host_key").read_text(),
            "host_public": (self.state / "host_key.pub").read_text(),
        }

    def _write_ssh(self, machines: Sequence[plan.Machine]) -> None:
        for name in ("key", "host_key"):
            path = self.state / name
            if not path.with_suffix(".pub").exists():
                path.unlink(missing_ok=True)
                subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", path], check=True)
        write(self.state / "known_hosts", inventory.known_hosts(machines, self._keys()["host_public"]))
        write(self.state / "ssh_config", inventory.ssh_config(machines, self.state))

    def _write_for_ansible(self, machines: Sequence[plan.Machine]) -> None:
        sockets = self.run / "cp"
        sockets.mkdir(mode=0o700, exist_ok=True)
        write(self.state / "inventory.yml", inventory.inventory(machines, self.state, sockets))
        write(self.state / "run", inventory.run_program(self.checkout, self.network.path), mode=0o755)
        tree = self.checkout / ".tree/ansible_collections/brickwork/storage"
        if not tree.is_symlink():
            tree.parent.mkdir(parents=True, exist_ok=True)
            tree.symlink_to("../../..")
        # Started through sudo, the lab still belongs to whoever owns the checkout.
        owner = self.checkout.stat()
        for path in [self.state, *self.state.iterdir(), sockets]:
            os.chown(path, owner.st_uid, owner.st_gid)


@functools.cache
def _kvm_works() -> bool:
    """Seen by booting, never believed: a device node says nothing."""
    if not os.path.exists("/dev/kvm") or not shutil.which(qemu.PROGRAM):
        return False
    say("trying KVM …")
    works = qemu.kvm_runs_code() and qemu.kvm_boots(image.get(DEBIAN13, qemu.ACCELERATED.kernel()))
    say(f"trying KVM: it {'works' if works else 'boots nothing within 5 s'}")
    return works


def dismantle(lab: str) -> None:
    """End a lab's processes and remove all it has outside its checkout, whatever state it is in."""
    network = Network(plan.namespace(lab))
    processes.stop_all(network)
    network.remove()
    shutil.rmtree(RUN / lab, ignore_errors=True)
    cache.release(lab)


def remove_abandoned() -> None:
    """Take down the labs whose checkout is gone: nobody can reach them any more."""
    for link in RUN.glob("*/checkout"):
        if not link.exists():
            say(f"taking down the lab of {link.readlink()}, which does not exist any more")
            dismantle(link.parent.name)


def remote_command(command: Sequence[str]) -> list[str]:
    """For ssh: one argument is the machine's shell's to interpret, several arrive as they are."""
    return list(command) if len(command) < 2 else [shlex.join(command)]
