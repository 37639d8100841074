# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hypervisor a lab runs on, and the command lines of its machines."""

from __future__ import annotations

import lzma
import struct
from collections.abc import Collection
from pathlib import Path

import pytest

from ansible_collections.brickwork.storage.tests.lab import hypervisor, plan, processes, qemu, qemu_kernel
from ansible_collections.brickwork.storage.tests.lab.errors import LabError
from ansible_collections.brickwork.storage.tests.lab.hypervisor import Boot, Hypervisor
from ansible_collections.brickwork.storage.tests.lab.image import Image
from ansible_collections.brickwork.storage.tests.lab.uml import Uml


def never_asked() -> bool:
    raise AssertionError("KVM was probed for nothing")


@pytest.mark.parametrize(
    ("needs", "kvm", "chosen"),
    [
        ([], True, "kvm"),
        (["nvme"], True, "kvm"),
        ([], False, "uml"),
        (["nvme"], False, "qemu"),
        (["fc"], False, "qemu"),
    ],
)
def test_auto(needs: Collection[str], kvm: bool, chosen: str) -> None:
    assert hypervisor.choose("auto", needs, lambda: kvm) == chosen


@pytest.mark.parametrize("asked", ["uml", "qemu"])
def test_asked_for(asked: str) -> None:
    assert hypervisor.choose(asked, [], never_asked) == asked


def test_uml_cannot_do_everything() -> None:
    with pytest.raises(LabError, match="no fc and no nvme"):
        hypervisor.choose("uml", ["nvme", "fc"], never_asked)


def test_kvm_is_not_believed() -> None:
    assert hypervisor.choose("kvm", [], lambda: True) == "kvm"
    with pytest.raises(LabError, match="does not boot a guest"):
        hypervisor.choose("kvm", [], lambda: False)


def boot() -> Boot:
    state = Path("/run/lab/checkout/.lab")
    return Boot(
        machine=plan.machines([plan.DEBIAN13])[1],
        mark="brickwork-0123456789-host1",
        memory=768,
        image=Image(Path("/cache/key")),
        disk=state / "host1.disk",
        seed=state / "host1.seed",
        sockets=Path("/run/lab"),
    )


@pytest.mark.parametrize("kind", [Uml(), qemu.EMULATION, qemu.ACCELERATED])
def test_command_line_tells_the_machine(kind: Hypervisor) -> None:
    command = kind.command(boot())
    assert processes.is_machine(command, "brickwork-0123456789-host1")
    # host1 is not host10, and the lab of one checkout is not another's.
    assert not processes.is_machine(command, "brickwork-0123456789-host")
    assert not processes.is_machine(command, "brickwork-9876543210-host1")


def test_uml_command() -> None:
    command = Uml().command(boot())
    assert "ubd0=/run/lab/checkout/.lab/host1.disk,/cache/key/root.img" in command
    assert "mem=768M" in command
    assert "vec1:transport=tap,ifname=host1-a,depth=128,gro=1,mac=52:54:00:77:01:0b" in command


def test_qemu_command() -> None:
    command = qemu.EMULATION.command(boot())
    assert "file=/run/lab/checkout/.lab/host1.disk,format=qcow2,if=virtio,discard=unmap" in command
    assert "e1000,netdev=net1,mac=52:54:00:77:01:0b,romfile=" in command
    assert "tap,id=net2,ifname=host1-b,script=no,downscript=no" in command


def test_fibre_channel_needs_other_cards_on_the_storage_networks() -> None:
    host = boot().machine
    assert [qemu.card(interface) for interface in host.interfaces] == ["virtio-net-pci", "e1000", "e1000"]


DEPENDENCIES = """\
kernel/fs/mbcache.ko.xz:
kernel/fs/jbd2/jbd2.ko.xz: kernel/lib/crc32c.ko.xz
kernel/lib/crc32c.ko.xz:
kernel/fs/ext4/ext4.ko.xz: kernel/fs/mbcache.ko.xz kernel/fs/jbd2/jbd2.ko.xz kernel/lib/crc32c.ko.xz
kernel/drivers/block/virtio-blk.ko.xz:
"""


def test_modules_are_loaded_after_those_they_need() -> None:
    order = [Path(path).name for path in qemu_kernel.load_order(DEPENDENCIES, ["virtio_pci", "virtio_blk", "ext4"])]
    assert order == ["virtio-blk.ko.xz", "crc32c.ko.xz", "jbd2.ko.xz", "mbcache.ko.xz", "ext4.ko.xz"]


def test_kernel_is_unpacked_as_the_boot_protocol_says() -> None:
    kernel = b"\x7fELF" + b"code" * 100
    payload = lzma.compress(kernel, format=lzma.FORMAT_XZ, check=lzma.CHECK_CRC32) + struct.pack("<I", len(kernel))
    header = bytearray(3 * 512)
    header[0x1F1] = 2  # sectors of set-up code after the first one
    struct.pack_into("<II", header, 0x248, 64, len(payload))
    assert qemu_kernel.unpacked(bytes(header) + bytes(64) + payload + b"signature") == kernel


def test_modules_are_unpacked_and_those_of_absent_devices_left_out(tmp_path: Path) -> None:
    for name in ("drivers/net/tun.ko", "drivers/gpu/drm/drm.ko"):
        path = tmp_path / "kernel" / f"{name}.xz"
        path.parent.mkdir(parents=True)
        path.write_bytes(lzma.compress(b"module"))
    qemu_kernel.lighten(tmp_path)
    (left,) = (path for path in tmp_path.rglob("*") if path.is_file())
    assert (left.name, left.read_bytes()) == ("tun.ko", b"module")
