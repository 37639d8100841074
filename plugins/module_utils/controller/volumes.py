# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module volume does."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Callable, Optional

from ansible_collections.brickwork.storage.plugins.module_utils.controller import batches, rules
from ansible_collections.brickwork.storage.plugins.module_utils.controller.backend import (
    SNAPSHOT,
    VOLUME,
    Backend,
    Failures,
    Inventory,
    Source,
    Volume,
)
from ansible_collections.brickwork.storage.plugins.module_utils.controller.batches import Decision
from ansible_collections.brickwork.storage.plugins.module_utils.controller.registry import open_backend
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError, invalid
from ansible_collections.brickwork.storage.plugins.module_utils.names import names_of_volumes
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline


@dataclass(frozen=True)
class Request:
    """What is asked for.

    Args:
        size_bytes: None where it was left out.
        source: what new volumes are made from; None where they are made empty.
    """

    volumes: list[str]
    size_bytes: Optional[int]
    source: Optional[Source]


def work(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Create, grow or delete volumes.

    Returns:
        C(volumes), one for each that did not fail; see results.batch_result.
    """
    request = _request(params)
    present = params["state"] == "present"

    def opened() -> Backend:
        return open_backend(params["config"], params["backend"], Deadline(batches.STEP_SECONDS))

    def decide(backend: Backend) -> tuple[list[Decision[Volume]], Failures]:
        return _to_be_present(backend, request) if present else _to_be_absent(backend, request.volumes)

    def make(backend: Backend, decision: Decision[Volume]) -> None:
        _make(backend, decision, request.source)

    decisions, failures, backend = batches.carry_out(
        opened, request.volumes, decide, make if present else None, check_mode
    )
    if present and not check_mode and any(decision.changes for decision in decisions):
        decisions = _completed(opened, decisions, failures)

    def nothing(name: str) -> dict[str, Any]:
        return {"name": name, "id": None, "size_bytes": None, "backend": backend.name, "wwn": None}

    return batches.result(VOLUME, request.volumes, decisions, failures, nothing)


def _request(params: dict[str, Any]) -> Request:
    names = names_of_volumes(params["volumes"])
    snapshot, volume = params["snapshot"], params["source_volume"]
    if volume in names:
        raise invalid("source_volume", "another volume than those that are to be made", volume)
    source = Source(SNAPSHOT, snapshot) if snapshot else Source(VOLUME, volume) if volume else None
    if source and params["state"] == "absent":
        raise invalid("snapshot" if snapshot else "source_volume", "nothing with state: absent", source.name)
    size_bytes = None if params["size"] is None else rules.size_in_bytes(params["size"])
    return Request(names, size_bytes, source)


def _to_be_present(backend: Backend, request: Request) -> tuple[list[Decision[Volume]], Failures]:
    if request.source:
        rules.require_capability(backend.capabilities, "clone", backend.name)
    inventory = backend.inventory()
    rounded = None if request.size_bytes is None else backend.rounded(request.size_bytes)
    room = batches.Room(backend)

    def decide(name: str) -> Decision[Volume]:
        before = inventory.volumes.get(name)
        if before and not (before.deleting and (rounded or request.source)):
            after = _kept(backend, inventory, before, rounded, request.source)
            if after.size_bytes > before.size_bytes:
                rules.require_capability(backend.capabilities, "grow", backend.name)
                backend.check_growth(before)
                room.take(VOLUME, name, after.size_bytes - before.size_bytes)
        else:
            rules.require_free_name(inventory, VOLUME, name)
            backend.check_name(name, "volumes")
            after = _planned(backend, inventory, name, rounded, request.source)
            room.take(VOLUME, name, _bytes_of(backend, inventory, after))
        return Decision(name, before, after)

    return batches.decide_each(request.volumes, decide)


def _kept(
    backend: Backend, inventory: Inventory, before: Volume, size_bytes: Optional[int], source: Optional[Source]
) -> Volume:
    """A volume that exists, as it is to be."""
    if source:
        rules.require_source(before, source)
    if source and before.unfinished:
        # It may have grown since the copy was begun.
        size_bytes = rules.size_of_copy(rules.find_original(inventory, source, backend.name), size_bytes)
        size_bytes = max(size_bytes, before.size_bytes)
    else:
        rules.require_finished(before)
    after = rules.resized(before, before.size_bytes if size_bytes is None else size_bytes)
    return replace(after, unfinished=False, growing=False)


def _planned(
    backend: Backend, inventory: Inventory, name: str, size_bytes: Optional[int], source: Optional[Source]
) -> Volume:
    """A volume that does not exist yet, as it is to be."""
    if source:
        original = rules.find_original(inventory, source, backend.name)
        if isinstance(original, Volume):
            backend.check_copying(original)
        size_bytes = rules.size_of_copy(original, size_bytes)
    elif size_bytes is None:
        raise invalid("size", f"a size such as 10GiB, because there is no volume {name} yet")
    return Volume(name, id="", size_bytes=size_bytes, backend=backend.name, source=source)


def _bytes_of(backend: Backend, inventory: Inventory, planned: Volume) -> int:
    """What a planned volume takes of the room."""
    if not planned.source:
        return planned.size_bytes
    return backend.copy_bytes(planned.size_bytes, rules.find_original(inventory, planned.source, backend.name))


def _to_be_absent(backend: Backend, names: list[str]) -> tuple[list[Decision[Volume]], Failures]:
    inventory = backend.inventory()

    def decide(name: str) -> Decision[Volume]:
        before = inventory.volumes.get(name)
        rules.refuse_other_kind(inventory, VOLUME, name)
        if before:
            rules.require_unheld(before)
            rules.require_no_snapshots(before, inventory)
            rules.require_no_copies(before, inventory)
            rules.require_unused(before, backend.users(before))
            rules.cut_nobody_off(before, before, backend.sessions(before), fenced=False)
        return Decision(name, before, None)

    return batches.decide_each(names, decide)


def _make(backend: Backend, decision: Decision[Volume], source: Optional[Source]) -> None:
    before, after = decision.before, decision.after
    if after is None:
        raise ValueError(f"{decision.name} is to go")
    if before and (after.size_bytes > before.size_bytes or before.growing):
        backend.grow(before, after.size_bytes)
    elif not before and source:
        original = rules.find_original(backend.inventory(), source, backend.name)
        backend.create_from(after.name, after.size_bytes, original)
    elif not before:
        backend.create(after.name, after.size_bytes)


def _completed(
    opened: Callable[[], Backend], decisions: list[Decision[Volume]], failures: Failures
) -> list[Decision[Volume]]:
    """The decisions with the volumes as they are now, after the data of those that were only begun has been copied."""
    begun = opened().inventory().volumes
    for decision in decisions:
        volume = begun.get(decision.name)
        if volume and volume.unfinished and decision.name not in failures:
            try:
                _complete(opened, volume)
            except StorageError as error:
                failures[volume.name] = error
    found = opened().inventory().volumes
    return [replace(decision, after=found.get(decision.name)) for decision in decisions]


def _complete(opened: Callable[[], Backend], volume: Volume) -> None:
    patience = Deadline(batches.STEP_SECONDS)
    with batches.one_alone(volume, f"copying {volume.source} to {volume.name}", patience):
        backend = opened()
        inventory = backend.inventory()
        # Another call may have completed it, or deleted it, while this one waited for it.
        present = inventory.volumes.get(volume.name)
        if present and present.id == volume.id and present.unfinished and present.source:
            rules.refuse_deleting(present)
            original = rules.find_original(inventory, present.source, backend.name)
            backend.complete(present, original, lambda: batches.locked(backend, [volume.name]))
