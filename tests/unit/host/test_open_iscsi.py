# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""open-iscsi's node records, and what iscsiadm says."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import pytest

from ansible_collections.brickwork.storage.plugins.module_utils import commands
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.host import open_iscsi
from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols.export import Portal
from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols.iscsi import IscsiExport
from ansible_collections.brickwork.storage.tests.unit.host.examples import (
    CAPTURE_TARGET,
    HOST,
    PORTAL_A,
    SECRET,
    export,
    portal,
)

WITH_CHAP = export(username=HOST, password=SECRET)
# As iscsiadm 2.1.11 wrote it on the lab.
STDERR = """\
iscsiadm: Could not login to [iface: default, target: iqn.2026-11.org.brickwork:a735a165, portal: 10.77.1.10,3261].
iscsiadm: initiator reported error (8 - connection timed out)
iscsiadm: Could not login to [iface: default, target: iqn.2026-11.org.brickwork:a735a165, portal: 10.77.1.10,3260].
iscsiadm: initiator reported error (24 - iSCSI login failed due to authorization failure)
iscsiadm: Could not login to [iface: default, target: iqn.2026-11.org.brickwork:a735a165, portal: ::1,3260].
iscsiadm: initiator reported error (8 - connection timed out)
iscsiadm: Could not log into all portals
"""
# A login where one session is there already.
PRESENT = "iscsiadm: default: 1 session requested, but 1 already present.\n"


@pytest.fixture
def nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty database, on a host with settings of its administrator's."""
    defaults = tmp_path / "iscsid.conf"
    defaults.write_text(
        "# node.session.cmds_max = 1\n"
        "iscsid.startup = /usr/sbin/iscsid\n"
        "node.startup = automatic\n"
        "node.session.cmds_max=64\n"
        "node.session.initial_login_retry_max = 8\n"
        "node.session.auth.authmethod = CHAP\n"
        "broken line\n"
    )
    monkeypatch.setattr(open_iscsi, "DEFAULTS", defaults)
    return tmp_path / "nodes"


def settings(nodes: Path, of: Portal) -> dict[str, str]:
    host, port = of.host_and_port
    lines = (nodes / of.target / f"{host},{port}").read_text().splitlines()
    assert lines[0] == "# BEGIN RECORD 2.1"
    assert lines[-1] == "# END RECORD"
    return dict(line.split(" = ", 1) for line in lines[1:-1])


def put(nodes: Path, name: str) -> Path:
    """A node record in one of the forms that iscsiadm writes."""
    record = nodes / CAPTURE_TARGET / name
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text("node.startup = manual\nnode.name = by-iscsiadm\n")
    return record


def test_failures_by_portal() -> None:
    refused = (24, "iSCSI login failed due to authorization failure")
    late = (8, "connection timed out")
    expected = {"10.77.1.10:3261": late, "10.77.1.10:3260": refused, "[::1]:3260": late}
    assert open_iscsi.login_failures(STDERR) == expected
    assert open_iscsi.login_failures(PRESENT + STDERR) == expected
    assert refused[0] == open_iscsi.LOGIN_REFUSED


@pytest.mark.parametrize("stderr", ["", PRESENT, "iscsiadm: No records found\n"])
def test_no_failures(stderr: str) -> None:
    assert open_iscsi.login_failures(stderr) == {}


def test_node_record(nodes: Path) -> None:
    open_iscsi.write_node(nodes, portal(PORTAL_A), WITH_CHAP)
    found = settings(nodes, portal(PORTAL_A))
    assert found["node.name"] == CAPTURE_TARGET
    assert (found["node.conn[0].address"], found["node.conn[0].port"]) == ("10.77.1.10", "3260")
    assert found["node.session.scan"] == "manual"  # only the LUNs asked for
    assert found["node.session.auth.authmethod"] == "CHAP"
    assert found["node.session.auth.username"] == HOST
    assert found["node.session.auth.password"] == SECRET


def test_administrators_settings_are_kept_but_for_our_own(nodes: Path) -> None:
    open_iscsi.write_node(nodes, portal(PORTAL_A), WITH_CHAP)
    found = settings(nodes, portal(PORTAL_A))
    assert found["node.session.cmds_max"] == "64"
    assert found["node.startup"] == "manual"
    assert found["node.session.initial_login_retry_max"] == "2"
    assert "iscsid.startup" not in found


@pytest.mark.parametrize("without", [IscsiExport(()), IscsiExport((), username=HOST), IscsiExport((), password=SECRET)])
def test_node_record_without_chap(nodes: Path, without: IscsiExport) -> None:
    open_iscsi.write_node(nodes, portal(PORTAL_A), without)
    found = settings(nodes, portal(PORTAL_A))
    assert found["node.session.auth.authmethod"] == "None"
    assert "node.session.auth.password" not in found


@pytest.mark.parametrize(("transport", "interface"), [("tcp", "default"), ("iser", "iser")])
def test_node_record_tells_the_transport(nodes: Path, transport: str, interface: str) -> None:
    open_iscsi.write_node(nodes, portal(PORTAL_A), IscsiExport((), transport=transport))
    found = settings(nodes, portal(PORTAL_A))
    assert (found["iface.transport_name"], found["iface.iscsi_ifacename"]) == (transport, interface)


def test_node_record_for_an_ipv6_portal(nodes: Path) -> None:
    over = portal("[2001:db8::10]:3260")
    open_iscsi.write_node(nodes, over, WITH_CHAP)
    assert settings(nodes, over)["node.conn[0].address"] == "2001:db8::10"
    assert [path.name for path in (nodes / CAPTURE_TARGET).iterdir()] == ["2001:db8::10,3260"]


def test_root_alone_may_read(nodes: Path) -> None:
    def modes() -> list[int]:
        (record,) = (nodes / CAPTURE_TARGET).iterdir()
        return [stat.S_IMODE(path.stat().st_mode) for path in (record, record.parent)]

    before = os.umask(0)
    try:
        open_iscsi.write_node(nodes, portal(PORTAL_A), WITH_CHAP)
        assert modes() == [0o600, 0o700]
        open_iscsi.set_startup(nodes, portal(PORTAL_A), True)
        assert modes() == [0o600, 0o700]
    finally:
        os.umask(before)


@pytest.mark.parametrize("name", ["10.77.1.10,3260", "10.77.1.10,3260/default", "10.77.1.10,3260,1/default"])
def test_every_form_of_record_is_replaced(nodes: Path, name: str) -> None:
    put(nodes, name)
    open_iscsi.write_node(nodes, portal(PORTAL_A), WITH_CHAP)
    assert [path.name for path in (nodes / CAPTURE_TARGET).iterdir()] == ["10.77.1.10,3260"]
    assert settings(nodes, portal(PORTAL_A))["node.name"] == CAPTURE_TARGET


@pytest.mark.parametrize("name", ["10.77.1.10,3260", "10.77.1.10,3260/default", "10.77.1.10,3260,1/default"])
def test_every_form_of_record_is_removed(nodes: Path, name: str) -> None:
    put(nodes, name)
    assert open_iscsi.has_node(nodes, portal(PORTAL_A))
    assert open_iscsi.remove_node(nodes, portal(PORTAL_A))
    assert not open_iscsi.has_node(nodes, portal(PORTAL_A))
    assert list(nodes.iterdir()) == []
    assert not open_iscsi.remove_node(nodes, portal(PORTAL_A))


@pytest.mark.parametrize("other", ["10.77.1.10,32600,1/default", "10.77.2.10,3260", "110.77.1.10,3260"])
def test_records_of_other_portals_stay(nodes: Path, other: str) -> None:
    put(nodes, "10.77.1.10,3260,1/default")
    kept = put(nodes, other)
    open_iscsi.remove_node(nodes, portal(PORTAL_A))
    assert [path for path in nodes.rglob("*") if path.is_file()] == [kept]


def test_what_a_kill_left_goes_with_the_last_record(nodes: Path) -> None:
    put(nodes, ".new")
    put(nodes, "10.77.1.10,3260")
    open_iscsi.remove_node(nodes, portal(PORTAL_A))
    assert list(nodes.iterdir()) == []


@pytest.mark.parametrize("name", ["10.77.1.10,3260", "10.77.1.10,3260/default", "10.77.1.10,3260,1/default"])
@pytest.mark.parametrize(("at_boot", "startup"), [(True, "automatic"), (False, "manual")])
def test_startup(nodes: Path, name: str, at_boot: bool, startup: str) -> None:
    record = put(nodes, name)
    open_iscsi.set_startup(nodes, portal(PORTAL_A), at_boot)
    assert record.read_text() == f"node.startup = {startup}\nnode.name = by-iscsiadm\n"
    assert [path for path in nodes.rglob("*") if path.is_file()] == [record]


def test_startup_at_boot_finds_the_lun_and_is_patient(nodes: Path) -> None:
    open_iscsi.write_node(nodes, portal(PORTAL_A), WITH_CHAP)
    before = settings(nodes, portal(PORTAL_A))
    open_iscsi.set_startup(nodes, portal(PORTAL_A), True)
    changed = {"node.startup": "automatic", "node.session.scan": "auto", "node.session.initial_login_retry_max": "8"}
    assert settings(nodes, portal(PORTAL_A)) == {**before, **changed}
    open_iscsi.set_startup(nodes, portal(PORTAL_A), False)
    assert settings(nodes, portal(PORTAL_A)) == before


def install(directory: Path, monkeypatch: pytest.MonkeyPatch, program: bytes) -> None:
    path = directory / "iscsiadm"
    path.write_bytes(program)
    path.chmod(0o755)
    monkeypatch.setitem(commands.ENVIRONMENT, "PATH", f"{directory}:/usr/bin:/bin")


@pytest.mark.parametrize(
    ("compiled", "expected"),
    [
        (b"\x7fELF\0/etc/iscsi/nodes\0", "/etc/iscsi/nodes"),
        (b"\x7fELF\0/var/lib/iscsi/nodes\0", "/var/lib/iscsi/nodes"),
        (b"\x7fELF\0", "/var/lib/iscsi/nodes"),
    ],
)
def test_database_is_the_one_compiled_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiled: bytes, expected: str
) -> None:
    install(tmp_path, monkeypatch, compiled)
    assert open_iscsi.database() == Path(expected)


def test_open_iscsi_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda program, path: None)
    with pytest.raises(StorageError, match="install open-iscsi") as caught:
        open_iscsi.database()
    assert caught.value.code == "failed_precondition"


def logins(nodes: Path, portals: list[Portal], monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    started: list[list[str]] = []
    monkeypatch.setattr(open_iscsi, "Running", started.append)
    open_iscsi.login(nodes, CAPTURE_TARGET, portals)
    return started


def test_all_portals_of_a_target_are_logged_in_to_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    portals = [portal("10.77.1.10:3260"), portal("[fd00::1]:3260")]
    for each in portals:
        open_iscsi.write_node(tmp_path, each, export())
    assert logins(tmp_path, portals, monkeypatch) == [
        ["iscsiadm", "--mode", "node", "--targetname", CAPTURE_TARGET, "--login"]
    ]


def test_portal_that_somebody_else_has_a_record_of_is_not_logged_in_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, foreign = portal("10.77.1.10:3260"), portal("10.77.3.10:3260")
    open_iscsi.write_node(tmp_path, ours, export())
    open_iscsi.write_node(tmp_path, foreign, export())
    assert logins(tmp_path, [ours], monkeypatch) == [
        ["iscsiadm", "--mode", "node", "--targetname", CAPTURE_TARGET, "--portal", "10.77.1.10:3260", "--login"]
    ]


def test_script_in_place_of_iscsiadm_does_not_end_sessions_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "told"
    install(tmp_path, monkeypatch, f"#!/bin/sh\n# iscsi_session\necho $@ >{told}\n".encode())
    assert open_iscsi.logout_together([1, 2], str(tmp_path)) is None
    assert not told.exists()


def test_sessions_do_not_end_together_where_they_cannot_be_shown_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object) -> None:
        raise OSError(1, "not permitted")

    install(tmp_path, monkeypatch, b"\x7fELF\0iscsi_session\0")
    monkeypatch.setattr(open_iscsi, "showing_only", refuse)
    assert open_iscsi.logout_together([1, 2], str(tmp_path)) is None
