# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What volume_connection_info does: every volume of the backends, who holds it, and what is wrong with that. It changes nothing."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.brickwork.storage.plugins.module_utils.controller import rules
from ansible_collections.brickwork.storage.plugins.module_utils.controller.backend import Backend, Volume
from ansible_collections.brickwork.storage.plugins.module_utils.controller.registry import open_backends
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.names import names_of_volumes
from ansible_collections.brickwork.storage.plugins.module_utils.results import Outcome, batch_result
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline

# A backend that says nothing for so long is told to be unreachable.
BACKEND_SECONDS = 60
# A volume that another call is just changing cannot be read for a moment.
CHANGE_SECONDS = 3
CHANGE_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Seen:
    """A volume as it was found.

    Args:
        volume: what is on record of it.
        export: how it is exported, without secrets; None where it is not.
        wanted_export: how its holders need it.
        sessions: the initiators that use it, each with the addresses it comes from.
    """

    volume: Volume
    export: Optional[dict[str, Any]]
    wanted_export: Optional[dict[str, Any]]
    sessions: Mapping[str, list[str]]


def info(params: dict[str, Any], _check_mode: bool) -> dict[str, Any]:
    """Look at the backends of a controller.

    Args:
        params: of C(volume_connection_info).

    Returns:
        C(volumes), C(strangers), and for what could not be read C(errors); see results.batch_result.
    """
    backends = open_backends(params["config"], params["backend"], BACKEND_SECONDS)
    names = None if params["volumes"] is None else names_of_volumes(params["volumes"])
    known: dict[str, list[Outcome]] = {}
    strangers: list[dict[str, str]] = []
    failed: list[Outcome] = []
    there: set[str] = set()
    for name, backend in backends.items():
        try:
            if isinstance(backend, StorageError):
                raise backend
            backend = backend.until(Deadline(BACKEND_SECONDS))
            inventory = backend.inventory()
        except StorageError as error:
            failed.append(Outcome(name, error=_of_backend(error, name)))
            continue
        there.update(inventory.volumes)
        for volume in inventory.volumes.values():
            if names is None or volume.name in names:
                known.setdefault(volume.name, []).append(_outcome(backend, volume))
        strangers += [
            {"name": stranger, "backend": name, "msg": sentence}
            for stranger, sentence in inventory.strangers.items()
            if names is None or stranger in names
        ]
    asked = sorted(known) if names is None else names
    told = {stranger["name"] for stranger in strangers}
    outcomes = [
        outcome
        for name in asked
        for outcome in known.get(name) or ([] if name in told or failed else [_unknown(name, backends, there)])
    ]
    result = batch_result("volumes", [*outcomes, *failed])
    return {**result, "strangers": sorted(strangers, key=lambda stranger: (stranger["name"], stranger["backend"]))}


def problems(seen: Seen) -> list[str]:
    """What is wrong with who holds a volume, each in a sentence that says what to do."""
    volume, found = seen.volume, []
    holders = {name for holder in volume.holders for name in holder.names}
    if volume.deleting:
        found.append("Its deletion has begun and did not end: delete it to the end (volume, state absent).")
    if volume.unfinished:
        found.append(
            f"The data of {volume.source} is not whole in it: wait for that, repeat the call that made it, or delete it."
        )
    if volume.holders and seen.export != seen.wanted_export:
        found.append(
            f"Its export is not what {', '.join(volume.hosts)} need: repeat volume_connection for each, or release them."
        )
    if seen.export is not None and not volume.holders:
        found.append(
            "It is exported, and no host holds it: repeat the release (volume_connection, state absent, all_hosts)."
        )
    for initiator, addresses in sorted(seen.sessions.items()):
        if initiator not in holders:
            found.append(
                f"{initiator} uses it from {', '.join(addresses)}, and does not hold it: detach it there, or end that session."
            )
    return found


def _outcome(backend: Backend, volume: Volume) -> Outcome:
    patience = Deadline(CHANGE_SECONDS)
    while True:
        try:
            wanted = backend.wanted_export(volume) if volume.holders else None
            seen = Seen(volume, backend.export(volume), wanted, backend.sessions(volume))
            return Outcome(volume.name, result=_shape(seen))
        except StorageError as error:
            if error.code != "aborted" or patience.passed:
                return Outcome(volume.name, error=_of_backend(error, backend.name))
        time.sleep(CHANGE_POLL_SECONDS)


def _shape(seen: Seen) -> dict[str, Any]:
    volume = seen.volume
    return {
        **volume.as_dict(),
        "shared": volume.shared,
        "deleting": volume.deleting,
        "holders": [
            {
                "host": holder.host,
                "initiator": holder.initiator,
                "multipath": holder.multipath,
                "sessions": sorted(address for name in holder.names for address in seen.sessions.get(name, [])),
            }
            for holder in volume.holders
        ],
        "export": seen.export,
        "problems": problems(seen),
    }


def _of_backend(error: StorageError, backend: str) -> StorageError:
    return StorageError(error.code, error.message, **{**error.facts, "backend": backend})


def _unknown(name: str, backends: Iterable[str], there: Iterable[str]) -> Outcome:
    candidates = rules.near(name, there)
    hint = f" Did you mean {' or '.join(candidates)}?" if candidates else ""
    message = f"No volume {name} in {', '.join(backends)}.{hint}"
    return Outcome(name, error=StorageError("not_found", message, candidates=candidates))
