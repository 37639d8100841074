# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every hypervisor offers, and which one a lab runs on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from . import plan
from .errors import LabError
from .image import Image, Kernel

AUTO, KVM, UML, QEMU = "auto", "kvm", "uml", "qemu"
CHOICES = (AUTO, KVM, UML, QEMU)

# What a scenario may ask for that User-Mode Linux's kernel does not have.
NVME, FIBRE_CHANNEL, RDMA = "nvme", "fc", "rdma"
NEEDS = (NVME, FIBRE_CHANNEL, RDMA)

INIT = "/usr/lib/lab/init"


@dataclass(frozen=True)
class Boot:
    """One machine to be started."""

    machine: plan.Machine
    mark: str  # stands in its command line and in no other's
    memory: int  # MiB
    image: Image
    disk: Path  # its own copy-on-write file, made at its first start
    seed: Path
    sockets: Path


class Hypervisor(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def seconds_to_boot(self) -> int:
        """After how long a machine that does not answer never will, on a computer three times slower than usual."""

    def kernel(self) -> Kernel: ...

    def make_disk(self, boot: Boot) -> None: ...

    def command(self, boot: Boot) -> list[str]: ...

    def environment(self, boot: Boot) -> Mapping[str, str]: ...


def choose(asked: str, needs: Collection[str], kvm_works: Callable[[], bool]) -> str:
    """KVM where it works; else UML, the faster one, where its kernel has what is needed; else QEMU's emulation."""
    if asked == AUTO:
        if kvm_works():
            return KVM
        return QEMU if needs else UML
    if asked == UML and (missing := lacks(UML, needs)):
        raise LabError(f"User-Mode Linux has no {missing}; choose qemu, kvm or auto")
    if asked == KVM and not kvm_works():
        raise LabError("KVM does not boot a guest within 5 s on this computer; choose uml, qemu or auto")
    return asked


def lacks(name: str, needs: Collection[str]) -> str:
    """What a hypervisor does not have of what is needed, in words; nothing where it has all."""
    return " and no ".join(sorted(needs)) if name == UML else ""
