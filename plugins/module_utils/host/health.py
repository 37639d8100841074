# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether an attachment is as it should be. Pure: what was found and what was expected go in, sentences come out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.brickwork.storage.plugins.module_utils.host.found import Found
from ansible_collections.brickwork.storage.plugins.module_utils.host.stack import Layer

OK, DEGRADED, FAILED = "ok", "degraded", "failed"
SEVERITY = (OK, DEGRADED, FAILED)
# What ext4 and others say of a file system that takes no writes any more.
TAKES_NO_WRITES = frozenset({"ro", "emergency_ro", "shutdown"})


@dataclass(frozen=True)
class Expected:
    """What the record of an attachment promises.

    Args:
        attached: false where the attach was interrupted.
        multipath: whether it was attached over all its portals.
        map_possible: whether multipathd makes maps of such volumes on this host.
        missing_paths: the portals by which no working path came.
        wwn: of the volume, where it is known.
        size_bytes: of the volume when it was attached, where it is known.
        read_only: whether it was connected for reading alone.
        opened_as: the device-mapper name of the LUKS volume that was opened on it; None where it was attached as it is.
    """

    attached: bool = True
    multipath: bool = False
    map_possible: bool = False
    missing_paths: tuple[str, ...] = ()
    wwn: Optional[str] = None
    size_bytes: Optional[int] = None
    read_only: bool = False
    opened_as: Optional[str] = None


@dataclass(frozen=True)
class Actual:
    """What is there of a volume.

    Args:
        found: its paths and what is over them.
        layers: what stands on it.
        read_only: the kernel names of those of its devices that refuse writes.
        linked: whether the path that stays the same leads to it.
    """

    found: Found
    layers: tuple[Layer, ...] = ()
    read_only: tuple[str, ...] = ()
    linked: bool = True


# A severity and a sentence.
Problem = tuple[str, str]


def judge(actual: Actual, expected: Optional[Expected]) -> dict[str, Any]:
    """The health of a volume.

    Args:
        actual: what is there.
        expected: what should be; None for a volume that this collection has not attached.

    Returns:
        C(state): C(failed) where data cannot be read and written, or may be another volume's, C(degraded) where it works but not as it
        should, else C(ok). C(problems): a sentence each.
    """
    problems = list(_problems(actual, expected))
    state = max((severity for severity, _sentence in problems), key=SEVERITY.index, default=OK)
    return {"state": state, "problems": [sentence for _severity, sentence in problems]}


def _problems(actual: Actual, expected: Optional[Expected]) -> Iterator[Problem]:
    found = actual.found
    if expected and not expected.attached:
        yield (
            DEGRADED if found.node else FAILED,
            "The attach of it was interrupted. Attach it again, or detach it.",
        )
    if found.node is None:
        if expected is None or expected.attached:
            yield FAILED, "It was attached, and there is no device of it now. Attach it again, or detach it for good."
        return
    yield from _identity(found, expected)
    yield from _paths(found, expected)
    yield from _map(found, expected)
    yield from _size(found, expected)
    yield from _writable(actual, expected)
    yield from _stack(actual)
    opened = {layer.name for layer in actual.layers if layer.kind == "luks"}
    if expected and expected.attached and expected.opened_as and expected.opened_as not in opened:
        yield (
            FAILED,
            "It was attached with encryption, and its LUKS volume is not open. Attach it again with its passphrase.",
        )
    if not actual.linked:
        yield (
            DEGRADED,
            f"The path that stays the same across reboots does not lead to {found.node}. "
            "Ask udev to look at it again: udevadm trigger.",
        )


def _identity(found: Found, expected: Optional[Expected]) -> Iterator[Problem]:
    right = (expected and expected.wwn) or (found.multipath_map or found.namespace or found).wwid
    for path in (*found.paths, *found.others):
        if path.wwid and path.wwid != right:
            yield (
                FAILED,
                f"/dev/{path.device} has the WWN {path.wwid}, not the volume's {right}: it is another volume, or a device left "
                "from an earlier LUN. Write nothing to it, and find out what it is.",
            )
    over = found.multipath_map or found.namespace
    if over and over.wwid and over.wwid != right:
        yield (
            FAILED,
            f"/dev/{over.name} is over the volume's paths and has the WWN {over.wwid}, not the volume's {right}. "
            "Write nothing to it, and find out what it is.",
        )


def _paths(found: Found, expected: Optional[Expected]) -> Iterator[Problem]:
    running = found.running_paths
    ways = set() if found.file else {path.portal for path in found.paths if path.state != "running"}
    missing = [portal for portal in (expected.missing_paths if expected else ()) if portal not in ways]
    total = len(found.paths) + len(missing)
    severity = DEGRADED if running else FAILED
    if not found.paths:
        yield FAILED, f"{found.node} has lost all its paths: nothing can be read from it or written to it."
    elif not running:
        yield FAILED, f"None of its {total} paths works." if total > 1 else "Its only path does not work."
    elif len(running) < total:
        yield DEGRADED, f"{len(running)} of {total} paths work."
    for path in found.paths:
        if path.state != "running":
            name = found.file or f"/dev/{path.device}"
            by = f" by {path.portal}" if path.portal else ""
            yield severity, f"{name}{by} does not work ({path.state}). Check that portal and the network to it."
    sessions = {session.portal: session for session in found.sessions}
    for portal in missing:
        if portal in sessions and sessions[portal].works:
            yield severity, f"{portal} is logged in to, but no LUN of the volume came by it."
        else:
            yield severity, f"No path came by {portal}. Check it, then attach the volume again."
    for session in found.sessions:
        if not session.works and session.portal not in ways and session.portal not in missing:
            yield (
                severity,
                f"The session by {session.portal} is {session.state}. Check that portal and the network to it.",
            )


def _map(found: Found, expected: Optional[Expected]) -> Iterator[Problem]:
    over = found.multipath_map
    if over is None:
        names = ", ".join(f"/dev/{path.device}" for path in found.paths)
        if found.namespace or found.file:
            return
        if len(found.paths) > 1:
            yield (
                DEGRADED,
                f"{names} are the same volume without a multipath map over them: each fails alone, and writing by both destroys data. "
                "See that multipathd runs.",
            )
        elif expected and expected.multipath and expected.map_possible:
            yield (
                DEGRADED,
                f"There is no multipath map over {names}. See that multipathd runs, then attach the volume again.",
            )
        return
    for path in found.paths:
        if not path.in_map:
            yield (
                DEGRADED,
                f"/dev/{path.device} is a path of the volume and not in the map {over.alias}. See what multipathd says.",
            )
    if expected and found.others:
        yield (
            DEGRADED,
            f"The map {over.alias} also has paths that came by no portal of the connection. See what they are.",
        )


def _size(found: Found, expected: Optional[Expected]) -> Iterator[Problem]:
    over = found.multipath_map or found.namespace
    # What a path that is dead says of its size is old, or nothing.
    sizes = {found.file or f"/dev/{path.device}": path.size_bytes for path in found.running_paths}
    if over:
        sizes[f"/dev/{over.name}"] = over.size_bytes
    if not sizes:
        return
    if 0 in sizes.values():
        names = ", ".join(name for name, size in sorted(sizes.items()) if size == 0)
        yield FAILED, f"{names} has no size: there is nothing behind it any more."
    elif len(set(sizes.values())) > 1:
        told = ", ".join(f"{name} has {size}" for name, size in sorted(sizes.items()))
        yield (
            DEGRADED,
            f"Its devices differ in size, in bytes: {told}. Attach the volume again, to bring all to its size.",
        )
    smallest = min(sizes.values())
    if expected and expected.size_bytes and 0 < smallest < expected.size_bytes:
        yield (
            FAILED,
            f"It has {smallest} bytes, less than the {expected.size_bytes} it was attached with. "
            "Write nothing to it, and find out whether it is the volume.",
        )


def _writable(actual: Actual, expected: Optional[Expected]) -> Iterator[Problem]:
    if expected and expected.read_only:
        return
    for name in actual.read_only:
        yield (
            DEGRADED,
            f"/dev/{name} is read-only: writes to it fail. See whether the storage system has protected the volume.",
        )


def _stack(actual: Actual) -> Iterator[Problem]:
    over = actual.found.multipath_map
    for layer in actual.layers:
        if layer.suspended:
            yield DEGRADED, f"{layer.device} is suspended: what is written to it waits. Resume it with dmsetup resume."
        if layer.kind == "path" and over:
            yield (
                DEGRADED,
                f"{layer.device} is used by itself beside the map {over.alias}: it fails with this one path, and writing by both "
                "destroys data. Use the map.",
            )
        for point in sorted(
            {mount.point for mount in layer.mounts if "rw" in mount.options and mount.super_options & TAKES_NO_WRITES}
        ):
            yield (
                FAILED,
                f"The file system at {point} was mounted for writing and takes no writes any more, as after an error. "
                "See the kernel's log, unmount it and check it.",
            )
