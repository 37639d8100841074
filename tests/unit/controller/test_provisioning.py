# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots, copies and thin volumes of the built-in backend, with a volume group in memory."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from ansible_collections.brickwork.storage.plugins.module_utils import commands
from ansible_collections.brickwork.storage.plugins.module_utils.commands import Finished
from ansible_collections.brickwork.storage.plugins.module_utils.controller.backend import Snapshot, Source
from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm import room
from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm.backend import LvmBackend
from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm.exporter import Portal
from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm.lvm2 import Pool
from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm.provisioning import Provisioning
from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm.settings import Settings
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline

MIB = 1024**2
EXTENT = 4 * MIB
IDS = {name: f"00000000-0000-4000-8000-00000000000{number}" for number, name in enumerate(("data", "then", "clone"))}
COPY = "brickwork_copy_00000000000040008000000000000002"


class Group:
    """LVM with logical volumes by name, which remembers the commands that change something."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, str]] = {}
        self.asked: list[tuple[str, ...]] = []
        self.pool = {"lv_size": str(256 * MIB), "data_percent": "25.00", "zero": "zero"}
        self.stderr: dict[str, str] = {}

    def add(
        self, name: str, *tags: str, size: int = 64 * MIB, origin: str = "", pool: str = "", layout: str = "linear"
    ) -> None:
        identity = (f"brickwork.id={IDS[name]}",) if name in IDS else ()
        self.rows[name] = {
            "lv_name": name,
            "lv_uuid": name,
            "vg_uuid": "vg",
            "lv_size": str(size),
            "lv_tags": ",".join((*identity, *tags)),
            "lv_active": "active",
            "lv_device_open": "",
            "origin": origin,
            "pool_lv": pool,
            "lv_layout": layout,
        }

    def run(self, argv: Sequence[str], deadline: Deadline) -> Finished:
        found: list[dict[str, str]] = []
        if argv[0] == "lvs":
            found = [self.pool] if argv[-1].endswith("-pool") else list(self.rows.values())
        elif argv[0] == "vgs":
            found = [{"vg_extent_size": str(EXTENT), "vg_size": str(1024 * MIB), "vg_free": str(512 * MIB)}]
        else:
            self.asked.append(tuple(argv))
            self._change(argv)
        refused = self.stderr.get(argv[0], "")
        kind = "vg" if argv[0] == "vgs" else "lv"
        return Finished(tuple(argv), 5 if refused else 0, json.dumps({"report": [{kind: found}]}), refused)

    def _change(self, argv: Sequence[str]) -> None:
        name = argv[-1].partition("/")[2]
        if "--splitsnapshot" in argv:
            self.rows[name]["origin"] = ""
        elif argv[0] == "lvremove":
            for path in argv[2:]:
                del self.rows[path.partition("/")[2]]
        elif "--snapshot" in argv:
            tags = [tag for option, tag in zip(argv, argv[1:]) if option == "--addtag"]
            self.add(argv[argv.index("-n") + 1], *tags, origin=name)


@pytest.fixture
def group(monkeypatch: pytest.MonkeyPatch) -> Group:
    found = Group()
    monkeypatch.setattr(commands, "run", found.run)
    found.add("data")
    return found


def a_backend(thin: bool = False, ratio: float = 1.0, clear: str = "zero") -> LvmBackend:
    provisioning = Provisioning(thin=thin, over_subscription=ratio, volume_clear=clear)
    settings = Settings("vg0", "iscsi", (Portal("192.0.2.1", 3260),), "iqn.2026-11.org.brickwork:", provisioning)
    found = LvmBackend("lvm", settings, Deadline(5))
    found.inventory()
    return found


def labels(command: tuple[str, ...]) -> list[str]:
    return [tag.partition("=")[0] + "=" for option, tag in zip(command, command[1:]) if option == "--addtag"]


def without_labels(command: tuple[str, ...]) -> list[str]:
    return [word for before, word in zip(("", *command), command) if "--addtag" not in (before, word)]


def programs(group: Group) -> list[str]:
    """What was asked to change something."""
    return [command[3 if command[:3] == commands.ENDS_WITH_US else 0] for command in group.asked]


@contextlib.contextmanager
def unlocked() -> Iterator[None]:
    yield


def test_snapshots_are_told_from_volumes(group: Group) -> None:
    group.add("then", f"brickwork.snapshot-of={IDS['data']}", size=68 * MIB, origin="data")
    group.add("clone", "brickwork.source=snapshot/then", "brickwork.unfinished")
    group.add(COPY, f"brickwork.copied-to={IDS['clone']}", origin="data")
    group.add("vg0-pool", layout="thin,pool")
    inventory = a_backend().inventory()
    # Its size is the volume's, not that of the room for changes.
    assert inventory.snapshots == {"then": Snapshot("then", IDS["then"], "data", IDS["data"], 64 * MIB, "lvm")}
    assert set(inventory.volumes) == {"data", "clone"}
    clone = inventory.volumes["clone"]
    assert (clone.source, clone.unfinished) == (Source("snapshot", "then"), True)
    assert "is a thin pool" in inventory.strangers["vg0-pool"]
    assert IDS["clone"] in inventory.strangers[COPY]
    assert not any("--addtag" in sentence for sentence in inventory.strangers.values())


def test_a_snapshot_whose_volume_was_removed_by_hand(group: Group) -> None:
    group.add("then", f"brickwork.snapshot-of={IDS['clone']}", pool="vg0-pool", layout="thin,sparse")
    assert a_backend().inventory().snapshots["then"].volume == IDS["clone"]


def test_a_thick_snapshot_has_room_for_all_of_its_volume(group: Group) -> None:
    backend = a_backend()
    volume = backend.inventory().volumes["data"]
    backend.create_snapshot("then", volume)
    (command,) = group.asked
    assert without_labels(command) == ["lvcreate", "--yes", "--snapshot", "-l", "100%ORIGIN", "-n", "then", "vg0/data"]
    assert labels(command) == ["brickwork.id=", "brickwork.snapshot-of="]
    # What LVM took for 64 MiB.
    assert backend.snapshot_bytes(volume) == 68 * MIB


@pytest.mark.parametrize(
    ("size", "extent", "expected"), [(4096, 512, 4 * 4096), (MIB, MIB, 2 * MIB), (4096 * MIB, EXTENT, 4116 * MIB)]
)
def test_what_a_thick_snapshot_takes(size: int, extent: int, expected: int) -> None:
    assert room.of_thick_snapshot(size, extent) == expected


def test_a_thin_snapshot_is_not_activated_and_its_clone_is(group: Group) -> None:
    group.add("data", pool="vg0-pool", layout="thin,sparse")
    backend = a_backend(thin=True)
    volume = backend.inventory().volumes["data"]
    backend.create_snapshot("then", volume)
    backend.create_from("clone", 96 * MIB, volume)
    taken, made, grown = group.asked
    assert without_labels(taken) == [
        "lvcreate",
        "--yes",
        "--snapshot",
        "--setactivationskip",
        "y",
        "-n",
        "then",
        "vg0/data",
    ]
    assert without_labels(made) == [
        *("lvcreate", "--yes", "--snapshot", "--setactivationskip", "n", "--activate", "y", "-n", "clone", "vg0/data")
    ]
    assert labels(made) == ["brickwork.id=", "brickwork.source="]
    assert grown == ("lvextend", "--yes", "-L", f"{96 * MIB}b", "vg0/clone")
    assert backend.snapshot_bytes(volume) == 64 * MIB


def test_thin_volumes_are_made_in_the_pool(group: Group) -> None:
    a_backend(thin=True).create("new", 64 * MIB)
    (command,) = group.asked
    assert without_labels(command) == [
        *("lvcreate", "--yes", "--type", "thin", "--thinpool", "vg0-pool", "-V", f"{64 * MIB}b", "-n", "new", "vg0")
    ]


@pytest.mark.parametrize(
    ("ratio", "used", "free"),
    [
        (1.0, "25.00", 128),  # volumes count with their whole size, whatever they use of it
        (2.0, "25.00", 384),
        (2.0, "90.00", 51),  # what there is really no room for is not promised either
        (1.0, "100.00", 0),
    ],
)
def test_what_a_pool_has_left(group: Group, ratio: float, used: str, free: int) -> None:
    group.add("vg0-pool", layout="thin,pool", size=256 * MIB)
    for name in ("data", "then"):
        group.add(name, pool="vg0-pool", layout="thin,sparse")
    group.pool["data_percent"] = used
    capacity = a_backend(thin=True, ratio=ratio).capacity()
    assert (capacity.total_bytes, capacity.free_bytes // MIB) == (256 * MIB * ratio, free)


def test_a_pool_that_was_promised_more_than_it_has_is_full(group: Group) -> None:
    group.add("data", size=512 * MIB, pool="vg0-pool", layout="thin,sparse")
    found = list(a_backend()._found.values())
    assert room.in_pool(Pool(256 * MIB, 0, True), "vg0-pool", found, 1.0).free_bytes == 0


def test_without_a_pool_that_zeroes_there_are_no_thin_volumes(group: Group) -> None:
    for expected in ("lvcreate --type thin-pool", "lvchange --zero y vg0/vg0-pool"):
        with pytest.raises(StorageError) as failure:
            a_backend(thin=True).capacity()
        assert (failure.value.code, failure.value.facts["field"]) == ("failed_precondition", "lvm_type")
        assert expected in failure.value.message
        group.add("vg0-pool", layout="thin,pool")
        group.pool["zero"] = ""


def test_a_full_pool_has_no_room(group: Group) -> None:
    group.stderr["lvcreate"] = (
        "  Cannot create new thin volume, free space in thin pool vg0/vg0-pool reached threshold."
    )
    with pytest.raises(StorageError) as failure:
        a_backend(thin=True).create("new", MIB)
    assert failure.value.code == "resource_exhausted"


def test_a_thick_volume_with_snapshots_does_not_grow(group: Group) -> None:
    backend = a_backend()
    backend.check_growth(backend.inventory().volumes["data"])
    group.add("by-hand", origin="data")
    volume = backend.inventory().volumes["data"]
    with pytest.raises(StorageError, match="by-hand") as failure:
        backend.check_growth(volume)
    assert failure.value.code == "failed_precondition"
    # LVM would remove it with its origin.
    assert backend.begin_deletion([volume])["data"].facts == {"snapshots": ["by-hand"]}
    assert group.asked == []


def test_a_thick_snapshot_is_parted_before_it_is_cleared(group: Group) -> None:
    group.add("then", f"brickwork.snapshot-of={IDS['data']}", size=68 * MIB, origin="data")
    backend = a_backend()
    snapshot = backend.inventory().snapshots["then"]
    assert backend.begin_deletion([snapshot]) == {}
    backend.inventory()
    backend.clear(snapshot)
    backend.delete([snapshot])
    assert programs(group) == ["lvchange", "lvconvert", "blkdiscard", "lvremove"]
    assert group.asked[1] == ("lvconvert", "--yes", "--splitsnapshot", "vg0/then")
    assert set(group.rows) == {"data"}


def test_thin_volumes_need_no_clearing(group: Group) -> None:
    group.add("data", pool="vg0-pool", layout="thin,sparse")
    backend = a_backend(thin=True)
    backend.clear(backend.inventory().volumes["data"])
    assert group.asked == []


class TestCopies:
    @pytest.fixture(autouse=True)
    def begun(self, group: Group) -> None:
        group.add("then", f"brickwork.snapshot-of={IDS['data']}", size=68 * MIB, origin="data")
        group.add("clone", "brickwork.source=volume/data", "brickwork.unfinished")

    def complete(self, original: str) -> None:
        backend = a_backend()
        inventory = backend.inventory()
        source: Any = inventory.volumes.get(original) or inventory.snapshots[original]
        backend.complete(inventory.volumes["clone"], source, unlocked)

    def test_a_thick_copy_is_unfinished_from_the_beginning(self, group: Group) -> None:
        backend = a_backend()
        volume = backend.inventory().volumes["data"]
        backend.create_from("clone", 64 * MIB, volume)
        (command,) = group.asked
        assert labels(command) == ["brickwork.id=", "brickwork.source=", "brickwork.unfinished="]
        assert (backend.copy_bytes(64 * MIB, volume), a_backend(thin=True).copy_bytes(64 * MIB, volume)) == (
            132 * MIB,
            64 * MIB,
        )

    def test_a_volume_is_copied_from_a_snapshot_that_goes_again(self, group: Group) -> None:
        self.complete("data")
        made, copied, parted, cleared, removed, finished = group.asked
        assert labels(made) == ["brickwork.copied-to="]
        assert without_labels(made)[-3:] == ["-n", COPY, "vg0/data"]
        assert "dd" in copied
        assert any(word.endswith("vg" + COPY.replace("-", "")) and word.startswith("if=") for word in copied)
        assert any(word.endswith("vgclone") and word.startswith("of=") for word in copied)
        assert parted == ("lvconvert", "--yes", "--splitsnapshot", f"vg0/{COPY}")
        assert "blkdiscard" in cleared
        assert removed == ("lvremove", "--yes", f"vg0/{COPY}")
        assert finished[-3:] == ("--deltag", "brickwork.unfinished", "vg0/clone")
        # What copies or clears must not go on after whoever began it was killed.
        assert copied[:3] == cleared[:3] == ("setpriv", "--pdeathsig", "KILL")

    def test_a_snapshot_is_copied_as_it_is(self, group: Group) -> None:
        self.complete("then")
        copied, _finished = group.asked
        assert any(word.endswith("vgthen") and word.startswith("if=") for word in copied)
        assert programs(group) == ["dd", "lvchange"]

    def test_a_copy_that_was_cut_short_is_made_again_from_the_same_snapshot(self, group: Group) -> None:
        group.add(COPY, f"brickwork.copied-to={IDS['clone']}", origin="data")
        self.complete("data")
        assert programs(group) == ["dd", "lvconvert", "blkdiscard", "lvremove", "lvchange"]

    def test_what_was_copied_whole_is_not_copied_again(self, group: Group) -> None:
        group.add(COPY, f"brickwork.copied-to={IDS['clone']}")
        self.complete("data")
        assert programs(group) == ["blkdiscard", "lvremove", "lvchange"]

    def test_a_copy_that_fails_stays_unfinished(self, group: Group) -> None:
        group.stderr["setpriv"] = "dd: error writing"
        with pytest.raises(StorageError, match="is not finished; repeat this call") as failure:
            self.complete("data")
        assert failure.value.code == "unavailable"
        assert "brickwork.unfinished" in group.rows["clone"]["lv_tags"]

    def test_a_copy_that_is_to_go_is_not_finished(self, group: Group) -> None:
        group.rows["clone"]["lv_tags"] += ",brickwork.deleting"
        with pytest.raises(StorageError) as failure:
            self.complete("then")
        assert failure.value.code == "aborted"
        assert not any("--deltag" in command for command in group.asked)

    def test_what_a_copy_leaves_goes_with_it(self, group: Group) -> None:
        group.add(COPY, f"brickwork.copied-to={IDS['clone']}", origin="data")
        backend = a_backend()
        volume = backend.inventory().volumes["clone"]
        assert backend.begin_deletion([volume]) == {}
        backend.inventory()
        backend.clear(volume)
        assert backend.delete([volume]) == {}
        changes = [(command[0], command[-1]) for command in group.asked if command[0] in ("lvconvert", "lvremove")]
        assert changes == [("lvconvert", f"vg0/{COPY}"), ("lvremove", f"vg0/{COPY}"), ("lvremove", "vg0/clone")]
        assert sum("blkdiscard" in command for command in group.asked) == 2
        assert set(group.rows) == {"data", "then"}
