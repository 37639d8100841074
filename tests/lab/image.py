# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machines' root file systems: built once from Debian's packages, and kept in the cache.

Machines write to copy-on-write files of their own.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from . import cache, mirror
from .commands import run
from .errors import LabError
from .system import System, lines

SIZE = "24G"  # sparse: what a machine may write at most, the controller's volume group included

_HERE = Path(__file__).resolve().parent
# What builds an image, and so decides what is in it.
_RECIPE = tuple(_HERE / name for name in ("image.py", "system.py", "environment.py"))

# Files that nobody reads in the lab: a third of what a package brings.
_LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*")

# What a machine that lives for an hour has no use for: each costs boot time, or runs at a bad moment.
_MASKED_UNITS = (
    "apt-daily-upgrade.timer",
    "apt-daily.timer",
    "console-getty.service",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "getty@tty1.service",
    "ldconfig.service",
    "logrotate.timer",
    "nvmefc-boot-connections.service",
    "modprobe@drm.service",
    "proc-sys-fs-binfmt_misc.automount",
    "serial-getty@.service",
    "sshd-keygen.service",
    "systemd-binfmt.service",
    "systemd-firstboot.service",
    "systemd-hwdb-update.service",
    "systemd-journal-catalog-update.service",
    "systemd-pstore.service",
    "systemd-update-done.service",
    "uuidd.socket",
    "xfs_scrub_all.timer",
)
# These come from a machine's seed.
_OF_ONE_MACHINE = (
    "etc/machine-id",
    "etc/hostname",
    "etc/iscsi/initiatorname.iscsi",
    "etc/nvme/hostnqn",
    "etc/nvme/hostid",
)
# Installed for those who start them: the controller's seed, or a test.
_DISABLED_UNITS = (
    "ceph-crash.service",
    "ceph-mgr.target",
    "ceph-mon.target",
    "ceph-osd.target",
    "ceph.target",
    "nfs-blkmap.service",
    "nfs-client.target",
    "nfs-server.service",
    "rbdmap.service",
    "rpcbind.service",
    "rpcbind.socket",
    "rtslib-fb-targetctl.service",
    "smartmontools.service",
)
_ENABLED_UNITS = ("systemd-networkd.service", "systemd-networkd-wait-online.service", "iscsid.service")


@dataclass(frozen=True)
class Image:
    directory: Path

    @property
    def root(self) -> Path:
        return self.directory / "root.img"

    @property
    def kernel(self) -> Path:
        return self.directory / "kernel"


@dataclass(frozen=True)
class Kernel:
    """What a hypervisor adds to the root file system and to the image."""

    name: str
    identity: tuple[str, ...]  # what it is made from, beside Debian's packages
    packages: tuple[str, ...]
    add: Callable[[Path, Image], None]  # given the root directory and the image that is being built


def name(system: System, kernel: Kernel) -> str:
    """The image's name: its kind, and its key."""
    return f"{_kind(system, kernel)}-{key(system, kernel)}"


def key(system: System, kernel: Kernel) -> str:
    """A hash of everything that decides what is in the image."""
    digest = hashlib.sha256()

    def add(*parts: object) -> None:
        digest.update("\0".join(map(str, parts)).encode() + b"\0\0")

    for path in _RECIPE:
        add("recipe", hashlib.sha256(path.read_bytes()).hexdigest())
    add("system", system.name, system.suite, "packages", *system.packages)
    for environment in system.environments:
        add("environment", environment.path, *environment.programs, environment.sees_system)
        add("environment's packages", *lines(environment.requirements))
    add("kernel", kernel.name, *kernel.identity, "packages", *kernel.packages)
    for overlay in system.overlays:
        for path in sorted(overlay.rglob("*")):
            if path.is_file():
                content = hashlib.sha256(path.read_bytes()).hexdigest()
                add("file", path.relative_to(overlay), bool(path.stat().st_mode & 0o100), content)
    return digest.hexdigest()[:16]


def _kind(system: System, kernel: Kernel) -> str:
    return f"{system.name}-{kernel.name}"


def get(system: System, kernel: Kernel) -> Image:
    """The image of this system and kernel, built now if it is not in the cache."""
    build = partial(_build, system=system, kernel=kernel)
    return Image(cache.get(_kind(system, kernel), key(system, kernel), "the machines' image", build))


def _build(directory: Path, system: System, kernel: Kernel) -> None:
    image = Image(directory)
    root = directory / "root"
    directory.mkdir()
    apt = directory / "apt.conf"
    apt.write_text(mirror.apt_settings())
    _bootstrap(root, apt, system.suite, [*system.packages, *kernel.packages])
    apt.unlink()
    for environment in system.environments:
        environment.make(root, system.python)
    kernel.add(root, image)
    for overlay in system.overlays:
        shutil.copytree(overlay, root, symlinks=True, dirs_exist_ok=True)
    _settle(root)
    # metadata_csum_seed: so that a machine can change the file system's UUID while it is mounted.
    features = ["-O", "metadata_csum_seed", "-E", "lazy_itable_init=0,lazy_journal_init=0"]
    run("mkfs.ext4", "-q", "-d", root, "-L", "lab-root", "-N", "200000", "-m", "0", *features, image.root, SIZE)
    shutil.rmtree(root)


def _bootstrap(root: Path, apt: Path, suite: str, wanted: list[str]) -> None:
    log = root.parent / "build.log"
    # Nobody mourns a half-written image, so dpkg need not wait for the disk.
    options = ["--dpkgopt=force-unsafe-io", *(f"--dpkgopt=path-exclude={pattern}" for pattern in _LEFT_OUT)]
    command = ["mmdebstrap", "--mode=root", "--format=directory", "--variant=minbase", "--components=main",
               f"--aptopt={apt}", *options, f"--include={','.join(wanted)}", suite, str(root), mirror.uri()]  # fmt: skip
    # In a process namespace that ends with this process, so that a crash leaves no mmdebstrap behind.
    alone = ["unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"]
    with log.open("w") as output:
        done = subprocess.run(
            ["setpriv", "--pdeathsig", "KILL", *alone, *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, "INITRD": "No"},  # nobody boots an initramfs of Debian's
            check=False,
        )
    if done.returncode:
        last = "\n".join(log.read_text().splitlines()[-15:])
        raise LabError(f"mmdebstrap could not build Debian {suite}; its last lines:\n{last}")


def _settle(root: Path) -> None:
    """Turn a freshly installed Debian into what each machine starts from."""
    systemctl = ("chroot", root, "systemctl", "--root=/")  # its own: not every computer has one
    run(*systemctl, "mask", "--quiet", *_MASKED_UNITS)
    for change, units in (("disable", _DISABLED_UNITS), ("enable", _ENABLED_UNITS)):
        for unit in units:
            if (root / "usr/lib/systemd/system" / unit).exists():
                run(*systemctl, change, "--quiet", unit)
    for path in _OF_ONE_MACHINE:
        (root / path).unlink(missing_ok=True)
    # Only comments, and enough to have a service look for NVMe controllers at each boot.
    (root / "etc/nvme/discovery.conf").unlink(missing_ok=True)
    # LIO keeps its state in these, and complains about a first start without them.
    if (root / "usr/lib/systemd/system/rtslib-fb-targetctl.service").exists():
        for path in ("etc/target", "etc/rtslib-fb-target"):
            (root / path).mkdir(exist_ok=True)
    (root / "etc/apt/apt.conf.d/99mmdebstrap").unlink()
    for host_key in root.glob("etc/ssh/ssh_host_*"):
        host_key.unlink()
    # systemd sees that nothing in /usr changed since, and leaves its updates at boot alone.
    for path in ("etc/.updated", "var/.updated"):
        (root / path).touch()
