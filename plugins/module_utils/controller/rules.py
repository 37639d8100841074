# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The contract of the controller's side, for every backend: who may hold a volume, and what a repeat or a conflict gets.

Modelled on ControllerPublishVolume and ControllerUnpublishVolume of the CSI specification. Every function here is pure: it
takes what was read, and gives what is to be, or raises the failure.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Optional

from ansible.module_utils.parsing.convert_bool import boolean

from ansible_collections.brickwork.storage.plugins.module_utils.controller.backend import (
    SNAPSHOT,
    VOLUME,
    Holder,
    Inventory,
    Item,
    Snapshot,
    Source,
    Volume,
)
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError, invalid

# What a host may be called, in any backend's records.
HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,252}")
HOST_FORM = "the host's name, of letters, digits and _ . -"
UNITS = {"KiB": 1024, "MiB": 1024**2, "GiB": 1024**3, "TiB": 1024**4, "PiB": 1024**5}


def near(name: str, names: Iterable[str]) -> list[str]:
    """The names that I(name) may have been meant to be."""
    return difflib.get_close_matches(name, list(names), n=3)


def find(inventory: Inventory, name: str, backend: str) -> Volume:
    """The volume of this name."""
    if name in inventory.volumes:
        return inventory.volumes[name]
    refuse_other_kind(inventory, VOLUME, name)
    raise _not_found(VOLUME, name, inventory.volumes, backend)


def find_snapshot(inventory: Inventory, name: str, backend: str) -> Snapshot:
    """The snapshot of this name."""
    if name in inventory.snapshots:
        return inventory.snapshots[name]
    refuse_other_kind(inventory, SNAPSHOT, name)
    raise _not_found(SNAPSHOT, name, inventory.snapshots, backend)


def refuse_other_kind(inventory: Inventory, kind: str, name: str) -> None:
    """Refuse to look for a volume or a snapshot under the name of something else."""
    sentence = _other_kind(inventory, kind, name)
    if sentence:
        raise StorageError("not_found", sentence)


def require_free_name(inventory: Inventory, kind: str, name: str) -> None:
    """Refuse to make a volume or a snapshot under the name of something else."""
    sentence = _other_kind(inventory, kind, name)
    if sentence:
        raise StorageError("already_exists", sentence)


def _other_kind(inventory: Inventory, kind: str, name: str) -> str:
    if kind != SNAPSHOT and name in inventory.snapshots:
        return f"{name} is a snapshot, of volume {inventory.snapshots[name].volume}, and no volume; names are unique in a backend."
    if kind != VOLUME and name in inventory.volumes:
        return f"{name} is a volume, and no snapshot; names are unique in a backend."
    return inventory.strangers.get(name, "")


def _not_found(kind: str, name: str, names: Iterable[str], backend: str) -> StorageError:
    candidates = near(name, names)
    hint = f" Did you mean {' or '.join(candidates)}?" if candidates else ""
    return StorageError("not_found", f"Backend {backend} has no {kind} {name}.{hint}", candidates=candidates)


def connected(volume: Volume, holder: Holder, shared: bool, volumes: Iterable[Volume]) -> Volume:
    """The volume as it is to be once I(holder) holds it.

    Args:
        volume: as it is.
        holder: the host to connect.
        shared: whether other hosts may hold it too.
        volumes: every volume of the backend, because a host's name and what it connects as belong to one host in all of them.
    """
    refuse_deleting(volume)
    require_finished(volume)
    present = volume.holder(holder.host)
    for other in volumes:
        _refuse_two_hosts_with_one_identity(holder, other)
        # What it holds already it may go on using, and release.
        if not present:
            _refuse_two_hosts_with_one_name(holder, other)
    if present:
        _refuse_difference(volume, present, holder)
    others = [host for host in volume.hosts if host != holder.host]
    if others and not shared:
        raise StorageError("failed_precondition", _held_message(volume, present is not None, others), holders=others)
    holders = volume.holders if present else (*volume.holders, holder)
    return replace(volume, holders=tuple(sorted(holders, key=lambda one: one.host)), shared=shared)


def released(volume: Volume, host: Optional[str]) -> Volume:
    """The volume as it is to be once I(host), or with None every host, has released it."""
    holders = tuple(holder for holder in volume.holders if host is not None and holder.host != host)
    return replace(volume, holders=holders, shared=volume.shared and bool(holders))


def cut_nobody_off(before: Volume, after: Volume, sessions: Mapping[str, list[str]], fenced: bool) -> None:
    """Refuse a change that would take the volume away from a host that uses it.

    Args:
        before: the volume as it is.
        after: as it is to be.
        sessions: the initiators that use it at this moment, with their addresses.
        fenced: whether somebody vouches that those hosts are dead.
    """
    staying = {name for holder in after.holders for name in holder.names}
    live = sorted(initiator for initiator in sessions if initiator not in staying)
    if not live or fenced:
        return
    hosts = {name: holder.host for holder in before.holders for name in holder.names}
    described = ", ".join(" ".join([hosts.get(name, name), "from", *sessions[name]]) for name in live)
    raise StorageError(
        "failed_precondition",
        f"Volume {before.name} is still in use: there is a live session of {described}. Detach it on the host first, "
        "or say fenced if that host is certainly dead.",
        holders=[hosts[name] for name in live if name in hosts],
        initiators=live,
    )


def connector_host(connector: Mapping[str, Any]) -> str:
    """The host's name in a connector."""
    host = connector.get("host")
    if not isinstance(host, str) or not HOST.fullmatch(host):
        raise invalid("connector.host", HOST_FORM, host)
    return host


def connector_multipath(connector: Mapping[str, Any]) -> bool:
    """Whether the host of a connector uses multipath; templates make strings of booleans."""
    try:
        return bool(boolean(connector.get("multipath") or False))
    except TypeError:
        raise invalid("connector.multipath", "true or false", connector.get("multipath")) from None


def size_in_bytes(text: str) -> int:
    """A size such as C(10GiB), or a number of bytes."""
    matched = re.fullmatch(r"([1-9][0-9]*) ?([KMGTP]iB)?", text.strip())
    if not matched:
        raise invalid("size", f"bytes, or a whole number of {', '.join(UNITS)}, such as 10GiB", text)
    number, unit = matched.groups()
    return int(number) * UNITS.get(unit, 1)


def resized(volume: Volume, size_bytes: int) -> Volume:
    """The volume as it is to be with I(size_bytes), which the backend has rounded."""
    refuse_deleting(volume)
    if size_bytes < volume.size_bytes:
        raise StorageError(
            "invalid_argument",
            f"size is {size_bytes} bytes, but volume {volume.name} has {volume.size_bytes}; a volume can only grow.",
            field="size",
        )
    return replace(volume, size_bytes=size_bytes)


def require_room(kind: str, name: str, wanted_bytes: int, free_bytes: int, backend: str) -> None:
    """Refuse what does not fit into the backend."""
    if wanted_bytes > free_bytes:
        raise StorageError(
            "resource_exhausted",
            f"Backend {backend} has {free_bytes} bytes free, and {kind} {name} needs {wanted_bytes} more.",
            free_bytes=free_bytes,
            wanted_bytes=wanted_bytes,
        )


def require_unheld(volume: Volume) -> None:
    """Refuse to delete what a host holds."""
    if volume.holders:
        raise StorageError(
            "failed_precondition",
            f"Volume {volume.name} is connected to {', '.join(volume.hosts)}; detach and disconnect it there before deleting it.",
            holders=volume.hosts,
        )


def require_unused(item: Item, users: list[str]) -> None:
    """Refuse to delete, or to give to a host, what the controller itself uses."""
    if users:
        raise StorageError(
            "failed_precondition",
            f"{_kind(item).capitalize()} {item.name} is in use on the controller itself, by {', '.join(users)}; end that first.",
            users=users,
        )


def refuse_deleting(item: Item) -> None:
    """Refuse to use what is going."""
    if item.deleting:
        raise StorageError(
            "failed_precondition",
            f"The deletion of {_kind(item)} {item.name} has begun, and its data is no longer whole. Delete it to the end "
            "(state: absent), then create it anew.",
        )


def require_finished(volume: Volume) -> None:
    """Refuse to use a volume whose data is not whole yet."""
    if volume.unfinished:
        raise StorageError(
            "failed_precondition",
            f"Volume {volume.name} does not have all the data of {volume.source} yet: either it is being copied, or that was cut "
            "short. Repeat the call that made it, or delete it (state: absent).",
        )


def require_capability(capabilities: Iterable[str], wanted: str, backend: str) -> None:
    """Refuse what a backend cannot do, by the words of C(volume_backend_info)."""
    if wanted not in capabilities:
        raise StorageError("unimplemented", f"Backend {backend} cannot {wanted} volumes.", backend=backend)


def find_original(inventory: Inventory, source: Source, backend: str) -> Item:
    """What a volume is to be made from."""
    find_it = find_snapshot if source.kind == SNAPSHOT else find
    original: Item = find_it(inventory, source.name, backend)
    refuse_deleting(original)
    if isinstance(original, Volume):
        require_finished(original)
    return original


def size_of_copy(original: Item, size_bytes: Optional[int]) -> int:
    """The size of a volume that is made from another one or a snapshot, I(size_bytes) being what is asked for."""
    if size_bytes is None:
        return original.size_bytes
    if size_bytes < original.size_bytes:
        raise StorageError(
            "invalid_argument",
            f"size is {size_bytes} bytes, but {_kind(original)} {original.name} has {original.size_bytes}; give at least that, or "
            "leave it out.",
            field="size",
        )
    return size_bytes


def require_source(volume: Volume, source: Source) -> None:
    """Refuse to take a volume for what was made from something else."""
    if volume.source != source:
        made = f"made from {volume.source}" if volume.source else "not made from anything"
        raise StorageError(
            "already_exists",
            f"Volume {volume.name} exists, and is {made}; {source} was asked for. Choose another name.",
        )


def require_snapshot_of(snapshot: Snapshot, volume: str) -> None:
    """Refuse to take a snapshot for one of another volume."""
    if snapshot.volume != volume:
        raise StorageError(
            "already_exists",
            f"Snapshot {snapshot.name} exists, and is of volume {snapshot.volume}, not of {volume}. Choose another name.",
        )


def require_no_snapshots(volume: Volume, inventory: Inventory) -> None:
    """Refuse to delete what has snapshots."""
    snapshots = sorted(one.name for one in inventory.snapshots.values() if one.volume_id == volume.id)
    if snapshots:
        raise StorageError(
            "failed_precondition",
            f"Volume {volume.name} has snapshots: {', '.join(snapshots)}. Delete them first.",
            snapshots=snapshots,
        )


def require_no_copies(item: Item, inventory: Inventory) -> None:
    """Refuse to delete what is being copied."""
    source = Source(_kind(item), item.name)
    copies = sorted(one.name for one in inventory.volumes.values() if one.unfinished and one.source == source)
    if copies:
        raise StorageError(
            "failed_precondition",
            f"{source.kind.capitalize()} {source.name} is being copied to {', '.join(copies)}, or that was cut short. Complete those, or delete them first.",
            volumes=copies,
        )


def _kind(item: Item) -> str:
    return SNAPSHOT if isinstance(item, Snapshot) else VOLUME


def _refuse_two_hosts_with_one_identity(holder: Holder, volume: Volume) -> None:
    for other in volume.holders:
        common = sorted(other.names & holder.names)
        if common and other.host != holder.host:
            raise StorageError(
                "failed_precondition",
                f"Two hosts with one identity: {holder.host} connects as {' and '.join(common)}, and so does {other.host}, which "
                f"holds volume {volume.name}. Give one of them a name of its own ({holder.known_by}).",
                holders=[other.host],
                field=f"connector.{holder.known_by}",
            )


def _refuse_two_hosts_with_one_name(holder: Holder, volume: Volume) -> None:
    """A release goes by the host's name, and would take the other one's volume away."""
    other = volume.holder(holder.host)
    if other and _form(other) == _form(holder) and not other.names & holder.names:
        raise StorageError(
            "failed_precondition",
            f"Two hosts with one name: {holder.host} connects as {holder.initiator}, and a {holder.host} holds volume {volume.name} as "
            f"{other.initiator}. Give one of them another name; if it is one host with a new {holder.known_by}, detach and release "
            f"{volume.name} first.",
            holders=[other.host],
            field="connector.host",
        )


def _form(holder: Holder) -> str:
    """What a holder connects as: C(iqn), C(nqn) and the like, or nothing for WWPNs; of who has only a name, that."""
    return holder.initiator.partition(".")[0] if "." in holder.initiator or holder.initiator == holder.host else ""


def _refuse_difference(volume: Volume, present: Holder, wanted: Holder) -> None:
    compared: dict[str, tuple[object, object]] = {"multipath": (present.multipath, wanted.multipath)}
    # A connector has only those Fibre Channel ports that are up at this moment.
    if not wanted.names <= present.names:
        compared = {wanted.known_by: (present.initiator, wanted.initiator), **compared}
    differing = [name for name, (old, new) in compared.items() if old != new]
    if differing:
        described = " and ".join(f"{name} {compared[name][0]}, not {compared[name][1]}" for name in differing)
        raise StorageError(
            "already_exists",
            f"Volume {volume.name} is connected to {present.host} already, with {described}. Detach and disconnect it there "
            "before connecting it in another way.",
            holders=[present.host],
            field=f"connector.{differing[0]}",
        )


def _held_message(volume: Volume, is_holder: bool, others: list[str]) -> str:
    if is_holder:
        return (
            f"Volume {volume.name} is shared with {', '.join(others)}; it can go back to one host (shared: false) only after "
            "they have released it."
        )
    return (
        f"Volume {volume.name} is held by {', '.join(others)}. Release it there first, or say shared if every host that uses it "
        "can deal with that."
    )
