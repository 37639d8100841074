# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""volume_attach_info as a play calls it, on captured hosts and on made-up ones."""

from __future__ import annotations

import builtins
import json
import os
import socket
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.brickwork.storage.plugins.module_utils.host.records import Record, Records
from ansible_collections.brickwork.storage.plugins.modules import volume_attach_info
from ansible_collections.brickwork.storage.tests.unit.host import made_up
from ansible_collections.brickwork.storage.tests.unit.host.examples import (
    CAPTURE_ID,
    CAPTURE_SIZE,
    CAPTURE_TARGET,
    CAPTURE_WWN,
    HOST,
    PORTAL_A,
    PORTAL_B,
    SHARED_WWNS,
    attachment,
    connection_data,
    parsed,
    record,
    volume,
)
from ansible_collections.brickwork.storage.tests.unit.host.tree import Capture, Tree

MAP_LINK = f"/dev/disk/by-id/dm-uuid-mpath-{CAPTURE_WWN}"


class Host:
    """A host on which the module runs, and nothing is changed, started or opened."""

    def __init__(self, records: Records, capsys: pytest.CaptureFixture[str]) -> None:
        self.tree: Optional[Tree] = None
        self.records = records
        self._capsys = capsys

    def run(self, **params: Any) -> dict[str, Any]:
        """Run the module; its result."""
        with patch_module_args(params), pytest.raises(SystemExit):
            volume_attach_info.main()
        found: dict[str, Any] = json.loads(self._capsys.readouterr().out)
        assert "Traceback" not in found.get("msg", "")
        found.pop("invocation", None)
        return found

    def look(self, **params: Any) -> list[dict[str, Any]]:
        """The attachments of a run that must not fail."""
        found = self.run(**params)
        assert not found.get("failed"), found
        assert found["changed"] is False
        attachments: list[dict[str, Any]] = found["attachments"]
        return attachments


@pytest.fixture
def host(capture: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Host:
    found = Host(Records(tmp_path / "records"), capsys)
    found.tree = capture("empty")

    def nothing(*args: Any, **kwargs: Any) -> None:
        raise AssertionError(f"a program was started: {args}")

    monkeypatch.setattr(subprocess, "Popen", nothing)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(socket, "gethostname", lambda: HOST)
    monkeypatch.setattr(volume_attach_info, "Sysfs", lambda: found.tree and found.tree.view)
    monkeypatch.setattr(volume_attach_info, "Records", lambda: found.records)
    return found


def other_record(**changes: Any) -> Record:
    """Of a volume by the same name at another backend."""
    of = {"id": "other", "backend": "ceph", "wwn": "3600140500000000", **changes}
    return record(connection=parsed(volume=volume(**of)).without_secrets(), wwn=None)


def test_empty_host(host: Host) -> None:
    assert host.run() == {"changed": False, "attachments": [], "unclaimed": []}


def test_recorded_volume(host: Host, capture: Capture) -> None:
    host.tree = capture("multipath")
    host.records.write(record())
    assert host.look() == [
        {
            **attachment(),
            "recorded": True,
            "protocol": "iscsi",
            "sessions": [
                {"name": "session1", "target": CAPTURE_TARGET, "portal": PORTAL_B, "state": "LOGGED_IN"},
                {"name": "session2", "target": CAPTURE_TARGET, "portal": PORTAL_A, "state": "LOGGED_IN"},
            ],
            "controllers": [],
            "remote_ports": [],
            "map": {
                "device": "/dev/dm-0",
                "kind": "multipath",
                "name": "mpatha",
                "wwn": CAPTURE_WWN,
                "size_bytes": CAPTURE_SIZE,
                "read_only": False,
            },
            "stack": [
                {
                    "device": "/dev/dm-0",
                    "kind": "volume",
                    "name": "mpatha",
                    "on": [],
                    "size_bytes": CAPTURE_SIZE,
                    "fstype": None,
                    "uuid": None,
                    "label": None,
                    "mount_points": [],
                    "swap": False,
                }
            ],
            "health": {"state": "ok", "problems": []},
        }
    ]


def test_volume_that_this_collection_did_not_attach(host: Host, capture: Capture) -> None:
    host.tree = capture("multipath")
    (seen,) = host.look()
    assert seen["volume"] == {"name": None, "id": None, "size_bytes": CAPTURE_SIZE, "backend": None, "wwn": CAPTURE_WWN}
    assert (seen["recorded"], seen["attached"], seen["path"]) == (False, True, MAP_LINK)
    assert [path["device"] for path in seen["paths"]] == ["/dev/sda", "/dev/sdb"]
    assert seen["attach_info"] == {}
    assert seen["health"]["state"] == "ok"


def test_names_come_before_what_has_none(host: Host, capture: Capture) -> None:
    host.tree = capture("in_use")
    host.records.write(other_record(name="zebra", wwn=SHARED_WWNS[1]))
    host.records.write(record(connection=parsed(volume=volume(name="ape", wwn=None)).without_secrets(), wwn=None))
    assert [one["volume"]["name"] for one in host.look()] == ["ape", "zebra", None]
    assert [one["wwn"] for one in host.look()][1:] == [SHARED_WWNS[1], SHARED_WWNS[0]]


def test_recorded_volume_that_came_by_other_portals_is_the_same(host: Host, capture: Capture) -> None:
    host.tree = capture("multipath")
    data = connection_data(
        target_iqn="iqn.2026-11.org.example:moved", target_iqns=["iqn.2026-11.org.example:moved"] * 2
    )
    info = {"driver_volume_type": "iscsi", "data": data}
    host.records.write(record(connection=parsed(connection_info=info).without_secrets()))
    (seen,) = host.look()
    assert (seen["volume"], seen["device"]) == (volume(), "/dev/dm-0")
    assert [path["device"] for path in seen["paths"]] == ["/dev/sda", "/dev/sdb"]
    assert not any("has lost all its paths" in problem for problem in seen["health"]["problems"])


def test_recorded_volume_that_is_gone(host: Host) -> None:
    host.records.write(record())
    (seen,) = host.look(volumes=["capture1"])
    assert (seen["attached"], seen["device"], seen["stack"], seen["map"]) == (False, None, [], None)
    assert seen["missing_paths"] == [PORTAL_A, PORTAL_B]
    assert seen["health"]["state"] == "failed"
    assert "no device of it now" in seen["health"]["problems"][0]


def test_path_that_is_down(host: Host, capture: Capture) -> None:
    host.tree = capture("path_down")
    host.records.write(record())
    (seen,) = host.look()
    assert seen["missing_paths"] == [PORTAL_B]
    assert [session["state"] for session in seen["sessions"]] == ["FREE", "LOGGED_IN"]
    assert seen["health"] == {
        "state": "degraded",
        "problems": [
            "1 of 2 paths work.",
            f"/dev/sdb by {PORTAL_B} does not work (transport-offline). Check that portal and the network to it.",
        ],
    }


@pytest.mark.parametrize(
    ("tree", "words"),
    [("dead_map", "None of its 2 paths works"), ("map_without_paths", "has lost all its paths")],
)
def test_all_paths_are_dead(host: Host, capture: Capture, tree: str, words: str) -> None:
    host.tree = capture(tree)
    host.records.write(record())
    seen = host.run()
    assert seen["attachments"][0]["health"]["state"] == "failed"
    assert words in seen["attachments"][0]["health"]["problems"][0]
    # What is a recorded volume's is claimed.
    assert seen["unclaimed"] == []


def test_paths_without_a_map(host: Host, capture: Capture) -> None:
    host.tree = capture("two_paths_without_map")
    (seen,) = host.look()
    assert [path["device"] for path in seen["paths"]] == ["/dev/sda", "/dev/sdb"]
    assert "without a multipath map" in seen["health"]["problems"][0]


def test_path_that_the_map_has_not_taken_up_is_of_the_same_volume(host: Host, capture: Capture) -> None:
    host.tree = capture("multipath")
    host.tree.remove(host.tree.resolve("/sys/block/sda") + "/holders/dm-0")
    host.tree.remove(host.tree.resolve("/sys/block/dm-0") + "/slaves/sda")
    (seen,) = host.look()
    assert [path["device"] for path in seen["paths"]] == ["/dev/sda", "/dev/sdb"]
    assert "/dev/sda is a path of the volume and not in the map" in seen["health"]["problems"][0]


def test_device_of_another_volume_in_the_map(host: Host, capture: Capture) -> None:
    host.tree = capture("multipath")
    host.tree.put(host.tree.resolve("/sys/block/sdb/device/wwid"), "naa.6001405bbbb\n")
    (seen,) = host.look()
    assert seen["health"]["state"] == "failed"
    assert "/dev/sdb has the WWN 36001405bbbb" in seen["health"]["problems"][0]


@pytest.mark.parametrize("read_only", ["ro", "rw"])
def test_read_only_map(host: Host, capture: Capture, read_only: str) -> None:
    host.tree = capture("multipath")
    host.tree.put(host.tree.resolve("/sys/block/dm-0/ro"), "1\n")
    info = {"driver_volume_type": "iscsi", "data": connection_data(access_mode=read_only)}
    host.records.write(record(connection=parsed(connection_info=info).without_secrets()))
    (seen,) = host.look()
    assert seen["map"]["read_only"] is True
    assert seen["health"]["state"] == ("ok" if read_only == "ro" else "degraded")


def test_what_nobody_claims(host: Host, capture: Capture) -> None:
    host.tree = capture("map_without_paths")
    found = host.run()
    assert found["attachments"] == []
    session_1, session_2, left = found["unclaimed"]
    assert (session_1["kind"], session_1["name"], session_1["portal"]) == ("iscsi_session", "session1", PORTAL_B)
    assert session_1["target"] == CAPTURE_TARGET
    assert "iscsiadm -m session -r 2 -u" in session_2["problem"]
    assert (left["kind"], left["name"], left["wwn"]) == ("multipath_map", "dm-0", CAPTURE_WWN)
    assert "multipath -f mpatha" in left["problem"]


def test_map_over_devices_that_are_no_disks_is_left_alone(host: Host) -> None:
    assert host.tree
    made_up.block(host.tree, "/sys/devices/pci0000:00/nvme/nvme0/nvme0n1", "259:0")
    made_up.multipath_map(host.tree, made_up.NVME_WWID, "nvme0n1")
    assert host.run()["unclaimed"] == []


def test_map_without_paths_that_is_mounted_is_not_to_be_removed(host: Host, capture: Capture) -> None:
    host.tree = capture("map_without_paths")
    host.tree.put("/proc/1/mountinfo", "600 1 254:0 / /data rw - ext4 /dev/mapper/mpatha rw\n")
    left = host.run()["unclaimed"][-1]
    assert "still mounted at /data" in left["problem"]
    assert "multipath -f" not in left["problem"]


def test_nvme_namespace_over_two_controllers(host: Host) -> None:
    assert host.tree
    controllers = [made_up.nvme_controller(host.tree, number, f"192.0.{2 + number}.10") for number in (0, 1)]
    made_up.nvme_namespace(host.tree, *controllers, access=("optimized", "inaccessible"))
    made_up.nvme_controller(host.tree, 2, "192.0.2.10", nqn="nqn.2026-11.org.example:empty")
    found = host.run()
    (seen,) = found["attachments"]
    assert (seen["protocol"], seen["device"], seen["wwn"]) == ("nvmeof", "/dev/nvme0n1", made_up.NVME_WWID)
    assert seen["path"] == f"/dev/disk/by-id/nvme-{made_up.NVME_WWID}"
    assert [(path["portal"], path["state"]) for path in seen["paths"]] == [
        ("192.0.2.10:4420", "running"),
        ("192.0.3.10:4420", "inaccessible"),
    ]
    assert [one["name"] for one in seen["controllers"]] == ["nvme0", "nvme1"]
    assert (seen["sessions"], seen["map"]["kind"]) == ([], "nvme")
    assert seen["health"]["state"] == "degraded"
    assert [(left["kind"], left["name"]) for left in found["unclaimed"]] == [("nvme_controller", "nvme2")]


def test_nvme_under_multipathd(host: Host) -> None:
    assert host.tree
    for number in (0, 1):
        controller = made_up.nvme_controller(host.tree, number, f"192.0.{2 + number}.10")
        made_up.nvme_device(host.tree, controller, f"259:{number}")
    status = "2 0 0 0 1 1 A 0 2 2 259:0 A 0 0 1 259:1 F 1 0 1"
    made_up.multipath_map(host.tree, made_up.NVME_WWID, "nvme0n1", "nvme1n1", status=status)
    (seen,) = host.look()
    assert (seen["device"], seen["map"]["kind"], seen["multipath"]) == ("/dev/dm-0", "multipath", True)
    assert [(path["device"], path["state"]) for path in seen["paths"]] == [
        ("/dev/nvme0n1", "running"),
        ("/dev/nvme1n1", "failed"),
    ]
    assert seen["path"] == f"/dev/disk/by-id/dm-uuid-mpath-{made_up.NVME_WWID}"


def test_fibre_channel(host: Host) -> None:
    assert host.tree
    made_up.fc_port(host.tree, 2, disk="sda")
    made_up.fc_port(host.tree, 3, disk="sdb")
    made_up.fc_port(host.tree, 4)
    made_up.multipath_map(host.tree, made_up.FC_WWN, "sda", "sdb")
    found = host.run()
    (seen,) = found["attachments"]
    assert (seen["protocol"], seen["wwn"], seen["device"]) == ("fibre_channel", made_up.FC_WWN, "/dev/dm-0")
    assert [port["name"] for port in seen["remote_ports"]] == ["rport-2:0-0", "rport-3:0-0"]
    assert [path["portal"] for path in seen["paths"]] == [f"{made_up.WWPN[:-1]}{number}" for number in (2, 3)]
    assert [(left["kind"], left["name"]) for left in found["unclaimed"]] == [("fc_remote_port", "rport-4:0-0")]


def test_fibre_channel_port_that_serves_nothing_is_none(host: Host) -> None:
    assert host.tree
    made_up.fc_port(host.tree, 2, target=-1)  # an initiator
    made_up.fc_port(host.tree, 3, state="Not Present")
    assert host.run()["unclaimed"] == []


@pytest.mark.parametrize(("tree", "volumes", "unclaimed"), [("fc_multipath", 1, 0), ("fc_ports_without_lun", 0, 2)])
def test_fibre_channel_as_captured(host: Host, capture: Capture, tree: str, volumes: int, unclaimed: int) -> None:
    host.tree = capture(tree)
    seen = host.run()
    assert [one["protocol"] for one in seen["attachments"]] == ["fibre_channel"] * volumes
    assert [left["kind"] for left in seen["unclaimed"]] == ["fc_remote_port"] * unclaimed


def test_rados_image(host: Host) -> None:
    assert host.tree
    made_up.rados_image(host.tree, 0, "db-data")
    (seen,) = host.look()
    assert (seen["protocol"], seen["device"], seen["path"]) == ("rbd", "/dev/rbd0", "/dev/rbd/volumes/db-data")
    assert (seen["wwn"], seen["size_bytes"], seen["health"]["state"]) == (None, made_up.SIZE, "ok")


def test_rados_images_of_a_namespace_and_of_a_snapshot(host: Host) -> None:
    assert host.tree
    made_up.rados_image(host.tree, 0, "db-data")
    made_up.rados_image(host.tree, 1, "db-log", namespace="prod", snapshot="before")
    assert [one["paths"][0]["portal"] for one in host.look()] == ["volumes/db-data", "volumes/prod/db-log@before"]


def test_map_over_disks_of_another_kind(host: Host, capture: Capture) -> None:
    # A disk that no session brought, as on a SAS array.
    host.tree = capture("multipath")
    host.tree.remove("/sys/class/iscsi_session")
    (seen,) = host.look()
    assert (seen["protocol"], seen["sessions"]) == (None, [])
    assert [path["device"] for path in seen["paths"]] == ["/dev/sda", "/dev/sdb"]


@pytest.mark.parametrize("asked", ["capture1", CAPTURE_WWN, CAPTURE_WWN.upper()])
def test_by_name_or_wwn(host: Host, capture: Capture, asked: str) -> None:
    host.tree = capture("multipath")
    host.records.write(record())
    assert [one["volume"]["id"] for one in host.look(volumes=[asked])] == [CAPTURE_ID]


def test_in_the_order_given(host: Host, capture: Capture) -> None:
    host.tree = capture("in_use")
    assert [one["wwn"] for one in host.look(volumes=list(SHARED_WWNS))] == list(SHARED_WWNS)
    assert [one["wwn"] for one in host.look(volumes=list(SHARED_WWNS[::-1]))] == list(SHARED_WWNS[::-1])


def test_only_of_a_backend(host: Host, capture: Capture) -> None:
    host.tree = capture("multipath")
    host.records.write(record())
    host.records.write(other_record())
    assert [one["volume"]["id"] for one in host.look(backend="lvm")] == [CAPTURE_ID]
    assert [one["volume"]["id"] for one in host.look(backend="ceph", volumes=["capture1"])] == ["other"]


def test_name_of_two_volumes(host: Host) -> None:
    host.records.write(record())
    host.records.write(other_record())
    result = host.run(volumes=["capture1"])
    assert (result["failed"], result["error_code"], result["field"]) == (True, "invalid_argument", "backend")


def test_name_that_nobody_knows(host: Host, capture: Capture) -> None:
    host.tree = capture("multipath")
    host.records.write(record())
    result = host.run(volumes=["capture2", "capture1"])
    assert (result["failed"], result["error_code"]) == (True, "not_found")
    assert result["candidates"] == ["capture1"]
    assert "capture2" in result["msg"]
    assert "capture1" in result["msg"]
    assert [one["volume"]["name"] for one in result["attachments"]] == ["capture1"]


def test_interrupted_attach(host: Host, capture: Capture) -> None:
    host.tree = capture("multipath")
    host.records.write(replace(record(), attached=False))
    (seen,) = host.look()
    assert (seen["attached"], seen["health"]["state"]) == (True, "degraded")
    assert "interrupted" in seen["health"]["problems"][0]


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"volumes": []}, "volumes"),
        ({"volumes": [""]}, "volumes"),
        ({"volumes": [{"name": "capture1"}]}, "volumes"),
        ({"volume": "capture1"}, "volume"),
    ],
)
def test_bad_input_is_named(host: Host, params: dict[str, Any], field: str) -> None:
    result = host.run(**params)
    assert (result["failed"], result["error_code"], result["field"]) == (True, "invalid_argument", field)


def test_not_root(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert host.run()["error_code"] == "permission_denied"


def test_no_device_is_opened(host: Host, capture: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    host.tree = capture("dead_map")
    host.records.write(record())
    opened: list[str] = []
    by_path, by_descriptor = builtins.open, os.open

    def noting(path: Any, *args: Any, **kwargs: Any) -> Any:
        opened.append(str(path))
        return by_path(path, *args, **kwargs)

    def noting_descriptor(path: Any, *args: Any, **kwargs: Any) -> int:
        opened.append(str(path))
        return by_descriptor(path, *args, **kwargs)

    monkeypatch.setattr(builtins, "open", noting)
    monkeypatch.setattr("io.open", noting)
    monkeypatch.setattr(os, "open", noting_descriptor)
    host.look()
    inside = [path for path in opened if path.startswith(str(host.tree.root))]
    assert any("/sys/" in path for path in inside)  # else nothing was noted
    assert [path for path in inside if path.startswith(f"{host.tree.root}/dev/")] == []
