# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""volume_attach as a play calls it, on captured hosts: what it predicts, what it leaves alone, what it refuses."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, Optional

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args

from ansible_collections.brickwork.storage.plugins.module_utils import waiting
from ansible_collections.brickwork.storage.plugins.module_utils.host import (
    attach,
    connecting,
    cryptsetup,
    detach,
    open_iscsi,
)
from ansible_collections.brickwork.storage.plugins.module_utils.host.engines import iscsi
from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols.registry import PROTOCOLS
from ansible_collections.brickwork.storage.plugins.module_utils.host.records import Record, Records
from ansible_collections.brickwork.storage.plugins.modules import volume_attach
from ansible_collections.brickwork.storage.tests.unit.host.examples import (
    CAPTURE_ID,
    CAPTURE_TARGET,
    CAPTURE_WWN,
    HOST,
    PORTAL_A,
    PORTAL_B,
    SECRET,
    attachment,
    connection,
    connection_data,
    parsed,
    record,
    volume,
)
from ansible_collections.brickwork.storage.tests.unit.host.luks import HEADER_BYTES, OPENED_SIZE, put_opened
from ansible_collections.brickwork.storage.tests.unit.host.tree import Capture, Tree

GIB = 1024**3
LINK = f"/dev/disk/by-id/dm-uuid-mpath-{CAPTURE_WWN}"


class Host:
    """A captured host on which the module runs, and nothing else does."""

    def __init__(self, records: Records, capsys: pytest.CaptureFixture[str]) -> None:
        self.tree: Optional[Tree] = None
        self.records = records
        self.logged: list[str] = []
        self.warnings: list[str] = []
        self._capsys = capsys

    def run(self, check_mode: bool = False, **params: Any) -> dict[str, Any]:
        """Run the module; its result."""
        arguments = {**params, "_ansible_check_mode": check_mode, "_ansible_diff": True}
        with patch_module_args(arguments), pytest.raises(SystemExit):
            volume_attach.main()
        printed = self._capsys.readouterr().out
        found: dict[str, Any] = json.loads(printed)
        assert "Traceback" not in printed
        assert SECRET not in printed.replace(f'"auth_password": "{SECRET}"', "")
        return found


@pytest.fixture
def host(capture: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Host:
    found = Host(Records(tmp_path / "records"), capsys)
    found.tree = capture("empty")

    def nothing(*args: Any, **kwargs: Any) -> None:
        raise AssertionError(f"a program was started: {args}")

    def lock(name: str, purpose: str, deadline: waiting.Deadline) -> Any:
        return waiting.exclusive(name, purpose, deadline, tmp_path / "locks")

    monkeypatch.setattr(subprocess, "Popen", nothing)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(socket, "gethostname", lambda: HOST)
    monkeypatch.setattr(attach, "exclusive", lock)
    monkeypatch.setattr(detach, "exclusive", lock)
    monkeypatch.setattr(volume_attach, "Sysfs", lambda: found.tree and found.tree.view)
    monkeypatch.setattr(volume_attach, "Records", lambda: found.records)
    monkeypatch.setattr(AnsibleModule, "warn", lambda module, warning: found.warnings.append(warning))
    monkeypatch.setattr(
        AnsibleModule, "log", lambda module, msg, log_args=None: found.logged.append(f"{msg}{log_args}")
    )
    return found


def grown() -> dict[str, Any]:
    return connection(volume=volume(size_bytes=GIB))


def test_repeat_changes_nothing_and_starts_nothing(host: Host, capture: Capture) -> None:
    host.tree = capture("multipath")
    host.records.write(record())
    result = host.run(connections=[connection()], multipath=True, min_paths=2)
    assert result["changed"] is False
    assert "diff" not in result
    assert result["attachments"] == [attachment()]


def test_repeat_does_not_even_read_the_code_that_acts(
    host: Host, capture: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Reading it would take longer than all that a repeat does.
    for name in ("connecting", "releasing", "attempt", "removal", "engines.registry"):
        monkeypatch.setitem(sys.modules, f"{attach.__package__}.{name}", None)
    host.tree = capture("multipath")
    host.records.write(record())
    assert host.run(connections=[connection()], multipath=True)["changed"] is False
    assert "engines.registry" in host.run(connections=[connection()], multipath=True, persistent=True)["msg"]


@pytest.mark.parametrize("name", ["two_paths_without_map", "single_path"])
def test_repeat_without_multipathd_changes_nothing(host: Host, capture: Capture, name: str) -> None:
    host.tree = capture(name)
    with_both = name == "two_paths_without_map"
    host.records.write(record(multipath=with_both))
    result = host.run(connections=[connection()], multipath=with_both)
    assert result["changed"] is False
    assert result["attachments"][0]["path"] == f"/dev/disk/by-id/wwn-0x{CAPTURE_WWN[1:]}"
    assert result["attachments"][0]["multipath"] is False
    assert bool(host.warnings) is with_both


def test_repeat_with_a_path_down_tells_which(host: Host, capture: Capture) -> None:
    host.tree = capture("path_down")
    host.records.write(record())
    result = host.run(connections=[connection()], multipath=True)
    assert (result["changed"], result["attachments"][0]["missing_paths"]) == (False, [PORTAL_B])
    assert result["attachments"][0]["paths"][1]["state"] == "transport-offline"


def test_check_mode_predicts_an_attach(host: Host) -> None:
    result = host.run(check_mode=True, connections=[connection()], multipath=True)
    (found,) = result["attachments"]
    assert (result["changed"], found["attached"], found["device"]) == (True, False, None)
    assert result["changed_volumes"] == ["capture1"]
    assert len(result["diff"]["after"]["capture1"]["paths"]) == 2
    assert result["diff"]["before"]["capture1"]["sessions"] == []
    assert host.records.all() == []


def test_check_mode_predicts_from_a_predicted_connection(host: Host) -> None:
    data = connection_data(auth_password=None)
    given = connection(connected=False, connection_info={"driver_volume_type": "iscsi", "data": data})
    assert host.run(check_mode=True, connections=[given])["changed"] is True
    assert host.run(connections=[given])["field"] == "connections[0].connected"


@pytest.mark.parametrize("protocol", sorted(PROTOCOLS))
@pytest.mark.parametrize("multipath", [True, False])
def test_check_mode_predicts_from_an_export_that_only_its_maker_will_know(
    host: Host, protocol: str, multipath: bool
) -> None:
    unmade = {"driver_volume_type": protocol, "data": None}
    given = connection(connected=False, connection_info=unmade, volume=volume(wwn=None))
    result = host.run(check_mode=True, connections=[given], multipath=multipath, min_paths=1)
    (found,) = result["attachments"]
    assert (result["changed"], found["attached"], found["path"]) == (True, False, None)
    # It is none to detach: what there is of it is not in it.
    assert host.run(connections=[given], state="absent")["field"] == "connections[0].connection_info.data"


def test_check_mode_refuses_what_no_export_of_the_protocol_can(host: Host) -> None:
    given = connection(connected=False, connection_info={"driver_volume_type": "rbd", "data": None})
    assert host.run(check_mode=True, connections=[given], min_paths=2, multipath=True)["field"] == "min_paths"
    assert host.run(check_mode=True, connections=[given], persistent=True)["error_code"] == "unimplemented"


def test_check_mode_predicts_a_detach(host: Host, capture: Capture) -> None:
    host.tree = capture("multipath")
    host.records.write(record())
    result = host.run(check_mode=True, state="absent", volumes="capture1")
    assert result["changed"] is True
    assert result["diff"]["after"]["capture1"] == {
        "sessions": [],
        "paths": [],
        "multipath": False,
        "size_bytes": None,
    }
    assert host.records.all() == [record()]


def test_a_detach_tells_the_name_that_the_host_had_when_it_attached(
    host: Host, capture: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.tree = capture("multipath")
    host.records.write(record())
    monkeypatch.setattr(socket, "gethostname", lambda: "renamed")
    result = host.run(check_mode=True, state="absent", volumes=["capture1", "unknown"])
    assert [one["host"] for one in result["attachments"]] == [HOST, "renamed"]


def test_check_mode_predicts_a_refused_detach(host: Host, capture: Capture) -> None:
    host.tree = capture("dead_map")
    host.records.write(record())
    assert host.run(check_mode=True, state="absent", volumes="capture1")["error_code"] == "unavailable"
    assert host.run(check_mode=True, state="absent", volumes="capture1", force=True)["changed"] is True


@pytest.mark.parametrize("asked", [{"volumes": "a,b"}, {"volumes": ["a", " a "]}, {"connections": [connection()]}])
def test_absent_already(host: Host, asked: dict[str, Any]) -> None:
    result = host.run(state="absent", **asked)
    assert result["changed"] is False
    assert all(one["attached"] is False for one in result["attachments"])


def test_detach_refused_while_in_use(host: Host, capture: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_iscsi, "database", lambda: Path("/nonexistent"))
    host.tree = capture("multipath")
    host.tree.put("/proc/1/mountinfo", "600 1 254:0 / /srv/data rw - ext4 /dev/mapper/mpatha rw\n")
    host.records.write(record())
    result = host.run(state="absent", volumes="capture1", force=True)
    assert (result["error_code"], result["users"]) == ("failed_precondition", ["mount point /srv/data"])
    assert host.records.all() == [record()]


def test_a_volume_that_is_asked_for_by_its_id_is_told_by_its_name(host: Host, capture: Capture) -> None:
    host.tree = capture("multipath")
    host.records.write(record())
    result = host.run(check_mode=True, state="absent", volumes=[record().volume["id"], "unknown-id"])
    assert [one["volume"]["name"] for one in result["attachments"]] == ["capture1", "unknown-id"]
    assert result["changed_volumes"] == ["capture1"]


def test_name_of_two_volumes(host: Host) -> None:
    for backend in ("lvm", "ceph"):
        of_backend = volume(id=backend, backend=backend)
        host.records.write(record(connection=parsed(volume=of_backend).without_secrets()))
    result = host.run(state="absent", volumes="capture1")
    assert (result["error_code"], result["field"]) == ("invalid_argument", "backend")


def test_multipathd_is_enforced(host: Host, capture: Capture) -> None:
    host.tree = capture("single_path")
    result = host.run(connections=[connection()], multipath=True, enforce_multipath=True)
    assert (result["error_code"], result["field"]) == ("failed_precondition", "enforce_multipath")
    assert host.records.all() == []


def without(*fields: str) -> dict[str, Any]:
    given = connection()
    inner = given
    for field in fields[:-1]:
        inner = inner[field]
    del inner[fields[-1]]
    return given


@pytest.mark.parametrize(
    ("params", "field"),
    [
        # what AnsibleModule refuses
        ({}, "connections"),
        ({"state": "absent"}, "connections"),
        ({"volumes": ["a"]}, "connections"),
        ({"connections": [connection()], "volumes": ["a"]}, "connections"),
        ({"connections": 5}, "connections"),
        ({"connections": [5]}, "connections"),
        ({"connections": "capture1"}, "connections"),
        ({"connections": [[connection()]]}, "connections"),
        ({"connections": {}}, "connections"),
        ({"connections": [connection()], "state": "attached"}, "state"),
        ({"connections": [connection()], "multipath": "perhaps"}, "multipath"),
        ({"connections": [connection()], "min_paths": "two"}, "min_paths"),
        ({"connections": [connection()], "timeout": "soon"}, "timeout"),
        ({"connections": [connection()], "paths": 2}, "paths"),
        # what we refuse
        ({"connections": []}, "connections"),
        ({"connections": [], "state": "absent"}, "connections"),
        ({"connections": [connection()], "timeout": 0}, "timeout"),
        ({"connections": [connection()], "timeout": -1}, "timeout"),
        ({"connections": [connection()], "min_paths": 2}, "min_paths"),
        ({"connections": [connection()], "multipath": True, "min_paths": 0}, "min_paths"),
        ({"connections": [{}]}, "connections[0].volume"),
        ({"connections": [without("host")]}, "connections[0].host"),
        ({"connections": [without("connected")]}, "connections[0].connected"),
        ({"connections": [without("connection_info")]}, "connections[0].connection_info"),
        ({"connections": [without("connection_info", "data")]}, "connections[0].connection_info.data"),
        *(
            ({"connections": [without("connection_info", "data", key)]}, f"connections[0].connection_info.data.{key}")
            for key in ("target_portal", "target_iqn", "target_lun", "target_luns", "auth_username", "auth_password")
        ),
        ({"connections": [connection(host="host1")]}, "connections[0].host"),
        ({"connections": [connection(host="host1")], "state": "absent"}, "connections[0].host"),
    ],
)
def test_bad_input_is_named(host: Host, params: dict[str, Any], field: str) -> None:
    result = host.run(**params)
    assert result["failed"] is True
    assert (result["error_code"], result.get("field")) == ("invalid_argument", field)
    assert field.rpartition(".")[2] in result["msg"]
    assert host.records.all() == []


def test_not_root(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    result = host.run(connections=[connection()])
    assert result["error_code"] == "permission_denied"
    assert "become" in result["msg"]


def test_one_bad_connection_does_not_hide_the_other(host: Host, capture: Capture) -> None:
    host.tree = capture("multipath")
    host.records.write(record())
    result = host.run(connections=[connection(volume=volume(name="bad", id=5)), connection()], multipath=True)
    assert [one["volume"]["id"] for one in result["attachments"]] == [CAPTURE_ID]
    assert [error["volume"] for error in result["errors"]] == ["bad"]
    assert result["msg"].startswith("1 of 2 volumes failed. bad: ")


@pytest.mark.parametrize(
    "params",
    [
        {"connections": [connection()]},
        {"connections": [connection()], "state": "absent"},
        # refused before the module has begun
        {"connections": [connection()], "paths": 2},
        {"connections": [connection()], "state": SECRET},
    ],
)
def test_the_secret_is_in_no_log(host: Host, params: dict[str, Any]) -> None:
    host.run(check_mode=True, **params)
    assert SECRET not in "".join(host.logged)


def test_the_arguments_are_logged_without_the_secret(host: Host) -> None:
    host.run(check_mode=True, connections=[connection()])
    assert CAPTURE_ID in "".join(host.logged)


def test_unreadable_record_is_told(host: Host, tmp_path: Path) -> None:
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "x.json").write_text("{")
    result = host.run(connections=[connection()])
    assert result["error_code"] == "internal"
    assert "x.json" in result["msg"]


def test_failed_attach_leaves_no_record(host: Host, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def dead(portals: Any, deadline: Any) -> dict[str, str]:
        assert [one.attached for one in host.records.all()] == [False]  # written before anything is done
        return {portal.address: "connection refused" for portal in portals}

    monkeypatch.setattr(iscsi, "unreachable", dead)
    monkeypatch.setattr(open_iscsi, "database", lambda: tmp_path / "nodes")
    result = host.run(connections=[connection()], multipath=True)
    assert result["error_code"] == "unavailable"
    assert result["portals"] == [PORTAL_A, PORTAL_B]
    assert "connection refused" in result["msg"]
    assert host.records.all() == []


def test_failed_repair_leaves_the_record_as_it_was(
    host: Host, capture: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    host.tree = capture("single_path")
    before: Record = record(kept_portals=["198.51.100.1:3260"])
    host.records.write(before)
    asked_anew: list[tuple[str, str]] = []
    monkeypatch.setattr(connecting, "write_attributes", lambda writes, deadline: asked_anew.extend(writes))
    monkeypatch.setattr(iscsi, "unreachable", lambda portals, deadline: {PORTAL_B: "no answer"})
    monkeypatch.setattr(open_iscsi, "database", lambda: tmp_path / "nodes")
    result = host.run(connections=[connection()], multipath=True, min_paths=2)
    assert result["error_code"] == "deadline_exceeded"
    assert host.records.all() == [before]
    # The path that was there might be another volume's by now.
    assert [path.rpartition("/sys/")[2] for path, _text in asked_anew] == ["block/sda/device/rescan"]


def by(*addresses: str) -> dict[str, Any]:
    data = connection_data(target_portal=addresses[0], target_portals=list(addresses))
    data.update(target_iqns=[CAPTURE_TARGET] * len(addresses), target_luns=[0] * len(addresses))
    return connection(connection_info={"driver_volume_type": "iscsi", "data": data})


@pytest.mark.parametrize("check_mode", [False, True])
@pytest.mark.parametrize("given", [by(PORTAL_A), by(PORTAL_A, "10.77.3.10:3260")])
def test_connection_that_would_forget_a_device_is_refused(
    host: Host, capture: Capture, given: dict[str, Any], check_mode: bool
) -> None:
    host.tree = capture("multipath")
    host.records.write(record())
    result = host.run(check_mode, connections=[given], multipath=True)
    assert (result["error_code"], result["field"]) == ("already_exists", "connection_info")
    assert result["portals"] == [PORTAL_B]
    assert host.records.all() == [record()]


@pytest.mark.parametrize(
    ("name", "given"),
    [
        # The portal that is named no more brought nothing.
        ("single_path", by(PORTAL_A)),
        # One more is named.
        ("multipath", by(PORTAL_A, PORTAL_B, "10.77.3.10:3260")),
        # In another order
        ("multipath", by(PORTAL_B, PORTAL_A)),
    ],
)
def test_connection_by_other_portals_that_forgets_nothing(
    host: Host, capture: Capture, name: str, given: dict[str, Any]
) -> None:
    host.tree = capture(name)
    host.records.write(record())
    assert host.run(connections=[given], multipath=True)["changed"] is False


@pytest.mark.parametrize("check_mode", [False, True])
@pytest.mark.parametrize("recorded", [None, record(kept_portals=[PORTAL_A, PORTAL_B])])
def test_nothing_of_ours_could_come_back_at_boot(
    host: Host, capture: Capture, recorded: Optional[Record], check_mode: bool
) -> None:
    host.tree = capture("multipath")
    if recorded:
        host.records.write(recorded)
    result = host.run(check_mode, connections=[connection()], multipath=True, persistent=True)
    assert (result["error_code"], result["field"]) == ("failed_precondition", "persistent")
    assert result["portals"] == [PORTAL_A, PORTAL_B]
    assert host.records.all() == ([recorded] if recorded else [])


@pytest.mark.parametrize(
    ("name", "multipath", "kept"),
    [("multipath", True, [PORTAL_A]), ("single_path", True, [PORTAL_A]), ("multipath", True, [])],
)
def test_what_of_ours_comes_back_at_boot_is_enough(
    host: Host, capture: Capture, name: str, multipath: bool, kept: list[str]
) -> None:
    host.tree = capture(name)
    host.records.write(record(multipath=multipath, kept_portals=kept, persistent=True))
    result = host.run(True, connections=[connection()], multipath=multipath, persistent=True)
    assert "error_code" not in result


def test_what_is_refused_is_not_attached(host: Host, capture: Capture) -> None:
    # Refused for its encryption, while it also lacks its link.
    host.tree = capture("multipath")
    host.tree.remove("/dev/disk")
    host.records.write(record(encrypted=True))
    result = host.run(connections=[connection()], multipath=True)
    assert (result["error_code"], result["field"]) == ("already_exists", "encryption")


ENCRYPTION = {"passphrase": "a passphrase that nobody else has"}
PASSPHRASE = ENCRYPTION["passphrase"]


def test_repeat_with_encryption_changes_nothing_and_starts_nothing(host: Host, capture: Capture) -> None:
    host.tree = capture("multipath")
    put_opened(host.tree)
    host.records.write(record(encrypted=True, header_bytes=HEADER_BYTES))
    result = host.run(connections=[connection()], multipath=True, encryption={**ENCRYPTION, "format": True})
    (found,) = result["attachments"]
    assert result["changed"] is False
    assert (found["path"], found["device"]) == (f"/dev/mapper/brickwork-{CAPTURE_ID}", "/dev/dm-5")
    assert (found["size_bytes"], found["encrypted"], found["underlying_path"]) == (OPENED_SIZE, True, LINK)
    assert len(found["paths"]) == 2
    assert PASSPHRASE not in json.dumps(result) + "".join(host.logged)
    assert host.logged


@pytest.mark.parametrize("name", ["multipath", "single_path"])
def test_check_mode_predicts_an_opening(host: Host, capture: Capture, name: str) -> None:
    host.tree = capture(name)
    result = host.run(check_mode=True, connections=[connection()], multipath=True, encryption=ENCRYPTION)
    (found,) = result["attachments"]
    assert (result["changed"], found["encrypted"]) == (True, True)
    assert found["underlying_path"].startswith("/dev/disk/by-id/")
    assert found["path"] == f"/dev/mapper/brickwork-{CAPTURE_ID}"
    assert [result["diff"][when]["capture1"]["encrypted"] for when in ("before", "after")] == [None, found["path"]]


def test_check_mode_predicts_a_closing(host: Host, capture: Capture) -> None:
    host.tree = capture("multipath")
    put_opened(host.tree)
    host.records.write(record(encrypted=True, header_bytes=HEADER_BYTES))
    result = host.run(check_mode=True, volumes=["capture1"], state="absent")
    path = f"/dev/mapper/brickwork-{CAPTURE_ID}"
    assert [result["diff"][when]["capture1"]["encrypted"] for when in ("before", "after")] == [path, None]
    assert result["attachments"][0]["encrypted"] is False


@pytest.mark.parametrize("encryption", [None, ENCRYPTION])
def test_attached_the_other_way_is_told(host: Host, capture: Capture, encryption: Optional[dict[str, str]]) -> None:
    host.tree = capture("multipath")
    host.records.write(record(encrypted=encryption is None))
    result = host.run(connections=[connection()], multipath=True, encryption=encryption)
    assert (result["error_code"], result["field"]) == ("already_exists", "encryption")


def test_program_that_is_missing_is_told_before_anything_is_begun(
    host: Host, capture: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.tree = capture("multipath")
    host.records.write(record(attached=False))
    monkeypatch.setattr(cryptsetup, "PROGRAM", "brickwork-no-such-program")
    monkeypatch.setattr(iscsi.Iscsi, "require", lambda: None)
    result = host.run(connections=[connection()], multipath=True, encryption=ENCRYPTION)
    assert (result["error_code"], result["field"]) == ("failed_precondition", "encryption")


@pytest.mark.parametrize(
    "encryption",
    [
        PASSPHRASE,
        {"passphrase": f"{PASSPHRASE}\n"},
        {"passphrase": f"\\{PASSPHRASE}'\"\n"},
        {"passphrases": {"capture1": f"{PASSPHRASE}\n"}},
        {"passphrases": PASSPHRASE},
        {"passphrases": [PASSPHRASE]},
        {**ENCRYPTION, "format": "perhaps"},
        {**ENCRYPTION, "pbkdf": "md5"},
        {**ENCRYPTION, "cipher": "rot13"},
        [PASSPHRASE],
        {},
    ],
)
def test_encryption_that_will_not_do(host: Host, encryption: Any) -> None:
    result = host.run(connections=[connection()], encryption=encryption)
    assert result["error_code"] == "invalid_argument"
    assert PASSPHRASE not in json.dumps(result) + "".join(host.logged)
