# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be done on the host: wanted and found go in, a plan comes out. Nothing here touches the host."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Optional

from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError, invalid
from ansible_collections.brickwork.storage.plugins.module_utils.host.connection import Connection, Volume, recorded
from ansible_collections.brickwork.storage.plugins.module_utils.host.encryption import Encryption
from ansible_collections.brickwork.storage.plugins.module_utils.host.found import Found
from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols.export import Export, Portal
from ansible_collections.brickwork.storage.plugins.module_utils.host.records import Record


@dataclass(frozen=True)
class Wanted:
    """An attachment as asked for."""

    connection: Connection
    multipath: bool
    min_paths: int
    persistent: bool
    encryption: Optional[Encryption] = None

    @property
    def export(self) -> Export:
        return self.connection.export

    @property
    def portals(self) -> tuple[Portal, ...]:
        """The portals to log in to; without multipath they are tried in this order until one works."""
        return self.export.portals

    @property
    def paths_needed(self) -> int:
        return self.min_paths if self.multipath else 1

    @property
    def paths_expected(self) -> int:
        if not self.multipath:
            return 1
        # How many an export will have that does not exist yet, only its maker knows.
        return len(self.portals) or max(self.min_paths, 1)


@dataclass(frozen=True)
class AttachPlan:
    """What an attachment lacks.

    Args:
        reasons: in words, for people; empty when there is nothing to do.
        login: portals without a session that are to be tried.
        multipath_map: whether the volume is to stand under a map.
    """

    reasons: tuple[str, ...]
    login: tuple[Portal, ...]
    multipath_map: bool

    @property
    def needed(self) -> bool:
        return bool(self.reasons)


def plan_attach(wanted: Wanted, record: Optional[Record], found: Found, map_possible: bool, linked: bool) -> AttachPlan:
    """Decide what an attachment needs.

    Args:
        wanted: as asked for.
        record: of an earlier attach of the same volume.
        found: on the host.
        map_possible: whether multipathd runs and makes maps of such volumes.
        linked: whether the stable link points to the device found.

    Raises:
        StorageError: C(invalid_argument) where there can never be so many paths, C(unimplemented) for what the protocol cannot,
            C(already_exists) where the volume is attached in another way, C(data_loss) where what is found is
            another volume.
    """
    if not 1 <= wanted.min_paths <= wanted.paths_expected:
        expected = f"a number from 1 to {wanted.paths_expected}, the portals that are logged in to"
        if not wanted.export.several_paths:
            expected = f"1: a volume by {wanted.connection.protocol} has one path"
        raise invalid("min_paths", expected, wanted.min_paths)
    if wanted.persistent and not wanted.export.can_persist:
        raise StorageError(
            "unimplemented",
            f"A volume by {wanted.connection.protocol} cannot be made to come back when the host boots. Attach it again after a boot, "
            "or leave persistent out.",
            field="persistent",
        )
    _check_same_request(wanted, record, found)
    check_identity(wanted.connection.volume, record, found)
    with_map = wanted.multipath and map_possible
    reasons = []
    running = len(found.running_paths)
    if running < wanted.paths_needed:
        reasons.append(f"{running} of {wanted.paths_needed} paths" if found.paths else "not attached")
    elif record is None:
        reasons.append("attached, but not by this collection")
    elif not record.attached:
        reasons.append("an earlier attach was interrupted")
    if found.paths:
        if with_map and found.multipath_map is None:
            reasons.append("no multipath map")
        elif not linked:
            reasons.append("no stable link")
        if is_too_small(wanted.connection.volume, found):
            reasons.append(f"{found.size_bytes} of {wanted.connection.volume.size_bytes} bytes")
    if record and record.attached and record.persistent != wanted.persistent:
        reasons.append("persistent" if wanted.persistent else "not persistent")
    return AttachPlan(tuple(reasons), _portals_to_try(wanted, found), with_map)


def check_identity(volume: Volume, record: Optional[Record], found: Found) -> None:
    """Refuse a device that is not the volume.

    Raises:
        StorageError: C(data_loss), saying what was expected and found.
    """
    expected = volume.wwn or (record.wwn if record else None)
    every_path = [*found.paths, *found.others]
    wwids = found.wwids | {path.wwid for path in found.others if path.wwid}
    others = sorted(wwids - {expected}) if expected else sorted(wwids)[1:]
    if others:
        devices = [path.device for path in every_path if path.wwid in others] or [str(found.device)]
        raise StorageError(
            "data_loss",
            f"The device found ({', '.join(devices)}) has the WWN {others[0]}, not the volume's "
            f"{expected or found.wwid}: it is another volume, or a device left from an earlier one. "
            "Nothing was written to it. Find out what it is before you remove it.",
            expected=expected,
            found=others,
        )


def is_too_small(volume: Volume, found: Found) -> bool:
    """Whether the device is smaller than the volume; a larger one has grown."""
    return bool(volume.size_bytes and found.size_bytes is not None and found.size_bytes < volume.size_bytes)


def missing_portals(wanted: Wanted, found: Found) -> list[str]:
    """The portals by which no running path came, of those that one is expected of."""
    if not wanted.multipath:
        return []
    running = {path.portal for path in found.running_paths}
    return [address for address in wanted.export.addresses if address not in running]


def too_few_paths(wanted: Wanted, found: Found, failures: dict[str, str], refused: bool) -> StorageError:
    """The failure of an attach that did not get its paths.

    Args:
        wanted: as asked for.
        found: at the end.
        failures: why not, by the portal's address.
        refused: whether a target refused the login.
    """
    dead = {path.portal: f"its path is {path.state}" for path in found.paths if path not in found.running_paths}
    failures = {**dead, **failures}
    running = len(found.running_paths)
    logged_in = any(session.works for session in found.sessions)
    why = "; ".join(f"{address}: {reason}" for address, reason in sorted(failures.items())) or "no device appeared"
    message = f"{running} of at least {wanted.paths_needed} paths came up ({why}). "
    if refused:
        code, advice = (
            "permission_denied",
            "Connect the volume again, so that host and target agree on the host's name and CHAP secret.",
        )
    elif running == 0 and not logged_in and set(failures) >= set(wanted.export.addresses):
        code, advice = "unavailable", "Check the storage networks and the controller."
    else:
        code, advice = "deadline_exceeded", "Check these portals, or ask for fewer paths with min_paths."
    return StorageError(code, message + advice, portals=sorted(failures))


def describe(found: Found) -> dict[str, Any]:
    """What C(--diff) shows of a volume on the host."""
    return {
        "sessions": sorted(f"{session.portal} {session.target}" for session in found.sessions),
        "paths": sorted(f"{path.portal} {path.state}" for path in found.paths),
        "multipath": found.joins_paths,
        "size_bytes": found.size_bytes,
    }


def describe_planned(wanted: Wanted, joins_paths: bool) -> dict[str, Any]:
    """The same, for what an attach would bring.

    Args:
        wanted: as asked for.
        joins_paths: whether one device would stand for all the paths.
    """
    portals = wanted.portals if wanted.multipath else wanted.portals[:1]
    return {
        "sessions": sorted(f"{portal.address} {portal.target}" for portal in portals if wanted.export.has_sessions),
        "paths": sorted(f"{portal.address} running" for portal in portals),
        "multipath": joins_paths,
        "size_bytes": wanted.connection.volume.size_bytes,
    }


def _check_same_request(wanted: Wanted, record: Optional[Record], found: Found) -> None:
    if record is None or not (record.attached and found.anything):
        return
    differing = []
    if record.multipath != wanted.multipath:
        differing.append(f"multipath is {str(record.multipath).lower()}")
    recorded, asked = wanted.export.names(record.connection.get("connector")), wanted.connection.names
    if recorded and asked and recorded.isdisjoint(asked):
        differing.append(f"the target knows this host as {', '.join(sorted(recorded))}")
    if differing:
        raise StorageError(
            "already_exists",
            f"It is attached, but {' and '.join(differing)}. Detach it first, or ask for what is there.",
            field="multipath" if record.multipath != wanted.multipath else f"connector.{wanted.export.known_by}",
        )


def _portals_to_try(wanted: Wanted, found: Found) -> tuple[Portal, ...]:
    if not wanted.export.has_sessions:
        if not wanted.multipath and found.running_paths:
            return ()
        with_path = {path.portal for path in found.paths}
        return tuple(portal for portal in wanted.portals if portal.address not in with_path)
    connected = {(session.portal, session.target) for session in found.sessions}
    missing = tuple(portal for portal in wanted.portals if (portal.address, portal.target) not in connected)
    if not wanted.multipath and any(session.works for session in found.sessions):
        return ()
    return missing


def check_can_persist(found: Found, login: Iterable[Portal], kept: Iterable[str]) -> None:
    """Refuse to have an attachment come back at boot by nothing but sessions that are somebody else's.

    Args:
        found: on the host.
        login: the portals that are to be logged in to.
        kept: the portals whose sessions are somebody else's.

    Raises:
        StorageError: C(failed_precondition), naming the portals.
    """
    by = {session.portal for session in found.sessions} | {portal.address for portal in login}
    if by and by <= set(kept):
        raise StorageError(
            "failed_precondition",
            f"Its sessions by {', '.join(sorted(by))} were there before it was attached and are somebody else's, so they are not made "
            "to come back when the host boots. Have whoever made them see to that and leave persistent out, or end them first.",
            field="persistent",
            portals=sorted(by),
        )


def portals_at_boot(records: Iterable[Record]) -> frozenset[tuple[str, str]]:
    """Address and target of the portals by which attachments come back when the host boots."""
    return frozenset(
        (portal.address, portal.target)
        for record in records
        if record.attached and record.persistent
        for portal in recorded(record.connection).export.portals
        if portal.address not in record.kept_portals
    )


def record_of(wanted: Wanted, record: Optional[Record], found: Found, others: list[Record]) -> Record:
    """What is written down before an attach begins.

    An attachment that is there stays recorded as such: an interrupted repair does not make it less. Sessions that were there
    before the first attach are somebody else's, except those that the other records tell of.
    """
    connection = wanted.connection.without_secrets()
    if record and record.attached and found.node:
        return replace(record, connection=connection)
    if record:
        # One that has ended since, by a reboot, was somebody else's; what comes by that portal now is ours.
        kept = sorted(set(record.kept_portals) & {session.portal for session in found.sessions})
    else:
        ours = {
            (portal.address, portal.target)
            for other in others
            for portal in recorded(other.connection).export.portals
            if portal.address not in other.kept_portals
        }
        kept = sorted({session.portal for session in found.sessions if (session.portal, session.target) not in ours})
    return Record(
        connection,
        wanted.multipath,
        wanted.persistent,
        kept_portals=kept,
        wwn=record.wwn if record else None,
        encrypted=wanted.encryption is not None,
        formatting=record.formatting if record else None,
        header_bytes=record.header_bytes if record else None,
    )
