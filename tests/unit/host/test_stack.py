# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands on a volume. In the tree stacked one holds a partition and a volume group, the other an encrypted device."""

from __future__ import annotations

from typing import Optional

import pytest

from ansible_collections.brickwork.storage.plugins.module_utils.host.found import Found, FoundPath
from ansible_collections.brickwork.storage.plugins.module_utils.host.inventory import survey
from ansible_collections.brickwork.storage.plugins.module_utils.host.stack import Layer, Stacks, lvm_name
from ansible_collections.brickwork.storage.tests.unit.host.tree import Capture, Tree

MIB = 2**20


def over(tree: Tree, device: str) -> list[Layer]:
    """What stands on the volume that a device is or is a path of."""
    found = next(seen.found for seen in survey(tree.view).volumes if device in seen.found.devices)
    return Stacks(tree.view).over(found)


def told(layers: list[Layer]) -> list[tuple[str, str, Optional[str], tuple[str, ...], list[str], bool]]:
    return [
        (layer.device, layer.kind, layer.name, layer.on, layer.mount_points, layer.swap)
        for layer in layers
    ]  # fmt: skip


def test_partitions_and_lvm(capture: Capture) -> None:
    layers = over(capture("stacked"), "dm-0")
    assert told(layers) == [
        ("/dev/dm-0", "volume", "mpatha", (), [], False),
        ("/dev/dm-2", "partition", "mpatha1", ("/dev/dm-0",), ["/mnt/info data"], False),
        ("/dev/dm-3", "partition", "mpatha2", ("/dev/dm-0",), [], False),
        ("/dev/dm-4", "lvm", "info-group/my-log", ("/dev/dm-3",), ["/mnt/info-log"], False),
        ("/dev/dm-5", "lvm", "info-group/my-swap", ("/dev/dm-3",), [], True),
    ]
    log = layers[3].as_dict()
    assert (log["fstype"], log["uuid"], log["label"]) == ("ext4", "074a7367-73c0-4801-ae5b-7e243aef4f3c", None)
    assert log["size_bytes"] == 64 * MIB
    assert layers[2].as_dict()["fstype"] == "LVM2_member"


def test_encryption(capture: Capture) -> None:
    tree = capture("stacked")
    assert told(over(tree, "dm-1")) == [
        ("/dev/dm-1", "volume", "mpathb", (), [], False),
        ("/dev/dm-6", "luks", "info-secret", ("/dev/dm-1",), ["/mnt/info-secret"], False),
    ]
    tree.put(tree.resolve("/sys/block/dm-6/dm/uuid"), "CRYPT-PLAIN-info-secret\n")
    assert over(tree, "dm-1")[1].kind == "crypt"


def test_without_udev_the_type_of_what_is_mounted_is_known(capture: Capture) -> None:
    tree = capture("stacked")
    tree.remove("/run/udev")
    layers = [layer.as_dict() for layer in over(tree, "dm-0")]
    assert [(layer["fstype"], layer["uuid"]) for layer in layers[1:3]] == [("ext4", None), (None, None)]


def test_logical_volume_on_two_volumes_is_under_both(capture: Capture) -> None:
    tree = capture("stacked")
    tree.put(tree.resolve("/sys/block/dm-1") + "/holders/dm-4", {"link": "../../dm-4"})
    tree.put(tree.resolve("/sys/block/dm-4") + "/slaves/dm-1", {"link": "../../dm-1"})
    for device in ("dm-0", "dm-1"):
        log = next(layer for layer in over(tree, device) if layer.device == "/dev/dm-4")
        assert log.on == ("/dev/dm-1", "/dev/dm-3")


def test_everything_comes_after_what_it_stands_on(capture: Capture) -> None:
    tree = capture("stacked")
    # A logical volume, by number before the partitions that it stands on.
    tree.put(tree.resolve("/sys/block/dm-2") + "/holders/dm-4", {"link": "../../dm-4"})
    tree.put(tree.resolve("/sys/block/dm-4") + "/slaves/dm-2", {"link": "../../dm-2"})
    devices = [layer.device for layer in over(tree, "dm-0")]
    assert sorted(devices) == [f"/dev/dm-{number}" for number in (0, 2, 3, 4, 5)]
    assert devices.index("/dev/dm-4") > max(devices.index("/dev/dm-2"), devices.index("/dev/dm-3"))


def test_partition_that_the_kernel_made_and_a_raid_on_it(capture: Capture) -> None:
    tree = capture("single_path")
    disk = tree.resolve("/sys/block/sda")
    tree.put(f"{disk}/sda1/partition", "1\n")
    tree.put(f"{disk}/sda1/dev", "8:1\n")
    tree.put(f"{disk}/sda1/size", "2048\n")
    tree.put("/sys/class/block/sda1", {"link": f"../../{disk[5:]}/sda1"})
    tree.put(f"{disk}/sda1/holders/md0", {"link": "md0"})
    tree.put("/sys/devices/virtual/block/md0/slaves/sda1", {"link": "sda1"})
    tree.put("/sys/devices/virtual/block/md0/md/level", "raid1\n")
    tree.put("/sys/class/block/md0", {"link": "../../devices/virtual/block/md0"})
    layers = over(tree, "sda")
    assert [(layer.device, layer.kind, layer.on) for layer in layers] == [
        ("/dev/sda", "volume", ()),
        ("/dev/sda1", "partition", ("/dev/sda",)),
        ("/dev/md0", "raid", ("/dev/sda1",)),
    ]


def test_path_that_is_used_beside_its_map(capture: Capture) -> None:
    tree = capture("multipath")
    assert [layer.device for layer in over(tree, "dm-0")] == ["/dev/dm-0"]
    tree.put("/proc/1/mountinfo", "600 1 8:16 / /data rw shared:1 - ext4 /dev/sdb rw\n")
    assert told(over(tree, "dm-0"))[1:] == [("/dev/sdb", "path", None, (), ["/data"], False)]


def test_file(capture: Capture) -> None:
    tree = capture("empty")
    tree.put("/sys/devices/virtual/block/loop7/loop/backing_file", "/srv/nfs/volume\n")
    tree.put("/sys/devices/virtual/block/loop7/size", "2048\n")
    tree.put("/sys/class/block/loop7", {"link": "../../devices/virtual/block/loop7"})
    # The file's mount is the innermost one, and not one that merely begins alike.
    mounts = [
        "0:1 / / rw - ext4 /dev/root rw",
        "0:2 / /srv/nfs rw - nfs4 192.0.2.9:/volumes rw",
        "0:3 / /srv/nf rw - nfs4 x:/ rw",
    ]
    tree.put("/proc/1/mountinfo", "".join(f"1 0 {mount}\n" for mount in mounts))
    layers = Stacks(tree.view).over(
        Found(paths=(FoundPath("volume", "192.0.2.9", "running", None, MIB, False),), file="/srv/nfs/volume")
    )
    assert [(layer.device, layer.kind, layer.on, layer.size_bytes) for layer in layers] == [
        ("/srv/nfs/volume", "volume", ("192.0.2.9:/volumes",), MIB),
        ("/dev/loop7", "loop", ("/srv/nfs/volume",), MIB),
    ]


@pytest.mark.parametrize(
    ("dm_name", "name"),
    [("vg0-lv", "vg0/lv"), ("data--group-my--log", "data-group/my-log"), ("vg-lv-real", "vg/lv-real"), ("odd", "odd")],
)
def test_names_of_logical_volumes(dm_name: str, name: str) -> None:
    assert lvm_name(dm_name) == name
