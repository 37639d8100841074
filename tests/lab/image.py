# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machines' root file systems: built once from Debian's packages, kept in a cache outside the repository.

An image is a directory of the cache, named by a hash of all it was made from. It is made under another name and
renamed when it is complete, and never changed afterwards: machines write to copy-on-write files of their own.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .commands import run
from .errors import LabError
from .say import say, timed
from .system import System, lines

SIZE = "24G"  # sparse: what a machine may write at most, the controller's volume group included
KEEP = 2  # images that nobody uses and that stay, for who changes between two branches

_HERE = Path(__file__).resolve().parent
_OVERLAY = _HERE / "rootfs"
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


def cache_directory() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "brickwork-lab"


def key(system: System, kernel: Kernel, overlay: Path = _OVERLAY) -> str:
    """The kind of image, and a hash of everything that decides what is in it."""
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
    for path in sorted(overlay.rglob("*")):
        if path.is_file():
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            add("file", path.relative_to(overlay), bool(path.stat().st_mode & 0o100), content)
    return f"{_kind(system, kernel)}-{digest.hexdigest()[:16]}"


def _kind(system: System, kernel: Kernel) -> str:
    return f"{system.name}-{kernel.name}"


def get(system: System, kernel: Kernel) -> Image:
    """The image of this system and kernel, built now if it is not in the cache."""
    cache = cache_directory()
    kind, name = _kind(system, kernel), key(system, kernel)
    image = Image(cache / name)
    with _locked(cache / f"{kind}.lock"):
        if not image.directory.exists():
            for leftover in cache.glob(f"building-{kind}-*"):
                shutil.rmtree(leftover)
            building = cache / f"building-{name}"
            with timed(f"building the machines' image {image.directory} (some minutes, once)"):
                _build(Image(building), system, kernel)
            building.rename(image.directory)
        os.utime(image.directory)
        _prune(cache.glob(f"{kind}-*"), image)
    return image


def use(image: Image, lab: str, state: Path) -> None:
    """Note that a lab's machines run on this image, so that no other checkout removes it."""
    link = image.directory / "used-by" / lab
    link.parent.mkdir(exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(state)


def release(lab: str) -> None:
    for link in cache_directory().glob(f"*/used-by/{lab}"):
        link.unlink()


def disposable(images: Iterable[tuple[float, bool, Path]], current: Path, keep: int = KEEP) -> list[Path]:
    """Which of these images (time of last use, in use, directory) to remove."""
    idle = sorted((when, path) for when, used, path in images if not used and path != current)
    return [path for _when, path in idle[: max(0, len(idle) - keep)]]


def _prune(directories: Iterable[Path], current: Image) -> None:
    images = [
        (path.stat().st_mtime, any(link.exists() for link in path.glob("used-by/*")), path) for path in directories
    ]
    for path in disposable(images, current.directory):
        say(f"removing the unused image {path}")
        shutil.rmtree(path)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another lab is building an image; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(image: Image, system: System, kernel: Kernel) -> None:
    root = image.directory / "root"
    image.directory.mkdir()
    apt = image.directory / "apt.conf"
    apt.write_text(_apt_settings())
    _bootstrap(root, apt, system.suite, [*system.packages, *kernel.packages])
    apt.unlink()
    for environment in system.environments:
        environment.make(root)
    kernel.add(root, image)
    shutil.copytree(_OVERLAY, root, symlinks=True, dirs_exist_ok=True)
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
               f"--aptopt={apt}", *options, f"--include={','.join(wanted)}", suite, str(root), _mirror()]  # fmt: skip
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


def _mirror() -> str:
    """Where this machine's own apt gets Debian from."""
    done = run("apt-get", "indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(REPO_URI)", "Created-By: Packages")
    for line in done.splitlines():
        origin, label, uri = line.split("|")
        if (origin, label) == ("Debian", "Debian"):
            return uri
    raise LabError("apt knows no Debian mirror: configure one in /etc/apt and run `apt-get update`")


def _apt_settings() -> str:
    """This machine's ways to reach the mirror (proxies, certificates, checks), as an apt.conf."""
    others = ("Acquire::IndexTargets", "Acquire::Changelogs")
    lines = run("apt-config", "dump", "Acquire").splitlines()
    return "".join(f"{line}\n" for line in lines if not line.startswith(others))


def _settle(root: Path) -> None:
    """Turn a freshly installed Debian into what each machine starts from."""
    systemctl = ("chroot", root, "systemctl", "--root=/")  # its own: not every computer has one
    run(*systemctl, "mask", "--quiet", *_MASKED_UNITS)
    units = [unit for unit in _DISABLED_UNITS if (root / "usr/lib/systemd/system" / unit).exists()]
    run(*systemctl, "disable", "--quiet", *units)
    run(*systemctl, "enable", "--quiet", *_ENABLED_UNITS)
    for path in _OF_ONE_MACHINE:
        (root / path).unlink(missing_ok=True)
    # Only comments, and enough to have a service look for NVMe controllers at each boot.
    (root / "etc/nvme/discovery.conf").unlink(missing_ok=True)
    # LIO keeps its state in these, and complains about a first start without them.
    for path in ("etc/target", "etc/rtslib-fb-target"):
        (root / path).mkdir(exist_ok=True)
    (root / "etc/apt/apt.conf.d/99mmdebstrap").unlink()
    for host_key in root.glob("etc/ssh/ssh_host_*"):
        host_key.unlink()
    # systemd sees that nothing in /usr changed since, and leaves its updates at boot alone.
    for path in ("etc/.updated", "var/.updated"):
        (root / path).touch()
