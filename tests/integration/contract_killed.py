# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The contract of every backend when a module is killed: repeat it or ask for the opposite, both work, and nothing is left or there twice.

A test file has a fixture C(storage), as for contract.py, and makes the class its own.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from ansible_collections.brickwork.storage.tests.integration.contract import (
    CLONE,
    CONTROLLER,
    COPY,
    DATA,
    SNAPSHOT,
    Storage,
    Untouched,
)
from ansible_collections.brickwork.storage.tests.integration.killing import make_interpreter, moments_of, run_killed

Call = tuple[str, dict[str, Any]]
# How many times each operation is killed, at moments at equal distances; at every one of them takes hours.
KILLS = int(os.environ.get("KILLS", "4"))
OPERATIONS = (
    *("create", "delete", "grow", "connect", "release", "share", "unshare"),
    *("snapshot", "unsnapshot", "copy", "clone"),
)
NEEDS = {
    **{"grow": "grow", "share": "share", "unshare": "share"},
    **{"snapshot": "snapshot", "unsnapshot": "snapshot", "copy": "clone", "clone": "clone"},
}


@dataclass(frozen=True)
class Operation:
    """What is killed.

    Args:
        prepared: what is done before.
        call: what is killed.
        opposite: what takes it back.
    """

    prepared: tuple[Call, ...]
    call: Call
    opposite: Call


def operation(storage: Storage, name: str) -> Operation:
    """One of I(OPERATIONS)."""
    host, other = storage.hosts
    made: Call = ("volume", {"volumes": [DATA], "size": str(storage.size)})
    deleted: Call = ("volume", {"volumes": [DATA], "state": "absent"})
    if name in ("create", "delete"):
        return Operation((), made, deleted) if name == "create" else Operation((made,), deleted, made)
    if name == "grow":
        return Operation((made,), ("volume", {"volumes": [DATA], "size": str(2 * storage.size)}), deleted)
    if name in ("connect", "release", "share", "unshare"):
        shared = {"shared": True} if name in ("share", "unshare") else {}
        connected: Call = ("volume_connection", {**storage.connection(host, DATA), **shared})
        released: Call = ("volume_connection", {"volumes": [DATA], "host": host, "state": "absent"})
        # The other host holds the volume all the time.
        held: Call = ("volume_connection", {**storage.connection(other, DATA), **shared})
        prepared = (made, held) if shared else (made,)
        if name in ("connect", "share"):
            return Operation(prepared, connected, released)
        return Operation((*prepared, connected), released, connected)
    if name == "copy":
        copied: Call = ("volume", {"volumes": [COPY], "source_volume": DATA})
        return Operation((made,), copied, ("volume", {"volumes": [COPY], "state": "absent"}))
    snapped: Call = ("volume_snapshot", {"snapshots": [SNAPSHOT], "volume": DATA})
    forgotten: Call = ("volume_snapshot", {"snapshots": [SNAPSHOT], "state": "absent"})
    if name == "clone":
        cloned: Call = ("volume", {"volumes": [CLONE], "snapshot": SNAPSHOT})
        return Operation((made, snapped), cloned, ("volume", {"volumes": [CLONE], "state": "absent"}))
    if name == "snapshot":
        return Operation((made,), snapped, forgotten)
    return Operation((made, snapped), forgotten, snapped)


@pytest.mark.full
class Killed(Untouched):
    """Every operation, killed at moments from its beginning to its end."""

    @pytest.fixture(autouse=True)
    def interpreter(self, storage: Storage) -> None:
        make_interpreter(storage.lab, CONTROLLER)

    @pytest.mark.parametrize("name", OPERATIONS)
    def test_it_can_be_repeated_or_taken_back(self, storage: Storage, name: str) -> None:
        if name in NEEDS and not storage.can(NEEDS[name]):
            return
        killed = operation(storage, name)
        (module, arguments), (opposite, taking_back) = killed.call, killed.opposite
        prepare(storage, killed)
        before = storage.listing()
        given = {**arguments, "config": storage.config}
        # The very first of its kind does more: it loads the kernel's modules, makes directories, puts the backend on record.
        storage.module(module, **arguments)
        done = storage.listing()
        assert done != before
        storage.module(opposite, **taking_back)
        undone = storage.listing()

        def begin_again() -> None:
            if undone != before:
                prepare(storage, killed)
                compare(storage.listing(), before, "prepared again")

        begin_again()
        count = moments_of(storage.lab, CONTROLLER, module, given)
        storage.module(opposite, **taking_back)
        for moment, delay, repeated in chosen(count, storage.delays):
            begin_again()
            stopped = run_killed(storage.lab, CONTROLLER, module, given, moment, delay).returncode != 0
            while not stopped and not delay and moment > 1:
                # It had to wait less often than when its moments were counted.
                moment -= 1
                storage.module(opposite, **taking_back)
                begin_again()
                stopped = run_killed(storage.lab, CONTROLLER, module, given, moment, delay).returncode != 0
            at = f"{name} {'killed' if stopped else 'done'} {delay} s after moment {moment} of {count}"
            print(f"{at}, then {'repeated' if repeated else 'taken back'}")
            assert stopped or delay, at
            if repeated:
                storage.module(module, **arguments)
                compare(storage.listing(), done, at)
                assert not storage.module(module, **arguments)["changed"], at
            storage.module(opposite, **taking_back)
            compare(storage.listing(), undone, at)


def prepare(storage: Storage, killed: Operation) -> None:
    for module, arguments in killed.prepared:
        storage.module(module, **arguments)


def compare(found: list[str], wanted: list[str], at: str) -> None:
    lacks, has = Counter(wanted) - Counter(found), Counter(found) - Counter(wanted)
    if lacks or has:
        pytest.fail(f"{at}: the storage lacks {list(lacks.elements())}, and has {list(has.elements())}")


def chosen(count: int, delays: tuple[float, ...]) -> Iterator[tuple[int, float, bool]]:
    """Moments at equal distances, the last one among them, each with a delay and whether the call is then repeated or taken back.

    Where KILLS is enough, every moment comes with every delay, both ways.
    """
    kills = min(KILLS, 2 * len(delays) * count)
    for number in range(kills):
        moment = math.ceil(count * (number + 1) / kills)
        yield moment, delays[number // 2 % len(delays)], number % 2 == 0
