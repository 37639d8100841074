# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes on their way to the host: when an attempt has ended, and how."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Optional

import pytest

from ansible_collections.brickwork.storage.plugins.module_utils.commands import Running
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.host import attempt as attempts
from ansible_collections.brickwork.storage.plugins.module_utils.host import connecting, open_iscsi
from ansible_collections.brickwork.storage.plugins.module_utils.host.attempt import Attempt
from ansible_collections.brickwork.storage.plugins.module_utils.host.connecting import connect
from ansible_collections.brickwork.storage.plugins.module_utils.host.engines import iscsi
from ansible_collections.brickwork.storage.plugins.module_utils.host.engines.engine import WRITE_SECONDS
from ansible_collections.brickwork.storage.plugins.module_utils.host.plan import AttachPlan, Wanted
from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols.export import Portal
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline
from ansible_collections.brickwork.storage.tests.unit.host.examples import (
    CAPTURE_SIZE,
    CAPTURE_TARGET,
    CAPTURE_WWN,
    EXCHANGED_WWN,
    PORTAL_A,
    PORTAL_B,
    connection_data,
    export,
    portal,
    record,
    volume,
    wanted,
)
from ansible_collections.brickwork.storage.tests.unit.host.tree import Capture, Tree

DOWN = "no answer within 5 s"
GROWN = volume(size_bytes=2 * CAPTURE_SIZE)


class Clock:
    """A clock that tests move on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(time, "monotonic", found.monotonic)
    monkeypatch.setattr(time, "sleep", found.sleep)
    return found


def attempt(asked: Optional[Wanted] = None, *, with_map: bool = True, dead: Iterable[str] = ()) -> Attempt:
    """An attempt that has logged in, or tried to, to every portal that is not dead."""
    asked = asked or wanted()
    begun = Attempt(asked, AttachPlan(("not attached",), asked.portals, with_map), record(attached=False))
    begun.start(dict.fromkeys(dead, DOWN))
    return begun


def look(begun: Attempt, tree: Tree) -> bool:
    return begun.look(tree.view)


def test_all_there(capture: Capture) -> None:
    begun = attempt(wanted(min_paths=2))
    assert look(begun, capture("multipath"))
    assert begun.link == f"/dev/disk/by-id/dm-uuid-mpath-{CAPTURE_WWN}"
    assert begun.found.device == "dm-0"


def test_path_that_comes_late_is_waited_for_a_while(capture: Capture, clock: Clock) -> None:
    begun, tree = attempt(), capture("path_down")
    assert not look(begun, tree)
    clock.sleep(attempts.STRAGGLER_SECONDS - 0.1)
    assert not look(begun, tree)
    clock.sleep(0.2)
    assert look(begun, tree)


def test_path_that_is_known_to_be_dead_is_not_waited_for(capture: Capture) -> None:
    assert look(attempt(dead=[PORTAL_B]), capture("path_down"))


def test_nothing_yet(capture: Capture) -> None:
    assert not look(attempt(), capture("empty"))


@pytest.mark.parametrize(
    ("name", "dead", "expected"),
    [
        ("multipath", [], True),
        ("two_paths_without_map", [], True),
        ("empty", [], False),
        ("single_path", [], False),
        ("single_path", [PORTAL_B], True),
    ],
)
def test_disks_are_there_when_every_portal_brought_one_or_failed(
    capture: Capture, name: str, dead: list[str], expected: bool
) -> None:
    begun = attempt(dead=dead)
    look(begun, capture(name))
    assert begun.has_disks is expected


@pytest.mark.parametrize(
    ("name", "busy", "seconds"),
    [
        ("two_paths_without_map", True, connecting.POLL_SECONDS + connecting.UDEV_SECONDS),
        ("two_paths_without_map", False, connecting.POLL_SECONDS),
        # Without its disks there is something to do beside udev.
        ("empty", True, connecting.POLL_SECONDS),
    ],
)
def test_looking_rests_while_udev_works(capture: Capture, clock: Clock, name: str, busy: bool, seconds: float) -> None:
    begun, tree, began = attempt(), capture(name), clock.now
    look(begun, tree)
    if busy:
        tree.put("/run/udev/queue", "")
    connecting._rest([begun], tree.view, 0)
    assert clock.now - began == pytest.approx(seconds, abs=connecting.POLL_SECONDS + 0.01)


def without_link(tree: Tree) -> None:
    tree.remove("/dev/disk")


def without_wwid(tree: Tree) -> None:
    tree.remove(tree.resolve("/sys/block/sda/device/wwid"))
    tree.remove(tree.resolve("/sys/block/sdb/device/wwid"))


def outside_the_map(tree: Tree) -> None:
    for path in ("sda", "sdb"):
        tree.remove(tree.resolve("/sys/block/dm-0") + f"/slaves/{path}")


@pytest.mark.parametrize("lacking", [without_link, without_wwid, outside_the_map])
def test_what_is_not_usable_yet_is_waited_for(capture: Capture, lacking: object) -> None:
    tree = capture("multipath")
    assert callable(lacking)
    lacking(tree)
    assert not look(attempt(), tree)


def test_map_is_waited_for_where_one_is_expected(capture: Capture) -> None:
    tree = capture("two_paths_without_map")
    assert not look(attempt(with_map=True), tree)
    assert look(attempt(with_map=False), tree)


@pytest.mark.parametrize(
    ("tree", "asked", "dead", "code"),
    [
        ("empty", wanted(), [PORTAL_A, PORTAL_B], "unavailable"),
        ("empty", wanted(multipath=False), [PORTAL_A, PORTAL_B], "unavailable"),
        ("path_down", wanted(min_paths=2), [PORTAL_B], "deadline_exceeded"),
    ],
)
def test_too_few_paths_can_come(capture: Capture, tree: str, asked: Wanted, dead: list[str], code: str) -> None:
    with pytest.raises(StorageError, match=DOWN) as caught:
        look(attempt(asked, dead=dead), capture(tree))
    assert (caught.value.code, caught.value.facts["portals"]) == (code, dead)


def test_target_that_refused(capture: Capture) -> None:
    begun = attempt()
    begun.failures = {PORTAL_A: "authorization failure", PORTAL_B: "authorization failure"}
    begun.refused = True
    with pytest.raises(StorageError) as caught:
        look(begun, capture("empty"))
    assert caught.value.code == "permission_denied"


def test_other_volume_ends_the_attempt_at_once(capture: Capture) -> None:
    with pytest.raises(StorageError) as caught:
        look(attempt(wanted(volume=volume(wwn=EXCHANGED_WWN))), capture("multipath"))
    assert caught.value.code == "data_loss"


def test_with_multipath_all_portals_are_tried_at_once() -> None:
    assert [portal.address for portal in attempt().tried] == [PORTAL_A, PORTAL_B]


@pytest.mark.parametrize(("dead", "first", "then"), [([], PORTAL_A, [PORTAL_B]), ([PORTAL_A], PORTAL_B, [])])
def test_without_multipath_one_portal_after_another(dead: list[str], first: str, then: list[str]) -> None:
    begun = attempt(wanted(multipath=False), dead=dead)
    assert [portal.address for portal in begun.tried] == [first]
    assert [portal.address for portal in begun.next_logins()] == then
    assert begun.next_logins() == []
    assert begun.failures == dict.fromkeys(dead, DOWN)


def lun_7() -> Wanted:
    data = connection_data(target_lun=7, target_luns=[7, 7])
    return wanted(volume=volume(wwn=None), connection_info={"driver_volume_type": "iscsi", "data": data})


def test_lun_that_a_session_has_not_brought_is_looked_for_again_and_again(
    capture: Capture, clock: Clock, iscsiadm: Iscsiadm
) -> None:
    tree = capture("multipath")
    engine = iscsi.Iscsi(tree.view, Deadline(10))
    begun = attempt(lun_7())
    assert not look(begun, tree)
    expected = [(f"{tree.root}/sys/class/scsi_host/host{number}/scan", "0 0 7") for number in (0, 1)]
    assert engine.scans(begun) == expected
    assert engine.scans(begun) == []
    clock.sleep(iscsi.RESCAN_SECONDS)
    assert engine.scans(begun) == expected


def test_session_that_is_down_is_not_searched(capture: Capture, iscsiadm: Iscsiadm) -> None:
    tree = capture("path_down")
    engine = iscsi.Iscsi(tree.view, Deadline(10))
    begun = attempt(lun_7())
    look(begun, tree)
    assert [path.split("/")[-2] for path, _text in engine.scans(begun)] == ["host1"]


def test_lun_that_is_there_is_not_looked_for(capture: Capture, iscsiadm: Iscsiadm) -> None:
    tree = capture("multipath")
    engine = iscsi.Iscsi(tree.view, Deadline(10))
    begun = attempt()
    look(begun, tree)
    assert engine.scans(begun) == []


def test_grown_volume_has_its_size_read_again_once(capture: Capture) -> None:
    tree = capture("multipath")
    begun = attempt(wanted(volume=GROWN))
    assert not look(begun, tree)
    rescans = [(f"{tree.root}/sys/block/{path}/device/rescan", "1") for path in ("sda", "sdb")]
    assert begun.rescans(tree.view) == rescans
    assert begun.rescans(tree.view) == []
    for name in ("sda", "sdb", "dm-0"):
        tree.put(tree.resolve(f"/sys/block/{name}/size"), f"{2 * CAPTURE_SIZE // 512}\n")
    assert look(begun, tree)


def test_paths_that_multipathd_leaves_alone_are_shown_to_it_once(capture: Capture, clock: Clock) -> None:
    tree = capture("two_paths_without_map")
    begun = attempt()
    look(begun, tree)
    assert begun.left_alone(tree.view) == []
    clock.sleep(attempts.NUDGE_SECONDS + 0.1)
    assert begun.left_alone(tree.view) == ["sda", "sdb"]
    assert begun.left_alone(tree.view) == []


def test_multipathd_is_not_shown_paths_that_udev_has_not_told_it_of(capture: Capture, clock: Clock) -> None:
    tree = capture("two_paths_without_map")
    begun = attempt()
    look(begun, tree)
    tree.put("/run/udev/queue", "")
    assert begun.left_alone(tree.view) == []
    clock.sleep(60)
    assert begun.left_alone(tree.view) == []
    (tree.root / "run/udev/queue").unlink()
    assert begun.left_alone(tree.view) == []
    clock.sleep(attempts.NUDGE_SECONDS + 0.1)
    assert begun.left_alone(tree.view) == ["sda", "sdb"]


def test_paths_are_left_alone_where_no_map_is_wanted(capture: Capture, clock: Clock) -> None:
    tree = capture("two_paths_without_map")
    begun = attempt(with_map=False)
    look(begun, tree)
    clock.sleep(60)
    assert begun.left_alone(tree.view) == []


class Iscsiadm:
    """Answers in iscsiadm's place as it did on the lab, and brings no session."""

    def __init__(self, nodes: Path) -> None:
        self.nodes = nodes
        self.dead: dict[str, str] = {}
        self.refusing: set[str] = set()
        self.logins: list[str] = []

    def unreachable(self, portals: Iterable[Portal], deadline: Deadline) -> dict[str, str]:
        return self.dead

    def login(self, _nodes: Path, target: str, _portals: Sequence[Portal]) -> list[Running]:
        asked = sorted(path.name for path in (self.nodes / target).iterdir())
        self.logins.append(" ".join(asked))
        said = ""
        for name in asked:
            why = "24 - iSCSI login failed due to authorization failure" if name in self.refusing else "8 - timed out"
            said += f"iscsiadm: Could not login to [iface: default, target: {target}, portal: {name}].\n"
            said += f"iscsiadm: initiator reported error ({why})\n"
        return [Running(["sh", "-c", 'printf %s "$1" >&2; exit 8', "sh", said])]


@pytest.fixture
def iscsiadm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iscsiadm:
    found = Iscsiadm(tmp_path / "nodes")
    monkeypatch.setattr(iscsi, "unreachable", found.unreachable)
    monkeypatch.setattr(open_iscsi, "login", found.login)
    monkeypatch.setattr(open_iscsi, "database", lambda: found.nodes)
    return found


def begun_with(asked: Wanted, login: Optional[tuple[Portal, ...]] = None) -> Attempt:
    return Attempt(
        asked,
        AttachPlan(("not attached",), asked.portals if login is None else login, asked.multipath),
        record(attached=False),
    )


def code_of(ended: Attempt) -> Optional[str]:
    return ended.error.code if ended.error else None


def test_dead_portals_are_not_logged_in_to(capture: Capture, iscsiadm: Iscsiadm) -> None:
    iscsiadm.dead = {PORTAL_A: DOWN, PORTAL_B: DOWN}
    ended = begun_with(wanted())
    connect([ended], capture("empty").view, Deadline(10))
    assert code_of(ended) == "unavailable"
    assert iscsiadm.logins == []
    assert not iscsiadm.nodes.exists()


def test_portal_for_rdma_is_not_asked_over_tcp(capture: Capture, iscsiadm: Iscsiadm) -> None:
    iscsiadm.dead = {}
    asked: list[Portal] = []

    def note(portals: Iterable[Portal], deadline: Deadline) -> dict[str, str]:
        asked.extend(portals)
        return {}

    by_rdma = {"driver_volume_type": "iser", "data": connection_data()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(iscsi, "unreachable", note)
        connect([begun_with(wanted(connection_info=by_rdma))], capture("empty").view, Deadline(10))
    assert (asked, len(iscsiadm.logins)) == ([], 1)


def test_next_portal_is_tried_after_a_failure(capture: Capture, iscsiadm: Iscsiadm) -> None:
    ended = begun_with(wanted(multipath=False))
    connect([ended], capture("empty").view, Deadline(10))
    assert code_of(ended) == "unavailable"
    assert ended.failures == {PORTAL_A: "timed out", PORTAL_B: "timed out"}
    assert len(iscsiadm.logins) == 2
    assert [portal.address for portal in ended.tried] == [PORTAL_A, PORTAL_B]


def test_all_portals_of_a_target_are_one_login(capture: Capture, iscsiadm: Iscsiadm) -> None:
    connect([begun_with(wanted())], capture("empty").view, Deadline(10))
    assert iscsiadm.logins == ["10.77.1.10,3260 10.77.2.10,3260"]


def test_refused_secret(capture: Capture, iscsiadm: Iscsiadm) -> None:
    iscsiadm.refusing = {"10.77.1.10,3260"}
    ended = begun_with(wanted())
    connect([ended], capture("empty").view, Deadline(10))
    assert code_of(ended) == "permission_denied"
    assert ended.error
    assert "CHAP secret" in ended.error.message


AT_BOOT = frozenset({(PORTAL_A, CAPTURE_TARGET)})


def startup_of(nodes: Path, name: str) -> str:
    lines = (nodes / CAPTURE_TARGET / name).read_text(encoding="utf-8").splitlines()
    return next(line.partition(" = ")[2] for line in lines if line.startswith("node.startup"))


def test_portal_that_another_attachment_needs_at_boot_stays_automatic(capture: Capture, iscsiadm: Iscsiadm) -> None:
    for address in (PORTAL_A, PORTAL_B):
        open_iscsi.write_node(iscsiadm.nodes, portal(address), export())
    engine, begun = iscsi.Iscsi(capture("multipath").view, Deadline(10)), begun_with(wanted())
    begun.at_boot = AT_BOOT
    engine.end([begun])
    assert startup_of(iscsiadm.nodes, "10.77.1.10,3260") == "automatic"
    assert startup_of(iscsiadm.nodes, "10.77.2.10,3260") == "manual"


@pytest.mark.parametrize(("persistent", "expected"), [(False, "manual"), (True, "automatic")])
def test_login_that_fails_leaves_what_comes_at_boot(
    capture: Capture, iscsiadm: Iscsiadm, persistent: bool, expected: str
) -> None:
    begun = begun_with(wanted())
    begun.at_boot, begun.record.persistent = AT_BOOT, persistent
    connect([begun], capture("empty").view, Deadline(10))
    assert code_of(begun) == "unavailable"
    assert startup_of(iscsiadm.nodes, "10.77.1.10,3260") == "automatic"
    assert startup_of(iscsiadm.nodes, "10.77.2.10,3260") == expected


def test_one_volume_fails_and_the_other_comes(capture: Capture, iscsiadm: Iscsiadm) -> None:
    iscsiadm.dead = {PORTAL_B: DOWN}
    other = wanted(volume=volume(id="2", wwn=EXCHANGED_WWN))
    ended = [begun_with(wanted(), ()), begun_with(other, ())]
    connect(ended, capture("multipath").view, Deadline(10))
    assert [code_of(one) for one in ended] == [None, "data_loss"]


@pytest.mark.parametrize(
    ("tree", "asked", "login", "code", "said"),
    [
        # The session is there, the LUN never comes.
        ("multipath", lun_7(), (), "deadline_exceeded", f"{PORTAL_A}: the volume did not appear by it in time"),
        ("two_paths_without_map", wanted(), (), "deadline_exceeded", "multipathd made no map"),
        ("multipath", wanted(volume=GROWN), (), "data_loss", f"{CAPTURE_SIZE} bytes after a rescan"),
    ],
)
def test_deadline_passes(
    capture: Capture,
    clock: Clock,
    iscsiadm: Iscsiadm,
    monkeypatch: pytest.MonkeyPatch,
    tree: str,
    asked: Wanted,
    login: tuple[Portal, ...],
    code: str,
    said: str,
) -> None:
    ran: list[str] = []
    wrote: list[tuple[str, str]] = []
    monkeypatch.setattr(connecting, "run", lambda argv, deadline: ran.append(" ".join(argv)))
    for acting in (connecting, iscsi):
        monkeypatch.setattr(acting, "write_attributes", lambda writes, deadline: wrote.extend(writes))
    ended = begun_with(asked, login)
    started = clock.now
    connect([ended], capture(tree).view, Deadline(30))
    assert code_of(ended) == code
    assert ended.error
    assert said in ended.error.message
    assert 30 <= clock.now - started < 31


def test_what_is_usable_at_the_deadline_has_come(
    capture: Capture, clock: Clock, iscsiadm: Iscsiadm, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The second session is there and never brings its disk.
    tree = capture("path_down")
    monkeypatch.setattr(connecting, "write_attributes", lambda writes, deadline: None)
    ended = begun_with(wanted(), ())
    connect([ended], tree.view, Deadline(attempts.STRAGGLER_SECONDS / 2))
    assert (ended.error, ended.is_usable) == (None, True)
    assert ended.link


def test_link_that_is_missing_is_not_blamed_on_multipathd(capture: Capture) -> None:
    tree = capture("multipath")
    without_link(tree)
    begun = attempt()
    look(begun, tree)
    assert not begun.is_usable
    assert "udev made no link" in begun.late().message


def test_what_was_usable_and_is_no_more_has_not_come(capture: Capture) -> None:
    tree = capture("path_down")
    begun = attempt()
    look(begun, tree)
    assert begun.is_usable
    without_link(tree)
    look(begun, tree)
    assert not begun.is_usable


def test_scan_that_hangs_does_not_take_the_whole_time(
    capture: Capture, clock: Clock, iscsiadm: Iscsiadm, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[float] = []

    def write(writes: list[tuple[str, str]], deadline: Deadline) -> None:
        given.append(deadline.seconds)
        clock.sleep(deadline.remaining())

    for acting in (connecting, iscsi):
        monkeypatch.setattr(acting, "write_attributes", write)
    connect([begun_with(lun_7(), ())], capture("multipath").view, Deadline(30))
    assert len(given) > 3
    assert max(given) <= WRITE_SECONDS


def test_no_link_at_the_deadline(
    capture: Capture, clock: Clock, iscsiadm: Iscsiadm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connecting, "write_attributes", lambda writes, deadline: None)
    tree = capture("single_path")
    tree.remove("/dev/disk")
    ended = begun_with(wanted(multipath=False), ())
    connect([ended], tree.view, Deadline(30))
    assert code_of(ended) == "deadline_exceeded"
    assert ended.error
    assert "udev made no link" in ended.error.message
