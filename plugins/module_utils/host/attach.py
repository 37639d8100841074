# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Step 3, C(state=present): read what was asked for, plan, connect, verify, record."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Optional

from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.host import attachment, encryption, processes
from ansible_collections.brickwork.storage.plugins.module_utils.host.connection import Connection, parse_batch, recorded
from ansible_collections.brickwork.storage.plugins.module_utils.host.found import Found
from ansible_collections.brickwork.storage.plugins.module_utils.host.identity import own_names
from ansible_collections.brickwork.storage.plugins.module_utils.host.plan import (
    AttachPlan,
    Wanted,
    check_can_persist,
    describe,
    describe_planned,
    missing_portals,
    plan_attach,
    portals_at_boot,
    record_of,
)
from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols.export import Export
from ansible_collections.brickwork.storage.plugins.module_utils.host.records import LOCK, Record, Records
from ansible_collections.brickwork.storage.plugins.module_utils.host.sysfs import Sysfs
from ansible_collections.brickwork.storage.plugins.module_utils.results import Outcome, batch_result
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline, exclusive

# What acts on the host is most of the code, so that it is imported where it is used: most runs find nothing to do.
if TYPE_CHECKING:
    from ansible_collections.brickwork.storage.plugins.module_utils.host.attempt import Attempt

# A failed attach must clean up even where its own time is over.
CLEAN_UP_SECONDS = 60.0


@dataclass
class _Job:
    """One volume of the batch on its way through the call."""

    name: str
    wanted: Optional[Wanted] = None
    record: Optional[Record] = None
    found: Found = field(default_factory=Found)
    link: Optional[str] = None
    takes_map: bool = False
    joins_paths: bool = False
    plan: Optional[AttachPlan] = None
    lacks: tuple[str, ...] = ()
    before: dict[str, Any] = field(default_factory=dict)
    changed: bool = False
    error: Optional[StorageError] = None
    warnings: list[str] = field(default_factory=list)

    @property
    def needed(self) -> bool:
        return self.error is None and self.plan is not None and (self.plan.needed or bool(self.lacks))

    @property
    def opened_as(self) -> Optional[str]:
        """The device-mapper name of the opened volume; None where it is not to be encrypted."""
        return encryption.name_of(self.wanted.connection.volume.id) if self.wanted and self.wanted.encryption else None


def present(params: dict[str, Any], check_mode: bool, view: Sysfs, records: Records) -> dict[str, Any]:
    """Attach a batch of volumes.

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
    jobs = []
    given, names = params["connections"], partial(own_names, view)
    for name, parsed in parse_batch(given, host, names, to_attach=True, predicted_allowed=check_mode):
        if isinstance(parsed, StorageError):
            jobs.append(_Job(name, error=parsed))
        else:
            jobs.append(_asked_for(name, parsed, params))
    _survey(jobs, params["enforce_multipath"], view, records)
    if not check_mode and any(job.needed for job in jobs):
        from ansible_collections.brickwork.storage.plugins.module_utils.host import cryptsetup
        from ansible_collections.brickwork.storage.plugins.module_utils.host.engines.registry import require

        require(job.wanted.export for job in jobs if job.wanted and job.needed)
        if any(job.opened_as for job in jobs if job.needed):
            cryptsetup.require()
        with exclusive(LOCK, "volume_attach", deadline):
            _survey(jobs, params["enforce_multipath"], view, records)  # another call may have changed it
            _attach([job for job in jobs if job.needed], view, records, deadline)
    return batch_result("attachments", [_outcome(job, host, view) for job in jobs])


def _asked_for(name: str, connection: Connection, params: dict[str, Any]) -> _Job:
    try:
        encrypted = encryption.asked_for(params["encryption"], connection.volume.name)
    except StorageError as error:
        return _Job(name, error=error)
    if encrypted and connection.export.is_file:
        unable = f"A volume by {connection.protocol} is a file, and only block devices are encrypted here. Leave encryption out."
        return _Job(name, error=StorageError("unimplemented", unable, field="encryption"))
    multipath = params["multipath"] and connection.export.several_paths
    return _Job(name, Wanted(connection, multipath, params["min_paths"], params["persistent"], encrypted))


def _survey(jobs: list[_Job], enforce_multipath: bool, view: Sysfs, records: Records) -> None:
    """Find each volume on the host, and plan what it lacks."""
    now = view.glance()
    known = {record.volume["id"]: record for record in records.all()}
    multipathd_runs: Optional[bool] = None
    for job in jobs:
        if job.wanted is None:
            continue
        volume = job.wanted.connection.volume
        job.record = known.get(volume.id)
        wwn = volume.wwn or (job.record.wwn if job.record else None)
        export = job.wanted.export.knowing(job.record.attach_info if job.record else {})
        known_here = export.portals and (job.record or not export.record_decides)
        job.found = export.find(now, wwn) if known_here else Found()
        job.link = attachment.stable_link(view, export, job.found)
        job.before = _description(job, view)
        job.takes_map = job.wanted.multipath and job.wanted.export.takes_map(view)
        if job.takes_map and job.found.multipath_map is None and multipathd_runs is None:
            multipathd_runs = "multipathd" in processes.names(view)
        job.plan, job.lacks, job.error = None, (), None
        try:
            if enforce_multipath and job.takes_map and multipathd_runs is False:
                raise StorageError(
                    "failed_precondition",
                    "multipathd does not run on this host. Start it, or do not ask for enforce_multipath.",
                    field="enforce_multipath",
                )
            if job.record and job.record.attached and export.portals:
                _check_leaves_nothing(export, job.record, job.found, now, wwn)
            map_possible = job.takes_map and multipathd_runs is not False
            plan = plan_attach(job.wanted, job.record, job.found, map_possible, job.link is not None)
            if job.wanted.persistent:
                kept = record_of(job.wanted, job.record, job.found, list(known.values())).kept_portals
                check_can_persist(job.found, plan.login, kept)
            job.plan = plan
            job.lacks = encryption.lacks(job.wanted.encryption, volume.id, job.record, job.found, view)
            by_kernel = job.wanted.paths_expected > 1 and job.wanted.export.joins_paths(view)
            job.joins_paths = job.plan.multipath_map or by_kernel
        except StorageError as error:
            job.error = error


def _check_leaves_nothing(export: Export, record: Record, found: Found, view: Sysfs, wwn: Optional[str]) -> None:
    """Refuse a connection by which devices of the attachment would be found no more: they would stay, and nobody would know.

    Raises:
        StorageError: C(already_exists), naming the portals that only the record knows.
    """
    before = recorded(record.connection).export.knowing(record.attach_info)
    if set(before.portals) == set(export.portals):
        return
    there, seen = before.find(view, wwn), {path.device for path in found.paths}
    left = [path.portal for path in there.paths if path.device not in seen or there.file != found.file]
    if left:
        raise StorageError(
            "already_exists",
            f"It is attached by portals that this connection does not name ({', '.join(left)}). Detach it first, by its name.",
            field="connection_info",
            portals=left,
        )


def _attach(jobs: list[_Job], view: Sysfs, records: Records, deadline: Deadline) -> None:
    from ansible_collections.brickwork.storage.plugins.module_utils.host import cryptsetup
    from ansible_collections.brickwork.storage.plugins.module_utils.host.attempt import Attempt
    from ansible_collections.brickwork.storage.plugins.module_utils.host.connecting import connect

    attempts = []
    others = records.all()
    attaching = {job.wanted.connection.volume.id for job in jobs if job.wanted}
    at_boot = portals_at_boot(other for other in others if other.volume["id"] not in attaching)
    for job in jobs:
        if job.wanted and job.plan:
            record = record_of(job.wanted, job.record, job.found, others)
            # Before anything else: whoever comes after a kill must know what was begun.
            records.write(record)
            attempts.append((job, Attempt(job.wanted, job.plan, record, at_boot, found=job.found, link=job.link)))
    connect([attempt for _job, attempt in attempts if attempt.plan.needed], view, deadline)
    cryptsetup.open_volumes([attempt for _job, attempt in attempts], view, records, deadline)
    for job, attempt in attempts:
        if attempt.error:
            continue
        job.changed, job.found, job.link = True, attempt.found, attempt.link
        job.record = replace(
            attempt.record,
            attached=True,
            persistent=attempt.wanted.persistent,
            wwn=attempt.found.wwid,
            attach_info=attempt.record.attach_info or attempt.attach_info or attempt.export.attach_info(attempt.found),
        )
        records.write(job.record)
    failed = [(job, attempt) for job, attempt in attempts if attempt.error]
    if failed:
        _undo(failed, view, records)


def _undo(failed: list[tuple[_Job, Attempt]], view: Sysfs, records: Records) -> None:
    """Take away what failed attempts had added, and nothing else."""
    from ansible_collections.brickwork.storage.plugins.module_utils.host.detach import removal_of
    from ansible_collections.brickwork.storage.plugins.module_utils.host.releasing import release

    removals = []
    leaving = {attempt.wanted.connection.volume.id for _job, attempt in failed}
    staying = [record for record in records.all() if record.volume["id"] not in leaving] if failed else []
    for job, attempt in failed:
        removal = removal_of(attempt.wanted.connection, attempt.record, staying)
        removal.attach_info = removal.attach_info or attempt.attach_info
        if attempt.error and attempt.error.code != "data_loss" and attempt.record.attached:
            # Somebody may use it by now through what has come: that belongs to the attachment that was there.
            removal = replace(removal, portals=())
        elif job.found.node or _is_of_others(attempt, staying):
            removal = replace(removal, portals=tuple(attempt.tried), partly=True)
        elif attempt.export.record_decides:
            removal = replace(removal, portals=tuple(attempt.tried), force=True)
        else:
            # This attempt brought it, also where it turned out to be another volume; nobody has written to it.
            removal = replace(removal, wwn=attempt.found.wwid or removal.wwn, force=True)
        removals.append(removal)
    release([removal for removal in removals if removal.portals], view, Deadline(CLEAN_UP_SECONDS))
    for (job, attempt), removal in zip(failed, removals):
        job.error = attempt.error
        job.warnings += removal.warnings
        if removal.error:
            job.warnings.append(
                f"{job.name}: not all could be taken away ({removal.error.message}); it is recorded, detach it by its name."
            )
        elif attempt.record.attached and not removal.portals:
            continue  # recorded as it is by now, with what has come
        elif job.record:
            records.write(replace(job.record, formatting=removal.formatting))
        else:
            records.remove(attempt.wanted.connection.volume.id)


def _is_of_others(attempt: Attempt, staying: list[Record]) -> bool:
    """Whether what came by an attempt's portals has joined a device that was there before it, of another volume."""
    return bool(attempt.found.others or attempt.found.wwids & {record.wwn for record in staying})


def _outcome(job: _Job, host: str, view: Sysfs) -> Outcome:
    if job.error or job.wanted is None or job.plan is None:
        return Outcome(job.name, error=job.error, warnings=job.warnings)
    volume = job.wanted.connection.volume
    if job.needed and not job.changed:  # check mode
        result = attachment.predicted(job.wanted.connection, host, job.plan.multipath_map, job.joins_paths)
        after = describe_planned(job.wanted, job.joins_paths)
        if job.opened_as:
            result = attachment.opened(result, job.opened_as, None)
            after["encrypted"] = result["path"]
        return Outcome(job.name, result, True, job.before, after)
    if job.takes_map and job.found.multipath_map is None:
        job.warnings.append(f"{job.name}: multipathd does not run on this host, so the volume has no multipath map.")
    info = job.record.attach_info if job.record else {}
    missing = missing_portals(job.wanted, job.found)
    result = attachment.attached(volume.as_dict(), host, job.found, job.link, info, missing)
    if job.opened_as:
        result = attachment.opened(result, job.opened_as, encryption.opened_as(view, job.opened_as))
    return Outcome(job.name, result, job.changed, job.before, _description(job, view), warnings=job.warnings)


def _description(job: _Job, view: Sysfs) -> dict[str, Any]:
    """What C(--diff) shows of a volume."""
    opened = encryption.describe_opened(encryption.opened_as(view, job.opened_as)) if job.opened_as else {}
    return {**describe(job.found), **opened}
