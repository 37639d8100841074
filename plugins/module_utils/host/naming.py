# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Giving a host names of its own: the work of host_identity."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any, Optional

from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError, invalid
from ansible_collections.brickwork.storage.plugins.module_utils.host.connection import recorded
from ansible_collections.brickwork.storage.plugins.module_utils.host.name_files import NameFiles
from ansible_collections.brickwork.storage.plugins.module_utils.host.nvme_sysfs import controllers_by_any_transport
from ansible_collections.brickwork.storage.plugins.module_utils.host.records import LOCK, Records
from ansible_collections.brickwork.storage.plugins.module_utils.host.sysfs import Sysfs
from ansible_collections.brickwork.storage.plugins.module_utils.host.unique_names import (
    KINDS,
    LABELS,
    Given,
    Names,
    Plan,
    check_initiator_name,
    plan,
)
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import exclusive_if_free


@dataclass(frozen=True)
class _Look:
    """The host as it is, and what is to become of it."""

    found: Names
    given: Optional[Given]
    plan: Plan
    users: dict[str, list[str]]
    machine: str

    @property
    def to_record(self) -> Given:
        return Given(self.machine, self.plan.names)

    @property
    def changes(self) -> bool:
        return bool(self.plan.changed) or self.given != self.to_record


def give(params: dict[str, Any], check_mode: bool, view: Sysfs, records: Records) -> dict[str, Any]:
    """See that this host has names of its own.

    Args:
        params: of the module.
        check_mode: whether to predict only.
        view: the host.
        records: of its attachments.

    Returns:
        The module's result.

    Raises:
        StorageError: C(invalid_argument), or C(failed_precondition) where a name would change that is in use.
    """
    initiator_name = params["initiator_name"]
    if initiator_name is not None:
        check_initiator_name(initiator_name)
        if "initiator" in params["renew"]:
            raise invalid("renew", "no initiator beside an initiator_name", "initiator")
    files = NameFiles(view)
    look = _look(files, view, records, initiator_name, params["renew"])
    if look.changes and not check_mode:
        with exclusive_if_free(LOCK, "giving this host names") as free:
            if not free:
                raise StorageError(
                    "aborted",
                    "Volumes are being attached to this host or detached from it; repeat this when that has ended.",
                )
            look = _look(files, view, records, initiator_name, params["renew"])
            files.write(look.plan.names)
            # Last: a call that was killed before leaves names that differ from the recorded ones, and so are kept.
            files.record(look.to_record)
    return {**_result(look, check_mode), "explicit": initiator_name is not None, "boot": files.boot()}


def _look(
    files: NameFiles, view: Sysfs, records: Records, initiator_name: Optional[str], renew: Collection[str]
) -> _Look:
    found, given, machine = files.found(), files.given(), files.machine()
    look = _Look(found, given, plan(found, given, machine, initiator_name, renew), users(view, records), machine)
    for kind in look.plan.changed:
        # One that the host has not can be in nobody's way.
        if found.of(kind) and look.users[kind]:
            raise StorageError("failed_precondition", _in_use(kind, look), users=look.users[kind])
    return look


def _in_use(kind: str, look: _Look) -> str:
    because = ", which is that of another machine," if kind in look.plan.copied else ""
    return (
        f"The {LABELS[kind]} of this host, {look.found.of(kind)}{because} cannot change while it is in use: by "
        f"{', '.join(look.users[kind])}. Detach the volumes, end what else there is, and repeat this."
    )


def users(view: Sysfs, records: Records) -> dict[str, list[str]]:
    """What uses each of the host's names, for a person: sessions, controllers, and attachments that are recorded."""
    found: dict[str, list[str]] = {kind: [] for kind in KINDS}
    for session in view.sessions():
        found["initiator"].append(f"the iSCSI session to {session.target} at {session.portal}")
    for controller in controllers_by_any_transport(view):
        found["nqn"].append(f"the NVMe controller of {controller.session.target} at {controller.session.portal}")
    for record in records.all():
        known_by = recorded(record.connection).export.known_by
        if known_by in found:
            found[known_by].append(f"the attachment of {record.volume['name']}")
    return {**found, "hostid": found["nqn"]}


def _result(look: _Look, check_mode: bool) -> dict[str, Any]:
    names = asdict(look.plan.names)
    if check_mode:
        # What is made up now is not what a run will make.
        names.update(dict.fromkeys(look.plan.invented))
    result = {
        "changed": look.changes,
        "changed_names": list(look.plan.changed),
        "names": names,
        "users": look.users,
        "warnings": _warnings(look.plan, look.found),
    }
    if look.changes:
        result["diff"] = {
            "before": {**asdict(look.found), "recorded": look.given == Given(look.machine, look.found)},
            "after": {**names, "recorded": True},
        }
    return result


def _warnings(planned: Plan, found: Names) -> list[str]:
    return [
        f"The {LABELS[kind]} {found.of(kind)} was given to another machine, of which this one is a copy, so this one gets another. "
        "A storage system that knows this host by the old name has to be told the new one."
        for kind in planned.copied
    ]
