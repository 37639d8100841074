# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""QEMU: machines with Debian's own kernel, emulated in software or run by KVM."""

from __future__ import annotations

import lzma
import shutil
import subprocess
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from . import plan
from .hypervisor import FIBRE_CHANNEL, INIT, KVM, QEMU, Boot
from .image import Image, Kernel, run

PROGRAM = "qemu-system-x86_64"
_BUSYBOX = Path("/bin/busybox")
_SECONDS_TO_PROBE = 5

# The drivers of the root file system; their dependencies are found, but ext4 asks for its checksum only when it mounts.
_BOOT_MODULES = ("virtio_pci", "virtio_blk", "crc32c_generic", "ext4")

_INITRAMFS_INIT = f"""#!/bin/busybox sh
# Loads the drivers of the root file system and goes on there.
/bin/busybox mount -t devtmpfs devtmpfs /dev
if [ -n "$lab_probe" ]; then /bin/busybox reboot -f; fi
while read -r module; do /bin/busybox insmod "/modules/$module"; done </modules/order
until [ -b "$lab_root" ]; do /bin/busybox sleep 0.1; done
/bin/busybox mount -t ext4 -o rw "$lab_root" /root
/bin/busybox mount --move /dev /root/dev
exec /bin/busybox switch_root /root {INIT}
"""

# A boot sector that counts twenty million down and then writes to the port of QEMU's debug-exit device:
# mov ecx, 20000000; again: dec ecx; jnz again; mov dx, 0xf4; mov al, 0x10; out dx, al; halt: hlt; jmp halt
_COUNTDOWN = bytes.fromhex("66b9002d3101 6649 75fc baf400 b010 ee f4 ebfd")
_COUNTDOWN_STATUS = 0x10 << 1 | 1
_DEBUG_EXIT = ("-device", "isa-debug-exit,iobase=0xf4,iosize=0x04")


@dataclass(frozen=True)
class Qemu:
    name: str
    seconds_to_boot: int
    acceleration: tuple[str, ...]

    def kernel(self) -> Kernel:
        return Kernel(QEMU, (Path(__file__).read_text(),), ("linux-image-amd64",), _add)

    def make_disk(self, boot: Boot) -> None:
        run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", boot.image.root, boot.disk)

    def command(self, boot: Boot) -> list[str]:
        networks: list[str] = []
        for number, interface in enumerate(boot.machine.interfaces):
            device = card(interface, boot.needs)
            networks += ["-netdev", f"tap,id=net{number},ifname={interface.tap},script=no,downscript=no"]
            # Without a boot ROM: it would be run before the kernel.
            networks += ["-device", f"{device},netdev=net{number},mac={interface.mac},romfile="]
        return [
            *(PROGRAM, "-name", boot.mark),
            *self.acceleration,
            *("-m", str(boot.memory), "-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio"),
            *("-kernel", str(boot.image.kernel), "-initrd", str(_initramfs(boot.image))),
            *("-append", "console=ttyS0 net.ifnames=0 lab_root=/dev/vda lab_seed=/dev/vdb"),
            *("-drive", f"file={boot.disk},format=qcow2,if=virtio,discard=unmap"),
            *("-drive", f"file={boot.seed},format=raw,if=virtio,readonly=on"),
            *("-device", "virtio-rng-pci"),
            *networks,
        ]

    def environment(self, boot: Boot) -> Mapping[str, str]:
        return {}


EMULATION = Qemu(QEMU, 600, ("-accel", "tcg,thread=multi", "-cpu", "max"))
ACCELERATED = Qemu(KVM, 300, ("-accel", "kvm", "-cpu", "host"))


def card(interface: plan.Interface, needs: Collection[str]) -> str:
    """os-brick finds Fibre Channel's paths only behind a card that is a PCI device of its own."""
    return "e1000" if FIBRE_CHANNEL in needs and interface.network != plan.MANAGEMENT else "virtio-net-pci"


def kvm_runs_code() -> bool:
    """Whether KVM runs a short program at a processor's speed; there are some that exist and interpret it."""
    with tempfile.NamedTemporaryFile() as sector:
        sector.write(_COUNTDOWN.ljust(510, b"\0") + b"\x55\xaa")
        sector.flush()
        return _exits_with(_COUNTDOWN_STATUS, *_DEBUG_EXIT, "-drive", f"file={sector.name},format=raw,if=ide")


def kvm_boots(image: Image) -> bool:
    """Whether KVM boots the machines' kernel."""
    kernel = ("-kernel", str(image.kernel), "-initrd", str(_initramfs(image)))
    return _exits_with(0, *kernel, "-append", "lab_probe=yes panic=-1", "-no-reboot")


def _exits_with(status: int, *arguments: str) -> bool:
    command = [PROGRAM, *ACCELERATED.acceleration, "-m", "256", "-nodefaults", "-no-user-config", "-display", "none"]
    try:
        done = subprocess.run([*command, *arguments], capture_output=True, timeout=_SECONDS_TO_PROBE, check=False)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == status


def load_order(dependencies: str, wanted: Collection[str]) -> list[str]:
    """The module files (as `modules.dep` names them) to load for the wanted modules, each after those it needs.

    A module that is not listed is built into the kernel.
    """
    needed: dict[str, list[str]] = {}
    for line in dependencies.splitlines():
        path, _colon, others = line.partition(":")
        needed[path] = others.split()
    by_name = {Path(path).name.split(".")[0].replace("-", "_"): path for path in needed}
    order: list[str] = []
    for name in wanted:
        if name in by_name:
            # depmod lists a module's dependencies so that each comes before what it needs.
            for path in [*reversed(needed[by_name[name]]), by_name[name]]:
                if path not in order:
                    order.append(path)
    return order


def _add(root: Path, image: Image) -> None:
    (modules,) = (root / "usr/lib/modules").iterdir()
    shutil.copy2(root / "boot" / f"vmlinuz-{modules.name}", image.kernel)
    tree = image.directory / "initramfs.d"
    for name in ("bin", "dev", "modules", "root"):
        (tree / name).mkdir(parents=True)
    shutil.copy2(_BUSYBOX, tree / "bin/busybox")
    order = load_order((modules / "modules.dep").read_text(), _BOOT_MODULES)
    names = [Path(path).name.removesuffix(".xz") for path in order]
    for path, name in zip(order, names, strict=True):
        content = (modules / path).read_bytes()
        (tree / "modules" / name).write_bytes(lzma.decompress(content) if path.endswith(".xz") else content)
    (tree / "modules/order").write_text("".join(f"{name}\n" for name in names))
    (tree / "init").write_text(_INITRAMFS_INIT)
    (tree / "init").chmod(0o755)
    files = "".join(f"{path.relative_to(tree)}\n" for path in sorted(tree.rglob("*")))
    with _initramfs(image).open("wb") as archive:
        command = ["cpio", "--quiet", "-o", "-H", "newc"]
        subprocess.run(command, input=files.encode(), stdout=archive, cwd=tree, check=True)
    shutil.rmtree(tree)


def _initramfs(image: Image) -> Path:
    return image.directory / "initramfs"
