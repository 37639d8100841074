# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What volume_connection does: read, decide, act, read again."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.brickwork.storage.plugins.module_utils.controller import rules
from ansible_collections.brickwork.storage.plugins.module_utils.controller.backend import (
    Backend,
    Failures,
    Holder,
    Volume,
)
from ansible_collections.brickwork.storage.plugins.module_utils.controller.registry import open_backend
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError, invalid
from ansible_collections.brickwork.storage.plugins.module_utils.names import names_of_volumes
from ansible_collections.brickwork.storage.plugins.module_utils.results import Outcome, batch_result
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import (
    Deadline,
    exclusive,
    exclusive_if_free,
)

# A host that has just logged out is through with the volume, but the target takes a moment to drop the session.
LOGOUT_SECONDS = 3
LOGOUT_POLL_SECONDS = 0.2
# For the work of a call that got its turn in time, however long it waited for that.
TURN_SECONDS = 30
# To verify what was done, though the time of the call is up: without that nobody would know what was connected.
VERIFY_SECONDS = 30


@dataclass(frozen=True)
class Request:
    """What is asked for.

    Args:
        present: whether the connections are to exist.
        volumes: names.
        connector: of the host, as given; None where only its name is.
        host: to connect or to release; None for every host.
        shared: whether other hosts may hold the volumes too.
        fenced: whether somebody vouches that the hosts to release are dead.
    """

    present: bool
    volumes: list[str]
    connector: Optional[dict[str, Any]]
    host: Optional[str]
    shared: bool
    fenced: bool

    @property
    def purpose(self) -> str:
        """What a call that waits for this one is told."""
        return f"{'connecting to' if self.present else 'releasing'} {self.host or 'every host'}"


@dataclass(frozen=True)
class Decision:
    """What is to become of one volume.

    Args:
        before: as it is.
        after: as it is to be.
        export: at present, without secrets.
        wanted_export: as it is to be.
    """

    before: Volume
    after: Volume
    export: Optional[dict[str, Any]]
    wanted_export: Optional[dict[str, Any]]

    @property
    def changes(self) -> bool:
        return self.before != self.after or self.export != self.wanted_export


def work(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Connect volumes to a host, or release them.

    Returns:
        C(connections), one for each volume that did not fail; see results.batch_result. With C(state=present) also
        C(newly_connected), the names of those that the host did not hold before: what a play may release again when it fails.
    """
    request = _request(params)
    deadline = Deadline(params["timeout"])
    backend = open_backend(params["config"], params["backend"], deadline)
    result = None if check_mode else _at_once(backend, request, deadline)
    return result or _in_turn(backend, request, deadline, check_mode)


def _at_once(backend: Backend, request: Request, deadline: Deadline) -> Optional[dict[str, Any]]:
    """Decide once, under the lock, where nobody holds that; None where anything has to be waited for."""
    if not backend.is_prepared:
        return None
    with exclusive_if_free(backend.lock_name, request.purpose) as free:
        if not free:
            return None
        decisions, failures = _decide(backend, request)
        if _is_in_use(failures):
            return None
        return _carry_out(backend, request, decisions, failures, deadline)


def _in_turn(backend: Backend, request: Request, deadline: Deadline, check_mode: bool) -> dict[str, Any]:
    """Decide without the lock, which is waited for only where something has to change."""
    decisions, failures = _decide_after_logout(backend, request, deadline.within(LOGOUT_SECONDS))
    if check_mode or not any(decision.changes for decision in decisions):
        result = _result(backend, request, decisions, failures, predicted=check_mode)
        # What another call was just changing is looked at again under the lock.
        if check_mode or not any(error["error_code"] == "aborted" for error in result.get("errors", [])):
            return result
    backend.prepare()
    with exclusive(backend.lock_name, request.purpose, deadline):
        working = backend.until(Deadline(max(min(TURN_SECONDS, deadline.seconds), deadline.remaining())))
        return _carry_out(working, request, *_decide(working, request), deadline)


def _carry_out(
    backend: Backend, request: Request, decisions: list[Decision], failures: Failures, deadline: Deadline
) -> dict[str, Any]:
    """Do what was decided under the lock, and verify it."""
    changes = [decision for decision in decisions if decision.changes]
    failures = {**failures, **_act(backend, request, changes)}
    verifying = backend.until(Deadline(max(VERIFY_SECONDS, deadline.remaining())))
    failures.update(_verify(verifying, [decision for decision in changes if decision.before.name not in failures]))
    return _result(verifying, request, decisions, failures, predicted=False)


def _request(params: dict[str, Any]) -> Request:
    present = params["state"] == "present"
    connector, host = params["connector"], params["host"]
    named = None if connector is None else rules.connector_host(connector)
    if params["timeout"] < 1:
        raise invalid("timeout", "a number of seconds above zero", params["timeout"])
    if host is not None and not rules.HOST.fullmatch(host):
        raise invalid("host", rules.HOST_FORM, host)
    if host and named and host != named:
        raise invalid("host", f"{named}, as in connector.host, or nothing", host)
    if present and params["all_hosts"]:
        raise invalid("all_hosts", "nothing, or state: absent with it", True)
    if not params["all_hosts"] and not (host or named):
        raise invalid("host", "the host to release (or its connector, or all_hosts)")
    return Request(
        present=present,
        volumes=names_of_volumes(params["volumes"]),
        connector=connector,
        host=None if params["all_hosts"] else host or named,
        shared=params["shared"],
        fenced=params["fenced"],
    )


def _decide_after_logout(backend: Backend, request: Request, patience: Deadline) -> tuple[list[Decision], Failures]:
    while True:
        decisions, failures = _decide(backend, request)
        if patience.passed or not _is_in_use(failures):
            return decisions, failures
        time.sleep(LOGOUT_POLL_SECONDS)


def _is_in_use(failures: Failures) -> bool:
    """Whether a volume was refused for the sessions that there are of it, which a host may just be ending."""
    return any("initiators" in error.facts for error in failures.values())


def _decide(backend: Backend, request: Request) -> tuple[list[Decision], Failures]:
    """What is to become of every volume, and why that is refused for some; this changes nothing."""
    holder = backend.holder(request.connector or {}) if request.present else None
    if request.shared:
        rules.require_capability(backend.capabilities, "share", backend.name)
    inventory = backend.inventory()
    decisions, failures = [], {}
    for name in request.volumes:
        try:
            before = rules.find(inventory, name, backend.name)
            after = (
                rules.connected(before, holder, request.shared, inventory.volumes.values())
                if holder
                else rules.released(before, request.host)
            )
            wanted = backend.wanted_export(after) if holder else backend.reduced_export(after)
            decision = Decision(before, after, backend.export(before), wanted)
            if holder and decision.export is None:
                rules.require_unused(before, backend.users(before))
            if decision.changes:
                rules.cut_nobody_off(before, after, backend.sessions(before), request.fenced)
            decisions.append(decision)
        except StorageError as error:
            failures[name] = error
    return decisions, failures


def _act(backend: Backend, request: Request, decisions: list[Decision]) -> Failures:
    changes = [(decision.before, decision.after) for decision in decisions]
    if not changes:
        return {}
    try:
        return backend.connect(changes) if request.present else backend.disconnect(changes)
    except StorageError as error:
        return {decision.before.name: error for decision in decisions}


def _verify(backend: Backend, decisions: list[Decision]) -> Failures:
    """Read again what was changed, and report what did not come out as decided."""
    decided = {decision.after.name: decision.after for decision in decisions}
    try:
        found = decided if backend.commits_records or not decisions else backend.inventory().volumes
    except StorageError as error:
        return dict.fromkeys(decided, error)
    failures = {}
    for decision in decisions:
        name = decision.after.name
        if name not in found:
            failures[name] = StorageError("aborted", f"Volume {name} was deleted meanwhile; repeat the call.")
            continue
        try:
            record, export = found[name], backend.export(decision.after)
        except StorageError as error:
            failures[name] = error
            continue
        if (record, export) != (decision.after, decision.wanted_export):
            failures[name] = StorageError(
                "internal",
                f"Volume {name} did not become what it was to be: its record is {record}, not {decision.after}; its export is "
                f"{export}, not {decision.wanted_export}.",
            )
    return failures


def _result(
    backend: Backend, request: Request, decisions: list[Decision], failures: Failures, predicted: bool
) -> dict[str, Any]:
    decided = {decision.before.name: decision for decision in decisions}
    outcomes = [
        Outcome(name, error=failures[name])
        if name in failures
        else _outcome(backend, request, decided[name], predicted)
        for name in request.volumes
    ]
    result = batch_result("connections", outcomes)
    if request.present:
        result["newly_connected"] = [
            decision.before.name
            for decision in decisions
            if decision.before.name not in failures and decision.before.holder(request.host or "") is None
        ]
    return result


def _outcome(backend: Backend, request: Request, decision: Decision, predicted: bool) -> Outcome:
    try:
        connection = _connection(backend, request, decision, predicted)
    except StorageError as error:
        return Outcome(decision.before.name, changed=decision.changes and not predicted, error=error)
    return Outcome(
        decision.before.name,
        result=connection,
        changed=decision.changes,
        before=_state(decision.before, decision.export),
        after=_state(decision.after, decision.wanted_export),
    )


def _connection(backend: Backend, request: Request, decision: Decision, predicted: bool) -> dict[str, Any]:
    """A connection as the module returns it; a predicted one that does not exist yet has no secret."""
    holder: Optional[Holder] = decision.after.holder(request.host or "") if request.present else None
    exists = not predicted or (holder in decision.before.holders and decision.export == decision.wanted_export)
    released = [host for host in decision.before.hosts if decision.after.holder(host) is None]
    connection: dict[str, Any] = {
        "volume": decision.after.as_dict(),
        "host": request.host,
        "connector": request.connector,
        "connection_info": backend.connection_info(decision.after, holder) if holder else None,
        "connected": holder is not None and exists,
    }
    return connection if request.present else {**connection, "released": released}


def _state(volume: Volume, export: Optional[dict[str, Any]]) -> dict[str, Any]:
    """What a diff shows."""
    holders = {holder.host: {"initiator": holder.initiator, "multipath": holder.multipath} for holder in volume.holders}
    return {"holders": holders, "shared": volume.shared, "export": export}
