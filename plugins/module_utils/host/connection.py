# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A connection, as C(volume_connection) returned it and a person, a play or AWX passed it on."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import Any, Callable, Optional

from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError, invalid
from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols.export import Export
from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols.registry import (
    PROTOCOLS,
    unmade,
    validate,
)
from ansible_collections.brickwork.storage.plugins.module_utils.module import SECRET_KEYS

WWN = re.compile(r"[0-9a-fA-F]+|(uuid|eui|nvme)\.[0-9a-fA-F-]+")


@dataclass(frozen=True)
class Volume:
    """What a connection says of its volume: what the device found must match."""

    name: str
    id: str
    size_bytes: Optional[int]
    backend: Optional[str]
    wwn: Optional[str]

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "id": self.id,
            "size_bytes": self.size_bytes,
            "backend": self.backend,
            "wwn": self.wwn,
        }


@dataclass(frozen=True)
class Connection:
    """A checked connection.

    Args:
        volume: the volume.
        host: the host it was made for.
        names: of the host it was made for, as its target knows them; empty where the connection does not say.
        protocol: driver_volume_type.
        export: what the protocol's C(validate) made of the data.
        connected: false where check mode predicted it.
        original: the dict as it was given, with its secret.
    """

    volume: Volume
    host: str
    names: frozenset[str]
    protocol: str
    export: Export
    connected: bool
    original: dict[str, Any]

    def without_secrets(self) -> dict[str, Any]:
        """The connection for the host's record."""
        stripped: dict[str, Any] = _without_secrets(self.original)
        return stripped


def parse(given: Any, where: str, *, to_attach: bool, predicted_allowed: bool) -> Connection:
    """Check one connection.

    Args:
        given: the dict.
        where: its name in messages, C(connections[0]).
        to_attach: whether the secret is needed; a detach can do without.
        predicted_allowed: whether a connection that check mode predicted is good enough.

    Raises:
        StorageError: C(invalid_argument) naming the field, or C(unimplemented) for a protocol that is not known.
    """
    connection = _mapping(given, where)
    volume = _volume(connection.get("volume"), f"{where}.volume")
    connected = _boolean(connection.get("connected"), f"{where}.connected")
    if not connected and not predicted_allowed:
        raise invalid(
            f"{where}.connected", "true: a connection that exists, not one that check mode predicted", connected
        )
    info = _mapping(connection.get("connection_info"), f"{where}.connection_info")
    protocol = _text(info.get("driver_volume_type"), f"{where}.connection_info.driver_volume_type")
    if protocol not in PROTOCOLS:
        near = difflib.get_close_matches(protocol, PROTOCOLS)
        raise StorageError(
            "unimplemented",
            f"{where}.connection_info.driver_volume_type is {protocol!r}; this version attaches {', '.join(sorted(PROTOCOLS))}.",
            field=f"{where}.connection_info.driver_volume_type",
            candidates=near or None,
        )
    if to_attach and not connected and info.get("data") is None:
        export = unmade(protocol)
    else:
        data = _mapping(info.get("data"), f"{where}.connection_info.data")
        export = validate(protocol, data, f"{where}.connection_info.data", to_attach and connected)
    names = export.names(connection.get("connector"))
    return Connection(
        volume,
        _text(connection.get("host"), f"{where}.host"),
        names,
        protocol,
        export.for_host(names),
        connected,
        connection,
    )


def parse_batch(
    given: list[Any], host: str, own_names: Callable[[str], frozenset[str]], *, to_attach: bool, predicted_allowed: bool
) -> list[tuple[str, Connection | StorageError]]:
    """Check a list of connections, each by itself.

    Args:
        given: as the module got it.
        host: this host's name.
        own_names: tells this host's names by the connector's key for them.
        to_attach: whether the secrets are needed.
        predicted_allowed: whether connections that check mode predicted are good enough.

    Returns:
        For each a name for people, and the connection or why it is none.
    """
    if not given:
        raise invalid("connections", "a list of connections, as volume_connection returns it", given)
    parsed: list[tuple[str, Connection | StorageError]] = []
    seen: set[str] = set()
    for index, one in enumerate(given):
        where = f"connections[{index}]"
        volume = one.get("volume") if isinstance(one, dict) else None
        name = volume.get("name") if isinstance(volume, dict) else None
        try:
            connection = parse(one, where, to_attach=to_attach, predicted_allowed=predicted_allowed)
            _check_is_for(connection, where, host, own_names)
            if connection.volume.id in seen:
                raise invalid(f"{where}.volume.id", "each volume once", connection.volume.id)
            seen.add(connection.volume.id)
            parsed.append((connection.volume.name, connection))
        except StorageError as error:
            parsed.append((name if isinstance(name, str) else where, error))
    return parsed


def _check_is_for(connection: Connection, where: str, host: str, own_names: Callable[[str], frozenset[str]]) -> None:
    # The export of another host would refuse this one, or worse, let it in.
    if connection.host != host:
        raise invalid(f"{where}.host", f"{host}, the host this module runs on", connection.host)
    key = connection.export.known_by
    own = own_names(key) if key and connection.names else frozenset()
    if own and own.isdisjoint(connection.names):
        raise invalid(
            f"{where}.connector.{key}",
            f"{' or '.join(sorted(own))}, by which targets know this host",
            ", ".join(sorted(connection.names)),
        )


def _volume(given: Any, where: str) -> Volume:
    volume = _mapping(given, where)
    size = volume.get("size_bytes")
    if isinstance(size, str) and size.isdigit():
        size = int(size)
    if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size <= 0):
        raise invalid(f"{where}.size_bytes", "a size in bytes", size)
    wwn, backend = volume.get("wwn"), volume.get("backend")
    if wwn is not None and (not isinstance(wwn, str) or not WWN.fullmatch(wwn)):
        expected = "the WWN as scsi_id prints it, hexadecimal digits, or as the kernel writes it for NVMe, uuid.5f0c..., or null"
        raise invalid(f"{where}.wwn", expected, wwn)
    if backend is not None and not isinstance(backend, str):
        raise invalid(f"{where}.backend", "the name of a backend, or null", backend)
    return Volume(
        _text(volume.get("name"), f"{where}.name"),
        _text(volume.get("id"), f"{where}.id"),
        size,
        backend,
        wwn.lower() if wwn else None,
    )


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        # Only the type: what stands in the wrong place may hold a secret.
        found = None if value is None else type(value).__name__
        raise invalid(where, "a mapping, as volume_connection returns it", found)
    return value


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise invalid(where, "text", value)
    return value


def _boolean(value: Any, where: str) -> bool:
    if isinstance(value, str) and value.lower() in ("true", "false"):
        value = value.lower() == "true"
    if not isinstance(value, bool):
        raise invalid(where, "true or false", value)
    return value


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: None if key in SECRET_KEYS else _without_secrets(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_secrets(inner) for inner in value]
    return value


def recorded(connection: dict[str, Any]) -> Connection:
    """The connection in a record of this host, which was checked when it was written."""
    return parse(connection, "record", to_attach=False, predicted_allowed=True)
