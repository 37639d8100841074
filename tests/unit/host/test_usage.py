# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who uses a volume. In the tree in_use one volume holds a volume group with swap, the other a mounted partition."""

from __future__ import annotations

import errno
import os
import stat
from typing import Any, Optional

import pytest

from ansible_collections.brickwork.storage.plugins.module_utils.host import usage
from ansible_collections.brickwork.storage.plugins.module_utils.host.usage import users
from ansible_collections.brickwork.storage.tests.unit.host.examples import CAPTURE_WWN, PORTAL_A, SHARED_TARGET, export
from ansible_collections.brickwork.storage.tests.unit.host.tree import Capture, Tree


def using(tree: Tree, lun: Optional[int] = None) -> list[str]:
    exported = export() if lun is None else export(target=SHARED_TARGET, lun=lun)
    return users(tree.view, exported.find(tree.view, CAPTURE_WWN if lun is None else None))


@pytest.fixture
def block_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes /dev/null for a block device: every machine has it, and not everybody may make a real one."""
    monkeypatch.setattr(stat, "S_ISBLK", stat.S_ISCHR)


def add_process(
    tree: Tree, pid: int, command: str, *, opens: bool = True, device: str = "dm-0", parent: int = 0
) -> None:
    """A process that has a device open: one that every machine has, under the number of the tree's device."""
    tree.put(tree.resolve(f"/sys/class/block/{device}/dev"), "1:3\n")
    tree.put(f"/proc/{pid}/comm", f"{command}\n")
    tree.put(f"/proc/{pid}/stat", f"{pid} ({command}) S {parent} {pid} {pid} 0\n")
    tree.put(f"/proc/{pid}/fd/0", {"link": "/etc/hostname"})
    tree.put(f"/proc/{pid}/fd/1", {"link": "socket:[4711]"})
    if opens:
        tree.put(f"/proc/{pid}/fd/2", {"link": "/dev/null"})


@pytest.mark.parametrize("name", ["empty", "multipath", "single_path", "map_without_paths", "dead_map"])
def test_nobody(capture: Capture, name: str) -> None:
    assert using(capture(name)) == []


def test_volume_group_and_swap(capture: Capture) -> None:
    assert using(capture("in_use"), 0) == ["swap on /dev/dm-2", "volume group data-group"]


def test_mount_of_what_stands_on_the_volume(capture: Capture) -> None:
    tree = capture("in_use")
    tree.put("/proc/swaps", "Filename\n")
    tree.put("/proc/1/mountinfo", "600 1 254:2 / /srv/log rw - ext4 /dev/mapper/data--group-my--log rw\n")
    assert using(tree, 0) == ["mount point /srv/log", "volume group data-group"]


def test_mounted_partition_of_a_map(capture: Capture) -> None:
    # kpartx made it; that it is there is no use in itself.
    tree = capture("in_use")
    assert using(tree, 1) == ["mount point /mnt/with blank"]
    mountinfo = (tree.root / "proc/1/mountinfo").read_text()
    tree.put("/proc/1/mountinfo", "".join(line for line in mountinfo.splitlines(True) if "blank" not in line))
    assert using(tree, 1) == []


def test_mount_in_a_namespace_of_its_own(capture: Capture) -> None:
    tree = capture("multipath")
    tree.put("/proc/4711/ns/mnt", {"link": "mnt:[4026532000]"})
    tree.put("/proc/4711/mountinfo", "600 1 254:0 / /data rw shared:1 - ext4 /dev/mapper/mpatha rw\n")
    assert using(tree) == ["mount point /data"]


def test_mount_of_a_path_beside_the_map(capture: Capture) -> None:
    tree = capture("two_paths_without_map")
    tree.put("/proc/1/mountinfo", "600 1 8:16 / /data rw shared:1 - ext4 /dev/sdb rw\n")
    assert using(tree) == ["mount point /data"]


def test_partition_of_a_disk(capture: Capture) -> None:
    tree = capture("single_path")
    found = export(PORTAL_A).find(tree.view, CAPTURE_WWN)
    disk = tree.resolve(f"/sys/block/{found.device}")
    tree.put(f"{disk}/{found.device}1/partition", "1\n")
    tree.put(f"{disk}/{found.device}1/dev", "259:7\n")
    tree.put(f"/sys/class/block/{found.device}1", {"link": f"../../{disk[5:]}/{found.device}1"})
    assert tree.view.partitions(str(found.device)) == [f"{found.device}1"]
    assert using(tree) == []
    tree.put("/proc/1/mountinfo", "600 1 259:7 / /data rw shared:1 - ext4 /dev/sda1 rw\n")
    assert using(tree) == ["mount point /data"]


@pytest.mark.parametrize(
    ("dm_name", "group"),
    [
        ("vg0-lv", "vg0"),
        ("data--group-my--log", "data-group"),
        ("a--b--c-d", "a-b-c"),
        ("vg-lv-real", "vg"),
        # A group's name may end with a hyphen, a volume's cannot begin with one.
        ("vg---lv", "vg-"),
        ("vg-----lv--x", "vg--"),
    ],
)
def test_names_of_volume_groups(capture: Capture, dm_name: str, group: str) -> None:
    tree = capture("in_use")
    tree.put(tree.resolve("/sys/block/dm-2/dm/name"), f"{dm_name}\n")
    assert using(tree, 0)[1:] == [f"volume group {group}"]


@pytest.mark.parametrize(
    ("uuid", "user"),
    [
        ("CRYPT-LUKS2-f87a260b-secret", "encrypted device secret"),
        ("", "device secret"),
    ],
)
def test_other_devices_on_top(capture: Capture, uuid: str, user: str) -> None:
    tree = capture("in_use")
    tree.put("/proc/swaps", "Filename\n")
    tree.put(tree.resolve("/sys/block/dm-2/dm/uuid"), f"{uuid}\n")
    tree.put(tree.resolve("/sys/block/dm-2/dm/name"), "secret\n")
    assert using(tree, 0) == [user]


def test_device_on_top_that_is_no_device_mapper(capture: Capture) -> None:
    tree = capture("multipath")
    tree.put("/sys/devices/virtual/block/md127/dev", "9:127\n")
    tree.put("/sys/class/block/md127", {"link": "../../devices/virtual/block/md127"})
    tree.put(tree.resolve("/sys/block/dm-0") + "/holders/md127", {"link": "../../md127"})
    assert using(tree) == ["device md127"]


@pytest.mark.usefixtures("block_devices")
def test_process(capture: Capture) -> None:
    tree = capture("multipath")
    add_process(tree, 4711, "postgres")
    add_process(tree, 4712, "bash", opens=False)
    assert using(tree) == ["process 4711 (postgres)"]


@pytest.mark.usefixtures("block_devices")
def test_process_that_has_a_path_open(capture: Capture) -> None:
    tree = capture("multipath")
    add_process(tree, 4711, "dd", device="sdb")
    assert using(tree) == ["process 4711 (dd)"]


@pytest.mark.usefixtures("block_devices")
def test_what_udev_starts_does_not_count(capture: Capture) -> None:
    tree = capture("multipath")
    add_process(tree, 300, "systemd-udevd", opens=False)
    add_process(tree, 4711, "sh", opens=False, parent=300)
    add_process(tree, 4712, "blkid", parent=4711)
    assert using(tree) == []


def test_character_device_of_the_same_number_does_not_count(capture: Capture) -> None:
    tree = capture("multipath")
    add_process(tree, 4711, "postgres")
    assert using(tree) == []


@pytest.mark.usefixtures("block_devices")
@pytest.mark.parametrize("command", ["multipathd", "systemd-udevd", "(udev-worker)"])
def test_processes_that_let_go_do_not_count(capture: Capture, command: str) -> None:
    tree = capture("multipath")
    add_process(tree, 780, command)
    assert using(tree) == []


def hold(monkeypatch: pytest.MonkeyPatch, held: str) -> None:
    """Let the kernel refuse to open a device, as it does while it or a file system holds it."""
    really_open = os.open

    def opened(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        if str(path).endswith(held):
            assert flags & os.O_EXCL
            raise OSError(errno.EBUSY, "Device or resource busy")
        return really_open(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", opened)


def test_kernel(capture: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = capture("multipath")
    hold(monkeypatch, "/dev/dm-0")
    assert using(tree) == ["something in the kernel that holds /dev/dm-0"]


def test_kernel_holds_a_dead_device(capture: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    # Force gives up what was not written, but takes nothing away from under a file system.
    hold(monkeypatch, "/dev/dm-0")
    assert using(capture("dead_map")) == ["something in the kernel that holds /dev/dm-0"]


@pytest.mark.parametrize("name", ["multipath", "dead_map"])
def test_device_that_was_not_asked_in_time(capture: Capture, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(usage, "ANSWER_SECONDS", 0.0)
    assert using(capture(name)) == ["something unknown, as /dev/dm-0 could not be asked in time"]


@pytest.mark.parametrize("name", ["multipath", "dead_map"])
def test_device_whose_open_hangs(capture: Capture, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    # Also one whose paths seem to run: those of iSCSI do until the kernel gives them up, that of RBD always does.
    tree = capture(name)
    (tree.root / "dev/dm-0").unlink(missing_ok=True)
    os.mkfifo(tree.root / "dev/dm-0")
    monkeypatch.setattr(usage, "ANSWER_SECONDS", 2.0)
    assert using(tree) == []


def test_kernel_holds_the_second_of_two_paths_without_a_map(capture: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    hold(monkeypatch, "/dev/sdb")
    assert using(capture("two_paths_without_map")) == ["something in the kernel that holds /dev/sdb"]


@pytest.mark.parametrize(("name", "device"), [("two_paths_without_map", "sdb"), ("dead_map", "dm-0")])
def test_btrfs(capture: Capture, name: str, device: str) -> None:
    # Its device number is made up.
    tree = capture(name)
    tree.put(f"/dev/{device}", "")
    tree.put(f"/sys/fs/btrfs/3f2739c0/devices/{device}", {"link": f"../../../../block/{device}"})
    tree.put("/proc/1/mountinfo", f"600 1 0:41 / /data rw shared:1 - btrfs /dev/{device} rw\n")
    assert using(tree) == ["mount point /data"]


def test_map_that_is_held_for_its_partitions_alone(capture: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = capture("in_use")
    tree.put("/proc/1/mountinfo", "")
    found = export(target=SHARED_TARGET, lun=1).find(tree.view, None)
    [partition] = tree.view.holders(str(found.device))
    hold(monkeypatch, f"/dev/{found.device}")
    assert using(tree, 1) == []
    hold(monkeypatch, f"/dev/{partition}")
    assert using(tree, 1) == [f"something in the kernel that holds /dev/{partition}"]


@pytest.mark.parametrize("backing", ["/dev/dm-0", "/dev/mapper/mpatha"])
def test_loop_device(capture: Capture, backing: str) -> None:
    tree = capture("multipath")
    tree.put(tree.resolve("/sys/block/dm-0/dm/name"), "mpatha\n")
    tree.put("/sys/devices/virtual/block/loop7/loop/backing_file", f"{backing}\n")
    tree.put("/sys/devices/virtual/block/loop7/dev", "7:7\n")
    tree.put("/sys/class/block/loop7", {"link": "../../devices/virtual/block/loop7"})
    assert using(tree) == ["loop device /dev/loop7"]
    tree.put("/proc/1/mountinfo", "600 1 7:7 / /data rw shared:1 - ext4 /dev/loop7 rw\n")
    assert using(tree) == ["mount point /data", "loop device /dev/loop7"]


@pytest.mark.parametrize(("enabled", "users"), [("1", ["NVMe target nqn.2026-11.org.example:data"]), ("0", [])])
def test_device_that_this_host_exports_over_nvme(capture: Capture, enabled: str, users: list[str]) -> None:
    tree = capture("multipath")
    tree.put("/dev/dm-0", "")
    tree.put("/dev/mapper/mpatha", {"link": "../dm-0"})
    namespace = "/sys/kernel/config/nvmet/subsystems/nqn.2026-11.org.example:data/namespaces/1"
    tree.put(f"{namespace}/device_path", "/dev/mapper/mpatha\n")
    tree.put(f"{namespace}/enable", f"{enabled}\n")
    assert using(tree) == users
