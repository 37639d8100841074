# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Step 3, C(state=absent): find what is attached, refuse what is in use, release, verify, forget."""

from __future__ import annotations

import socket
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Optional

from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.host import attachment
from ansible_collections.brickwork.storage.plugins.module_utils.host.connection import Connection, parse_batch, recorded
from ansible_collections.brickwork.storage.plugins.module_utils.host.encryption import (
    Opened,
    describe_opened,
    name_of,
    opened_as,
)
from ansible_collections.brickwork.storage.plugins.module_utils.host.engines.registry import require
from ansible_collections.brickwork.storage.plugins.module_utils.host.found import Found
from ansible_collections.brickwork.storage.plugins.module_utils.host.identity import own_names
from ansible_collections.brickwork.storage.plugins.module_utils.host.nvme_sysfs import controllers
from ansible_collections.brickwork.storage.plugins.module_utils.host.plan import describe
from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols.export import BrickExport, Export
from ansible_collections.brickwork.storage.plugins.module_utils.host.records import LOCK, Record, Records, by_name
from ansible_collections.brickwork.storage.plugins.module_utils.host.releasing import release
from ansible_collections.brickwork.storage.plugins.module_utils.host.removal import Removal, refusals
from ansible_collections.brickwork.storage.plugins.module_utils.host.sysfs import Session, Sysfs
from ansible_collections.brickwork.storage.plugins.module_utils.host.usage import users
from ansible_collections.brickwork.storage.plugins.module_utils.names import names_of_volumes
from ansible_collections.brickwork.storage.plugins.module_utils.results import Outcome, batch_result
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline, exclusive


@dataclass
class _Job:
    """One volume of the batch; without a removal there is nothing of it on this host.

    The host is called what it was called when it attached the volume: that is the name to release it under.
    """

    name: str
    volume: dict[str, Any]
    host: str
    removal: Optional[Removal] = None
    opened: Optional[Opened] = None
    error: Optional[StorageError] = None


def absent(params: dict[str, Any], check_mode: bool, view: Sysfs, records: Records) -> dict[str, Any]:
    """Detach a batch of volumes.

    Args:
        params: of C(volume_attach).
        check_mode: whether to predict only.
        view: the host.
        records: of its attachments.

    Returns:
        The module's result.
    """
    deadline = Deadline(params["timeout"])
    host = socket.gethostname()
    if check_mode:
        jobs = _survey(params, view, records, host)
        _predict(jobs, view)
        return _result(jobs)
    # An attach that is under way would otherwise bring what this call has just told to be gone.
    with exclusive(LOCK, "volume_attach", deadline):
        jobs = _survey(params, view, records, host)
        removals = [removal for _job, removal in _removing(jobs)]
        if removals:
            require(removal.export for removal in removals)
            release(removals, view, deadline)
        for job, removal in _removing(jobs):
            job.error = removal.error
            if not job.error:
                records.remove(job.volume["id"])
    return _result(jobs)


def removal_of(connection: Connection, record: Optional[Record], others: list[Record], force: bool = False) -> Removal:
    """What is to be taken away for a volume.

    Args:
        connection: of the volume; what its record tells beyond that leaves, too.
        record: of its attachment; None where somebody else attached it.
        others: the records of the attachments that stay.
        force: go on where data can no longer be saved.
    """
    needed = {
        (portal.address, portal.target) for other in others for portal in recorded(other.connection).export.portals
    }
    export = _united(connection.export, record) if record else connection.export
    return Removal(
        connection.volume.name,
        export,
        connection.volume.wwn or (record.wwn if record else None),
        export.portals,
        frozenset(record.kept_portals if record else ()),
        frozenset(needed),
        record.multipath if record else False,
        record.attach_info if record else {},
        force,
        name_of(connection.volume.id),
        record.formatting if record else None,
        volume_id=connection.volume.id,
    )


def _united(given: Export, record: Record) -> Export:
    """All by which a volume may have come, whatever of it a connection names: else it would stay by the rest, unknown to anybody."""
    attached = recorded(record.connection).export
    if isinstance(given, BrickExport):
        return given  # which has the secrets that os-brick may want
    known = {(portal.address, portal.target) for portal in attached.portals}
    further = [portal for portal in given.portals if (portal.address, portal.target) not in known]
    same = isinstance(given, type(attached))
    return replace(attached, portals=(*attached.portals, *further)) if same and attached.several_paths else attached


def _predict(jobs: list[_Job], view: Sysfs) -> None:
    """What would stop the detach of each volume, with what there is of it."""
    now, removing = view.glance(), _removing(jobs)
    for _job, removal in removing:
        removal.found = removal.find(now)
    errors = refusals(now, [(removal, removal.found) for _job, removal in removing])
    for (job, _removal), error in zip(removing, errors):
        job.error = error


def _is_there(removal: Removal, found: Found, now: Sysfs) -> bool:
    """Whether there is anything to take away of a volume that this host has no record of."""
    ending = [session for session in found.sessions if removal.ends(session)]
    if removal.export.comes_with_session and not ending:
        # Others need the sessions; all that could be done is to refuse what is in use.
        return bool(users(now, found))
    return bool(found.paths or found.own_map) or any(not _brings_something(session, now) for session in ending)


def _brings_something(session: Session, now: Sysfs) -> bool:
    if session.scsi_host is None:
        return any(controller.session == session and controller.paths for controller in now.once(controllers))
    return bool(now.disks(session))


def _survey(params: dict[str, Any], view: Sysfs, records: Records, host: str) -> list[_Job]:
    recorded = records.all()
    asked = _asked_for(params, view, recorded, host)
    leaving = {parsed.volume.id for _name, parsed in asked if isinstance(parsed, Connection)}
    staying = [record for record in recorded if record.volume["id"] not in leaving]
    now = view.glance()
    jobs = []
    for name, parsed in asked:
        if not isinstance(parsed, Connection):
            unknown = {"name": name, "id": None, "size_bytes": None, "backend": params["backend"], "wwn": None}
            jobs.append(_Job(name, unknown, host, error=parsed))
            continue
        record = next((record for record in recorded if record.volume["id"] == parsed.volume.id), None)
        removal = removal_of(parsed, record, staying, params["force"])
        # What there is of one with a record is looked at when it is decided about.
        there = record is not None or (not parsed.export.record_decides and _is_there(removal, removal.find(now), now))
        opened = opened_as(now, name_of(parsed.volume.id))
        recorded_host = str(record.connection["host"]) if record else host
        needed = removal if there or opened else None
        jobs.append(_Job(name, parsed.volume.as_dict(), recorded_host, needed, opened))
    return jobs


def _asked_for(
    params: dict[str, Any], view: Sysfs, known: list[Record], host: str
) -> list[tuple[str, Connection | StorageError | None]]:
    """The volumes by name, each with its connection, None where this host has no record of it, or why it cannot be told."""
    if params["connections"] is not None:
        given, names = params["connections"], partial(own_names, view)
        return list(parse_batch(given, host, names, to_attach=False, predicted_allowed=True))
    asked: list[tuple[str, Connection | StorageError | None]] = []
    for name in names_of_volumes(params["volumes"]):
        try:
            record = by_name(known, name, params["backend"])
            # Who asked by an id wants to read the name.
            asked.append((str(record.volume["name"]), recorded(record.connection)) if record else (name, None))
        except StorageError as error:
            asked.append((name, error))
    return asked


def _removing(jobs: list[_Job]) -> list[tuple[_Job, Removal]]:
    return [(job, job.removal) for job in jobs if job.removal and not job.error]


def _result(jobs: list[_Job]) -> dict[str, Any]:
    return batch_result("attachments", [_outcome(job) for job in jobs])


def _outcome(job: _Job) -> Outcome:
    result = attachment.not_attached(job.volume, job.host)
    removal = job.removal
    if job.error or removal is None:
        return Outcome(job.name, result, error=job.error, warnings=removal.warnings if removal else [])
    before, gone = describe(removal.found), describe(Found())
    if job.opened:
        before.update(describe_opened(job.opened))
        gone.update(describe_opened(None))
    return Outcome(job.name, result, True, before, gone, warnings=removal.warnings)
