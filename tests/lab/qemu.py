# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""QEMU: machines with Debian's own kernel, emulated in software or run by KVM."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass

from . import plan, qemu_kernel
from .commands import run
from .hypervisor import KVM, QEMU, Boot
from .image import Image, Kernel

PROGRAM = "qemu-system-x86_64"
_SECONDS_TO_PROBE = 5

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
        return qemu_kernel.kernel()

    def make_disk(self, boot: Boot) -> None:
        run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", boot.image.root, boot.disk)

    def command(self, boot: Boot) -> list[str]:
        networks: list[str] = []
        for number, interface in enumerate(boot.machine.interfaces):
            device = card(interface)
            networks += ["-netdev", f"tap,id=net{number},ifname={interface.tap},script=no,downscript=no"]
            # Without a boot ROM: it would be run before the kernel.
            networks += ["-device", f"{device},netdev=net{number},mac={interface.mac},romfile="]
        return [
            *(PROGRAM, "-name", boot.mark),
            *self.acceleration,
            *("-m", str(boot.memory), "-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio"),
            *("-kernel", str(boot.image.kernel), "-initrd", str(qemu_kernel.initramfs(boot.image))),
            *("-append", "console=ttyS0 net.ifnames=0 mitigations=off lab_root=/dev/vda lab_seed=/dev/vdb"),
            *("-drive", f"file={boot.disk},format=qcow2,if=virtio,discard=unmap"),
            *("-drive", f"file={boot.seed},format=raw,if=virtio,readonly=on"),
            *("-device", "virtio-rng-pci"),
            *networks,
        ]

    def environment(self, boot: Boot) -> Mapping[str, str]:
        return {}


EMULATION = Qemu(QEMU, 600, ("-accel", "tcg,thread=multi", "-cpu", "max"))
ACCELERATED = Qemu(KVM, 300, ("-accel", "kvm", "-cpu", "host"))


def card(interface: plan.Interface) -> str:
    """os-brick finds Fibre Channel's paths only behind a card that is a PCI device of its own, which virtio's are not."""
    return "virtio-net-pci" if interface.network == plan.MANAGEMENT else "e1000"


def kvm_runs_code() -> bool:
    """Whether KVM runs a short program at a processor's speed; there are some that exist and interpret it."""
    with tempfile.NamedTemporaryFile() as sector:
        sector.write(_COUNTDOWN.ljust(510, b"\0") + b"\x55\xaa")
        sector.flush()
        return _exits_with(_COUNTDOWN_STATUS, *_DEBUG_EXIT, "-drive", f"file={sector.name},format=raw,if=ide")


def kvm_boots(image: Image) -> bool:
    """Whether KVM boots the machines' kernel."""
    kernel = ("-kernel", str(image.kernel), "-initrd", str(qemu_kernel.initramfs(image)))
    return _exits_with(0, *kernel, "-append", "lab_probe=yes panic=-1", "-no-reboot")


def _exits_with(status: int, *arguments: str) -> bool:
    command = [PROGRAM, *ACCELERATED.acceleration, "-m", "256", "-nodefaults", "-no-user-config", "-display", "none"]
    try:
        done = subprocess.run([*command, *arguments], capture_output=True, timeout=_SECONDS_TO_PROBE, check=False)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == status
