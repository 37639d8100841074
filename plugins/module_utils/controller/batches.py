# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a batch of volumes or snapshots is made or deleted: read, decide, act under the backend's lock, read again."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Callable, Generic, Optional, TypeVar

from ansible_collections.brickwork.storage.plugins.module_utils.controller import rules
from ansible_collections.brickwork.storage.plugins.module_utils.controller.backend import (
    Backend,
    Failures,
    Inventory,
    Item,
    Snapshot,
    Volume,
)
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.results import Outcome, batch_result
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline, exclusive

# For a step under the backend's lock, waiting for it included. Clearing or copying a volume, which may take hours, is none.
STEP_SECONDS = 300

_ANEW = "The deletion of an earlier {kind} {name} had begun and was completed; {name} is a new {kind}, with nothing of the earlier one."

Kind = TypeVar("Kind", Volume, Snapshot)


@dataclass(frozen=True)
class Decision(Generic[Kind]):
    """What is to become of a volume or snapshot: as it is (None: there is none), and as it is to be (None: it is to go)."""

    name: str
    before: Optional[Kind]
    after: Optional[Kind]

    @property
    def changes(self) -> bool:
        return self.before != self.after

    @property
    def anew(self) -> bool:
        """Whether the deletion of an earlier one of this name has to be completed first."""
        return bool(self.before and self.before.deleting and self.after)


# The steps of a batch; one that fails for a name puts that among the failures, and does not stop the others.
Decide = Callable[[Backend], tuple[list[Decision[Kind]], Failures]]
Make = Callable[[Backend, Decision[Kind]], None]


class Room:
    """What a backend has free, less what was decided on before."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._free: Optional[int] = None

    def take(self, kind: str, name: str, wanted_bytes: int) -> None:
        if self._free is None:
            self._free = self._backend.capacity().free_bytes
        rules.require_room(kind, name, wanted_bytes, self._free, self._backend.name)
        self._free -= wanted_bytes


def carry_out(
    opened: Callable[[], Backend],
    names: list[str],
    decide: Decide[Kind],
    make: Optional[Make[Kind]],
    check_mode: bool,
) -> tuple[list[Decision[Kind]], Failures, Backend]:
    """Bring about what is decided.

    Args:
        opened: the backend, with time enough for a step.
        names: of the batch.
        decide: what is to become of each; this changes nothing.
        make: bring one about, under the backend's lock; None where all are to go.
        check_mode: whether to decide only.

    Returns:
        What was decided, what failed, and the backend.
    """
    backend = opened()
    decisions, failures = decide(backend)
    anew = {decision.name: decision for decision in decisions if decision.anew}
    # What another call was just changing is decided on under the lock.
    needs_lock = any(decision.changes for decision in decisions) or any(
        error.code == "aborted" for error in failures.values()
    )
    if check_mode or not needs_lock:
        return decisions, failures, backend
    backend.prepare()
    unfinished: Failures = {}
    if anew:
        with locked(backend, names):
            # Another call may have ended meanwhile what looked cut short.
            anew = {decision.name: decision for decision in decide(backend)[0] if decision.anew}
            earlier: list[Item] = [decision.before for decision in anew.values() if decision.before]
            unfinished.update(backend.begin_deletion(earlier))
        _finish_deletion(opened, earlier, unfinished)
    with locked(backend, names):
        decisions, failures = decide(backend)
        failures.update(unfinished)
        going: list[Item] = [decision.before for decision in decisions if decision.before]
        if make:
            _make(backend, decisions, make, failures)
        else:
            _begin_deletion(backend, going, failures)
    if not make:
        _finish_deletion(opened, going, failures)
    # What was there at first, for those that were made anew.
    return [replace(one, before=anew.get(one.name, one).before) for one in decisions], failures, backend


def decide_each(names: Sequence[str], decide: Callable[[str], Decision[Kind]]) -> tuple[list[Decision[Kind]], Failures]:
    """What is to become of each; one that is refused does not stop the others."""
    decisions: list[Decision[Kind]] = []
    failures: Failures = {}
    for name in names:
        try:
            decisions.append(decide(name))
        except StorageError as error:
            failures[name] = error
    return decisions, failures


def locked(backend: Backend, names: Sequence[str]) -> contextlib.AbstractContextManager[None]:
    """The backend's lock."""
    return exclusive(backend.lock_name, f"changing {', '.join(names)}", Deadline(STEP_SECONDS))


def one_alone(item: Item, purpose: str, patience: Deadline) -> contextlib.AbstractContextManager[None]:
    """The lock of one volume or snapshot, for what takes too long for the backend's."""
    return exclusive(f"volume-{item.id}", purpose, patience)


def result(
    kind: str,
    names: list[str],
    decisions: list[Decision[Kind]],
    failures: Failures,
    nothing: Callable[[str], dict[str, Any]],
) -> dict[str, Any]:
    """What the module returns for the batch; I(nothing) describes what does not exist."""
    decided = {decision.name: decision for decision in decisions}
    outcomes = []
    for name in names:
        if name in failures:
            outcomes.append(Outcome(name, error=failures[name]))
            continue
        decision = decided[name]
        outcomes.append(
            Outcome(
                name,
                result=decision.after.as_dict() if decision.after else nothing(name),
                changed=decision.changes,
                before=_shown(decision.before),
                after=_shown(decision.after),
                warnings=[_ANEW.format(kind=kind, name=name)] if decision.anew else [],
            )
        )
    return batch_result(f"{kind}s", outcomes, kind)


def _shown(item: Optional[Item]) -> dict[str, Any]:
    """What a diff shows."""
    if item is None:
        return {}
    shown = item.as_dict()
    if isinstance(item, Volume) and item.source:
        shown.update(source=str(item.source), unfinished=item.unfinished)
    return shown


def _make(backend: Backend, decisions: list[Decision[Kind]], make: Make[Kind], failures: Failures) -> None:
    for decision in decisions:
        if not decision.changes or decision.name in failures:
            continue
        try:
            if decision.anew:
                raise StorageError("aborted", f"Another call has begun to delete {decision.name}; repeat this one.")
            make(backend, decision)
        except StorageError as error:
            failures[decision.name] = error


def _begin_deletion(backend: Backend, items: list[Item], failures: Failures) -> None:
    # What a call that was killed left of an export would keep the volume in use.
    exported = []
    for item in items:
        try:
            if isinstance(item, Volume) and backend.export(item):
                exported.append(item)
        except StorageError as error:
            failures[item.name] = error
    failures.update(backend.disconnect([(volume, volume) for volume in exported]))
    failures.update(backend.begin_deletion([item for item in items if item.name not in failures]))


def _finish_deletion(opened: Callable[[], Backend], items: list[Item], failures: Failures) -> None:
    """Clear and remove. Others may use the backend during the long part, or delete the same."""
    patience = Deadline(STEP_SECONDS)
    with contextlib.ExitStack() as locks:
        # In one order, or two calls could wait for each other.
        for item in sorted(items, key=lambda item: item.id):
            locks.enter_context(one_alone(item, f"deleting {item.name}", patience))
        backend = opened()
        for item in _still_there(backend, items, failures):
            try:
                backend.clear(item)
            except StorageError as error:
                failures[item.name] = error
        backend = opened()
        with locked(backend, [item.name for item in items]):
            failures.update(backend.delete(_still_there(backend, items, failures)))


def _still_there(backend: Backend, items: list[Item], failures: Failures) -> list[Item]:
    """Those that exist: not other ones that were given their names meanwhile."""
    found = _items(backend.inventory())
    return [
        item for item in items if item.name not in failures and item.name in found and found[item.name].id == item.id
    ]


def _items(inventory: Inventory) -> Mapping[str, Item]:
    return {**inventory.volumes, **inventory.snapshots}
