# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module volume_snapshot does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Optional

from ansible_collections.brickwork.storage.plugins.module_utils.controller import batches, rules
from ansible_collections.brickwork.storage.plugins.module_utils.controller.backend import (
    SNAPSHOT,
    Backend,
    Failures,
    Inventory,
    Snapshot,
)
from ansible_collections.brickwork.storage.plugins.module_utils.controller.batches import Decision
from ansible_collections.brickwork.storage.plugins.module_utils.controller.registry import open_backend
from ansible_collections.brickwork.storage.plugins.module_utils.errors import invalid
from ansible_collections.brickwork.storage.plugins.module_utils.names import names_of
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline


def work(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Create or delete snapshots.

    Returns:
        C(snapshots), one for each that did not fail; see results.batch_result.
    """
    names = names_of("snapshots", params["snapshots"])
    volume: Optional[str] = params["volume"]
    present = params["state"] == "present"
    if present and not volume:
        raise invalid("volume", "the name of the volume that the snapshots are of", volume)

    def opened() -> Backend:
        return open_backend(params["config"], params["backend"], Deadline(batches.STEP_SECONDS))

    def decide(backend: Backend) -> tuple[list[Decision[Snapshot]], Failures]:
        return _to_be_present(backend, names, volume or "") if present else _to_be_absent(backend, names, volume)

    def make(backend: Backend, decision: Decision[Snapshot]) -> None:
        backend.create_snapshot(decision.name, rules.find(backend.inventory(), volume or "", backend.name))

    decisions, failures, backend = batches.carry_out(opened, names, decide, make if present else None, check_mode)
    if present and not check_mode and any(decision.changes for decision in decisions):
        found = opened().inventory().snapshots
        decisions = [replace(decision, after=found.get(decision.name)) for decision in decisions]

    def nothing(name: str) -> dict[str, Any]:
        return {
            "name": name,
            "id": None,
            "volume": volume,
            "volume_id": None,
            "size_bytes": None,
            "backend": backend.name,
        }

    return batches.result(SNAPSHOT, names, decisions, failures, nothing)


def _to_be_present(backend: Backend, names: list[str], volume: str) -> tuple[list[Decision[Snapshot]], Failures]:
    rules.require_capability(backend.capabilities, "snapshot", backend.name)
    inventory = backend.inventory()
    room = batches.Room(backend)

    def decide(name: str) -> Decision[Snapshot]:
        before = inventory.snapshots.get(name)
        if before is None or before.deleting:
            return Decision(name, before, _planned(backend, inventory, name, volume, room))
        rules.require_snapshot_of(before, volume)
        return Decision(name, before, before)

    return batches.decide_each(names, decide)


def _planned(backend: Backend, inventory: Inventory, name: str, volume: str, room: batches.Room) -> Snapshot:
    """A snapshot that does not exist yet, as it is to be."""
    rules.require_free_name(inventory, SNAPSHOT, name)
    backend.check_name(name, "snapshots")
    origin = rules.find(inventory, volume, backend.name)
    rules.refuse_deleting(origin)
    rules.require_finished(origin)
    backend.check_copying(origin)
    room.take(SNAPSHOT, name, backend.snapshot_bytes(origin))
    return Snapshot(name, "", origin.name, origin.id, origin.size_bytes, backend.name)


def _to_be_absent(
    backend: Backend, names: list[str], volume: Optional[str]
) -> tuple[list[Decision[Snapshot]], Failures]:
    inventory = backend.inventory()

    def decide(name: str) -> Decision[Snapshot]:
        before = inventory.snapshots.get(name)
        rules.refuse_other_kind(inventory, SNAPSHOT, name)
        if before:
            rules.require_snapshot_of(before, volume or before.volume)
            if before.volume in inventory.volumes:
                backend.check_copying(inventory.volumes[before.volume])
            rules.require_no_copies(before, inventory)
            rules.require_unused(before, backend.users(before))
        return Decision(name, before, None)

    return batches.decide_each(names, decide)
