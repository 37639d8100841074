# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NVMe over TCP: what is written to the kernel, and which controllers go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Optional

import pytest

from ansible_collections.brickwork.storage.plugins.module_utils.commands import Finished, Running
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.host import nvme_fabrics, nvme_sysfs, releasing
from ansible_collections.brickwork.storage.plugins.module_utils.host.attempt import Attempt
from ansible_collections.brickwork.storage.plugins.module_utils.host.detach import removal_of
from ansible_collections.brickwork.storage.plugins.module_utils.host.engines import nvme
from ansible_collections.brickwork.storage.plugins.module_utils.host.engines.nvme import Nvme
from ansible_collections.brickwork.storage.plugins.module_utils.host.nvme_boot import DIRECTORY, NvmeBoot
from ansible_collections.brickwork.storage.plugins.module_utils.host.plan import AttachPlan, Wanted, record_of
from ansible_collections.brickwork.storage.plugins.module_utils.host.records import Record
from ansible_collections.brickwork.storage.plugins.module_utils.host.removal import Removal
from ansible_collections.brickwork.storage.plugins.module_utils.host.sysfs import Sysfs
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline
from ansible_collections.brickwork.storage.tests.unit.host.nvme_examples import (
    HOST_ID,
    HOST_NQN,
    NQN,
    OTHER_SECRET,
    OTHER_UUID,
    PORTALS,
    SECRET,
    UUID,
    export,
    parsed,
)
from ansible_collections.brickwork.storage.tests.unit.host.tree import Capture, Tree

# What nvme-cli writes for os-brick, seen on the lab.
LINE = (
    f"nqn={NQN},transport=tcp,traddr=10.77.1.10,trsvcid=4420,hostnqn={HOST_NQN},hostid={HOST_ID},"
    "queue_size=128,ctrl_loss_tmo=-1"
)


class Kernel:
    """In the place of the one that is written to: notes it, deletes controllers, and refuses some portals."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.lines: list[str] = []
        self.refusals: dict[str, str] = {}

    def connect(self, line: str) -> Running:
        self.lines.append(line)
        address = line.partition("traddr=")[2].partition(",")[0]
        said = self.refusals.get(address)
        return Writer(f"dd: error writing '/dev/nvme-fabrics': {said}" if said else "")

    def write(self, writes: Sequence[tuple[str, str]], deadline: Deadline) -> None:
        for path, _text in writes:
            self.lines.append(path.partition("/sys/class/nvme/")[2])
            if path.endswith("delete_controller"):
                self.tree.remove(f"/sys/class/nvme/{path.split('/')[-2]}")


class Writer(Running):
    """A writer that has ended."""

    def __init__(self, said: str) -> None:
        self._said = said

    @property
    def ended(self) -> bool:
        return True

    def wait(self, deadline: Deadline) -> Finished:
        return Finished(("dd",), 1 if self._said else 0, "", self._said)


@pytest.fixture
def tree(capture: Capture) -> Tree:
    return capture("nvme_shared")


@pytest.fixture
def kernel(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    found = Kernel(tree)
    monkeypatch.setattr(nvme_fabrics, "connect", found.connect)
    monkeypatch.setattr(nvme, "write_attributes", found.write)
    monkeypatch.setattr(nvme, "unreachable", lambda portals, deadline: {})
    monkeypatch.setattr(releasing, "flush", lambda nodes, deadline: [None] * len(nodes))
    return found


def test_line_is_what_os_brick_has_nvme_cli_write(tree: Tree) -> None:
    assert nvme_fabrics.connect_line(tree.view, export(), export().portals[0]) == LINE


def test_line_with_secrets(tree: Tree) -> None:
    line = nvme_fabrics.connect_line(
        tree.view, export(dhchap_key=SECRET, dhchap_ctrl_key=OTHER_SECRET), export().portals[0]
    )
    assert f",dhchap_secret={SECRET},dhchap_ctrl_secret={OTHER_SECRET}," in line


def test_identifier_of_a_host_that_has_written_none(tree: Tree) -> None:
    tree.remove("/etc/nvme/hostid")
    assert nvme_sysfs.host_id(tree.view, HOST_NQN) == HOST_ID
    assert nvme_sysfs.host_id(tree.view, "nqn.2026-11.org.example:host1") is None


def test_host_without_nqn(tree: Tree) -> None:
    tree.remove("/etc/nvme/hostnqn")
    with pytest.raises(StorageError) as caught:
        nvme_fabrics.connect_line(tree.view, export(), export().portals[0])
    assert caught.value.code == "failed_precondition"


def test_secret_is_in_no_argument(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvme_fabrics, "WRITER", ["cat"])
    writer = nvme_fabrics.connect(f"dhchap_secret={SECRET}")
    assert SECRET not in str(writer.argv)
    assert writer.wait(Deadline(5)).stdout == f"dhchap_secret={SECRET}"


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("dd: error writing '/dev/nvme-fabrics': Operation already in progress", None),
        ("dd: error writing '/dev/nvme-fabrics': Connection refused", "connection refused"),
        ("dd: error writing '/dev/nvme-fabrics': Input/output error", "refused: it has no such subsystem"),
        ("dd did not end in time", "dd did not end in time"),
    ],
)
def test_why_no_controller_came(said: str, why: Optional[str]) -> None:
    found = nvme_fabrics.reason(said)
    assert found is None if why is None else found and found.startswith(why)


def attempt(multipath: bool = True, persistent: bool = False, uuid: str = UUID) -> Attempt:
    wanted = Wanted(parsed(uuid), multipath, 1, persistent)
    record = Record(wanted.connection.without_secrets(), multipath, persistent)
    return Attempt(wanted, AttachPlan(("not attached",), wanted.portals, False), record)


def test_all_portals_at_once_and_each_once(kernel: Kernel) -> None:
    engine = Nvme(kernel.tree.view, Deadline(5))
    engine.start([attempt(), attempt(uuid=OTHER_UUID)])
    assert kernel.lines == [LINE, LINE.replace("10.77.1.10", "10.77.2.10")]


def test_failure_is_told_to_all_that_wait(kernel: Kernel) -> None:
    kernel.refusals["10.77.2.10"] = "Input/output error"
    engine, begun = Nvme(kernel.tree.view, Deadline(5)), [attempt(), attempt(uuid=OTHER_UUID)]
    engine.start(begun)
    engine.go_on([])
    assert [list(one.failures) for one in begun] == [[PORTALS[1]]] * 2
    assert [one.refused for one in begun] == [True, True]


def test_without_multipath_the_next_portal_is_tried(kernel: Kernel) -> None:
    kernel.refusals["10.77.1.10"] = "Connection refused"
    engine, begun = Nvme(kernel.tree.view, Deadline(5)), attempt(multipath=False)
    engine.start([begun])
    assert kernel.lines == [LINE]
    engine.go_on([])
    assert kernel.lines == [LINE, LINE.replace("10.77.1.10", "10.77.2.10")]
    assert (begun.failures, begun.refused) == ({PORTALS[0]: "connection refused"}, False)


def test_host_without_nqn_ends_the_attempt(kernel: Kernel) -> None:
    kernel.tree.remove("/etc/nvme/hostnqn")
    begun = attempt()
    Nvme(kernel.tree.view, Deadline(5)).start([begun])
    assert begun.error
    assert begun.error.code == "failed_precondition"


def test_namespace_that_did_not_come_is_looked_for(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in ("ctl/nvme0/nvme0c0n1", "ctl/nvme1/nvme0c1n1"):
        kernel.tree.remove(f"/sys/devices/virtual/nvme-fabrics/{path}")
    engine, begun = Nvme(kernel.tree.view, Deadline(5)), attempt()
    begun.look(kernel.tree.view)
    engine.go_on([begun])
    assert kernel.lines == []  # what was there before was asked anew at the start
    monkeypatch.setattr(nvme, "RESCAN_SECONDS", 0)
    engine.go_on([begun])
    assert kernel.lines == ["nvme0/rescan_controller", "nvme1/rescan_controller"]


@pytest.mark.parametrize(("multipath", "words"), [(True, [1, 1]), (False, [2])])
def test_what_is_kept_for_the_boot(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch, multipath: bool, words: list[int]
) -> None:
    (kernel.tree.root / "etc/systemd/system").mkdir(parents=True)
    monkeypatch.setattr(NvmeBoot, "_systemctl", lambda *arguments: Finished((), 0, "", ""))
    engine = Nvme(kernel.tree.view, Deadline(5))
    engine.end([attempt(multipath, persistent=True)])
    file = kernel.tree.root / DIRECTORY / f"volume-{UUID}"
    lines = file.read_text(encoding="utf-8").splitlines()
    assert [len(line.split()) for line in lines] == words
    assert lines[0].split()[0] == LINE
    engine.end([attempt(multipath)])
    assert not file.exists()


def record(uuid: str, **changes: Any) -> Record:
    return replace(Record(parsed(uuid).without_secrets(), True, False, attached=True), **changes)


def removal(uuid: str = UUID, others: Sequence[Record] = (), **changes: Any) -> Removal:
    return removal_of(parsed(uuid), record(uuid, **changes), list(others))


def take_away(view: Sysfs, *removals: Removal) -> None:
    releasing.release(list(removals), view, Deadline(2))


DELETED = ["nvme0/delete_controller", "nvme1/delete_controller"]


def test_last_volume_takes_the_controllers_with_it(kernel: Kernel) -> None:
    leaving = removal()  # the other namespace is visible, and nobody's
    take_away(kernel.tree.view, leaving)
    assert (leaving.error, leaving.warnings, kernel.lines) == (None, [], DELETED)


def test_both_volumes_at_once(kernel: Kernel) -> None:
    leaving = [removal(), removal(OTHER_UUID)]
    take_away(kernel.tree.view, *leaving)
    assert ([one.error for one in leaving], kernel.lines) == ([None, None], DELETED)


def test_controllers_stay_for_another_attachment(kernel: Kernel) -> None:
    leaving = removal(others=[record(OTHER_UUID)])
    take_away(kernel.tree.view, leaving)
    assert (leaving.error, kernel.lines) == (None, [])
    assert "stays visible" in leaving.warnings[0]


def test_controllers_that_were_there_before_stay(kernel: Kernel) -> None:
    leaving = removal(kept_portals=[PORTALS[0]])
    take_away(kernel.tree.view, leaving)
    assert (leaving.error, kernel.lines) == (None, DELETED[1:])
    assert PORTALS[0] in leaving.warnings[0]


def test_controllers_stay_while_anybody_uses_another_namespace(kernel: Kernel) -> None:
    tree = kernel.tree
    mounts = (tree.root / "proc/1/mountinfo").read_text(encoding="utf-8")
    number = tree.view.number("nvme0n2")
    tree.put("/proc/1/mountinfo", f"{mounts}99 25 {number} / /srv/log rw - ext4 /dev/nvme0n2 rw\n")
    leaving = removal()
    take_away(tree.view, leaving)
    assert (leaving.error, kernel.lines, len(leaving.warnings)) == (None, [], 1)


def test_controllers_stay_for_a_volume_of_the_batch_that_could_not_be_flushed(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = "/dev/nvme0n2"
    monkeypatch.setattr(
        releasing,
        "flush",
        lambda nodes, deadline: ["input/output error" if node == failing else None for node in nodes],
    )
    leaving = [removal(), removal(OTHER_UUID)]
    take_away(kernel.tree.view, *leaving)
    assert leaving[0].error is None
    assert leaving[1].error
    assert leaving[1].error.code == "unavailable"
    assert kernel.lines == []


def test_controller_that_does_not_go_is_told(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvme, "write_attributes", lambda writes, deadline: None)
    leaving = removal()
    releasing.release([leaving], kernel.tree.view, Deadline(0.3))
    assert leaving.error
    assert leaving.error.code == "deadline_exceeded"
    assert f"the controller at {PORTALS[0]}, {PORTALS[1]}" in leaving.error.message


def test_controllers_that_this_collection_made_are_not_somebody_elses(kernel: Kernel) -> None:
    wanted = Wanted(parsed(OTHER_UUID), True, 1, False)
    found = wanted.export.find(kernel.tree.view, None)
    assert record_of(wanted, None, found, []).kept_portals == list(PORTALS)
    assert record_of(wanted, None, found, [record(UUID)]).kept_portals == []
    others = [record(UUID, kept_portals=[PORTALS[0]])]
    assert record_of(wanted, None, found, others).kept_portals == [PORTALS[0]]


def test_paths_by_which_the_volume_can_be_used_are_enough(kernel: Kernel) -> None:
    begun = attempt()
    assert begun.look(kernel.tree.view)
    assert begun.link == f"/dev/disk/by-id/nvme-uuid.{UUID}"
