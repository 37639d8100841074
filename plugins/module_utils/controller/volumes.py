# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module volume does: read, decide, act, read again."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import Any, Callable, Optional

from ansible_collections.brickwork.storage.plugins.module_utils.controller import rules
from ansible_collections.brickwork.storage.plugins.module_utils.controller.backend import Backend, Failures, Volume
from ansible_collections.brickwork.storage.plugins.module_utils.controller.registry import open_backend
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError, invalid
from ansible_collections.brickwork.storage.plugins.module_utils.names import names_of_volumes
from ansible_collections.brickwork.storage.plugins.module_utils.results import Outcome, batch_result
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline, exclusive

# For a step under the backend's lock, waiting for it included. Clearing a volume, which may take hours, is none.
STEP_SECONDS = 300

_ANEW = "The deletion of an earlier volume {name} had begun and was completed; {name} is a new volume, and empty."


@dataclass(frozen=True)
class Decision:
    """What is to become of one volume: as it is (None: there is none), and as it is to be (None: it is to go)."""

    name: str
    before: Optional[Volume]
    after: Optional[Volume]

    @property
    def changes(self) -> bool:
        return self.before != self.after

    @property
    def anew(self) -> bool:
        """Whether the deletion of an earlier volume of this name has to be completed first."""
        return bool(self.before and self.before.deleting and self.after)


def work(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Create, grow or delete volumes.

    Returns:
        C(volumes), one for each that did not fail; see results.batch_result.
    """
    names = names_of_volumes(params["volumes"])
    size_bytes = None if params["size"] is None else rules.size_in_bytes(params["size"])
    present = params["state"] == "present"

    def opened() -> Backend:
        return open_backend(params["config"], params["backend"], Deadline(STEP_SECONDS))

    def decided(backend: Backend) -> tuple[list[Decision], Failures]:
        return _to_be_present(backend, names, size_bytes) if present else _to_be_absent(backend, names)

    backend = opened()
    decisions, failures = decided(backend)
    anew = {decision.name: decision for decision in decisions if decision.anew}
    # What another call was just changing is decided on under the lock.
    needs_lock = any(decision.changes for decision in decisions) or any(
        error.code == "aborted" for error in failures.values()
    )
    if not check_mode and needs_lock:
        unfinished: Failures = {}
        earlier = [decision.before for decision in anew.values() if decision.before]
        if earlier:
            with _locked(backend, names):
                backend.begin_deletion(earlier)
            _finish_deletion(opened, earlier, unfinished)
        with _locked(backend, names):
            decisions, failures = decided(backend)
            failures.update(unfinished)
            if present:
                decisions = _make(backend, [one for one in decisions if one.name not in failures], failures)
            else:
                _begin_deletion(backend, decisions, failures)
        if not present:
            _finish_deletion(opened, [decision.before for decision in decisions if decision.before], failures)
    return _result(
        names, [replace(one, before=anew.get(one.name, one).before) for one in decisions], failures, backend.name
    )


def _to_be_present(backend: Backend, names: list[str], size_bytes: Optional[int]) -> tuple[list[Decision], Failures]:
    inventory = backend.inventory()
    rounded = None if size_bytes is None else backend.rounded(size_bytes)
    decisions: list[Decision] = []
    failures: Failures = {}
    for name in names:
        before = inventory.volumes.get(name)
        try:
            if before and before.deleting and rounded is not None:
                after = Volume(name, id="", size_bytes=rounded, backend=backend.name)
            elif before:
                after = rules.resized(before, before.size_bytes if rounded is None else rounded)
            elif name in inventory.strangers:
                raise StorageError("already_exists", inventory.strangers[name])
            else:
                backend.check_name(name)
                if rounded is None:
                    raise invalid("size", f"a size such as 10GiB, because there is no volume {name} yet")
                after = Volume(name, id="", size_bytes=rounded, backend=backend.name)
            decisions.append(Decision(name, before, after))
        except StorageError as error:
            failures[name] = error
    return _each(_room_in(backend), decisions, failures), failures


def _room_in(backend: Backend) -> Callable[[Decision], Decision]:
    """A check of one volume after the other against what the ones before it leave free."""
    free: Optional[int] = None

    def check(decision: Decision) -> Decision:
        nonlocal free
        if decision.changes and decision.after:
            free = backend.capacity().free_bytes if free is None else free
            wanted = decision.after.size_bytes - (decision.before.size_bytes if decision.before else 0)
            rules.require_room(decision.name, wanted, free, backend.name)
            free -= wanted
        return decision

    return check


def _to_be_absent(backend: Backend, names: list[str]) -> tuple[list[Decision], Failures]:
    inventory = backend.inventory()
    decisions: list[Decision] = []
    failures: Failures = {}
    for name in names:
        before = inventory.volumes.get(name)
        try:
            if name in inventory.strangers:
                raise StorageError("not_found", inventory.strangers[name])
            if before:
                rules.require_unheld(before)
                rules.require_unused(before, backend.users(before))
                rules.cut_nobody_off(before, before, backend.sessions(before), fenced=False)
            decisions.append(Decision(name, before, None))
        except StorageError as error:
            failures[name] = error
    return decisions, failures


def _make(backend: Backend, decisions: list[Decision], failures: Failures) -> list[Decision]:
    def make(decision: Decision) -> Decision:
        if decision.changes and decision.after:
            if decision.anew:
                raise StorageError(
                    "aborted", f"Another call has begun to delete volume {decision.name}; repeat this one."
                )
            if decision.before:
                backend.grow(decision.before, decision.after.size_bytes)
            else:
                backend.create(decision.name, decision.after.size_bytes)
        return decision

    made = _each(make, decisions, failures)
    found = backend.inventory().volumes
    return [replace(decision, after=found.get(decision.name)) for decision in made]


def _begin_deletion(backend: Backend, decisions: list[Decision], failures: Failures) -> None:
    volumes = [decision.before for decision in decisions if decision.before]
    # What a call that was killed left of an export would keep the volume in use.
    failures.update(backend.disconnect([(volume, volume) for volume in volumes if backend.export(volume)]))
    backend.begin_deletion([volume for volume in volumes if volume.name not in failures])


def _finish_deletion(opened: Callable[[], Backend], volumes: list[Volume], failures: Failures) -> None:
    """Clear and remove volumes. Others may use the backend during the long part, or delete the same volumes."""
    patience = Deadline(STEP_SECONDS)
    with contextlib.ExitStack() as locks:
        # In one order, or two calls could wait for each other.
        for volume_id in sorted(volume.id for volume in volumes):
            locks.enter_context(exclusive(f"delete-{volume_id}", "deleting the volume", patience))
        backend = opened()
        for volume in _still_there(backend, volumes, failures):
            try:
                backend.clear(volume)
            except StorageError as error:
                failures[volume.name] = error
        backend = opened()
        with _locked(backend, [volume.name for volume in volumes]):
            failures.update(backend.delete(_still_there(backend, volumes, failures)))


def _still_there(backend: Backend, volumes: list[Volume], failures: Failures) -> list[Volume]:
    """Those of the volumes that exist: not other ones that were given their names meanwhile."""
    found = backend.inventory().volumes
    return [
        volume
        for volume in volumes
        if volume.name not in failures and volume.name in found and found[volume.name].id == volume.id
    ]


def _locked(backend: Backend, names: list[str]) -> contextlib.AbstractContextManager[None]:
    return exclusive(backend.lock_name, f"changing volume {', '.join(names)}", Deadline(STEP_SECONDS))


def _each(step: Callable[[Decision], Decision], decisions: list[Decision], failures: Failures) -> list[Decision]:
    """The step for every volume; one that fails does not stop the others."""
    done = []
    for decision in decisions:
        try:
            done.append(step(decision))
        except StorageError as error:
            failures[decision.name] = error
    return done


def _result(names: list[str], decisions: list[Decision], failures: Failures, backend: str) -> dict[str, Any]:
    decided = {decision.name: decision for decision in decisions}
    outcomes = []
    for name in names:
        if name in failures:
            outcomes.append(Outcome(name, error=failures[name]))
            continue
        decision = decided[name]
        nothing = {"name": name, "id": None, "size_bytes": None, "backend": backend, "wwn": None}
        outcomes.append(
            Outcome(
                name,
                result=decision.after.as_dict() if decision.after else nothing,
                changed=decision.changes,
                before=decision.before.as_dict() if decision.before else {},
                after=decision.after.as_dict() if decision.after else {},
                warnings=[_ANEW.format(name=name)] if decision.anew else [],
            )
        )
    return batch_result("volumes", outcomes)
