# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is mounted on a host: in any mount namespace, and on which devices."""

from __future__ import annotations

from ansible_collections.brickwork.storage.plugins.module_utils.host import mounts
from ansible_collections.brickwork.storage.tests.unit.host.tree import Capture


def test_mounts(capture: Capture) -> None:
    found = mounts.by_device(capture("stacked").view)
    assert {name: [mount.point for mount in own] for name, own in found.items()} == {
        "dm-2": ["/mnt/info data"],
        "dm-4": ["/mnt/info-log"],
        "dm-6": ["/mnt/info-secret"],
    }
    assert (found["dm-2"][0].fstype, "rw" in found["dm-2"][0].options) == ("ext4", True)


def test_mount_in_a_namespace_of_its_own(capture: Capture) -> None:
    tree = capture("multipath")
    tree.put("/proc/4711/ns/mnt", {"link": "mnt:[4026532000]"})
    tree.put("/proc/4711/mountinfo", "600 1 254:0 / /data rw shared:1 - ext4 /dev/mapper/mpatha rw\n")
    assert [mount.point for mount in mounts.by_device(tree.view)["dm-0"]] == ["/data"]


def test_btrfs_is_mounted_from_all_its_devices(capture: Capture) -> None:
    # Its device number is made up, and mount was told one of the devices.
    tree = capture("two_paths_without_map")
    tree.put("/dev/sda", "")
    tree.put("/dev/mapper/data", {"link": "../sda"})
    for name in ("sda", "sdb"):
        tree.put(f"/sys/fs/btrfs/3f2739c0/devices/{name}", {"link": f"../../../../block/{name}"})
    tree.put("/proc/1/mountinfo", "600 1 0:41 /@ /data rw shared:1 - btrfs /dev/mapper/data rw\n")
    found = mounts.by_device(tree.view)
    assert {name: [mount.point for mount in own] for name, own in found.items()} == {
        "sda": ["/data"],
        "sdb": ["/data"],
    }


def test_mounts_of_no_device(capture: Capture) -> None:
    tree = capture("multipath")
    tree.put(
        "/proc/1/mountinfo",
        "1 0 0:5 / /dev rw - devtmpfs devtmpfs rw\n2 0 0:6 / /srv rw - nfs4 192.0.2.9:/export rw\n3 0 broken\n",
    )
    assert mounts.by_device(tree.view) == {}
