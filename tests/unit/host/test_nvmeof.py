# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an NVMe connection_info must hold, and where its volume is found in the captured trees."""

from __future__ import annotations

from functools import partial
from typing import Any, Optional

import pytest

from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.host import attachment, nvme_sysfs, usage
from ansible_collections.brickwork.storage.plugins.module_utils.host.connection import Connection, parse_batch
from ansible_collections.brickwork.storage.plugins.module_utils.host.identity import own_names
from ansible_collections.brickwork.storage.plugins.module_utils.host.plan import Wanted, describe, plan_attach
from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols.export import Portal
from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols.nvmeof import validate
from ansible_collections.brickwork.storage.plugins.module_utils.host.records import Record
from ansible_collections.brickwork.storage.tests.unit.host.nvme_examples import (
    HOST_NQN,
    NQN,
    OTHER_SECRET,
    OTHER_UUID,
    PORTALS,
    SECRET,
    UUID,
    connection,
    data,
    export,
    old_data,
    parsed,
)
from ansible_collections.brickwork.storage.tests.unit.host.tree import Capture, Tree


def test_several_portals() -> None:
    found = validate(data(), "data", True)
    assert found.portals == tuple(Portal(address, NQN) for address in PORTALS)
    assert (found.uuid, found.nguid, found.nsid) == (UUID.replace("-", ""), None, None)


def test_one_portal() -> None:
    found = validate(old_data(volume_nguid=UUID.upper()), "data", True)
    assert found.portals == (Portal(PORTALS[0], NQN),)
    assert (found.uuid, found.nguid, found.nsid) == (None, UUID.replace("-", ""), "1")


def test_one_replica() -> None:
    replicas = {"vol_uuid": "a-cinder-id", "alias": "md1", "replica_count": 1, "volume_replicas": [data()]}
    assert validate(replicas, "data", True) == validate(data(), "data", True)


def test_volume_of_several_replicas_is_not_put_together() -> None:
    with pytest.raises(StorageError) as caught:
        validate({"volume_replicas": [data(), data()], "replica_count": 2}, "data", True)
    assert (caught.value.code, caught.value.facts["field"]) == ("unimplemented", "data.volume_replicas")


@pytest.mark.parametrize("transport", ["rdma", "RoCEv2"])
@pytest.mark.parametrize("old", [True, False])
def test_rdma_is_not_known(transport: str, old: bool) -> None:
    given = old_data(transport_type=transport) if old else data(portals=[["192.0.2.1", 4420, transport]])
    with pytest.raises(StorageError) as caught:
        validate(given, "data", True)
    named = "data.transport_type" if old else "data.portals[0][2]"
    assert (caught.value.code, caught.value.facts["field"]) == ("unimplemented", named)


def test_ipv6_in_the_kernels_form() -> None:
    found = validate(data(portals=[["2001:DB8:0::1", 4420, "TCP"]]), "data", True)
    assert found.addresses == ["[2001:db8::1]:4420"]
    assert nvme_sysfs.portal_of("traddr=2001:db8::1,trsvcid=4420,src_addr=2001:db8::2") == found.addresses[0]


BAD_NQNS = ["", "iqn.2026-11.org.example:x", "nqn.x", f"{NQN},hostid=1", f"{NQN}\n", f"{NQN}{'x' * 200}"]
WRONG: dict[str, list[Any]] = {
    "target_nqn": [1, *BAD_NQNS],
    "portals": [None, [], "192.0.2.1", {}],
    "vol_uuid": ["", "5f0c", 5, f"{UUID}0", [UUID]],
    "volume_nguid": ["none"],
    "ns_id": [0, "", "one", -1, True, 1.5, 0xFFFFFFFF],
    "host_nqn": ["host1"],
    "dhchap_key": ["", 5, "secret", f"{SECRET}\n", f"{SECRET},nqn=x"],
    "dhchap_ctrl_key": ["secret"],
}


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in WRONG.items() for value in values])
def test_wrong_fields_are_named(field: str, value: Any) -> None:
    with pytest.raises(StorageError) as caught:
        validate(data(**{field: value}), "connections[1].connection_info.data", True)
    assert caught.value.code == "invalid_argument"
    assert caught.value.facts["field"] == f"connections[1].connection_info.data.{field}"
    assert "expected" in caught.value.message


WRONG_OLD: dict[str, list[Any]] = {
    "nqn": [None],
    "target_portal": [None, "storage.example.org", "192.0.2.1:4420", 5],
    "target_port": [None, 0, 65536, "http"],
    "transport_type": [None, "fc", 1],
}


@pytest.mark.parametrize(
    ("field", "value"), [(field, value) for field, values in WRONG_OLD.items() for value in values]
)
def test_wrong_fields_of_the_one_portal_are_named(field: str, value: Any) -> None:
    with pytest.raises(StorageError) as caught:
        validate(old_data(**{field: value}), "data", True)
    assert (caught.value.code, caught.value.facts["field"]) == ("invalid_argument", f"data.{field}")


@pytest.mark.parametrize(
    ("portal", "named"),
    [
        ("10.77.2.10:4420", "portals[1]"),
        (["10.77.2.10", 4420], "portals[1]"),
        (["x", 4420, "tcp"], "portals[1][0]"),
        (["10.77.2.10", None, "tcp"], "portals[1][1]"),
        (["10.77.2.10", 4420, "x"], "portals[1][2]"),
    ],
)
def test_wrong_portals_are_named(portal: Any, named: str) -> None:
    with pytest.raises(StorageError) as caught:
        validate(data(portals=[["10.77.1.10", 4420, "tcp"], portal]), "data", True)
    assert caught.value.facts["field"] == f"data.{named}"


def test_replica_in_another_shape_is_named() -> None:
    for replicas, named in (([], ""), ("x", ""), (["x"], "[0]"), ([data(vol_uuid="x")], "[0].vol_uuid")):
        with pytest.raises(StorageError) as caught:
            validate({"volume_replicas": replicas}, "data", True)
        assert caught.value.facts["field"] == f"data.volume_replicas{named}"


def test_secrets() -> None:
    found = validate(data(dhchap_key=SECRET, dhchap_ctrl_key=OTHER_SECRET), "data", True)
    assert (found.secret, found.controller_secret) == (SECRET, OTHER_SECRET)
    assert SECRET not in repr(found)
    assert OTHER_SECRET not in repr(found)


def test_the_targets_secret_alone_is_of_no_use() -> None:
    with pytest.raises(StorageError) as caught:
        validate(data(dhchap_ctrl_key=SECRET), "data", True)
    assert caught.value.facts["field"] == "data.dhchap_key"


def test_a_wrong_secret_is_not_repeated() -> None:
    with pytest.raises(StorageError) as caught:
        validate(data(dhchap_key=f"{SECRET} "), "data", True)
    assert SECRET not in str(caught.value.as_dict())


IDENTIFIED: list[dict[str, Any]] = [{}, {"vol_uuid": None, "ns_id": 1}]


@pytest.mark.parametrize("changes", IDENTIFIED)
def test_found_among_the_namespaces_of_a_shared_subsystem(capture: Capture, changes: dict[str, Any]) -> None:
    view = capture("nvme_shared").view
    found = export(**changes).find(view, None)
    assert found.namespace
    assert (found.node, found.wwid, found.size_bytes) == ("/dev/nvme0n1", f"uuid.{UUID}", 128 * 1024**2)
    assert [(path.device, path.portal, path.state) for path in found.paths] == [
        ("nvme0c0n1", PORTALS[0], "running"),
        ("nvme0c1n1", PORTALS[1], "running"),
    ]
    assert [(session.number, session.works) for session in found.sessions] == [(0, True), (1, True)]
    # One device, and so one flush, however many paths.
    assert found.nodes_to_flush == ["/dev/nvme0n1"]
    assert describe(found)["multipath"]
    link = attachment.stable_link(view, export(), found)
    assert link == f"/dev/disk/by-id/nvme-uuid.{UUID}"


def test_found_by_what_it_called_itself_at_first(capture: Capture) -> None:
    view = capture("nvme_shared").view
    unknown = export(vol_uuid=None)
    assert not unknown.find(view, None).paths  # two, and no telling which
    assert unknown.find(view, f"uuid.{OTHER_UUID}").node == "/dev/nvme0n2"


def test_only_namespace_of_a_subsystem(capture: Capture) -> None:
    tree = capture("nvme_shared")
    for path in ("ctl/nvme0/nvme0c0n2", "ctl/nvme1/nvme0c1n2"):
        tree.remove(f"/sys/devices/virtual/nvme-fabrics/{path}")
    assert export(vol_uuid=None).find(tree.view, None).node == "/dev/nvme0n1"


def test_path_by_a_controller_that_is_down(capture: Capture) -> None:
    found = export().find(capture("nvme_path_down").view, None)
    assert [path.state for path in found.paths] == ["running", "connecting"]
    assert len(found.running_paths) == 1


@pytest.mark.parametrize(("access", "state"), [("non-optimized", "running"), ("inaccessible", "inaccessible")])
def test_path_by_which_the_target_gives_no_access(capture: Capture, access: str, state: str) -> None:
    tree = capture("nvme_shared")
    tree.put("/sys/devices/virtual/nvme-fabrics/ctl/nvme0/nvme0c0n1/ana_state", f"{access}\n")
    assert export().find(tree.view, None).paths[0].state == state


@pytest.mark.parametrize(
    "changes", [{"host_nqn": "nqn.2026-11.org.example:another"}, {"target_nqn": f"{NQN}x"}, {"vol_uuid": UUID[::-1]}]
)
def test_controllers_of_others_do_not_count(capture: Capture, changes: dict[str, Any]) -> None:
    assert not export(**changes).find(capture("nvme_shared").view, None).paths


def without_native_multipath(tree: Tree) -> None:
    """What the kernel shows where each controller has devices of its own."""
    tree.put("/sys/module/nvme_core/parameters/multipath", "N\n")
    for number in (0, 1):
        controller = f"/sys/devices/virtual/nvme-fabrics/ctl/nvme{number}"
        for name, value in {
            "wwid": f"uuid.{UUID}",
            "uuid": UUID,
            "nsid": "1",
            "size": "262144",
            "dev": f"259:{number}",
        }.items():
            tree.put(f"{controller}/nvme{number}n1/{name}", f"{value}\n")
        for namespace in (1, 2):
            tree.remove(f"{controller}/nvme0c{number}n{namespace}")
        tree.put(
            f"/sys/class/block/nvme{number}n1",
            {"link": f"../../devices/virtual/nvme-fabrics/ctl/nvme{number}/nvme{number}n1"},
        )


def test_without_native_multipath_a_map_joins_the_paths(capture: Capture) -> None:
    tree = capture("nvme_shared")
    without_native_multipath(tree)
    assert export().takes_map(tree.view)
    found = export().find(tree.view, None)
    assert (found.namespace, found.nodes_to_flush) == (None, ["/dev/nvme0n1", "/dev/nvme1n1"])
    block = "/sys/devices/virtual/block/dm-0"
    for name, value in {"dm/uuid": f"mpath-uuid.{UUID}", "dm/name": "mpatha", "size": "262144", "ro": "0"}.items():
        tree.put(f"{block}/{name}", f"{value}\n")
    for number in (0, 1):
        device = f"../../../nvme-fabrics/ctl/nvme{number}/nvme{number}n1"
        tree.put(f"{block}/slaves/nvme{number}n1", {"link": device})
        tree.put(
            f"/sys/devices/virtual/nvme-fabrics/ctl/nvme{number}/nvme{number}n1/holders/dm-0", {"link": f"{block}"}
        )
    tree.put("/sys/block/dm-0", {"link": "../devices/virtual/block/dm-0"})
    tree.put("/sys/class/block/dm-0", {"link": "../../devices/virtual/block/dm-0"})
    found = export().find(tree.view, f"uuid.{UUID}")
    assert found.multipath_map
    assert (found.node, found.nodes_to_flush, found.others) == ("/dev/dm-0", ["/dev/dm-0"], ())
    assert [path.in_map for path in found.paths] == [True, True]
    assert export().links(found.wwid, True) == [f"/dev/disk/by-id/dm-uuid-mpath-uuid.{UUID}"]


def test_native_multipath_needs_no_map(capture: Capture) -> None:
    assert not export().takes_map(capture("nvme_shared").view)
    assert not export().takes_map(capture("empty").view)  # the module is not loaded yet


def test_size_is_asked_anew_of_every_controller_that_works(capture: Capture) -> None:
    tree = capture("nvme_path_down")
    found = export().find(tree.view, None)
    assert export().rescans(tree.view, found) == [(f"{tree.root}/sys/class/nvme/nvme0/rescan_controller", "1")]


def test_mounted_namespace_is_in_use(capture: Capture) -> None:
    tree = capture("nvme_shared")
    number = tree.view.number("nvme0n1")
    mounts = (tree.root / "proc/1/mountinfo").read_text(encoding="utf-8")
    tree.put("/proc/1/mountinfo", f"{mounts}99 25 {number} / /srv/data rw - ext4 /dev/nvme0n1 rw\n")
    assert usage.users(tree.view, export().find(tree.view, None)) == ["mount point /srv/data"]
    assert usage.users(tree.view, export(vol_uuid=OTHER_UUID).find(tree.view, None)) == []


@pytest.mark.parametrize(("nqn", "field"), [(HOST_NQN, None), (f"{HOST_NQN[:-1]}0", "connections[0].connector.nqn")])
def test_connection_for_another_nqn(capture: Capture, nqn: str, field: Optional[str]) -> None:
    given = {**connection(), "connector": {"nqn": nqn}}
    names = partial(own_names, capture("nvme_shared").view)
    ((_name, found),) = parse_batch([given], "host1", names, to_attach=True, predicted_allowed=False)
    if field is None:
        assert isinstance(found, Connection)
    else:
        assert isinstance(found, StorageError)
        assert (found.code, found.facts["field"]) == ("invalid_argument", field)


def test_attached_under_another_nqn(capture: Capture) -> None:
    view, asked = capture("nvme_shared").view, Wanted(parsed(), True, 1, False)
    connector = {"nqn": f"{HOST_NQN[:-1]}0"}
    record = Record({**connection(), "connector": connector}, multipath=True, persistent=False, attached=True)
    with pytest.raises(StorageError) as caught:
        plan_attach(asked, record, asked.export.find(view, None), False, True)
    assert (caught.value.code, caught.value.facts["field"]) == ("already_exists", "connector.nqn")
    assert connector["nqn"] in caught.value.message
