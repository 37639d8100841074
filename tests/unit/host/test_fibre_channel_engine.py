# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""By which ports Fibre Channel looks for a LUN, and when it gives one up."""

from __future__ import annotations

import time
from typing import Any

import pytest

from ansible_collections.brickwork.storage.plugins.module_utils.apart import NAME
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.host.attempt import Attempt
from ansible_collections.brickwork.storage.plugins.module_utils.host.connection import parse
from ansible_collections.brickwork.storage.plugins.module_utils.host.engines import fibre_channel
from ansible_collections.brickwork.storage.plugins.module_utils.host.engines.fibre_channel import (
    LUN_SECONDS,
    RESCAN_SECONDS,
    SEEING_SECONDS,
    SETTLE_SECONDS,
    FibreChannel,
)
from ansible_collections.brickwork.storage.plugins.module_utils.host.fibre_channel_ports import ports_of
from ansible_collections.brickwork.storage.plugins.module_utils.host.plan import Wanted, plan_attach
from ansible_collections.brickwork.storage.plugins.module_utils.host.records import Record
from ansible_collections.brickwork.storage.plugins.module_utils.host.removal import Removal
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline
from ansible_collections.brickwork.storage.tests.unit.host.fibre_channel_examples import (
    HOST_A,
    HOST_B,
    PAIR_A,
    TARGET_A,
    TARGET_B,
    WWN,
    connection,
    connection_data,
)
from ansible_collections.brickwork.storage.tests.unit.host.tree import Capture, Tree

ALL = {HOST_A: [TARGET_A, TARGET_B], HOST_B: [TARGET_A, TARGET_B]}
PORT_A = "/sys/class/fc_remote_ports/rport-2:0-0"
CROSSED = {f"{HOST_A}->{TARGET_B}", f"{HOST_B}->{TARGET_A}"}


class Case:
    """A batch of one on its way, with a clock that stands still until a test moves it."""

    def __init__(self, tree: Tree, monkeypatch: pytest.MonkeyPatch, multipath: bool = True, **data: Any) -> None:
        self.now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        self.tree = tree
        info = {"driver_volume_type": "fibre_channel", "data": connection_data(**data)}
        parsed = parse(connection(connection_info=info), "connection", to_attach=True, predicted_allowed=False)
        wanted = Wanted(parsed, multipath, 1, False)
        found = wanted.export.find(tree.view, WWN)
        plan = plan_attach(wanted, None, found, multipath, bool(found.paths))
        self.attempt = Attempt(wanted, plan, Record(connection(), multipath, False))
        self.attempt.found = found
        self.engine = FibreChannel(tree.view, Deadline(60))
        self.engine.start([self.attempt])

    def scans(self, after: float = 0.0) -> list[tuple[str, str]]:
        """What is written to which SCSI host's scan, some seconds later."""
        self.now += after
        written = self.engine.scans(self.attempt, ports_of(self.tree.view))
        return [(path.rpartition("/scsi_host/")[2], what) for path, what in written]


SCAN_A, SCAN_B = ("host2/scan", "0 0 1"), ("host3/scan", "0 0 1")


def test_exactly_the_lun_by_exactly_the_ports(capture: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(capture("fc_ports_without_lun"), monkeypatch)
    assert case.scans() == [SCAN_A, SCAN_B]
    assert case.attempt.failures == {}


def test_a_lun_that_is_late_is_looked_for_again_but_not_all_the_time(
    capture: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = Case(capture("fc_ports_without_lun"), monkeypatch)
    assert case.scans()
    assert case.scans(RESCAN_SECONDS - 0.1) == []
    assert case.scans(0.1) == [SCAN_A, SCAN_B]
    assert case.scans(2 * LUN_SECONDS) == [SCAN_A, SCAN_B]
    assert case.attempt.failures == {}


def test_each_way_to_number_the_lun(capture: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(capture("fc_ports_without_lun"), monkeypatch, target_lun=300)
    assert [what for _path, what in case.scans()] == ["0 0 300", "0 0 16684"] * 2


def test_no_port_is_asked_for_what_it_has_brought(capture: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = capture("fc_multipath")
    path_by_a = next(path for path in tree.view.disks_below(PORT_A[len("/sys/") :] + "/device", "a"))
    case = Case(tree, monkeypatch)
    assert case.attempt.plan.login == ()
    assert case.scans() == []
    tree.remove(tree.resolve(f"/sys/block/{path_by_a.name}/device"))
    case = Case(tree, monkeypatch)
    assert case.attempt.plan.login == (PAIR_A,)
    assert case.scans() == [SCAN_A]


def test_what_the_kernel_took_by_itself_is_waited_for(capture: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = capture("fc_multipath")
    slaves = {disk: tree.resolve("/sys/block/dm-0") + f"/slaves/{disk}" for disk in ("sda", "sdb")}
    links = {disk: tree.link(slave) for disk, slave in slaves.items()}
    for slave in slaves.values():
        tree.remove(slave)  # multipathd has not taken it yet
    case = Case(tree, monkeypatch)
    assert case.attempt.plan.login == ()
    assert not case.attempt.look(tree.view)
    for disk, slave in slaves.items():
        tree.put(slave, {"link": links[disk]})
    assert case.attempt.look(tree.view)


def test_a_map_that_knows_no_fabrics_holds_nothing_up(capture: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(capture("fc_ports_without_lun"), monkeypatch, initiator_target_map=ALL)
    assert case.scans() == [SCAN_A, SCAN_B]
    assert set(case.attempt.failures) == CROSSED
    assert set(case.attempt.failures.values()) == {"this host's port does not see the target's"}


def test_a_port_that_is_to_come_is_waited_for(capture: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = capture("fc_ports_without_lun")
    entry = tree.resolve(PORT_A)
    where = tree.link(PORT_A)
    tree.remove(PORT_A)
    case = Case(tree, monkeypatch)
    assert case.scans(SEEING_SECONDS) == [SCAN_B]
    assert case.attempt.failures == {}
    tree.put(PORT_A, {"link": where})
    assert tree.resolve(PORT_A) == entry
    assert SCAN_A in case.scans(0.1)


def without(tree: Tree) -> None:
    tree.remove(PORT_A)


def blocked(tree: Tree) -> None:
    tree.put(tree.resolve(PORT_A) + "/port_state", "Blocked\n")


def initiator_only(tree: Tree) -> None:
    tree.put(tree.resolve(PORT_A) + "/scsi_target_id", "-1\n")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (without, "this host's port does not see the target's"),
        (blocked, "the target's port is Blocked"),
        (initiator_only, "the target's port serves no LUNs"),
    ],
)
def test_a_port_that_does_not_come_is_given_up(
    capture: Capture, monkeypatch: pytest.MonkeyPatch, change: Any, reason: str
) -> None:
    tree = capture("fc_ports_without_lun")
    change(tree)
    case = Case(tree, monkeypatch)
    case.scans(SEEING_SECONDS)
    assert case.attempt.failures == {}
    case.scans(0.1)
    assert case.attempt.failures == {PAIR_A.address: reason}


def link_down(tree: Tree) -> None:
    tree.put(tree.resolve("/sys/class/fc_host/host2") + "/port_state", "Linkdown\n")
    tree.remove(PORT_A)


def card_gone(tree: Tree) -> None:
    tree.remove("/sys/class/fc_host/host2")


@pytest.mark.parametrize(
    ("change", "reason"),
    [(link_down, "this host's port is Linkdown"), (card_gone, "this host has no such port")],
)
def test_a_port_of_this_host_that_does_not_work_is_not_waited_for(
    capture: Capture, monkeypatch: pytest.MonkeyPatch, change: Any, reason: str
) -> None:
    tree = capture("fc_ports_without_lun")
    change(tree)
    case = Case(tree, monkeypatch)
    assert case.scans() == [SCAN_B]
    assert case.attempt.failures == {PAIR_A.address: reason}


@pytest.mark.parametrize("by_map", [connection_data()["initiator_target_map"], None])
def test_a_host_without_fibre_channel(capture: Capture, monkeypatch: pytest.MonkeyPatch, by_map: Any) -> None:
    case = Case(capture("empty"), monkeypatch, initiator_target_map=by_map)
    assert case.scans() == []
    assert set(case.attempt.failures.values()) == {"this host has no Fibre Channel port"}
    with pytest.raises(StorageError) as raised:
        case.attempt.look(case.tree.view)
    assert raised.value.code == "unavailable"


def test_without_multipath_one_port_after_the_other(capture: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(capture("fc_ports_without_lun"), monkeypatch, multipath=False)
    assert case.scans() == [SCAN_A]
    assert case.scans(LUN_SECONDS + 0.1) == [SCAN_A, SCAN_B]
    assert set(case.attempt.failures) == {PAIR_A.address}
    # The last one is waited for until the call's end.
    assert case.scans(LUN_SECONDS + 0.1) == [SCAN_B]
    assert set(case.attempt.failures) == {PAIR_A.address}


def test_without_multipath_the_next_port_at_once_where_one_does_not_work(
    capture: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = capture("fc_ports_without_lun")
    link_down(tree)
    case = Case(tree, monkeypatch, multipath=False)
    assert case.scans() == [SCAN_B]


def test_without_multipath_one_path_is_enough(capture: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = capture("fc_multipath")
    by_b = tree.view.disks_below("class/fc_remote_ports/rport-3:0-0/device", "b")[0]
    tree.remove(tree.resolve(f"/sys/block/{by_b.name}/device"))
    case = Case(tree, monkeypatch, multipath=False)
    assert case.attempt.plan.login == ()


def test_what_a_killed_call_still_looks_for_is_waited_for(capture: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = capture("fc_ports_without_lun")
    case = Case(tree, monkeypatch)
    leaving = Removal("fc1", case.attempt.export, WWN, case.attempt.export.portals)
    slept = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        case.now += seconds
        if len(slept) == 3:
            tree.remove("/proc/4711")

    monkeypatch.setattr(time, "sleep", sleep)
    tree.put("/proc/4711/comm", f"{NAME}\n")
    case.engine.settle([leaving])
    assert len(slept) == 3
    # But not for ever: one that hangs must not keep anything from being detached.
    tree.put("/proc/4712/comm", f"{NAME}\n")
    case.engine.settle([leaving])
    assert SETTLE_SECONDS <= sum(slept) < 2 * SETTLE_SECONDS


def test_all_scans_of_a_batch_in_one_process(capture: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(capture("fc_ports_without_lun"), monkeypatch, initiator_target_map=None)
    written: list[Any] = []
    monkeypatch.setattr(fibre_channel, "write_attributes", lambda writes, _deadline: written.append(writes))
    case.engine.go_on([case.attempt, case.attempt])
    assert [len(writes) for writes in written] == [2]
