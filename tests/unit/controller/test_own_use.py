# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm import usage

MOUNTINFO = (
    "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/root rw\n"
    "99 22 253:5 / /srv/my\\040data rw,relatime shared:2 - ext4 /dev/mapper/vg0-data rw\n"
    "100 22 253:5 /sub /srv/bind rw,relatime shared:2 - ext4 /dev/mapper/vg0-data rw\n"
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A machine with the device 253:5, which is dm-5 and called vg0-data."""
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/mountinfo").write_text(MOUNTINFO.splitlines(keepends=True)[0], encoding="utf-8")
    (tmp_path / "proc/swaps").write_text("Filename\tType\tSize\tUsed\tPriority\n", encoding="utf-8")
    for name, called in (("dm-5", "vg0-data"), ("dm-6", "crypt")):
        (tmp_path / f"sys/block/{name}/dm").mkdir(parents=True)
        (tmp_path / f"sys/block/{name}/holders").mkdir()
        (tmp_path / f"sys/block/{name}/dm/name").write_text(f"{called}\n", encoding="utf-8")
    (tmp_path / "sys/dev/block").mkdir(parents=True)
    (tmp_path / "sys/dev/block/253:5").symlink_to("../../block/dm-5")
    return tmp_path


def test_nobody_uses_it(root: Path) -> None:
    assert usage.users((253, 5), root) == []


def test_mount_points(root: Path) -> None:
    (root / "proc/self/mountinfo").write_text(MOUNTINFO, encoding="utf-8")
    assert usage.users((253, 5), root) == ["/srv/my data", "/srv/bind"]


def test_a_device_built_on_it(root: Path) -> None:
    (root / "sys/block/dm-5/holders/dm-6").symlink_to("../../dm-6")
    assert usage.users((253, 5), root) == ["crypt"]


@pytest.mark.parametrize("name", ["/dev/dm-5", "/dev/mapper/vg0-data"])
def test_loop_devices(root: Path, name: str) -> None:
    for number, file in enumerate(["/srv/image", name, "/dev/dm-55"]):
        (root / f"sys/block/loop{number}/loop").mkdir(parents=True)
        (root / f"sys/block/loop{number}/loop/backing_file").write_text(f"{file}\n", encoding="utf-8")
    (root / "sys/block/loop3").mkdir()
    assert usage.users((253, 5), root) == ["/dev/loop1"]


@pytest.mark.parametrize("name", ["/dev/dm-5", "/dev/mapper/vg0-data"])
def test_swap(root: Path, name: str) -> None:
    with open(root / "proc/swaps", "a", encoding="utf-8") as swaps:
        swaps.write(f"/dev/dm-55\tpartition\t1024\t0\t-1\n{name}\tpartition\t1024\t0\t-2\n")
    assert usage.users((253, 5), root) == ["swap"]
