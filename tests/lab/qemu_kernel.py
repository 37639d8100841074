# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What QEMU's machines boot: Debian's kernel, and an initramfs of the root file system's drivers."""

from __future__ import annotations

import lzma
import shutil
import struct
import subprocess
from collections.abc import Collection
from pathlib import Path

from .commands import run
from .hypervisor import INIT, QEMU
from .image import Image, Kernel

_BUSYBOX = Path("/bin/busybox")
_XZ = b"\xfd7zXZ\0"

# Drivers of devices that no machine has: half of all.
_LEFT_OUT = (
    "drivers/ata",
    "drivers/block/floppy.ko.xz",
    "drivers/bluetooth",
    "drivers/gpu",
    "drivers/iio",
    "drivers/infiniband/hw",
    "drivers/infiniband/ulp/ipoib",
    "drivers/infiniband/ulp/opa_vnic",
    "drivers/infiniband/ulp/rtrs",
    "drivers/infiniband/ulp/srp",
    "drivers/infiniband/ulp/srpt",
    "drivers/input",
    "drivers/media",
    "drivers/net/can",
    "drivers/net/ethernet/mellanox",
    "drivers/net/wireless",
    "drivers/staging",
    "drivers/usb",
    "net/bluetooth",
    "net/mac80211",
    "net/vmw_vsock",
    "net/wireless",
    "sound",
)

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


def kernel() -> Kernel:
    return Kernel(QEMU, (Path(__file__).read_text(),), ("linux-image-amd64",), _add)


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


def unpacked(bundle: bytes) -> bytes:
    """The kernel itself, an ELF file, of a bzImage as Linux's x86 boot protocol describes it.

    QEMU boots it, too, and an emulated processor need not unpack it.
    """
    setup_sectors = bundle[0x1F1]
    offset, length = struct.unpack_from("<II", bundle, 0x248)
    start = (setup_sectors + 1) * 512 + offset
    packed = bundle[start : start + length - 4]  # the last four tell its size
    if packed.startswith(_XZ):
        return lzma.LZMADecompressor().decompress(packed)
    return subprocess.run(["zstd", "-dc"], input=packed, capture_output=True, check=True).stdout


def _add(root: Path, image: Image) -> None:
    (modules,) = (root / "usr/lib/modules").iterdir()
    image.kernel.write_bytes(unpacked((root / "boot" / f"vmlinuz-{modules.name}").read_bytes()))
    for path in (root / "boot").iterdir():
        path.unlink()
    lighten(modules)
    run("depmod", "-b", root, modules.name)
    _make_initramfs(modules, initramfs(image))


def lighten(modules: Path) -> None:
    """Leave out the drivers of devices that no machine has, and unpack the others, so that no machine has to."""
    for name in _LEFT_OUT:
        path = modules / "kernel" / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    for packed in list(modules.rglob("*.ko.xz")):
        packed.with_suffix("").write_bytes(lzma.decompress(packed.read_bytes()))
        packed.unlink()


def _make_initramfs(modules: Path, image: Path) -> None:
    tree = image.with_name("initramfs.d")
    for name in ("bin", "dev", "modules", "root"):
        (tree / name).mkdir(parents=True)
    shutil.copy2(_BUSYBOX, tree / "bin/busybox")
    order = load_order((modules / "modules.dep").read_text(), _BOOT_MODULES)
    for path in order:
        shutil.copy2(modules / path, tree / "modules")
    (tree / "modules/order").write_text("".join(f"{Path(path).name}\n" for path in order))
    (tree / "init").write_text(_INITRAMFS_INIT)
    (tree / "init").chmod(0o755)
    files = "".join(f"{path.relative_to(tree)}\n" for path in sorted(tree.rglob("*")))
    with image.open("wb") as archive:
        command = ["cpio", "--quiet", "-o", "-H", "newc"]
        subprocess.run(command, input=files.encode(), stdout=archive, cwd=tree, check=True)
    shutil.rmtree(tree)


def initramfs(image: Image) -> Path:
    return image.directory / "initramfs"
