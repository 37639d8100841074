# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""RBD, NFS, local devices and what passes through os-brick: what a connection must hold, and what is found of it on a host."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, cast

import pytest

from ansible_collections.brickwork.storage.plugins.module_utils import apart
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.host import rbd_mappings, shares
from ansible_collections.brickwork.storage.plugins.module_utils.host.connection import Connection, parse
from ansible_collections.brickwork.storage.plugins.module_utils.host.engines.engine import Engine
from ansible_collections.brickwork.storage.plugins.module_utils.host.engines.nfs import Nfs
from ansible_collections.brickwork.storage.plugins.module_utils.host.engines.rbd import Rbd
from ansible_collections.brickwork.storage.plugins.module_utils.host.engines.registry import engine_named
from ansible_collections.brickwork.storage.plugins.module_utils.host.found import Found
from ansible_collections.brickwork.storage.plugins.module_utils.host.plan import Wanted, plan_attach
from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols.export import BrickExport
from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols.registry import PROTOCOLS
from ansible_collections.brickwork.storage.plugins.module_utils.host.removal import Removal
from ansible_collections.brickwork.storage.plugins.module_utils.host.sysfs import Sysfs
from ansible_collections.brickwork.storage.plugins.module_utils.module import secrets_in
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline
from ansible_collections.brickwork.storage.tests.unit.host.tree import Tree

MIB = 1024**2
CLUSTER, IMAGE_ID = "1351fdd3-18ef-4803-8e5f-6e179dfbe920", "1010d941c3f2"
IDENTITY = f"{CLUSTER}.{IMAGE_ID}"
KEY = "AQAfrANrs08ZGRAAUrGNCbRhSu8eIGKBE8exqw=="
DATA: dict[str, dict[str, Any]] = {
    "rbd": {
        "name": "volumes/db-data",
        "hosts": ["10.77.1.10", "fd00::10"],
        "ports": [6789, "3300"],
        "cluster_name": "ceph",
        "auth_enabled": True,
        "auth_username": "volumes",
        "secret_type": "ceph",
        "secret_uuid": None,
        "keyring": f"[client.volumes]\n\tkey = {KEY}\n",
        "discard": True,
        "encrypted": False,
    },
    "nfs": {
        "export": "10.77.1.10:/srv/volumes",
        "name": "db-data",
        "options": "-o vers=4.2,nconnect=2",
        "format": "raw",
    },
    "local": {"device_path": "/dev/vg0/db-data"},
    "storpool": {"volume": "db-data", "client_id": 1, "access_mode": "rw"},
}
SHARE = DATA["nfs"]["export"]
FILE = f"{shares.directory_of(SHARE)}/db-data"


def connection(protocol: str, **changes: Any) -> Connection:
    """A connection of a volume of 64 MiB."""
    given = {
        "volume": {"name": "db-data", "id": "5f0c", "size_bytes": 64 * MIB, "backend": None, "wwn": None},
        "host": "db1",
        "connection_info": {"driver_volume_type": protocol, "data": {**DATA[protocol], **changes}},
        "connected": True,
    }
    return parse(given, "it", to_attach=True, predicted_allowed=False)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "host")


def put_mapping(tree: Tree, number: int = 0, **changes: str) -> None:
    """A mapped image, as the kernel tells of it."""
    attributes = {
        "pool": "volumes",
        "pool_ns": "",
        "name": "db-data",
        "current_snap": "-",
        "cluster_fsid": CLUSTER,
        "image_id": IMAGE_ID,
        "config_info": "10.77.1.10:6789 name=volumes,key=client.volumes volumes db-data -",
        **changes,
    }
    for name, text in attributes.items():
        tree.put(f"/sys/bus/rbd/devices/{number}/{name}", f"{text}\n")
    tree.put(f"/sys/class/block/rbd{number}/size", f"{64 * MIB // 512}\n")


def put_mount(tree: Tree, process: str = "self", number: int = 39, place: str = "", root: str = "/") -> None:
    """The share, mounted at its own place or at another."""
    where = place or shares.directory_of(SHARE)
    line = f"{number} 16 0:33 {root} {where} rw,relatime shared:80 - nfs4 {SHARE} rw,vers=4.2\n"
    path = tree.root / "proc" / process / "mountinfo"
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    tree.put(f"/proc/{process}/mountinfo", before + line)


def put_file(tree: Tree) -> None:
    tree.put(FILE, "")
    os.truncate(tree.root / FILE.lstrip("/"), 64 * MIB)


@pytest.mark.parametrize(
    ("protocol", "changes", "field"),
    [
        ("rbd", {"name": "db-data"}, "name"),
        ("rbd", {"name": "volumes/namespace/db-data"}, "name"),
        ("rbd", {"name": "volumes/--exclusive"}, "name"),
        ("rbd", {"hosts": []}, "hosts"),
        ("rbd", {"hosts": ["10.77.1.10"]}, "ports"),
        ("rbd", {"hosts": ["10.77.1.10", "a b"]}, "hosts[1]"),
        ("rbd", {"ports": ["6789", "none"]}, "ports[1]"),
        ("rbd", {"auth_username": "--id"}, "auth_username"),
        ("rbd", {"keyring": KEY}, "keyring"),
        ("nfs", {"export": "/srv/volumes"}, "export"),
        ("nfs", {"name": "../db-data"}, "name"),
        ("nfs", {"name": ".."}, "name"),
        ("nfs", {"options": "--bind /etc"}, "options"),
        ("nfs", {"options": ["vers=4"]}, "options"),
        ("nfs", {"options": "-o port=x"}, "options"),
        ("local", {"device_path": "vg0/db-data"}, "device_path"),
        ("local", {"device_path": "/dev/../etc/passwd"}, "device_path"),
    ],
)
def test_bad_data_is_named(protocol: str, changes: dict[str, Any], field: str) -> None:
    with pytest.raises(StorageError) as failed:
        connection(protocol, **changes)
    assert (failed.value.code, failed.value.facts["field"]) == ("invalid_argument", f"it.connection_info.data.{field}")
    assert KEY not in failed.value.message


def test_a_file_that_is_not_the_volume_s_bytes_is_refused() -> None:
    with pytest.raises(StorageError) as failed:
        connection("nfs", format="qcow2")
    assert (failed.value.code, failed.value.facts["field"]) == ("unimplemented", "it.connection_info.data.format")


def test_an_unknown_protocol_tells_near_names() -> None:
    given = {
        "volume": {"name": "v", "id": "1"},
        "host": "db1",
        "connected": True,
        "connection_info": {"driver_volume_type": "rdb", "data": {}},
    }
    with pytest.raises(StorageError) as failed:
        parse(given, "it", to_attach=True, predicted_allowed=False)
    assert (failed.value.code, failed.value.facts["candidates"]) == ("unimplemented", ["rbd"])


def test_every_protocol_has_an_engine() -> None:
    classes = {type(connection(protocol).export) for protocol in DATA}
    for kind in classes:
        assert issubclass(engine_named(kind.engine), Engine)
    assert set(DATA) <= set(PROTOCOLS)


def test_the_key_itself_is_registered_as_a_secret_and_not_recorded() -> None:
    known = connection("rbd")
    assert KEY in set(secrets_in({"connections": [known.original]}))
    assert KEY not in str(known.without_secrets())
    assert KEY not in repr(known.export)


@pytest.mark.parametrize("protocol", ["rbd", "nfs", "local", "storpool"])
def test_what_has_one_path_cannot_have_two_or_come_back_at_boot(protocol: str) -> None:
    for wanted, code, field in [
        (Wanted(connection(protocol), False, 2, False), "invalid_argument", "min_paths"),
        (Wanted(connection(protocol), False, 1, True), "unimplemented", "persistent"),
    ]:
        with pytest.raises(StorageError) as failed:
            plan_attach(wanted, None, Found(), False, False)
        assert (failed.value.code, failed.value.facts["field"]) == (code, field)


def test_an_image_is_found_by_pool_and_name(tree: Tree) -> None:
    put_mapping(tree, 0, pool="archive", image_id="other")
    put_mapping(tree, 1, pool_ns="apart", image_id="other")
    put_mapping(tree, 2, current_snap="yesterday")
    put_mapping(tree, 3)
    found = connection("rbd").export.find(tree.view, None)
    assert [(path.device, path.wwid, path.size_bytes) for path in found.paths] == [("rbd3", IDENTITY, 64 * MIB)]
    assert found.paths[0].portal == "10.77.1.10:6789,[fd00::10]:3300"


def test_another_image_of_the_name_is_seen_unless_the_recorded_one_is_there(tree: Tree) -> None:
    export = connection("rbd").export
    put_mapping(tree, 0, image_id="other")
    assert export.find(tree.view, IDENTITY).wwids == {f"{CLUSTER}.other"}
    put_mapping(tree, 1)
    assert export.find(tree.view, IDENTITY).wwids == {IDENTITY}


def test_the_names_of_another_cluster_are_not_the_volume(tree: Tree) -> None:
    put_mapping(tree, config_info="192.0.2.7:6789 name=volumes,key=client.volumes volumes db-data -")
    assert not connection("rbd").export.find(tree.view, None).paths
    # A name may lead to that address.
    assert connection("rbd", hosts=["ceph.example.org"], ports=[6789]).export.find(tree.view, None).paths


def test_exactly_the_device_is_let_go(tree: Tree) -> None:
    tree.put("/sys/bus/rbd/remove", "")
    tree.put("/sys/bus/rbd/remove_single_major", "")
    attribute = tree.view.attribute_path("bus/rbd/remove_single_major")
    assert rbd_mappings.removals(tree.view, ["rbd12"], False) == [(attribute, "12")]
    assert rbd_mappings.removals(tree.view, ["rbd12"], True) == [(attribute, "12 force")]


def test_another_image_under_the_name_is_left_alone(tree: Tree) -> None:
    tree.put("/sys/bus/rbd/remove_single_major", "untouched")
    put_mapping(tree, image_id="other")
    export = connection("rbd").export
    removal = Removal("db-data", export, IDENTITY, export.portals)
    Rbd(tree.view, Deadline(5)).take_away([removal])
    assert removal.error
    assert removal.error.code == "data_loss"
    assert (tree.root / "sys/bus/rbd/remove_single_major").read_text(encoding="utf-8") == "untouched"


def test_a_file_is_found_on_the_share_s_own_mount(tree: Tree) -> None:
    export = connection("nfs").export
    put_file(tree)
    assert not export.find(tree.view, None).anything
    put_mount(tree, place="/mnt")
    assert not export.find(tree.view, None).anything
    put_mount(tree)
    found = export.find(tree.view, None)
    assert (found.node, found.size_bytes, found.paths[0].state) == (FILE, 64 * MIB, "running")
    assert found.nodes_to_flush == [FILE]


def test_a_server_that_does_not_answer_holds_nobody_up(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    put_mount(tree)

    def hang(path: Path) -> str:
        time.sleep(30)
        return ""

    monkeypatch.setattr(shares, "_look", hang)
    monkeypatch.setattr(shares, "ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(shares, "_silent_until", {})
    began = time.monotonic()
    found = connection("nfs").export.find(tree.view, None)
    assert (found.node, found.paths[0].state, found.running_paths) == (FILE, "no answer", [])
    # Its other volumes do not ask again.
    monkeypatch.setattr(shares, "_look", lambda path: pytest.fail("asked again"))
    assert connection("nfs", name="db-log").export.find(tree.view, None).paths[0].state == "no answer"
    assert time.monotonic() - began < 10


def test_what_uses_a_file_is_seen_in_every_namespace(tree: Tree) -> None:
    put_file(tree)
    put_mount(tree)
    assert shares.users(tree.view, FILE) == []
    tree.put("/sys/class/block/loop3/loop/backing_file", FILE)
    tree.put("/proc/swaps", f"Filename Type Size Used Priority\n{FILE} file 1 0 -2\n")
    put_mount(tree, place="/srv/bound", number=40, root="/db-data")
    # In a container: another number of the mount, another path.
    put_mount(tree, "77", 512, "/data")
    tree.put("/proc/77/comm", "qemu\n")
    tree.put("/proc/77/fd/5", {"link": "/data/db-data"})
    tree.put("/proc/77/fdinfo/5", "pos:\t0\nflags:\t02\nmnt_id:\t512\n")
    # The same name on another file system, and another file of the share.
    put_mount(tree, "78", 513, "/data")
    tree.put("/proc/78/fd/5", {"link": "/elsewhere/db-data"})
    tree.put("/proc/78/fdinfo/5", "mnt_id:\t7\n")
    tree.put("/proc/78/fd/6", {"link": "/data/db-log"})
    tree.put("/proc/78/fdinfo/6", "mnt_id:\t513\n")
    put_mount(tree, "79", 514, "/data")
    tree.put("/proc/79/comm", "database\n")
    tree.put("/proc/79/maps", "7f00-7f01 rw-s 00000000 00:21 12 /data/db-data\n")
    assert shares.users(tree.view, FILE) == [
        "loop device /dev/loop3",
        f"swap on {FILE}",
        "mount point /srv/bound",
        "process 77 (qemu)",
        "process 79 (database)",
    ]


@pytest.mark.parametrize(("needed", "failed"), [(True, False), (False, True)])
def test_a_mount_stays_for_another_volume(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, needed: bool, failed: bool
) -> None:
    put_mount(tree)
    export, other = connection("nfs").export, connection("nfs", name="db-log").export
    elsewhere = frozenset((portal.address, portal.target) for portal in export.portals) if needed else frozenset()
    leaving = Removal("db-data", export, None, export.portals, needed_elsewhere=elsewhere)
    refused = Removal("db-log", other, None, other.portals)
    engine = Nfs(tree.view, Deadline(5))
    monkeypatch.setattr(engine, "_unmount", lambda share, removals: pytest.fail("unmounted"))
    batch = [leaving, refused] if failed else [leaving]
    engine.settle(batch)
    refused.error = StorageError("failed_precondition", "in use")
    engine.take_away([leaving])
    assert leaving.error is None


def test_a_local_device_tells_its_size_and_wwn(tree: Tree) -> None:
    tree.put("/dev/sdb", "")
    tree.put("/dev/vg0/db-data", {"link": "../sdb"})
    tree.put("/sys/class/block/sdb/size", f"{64 * MIB // 512}\n")
    tree.put("/sys/class/block/sdb/device/wwid", "naa.600140500001\n")
    tree.put("/sys/class/block/sdb/device/state", "running\n")
    found = connection("local").export.find(tree.view, None)
    assert [(path.device, path.wwid, path.state) for path in found.paths] == [("sdb", "3600140500001", "running")]
    tree.put("/sys/class/block/sdb/device/state", "offline\n")
    assert not connection("local").export.find(tree.view, None).running_paths
    tree.remove("/dev/vg0/db-data")
    assert not connection("local").export.find(tree.view, None).anything


def test_what_passes_through_is_where_os_brick_said(tree: Tree) -> None:
    export = connection("storpool").export
    assert not export.find(tree.view, None).anything
    tree.put("/dev/sp-3", "")
    tree.put("/dev/storpool/db-data", {"link": "../sp-3"})
    tree.put("/sys/class/block/sp-3/size", "8\n")
    known = export.knowing({"path": "/dev/storpool/db-data"})
    assert [path.device for path in known.find(tree.view, None).paths] == ["sp-3"]
    assert known.links(None, False) == ["/dev/storpool/db-data"]


def test_a_kernel_name_is_not_trusted_after_a_reboot(tree: Tree) -> None:
    export = cast(BrickExport, connection("storpool").export)
    tree.put("/proc/sys/kernel/random/boot_id", "first\n")
    tree.put("/dev/nvme1n1", "")
    tree.put("/dev/data", {"link": "nvme1n1"})
    tree.put("/sys/class/block/nvme1n1/size", "8\n")
    by_name = export.to_keep(tree.view, {"type": "block", "path": "/dev/nvme1n1"})
    by_link = export.to_keep(tree.view, {"type": "block", "path": "/dev/data"})
    assert export.knowing(by_name).find(tree.view, None).device == "nvme1n1"
    tree.put("/proc/sys/kernel/random/boot_id", "second\n")
    assert not export.knowing(by_name).find(tree.view, None).anything
    assert export.knowing(by_link).find(tree.view, None).device == "nvme1n1"


def test_a_file_of_a_dead_server_does_not_hold_up_whoever_looks(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    path = "/var/lib/brickwork/mounts/0/db-data"
    tree.put(path, "")
    monkeypatch.setattr(Sysfs, "link_target", lambda view, link: pytest.fail(f"{link} was asked for in this process"))
    monkeypatch.setattr(shares, "state_of", lambda view, asked: shares.NO_ANSWER)
    found = connection("storpool").export.knowing({"path": path}).find(tree.view, None)
    assert [path.state for path in found.paths] == ["no answer"]


def test_an_answer_comes_or_is_not_waited_for() -> None:
    assert apart.ask([lambda: "running"], Deadline(5)) == ["running"]

    def hang() -> str:
        time.sleep(30)
        return "late"

    began = time.monotonic()
    assert apart.ask([hang], Deadline(0.2)) == [None]
    assert time.monotonic() - began < 10
