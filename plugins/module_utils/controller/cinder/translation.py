# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Cinder's drivers say, in this collection's words: failures, protocols, space, connections."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder.store import VolumeRecord
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError

GIB = 1024**3
# Where a driver says that its space is infinite or unknown.
UNLIMITED_BYTES = 2**62
# Cinder's, where a section does not say.
OVER_SUBSCRIPTION = 20.0
MOST_CHARACTERS = 600
MOST_LINES = 3
# What of a connection's data is secret, by its name; the secret_type and secret_uuid of RBD are not.
_SECRET = re.compile(r"password|secret(?!_type|_uuid)|key|token", re.IGNORECASE)
# In a keyring the secret itself.
_KEY = re.compile(r"^\s*key\s*=\s*(\S+)", re.MULTILINE)

# driver_volume_type by what drivers call their protocol; others are called the same in both places.
_PROTOCOLS = {
    "ceph": "rbd",
    "fc": "fibre_channel",
    "nvme-fc": "nvmeof",
    "nvme-of": "nvmeof",
    "nvme-roce": "nvmeof",
    "nvme-tcp": "nvmeof",
}
# What hosts connect as, by driver_volume_type: the field of the connector. By any other protocol a host is known by its name.
KNOWN_BY = {"iscsi": "initiator", "iser": "initiator", "nvmeof": "nqn", "fibre_channel": "wwpns"}

# The code of a failure by the class of the exception, or one that it is derived from; the first that fits.
_CODES = {
    "InvalidConnectorException": "invalid_argument",
    "InvalidConfigurationValue": "invalid_argument",
    "ConfigNotFound": "failed_precondition",
    "NotImplementedError": "unimplemented",
    "VolumeIsBusy": "failed_precondition",
    "SnapshotIsBusy": "failed_precondition",
    "SnapshotLimitReached": "resource_exhausted",
    "InvalidVolume": "failed_precondition",
    "InvalidSnapshot": "failed_precondition",
    "RemoteFSNoSuitableShareFound": "resource_exhausted",
    "ExtendVolumeError": "failed_precondition",
    "QuotaError": "resource_exhausted",
    "NotAuthorized": "permission_denied",
    "PermissionError": "permission_denied",
    "ImportError": "failed_precondition",
    "VolumeNotFound": "not_found",
    "SnapshotNotFound": "not_found",
    "SSHException": "unavailable",
    "Timeout": "unavailable",
    "ProcessExecutionError": "unavailable",
    "OSError": "unavailable",
    "CinderException": "unavailable",
    "BrickException": "unavailable",
}
_FULL = re.compile(
    r"insufficient (free )?(space|capacity)|no space left|not enough (free )?(space|capacity)|out of space",
    re.IGNORECASE,
)


class Secrets:
    """What must not be told, whatever a driver puts into its failures."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets = set(secrets)

    def add_of(self, record: VolumeRecord) -> None:
        """Add those of a volume's record."""
        # A method, a user, and the secret.
        self._secrets.update(str(record.model.get("provider_auth") or "").split()[2:])
        for attachment in record.attachments:
            for name, value in ((attachment.connection_info or {}).get("data") or {}).items():
                if isinstance(value, str) and _SECRET.search(name):
                    self._secrets.update([value, *_KEY.findall(value)])

    def masked(self, text: str) -> str:
        for secret in sorted(filter(None, self._secrets), key=len, reverse=True):
            text = text.replace(secret, "***")
        return text


def secrets_in(value: Any) -> list[str]:
    """What must not be told of an option that is secret; of a mapping only what is so by its name."""
    if isinstance(value, Mapping):
        return [secret for name, one in value.items() if _SECRET.search(name) for secret in secrets_in(one)]
    if isinstance(value, (list, tuple)):
        return [secret for one in value for secret in secrets_in(one)]
    return [str(value)] if value else []


def failure(error: Exception, doing: str, secrets: Secrets) -> StorageError:
    """The failure of a driver in a sentence, without secrets."""
    said = _said(error)
    names = [cls.__name__ for cls in type(error).__mro__]
    code = next((_CODES[name] for name in names if name in _CODES), "internal")
    if _FULL.search(said):
        code = "resource_exhausted"
    facts: dict[str, Any] = {}
    missing = getattr(error, "kwargs", {}).get("missing") if "InvalidConnectorException" in names else None
    if missing:
        facts["field"] = f"connector.{missing}"
    text = secrets.masked(" ".join(said.split()))[:MOST_CHARACTERS].rstrip(". ")
    return StorageError(code, f"Cinder's driver could not {doing}: {text} ({type(error).__name__}).", **facts)


def _said(error: BaseException) -> str:
    """What an exception says, and of a program that it is about how that ended; not its arguments, for secrets stand in them."""
    command = getattr(error, "cmd", None)
    if command is not None and hasattr(error, "exit_code"):
        words = (command if isinstance(command, str) else " ".join(map(str, command))).split()
        program = next((word for word in words if word != "env" and "=" not in word), "a program")
        lines = [line for line in str(getattr(error, "stderr", None) or "").splitlines() if line.strip()]
        # Of a traceback, what it ends with.
        return f"{program} ended with {error.exit_code}: {' '.join(lines[-MOST_LINES:])}"
    said = str(getattr(error, "msg", None) or error)
    # Cinder keeps the reason for its log.
    reason = error.__context__
    return f"{said.rstrip('. ')}: {_said(reason)}" if reason is not None and hasattr(reason, "exit_code") else said


def protocol(storage_protocol: Any) -> str:
    """driver_volume_type, by what a driver calls its protocol."""
    if isinstance(storage_protocol, (list, tuple)):
        storage_protocol = storage_protocol[0] if storage_protocol else None
    name = str(storage_protocol or "unknown").lower()
    return _PROTOCOLS.get(name, name)


@dataclass(frozen=True)
class Pool:
    """A part of a storage with its space."""

    name: str
    total_bytes: int
    free_bytes: int


def pools(stats: Mapping[str, Any]) -> list[Pool]:
    """The pools of a driver; one where it does not tell any."""
    backend = stats.get("volume_backend_name") or "pool"
    return [_pool({**stats, **pool}, pool.get("pool_name") or backend) for pool in stats.get("pools") or [{}]]


def _pool(stats: Mapping[str, Any], name: str) -> Pool:
    total, free = _bytes(stats.get("total_capacity_gb")), _bytes(stats.get("free_capacity_gb"))
    if UNLIMITED_BYTES in (total, free):
        return Pool(name, total, free)
    free -= int(total * float(stats.get("reserved_percentage") or 0) / 100)
    if stats.get("thin_provisioning_support"):
        # As Cinder's scheduler has it: what volumes may be promised, and never more than that of what is really left.
        ratio = _ratio(stats.get("max_over_subscription_ratio"))
        promised = _bytes(stats.get("provisioned_capacity_gb") or 0)
        free = min(int(free * ratio), int(total * ratio) - promised)
    return Pool(name, total, max(0, free))


def _bytes(gibibytes: Any) -> int:
    try:
        return int(float(gibibytes) * GIB)
    except (TypeError, ValueError, OverflowError):  # "infinite", "unknown"
        return UNLIMITED_BYTES


def _ratio(text: Any) -> float:
    try:
        return max(1.0, float(text))
    except (TypeError, ValueError):
        return OVER_SUBSCRIPTION


def connection_info(answer: Mapping[str, Any], discard: bool = False) -> dict[str, Any]:
    """What initialize_connection() answered, with what Cinder adds to it before a host gets it.

    Args:
        answer: of the driver.
        discard: whether the backend's volumes are reported to support that.

    Raises:
        StorageError: C(internal) where that is no connection, C(failed_precondition) where no host could use it.
    """
    data = answer.get("data")
    if not isinstance(answer.get("driver_volume_type"), str) or not isinstance(data, Mapping):
        raise StorageError("internal", "Cinder's driver answered something that is no connection.")
    _require_bytes(data)
    completed = {**data, "access_mode": data.get("access_mode") or "rw", "encrypted": bool(data.get("encrypted"))}
    if discard:
        completed.setdefault("discard", True)
    if answer["driver_volume_type"] in ("iscsi", "iser"):
        completed.update(_singular_and_plural(completed))
    return {**answer, "data": completed}


def _require_bytes(data: Mapping[str, Any]) -> None:
    """Refuse a file that is not the volume's bytes, one after another."""
    if data.get("format") not in (None, "raw"):
        raise StorageError(
            "failed_precondition",
            f"{data.get('export')} has the volume in a file of the form {data['format']}, which a host cannot use as it is. So it has "
            "while the volume has snapshots, or is being copied: delete those, or connect a copy of it.",
        )


def _singular_and_plural(data: Mapping[str, Any]) -> dict[str, Any]:
    """The keys for portal, IQN and LUN in both forms, whichever of them the driver gave."""
    both: dict[str, Any] = {}
    portals: Optional[list[Any]] = data.get("target_portals")
    count = len(portals) if portals else 1
    for one in ("target_portal", "target_iqn", "target_lun"):
        several = data.get(f"{one}s")
        if several:
            both[one] = data[one] if data.get(one) is not None else several[0]
            both[f"{one}s"] = list(several)
        elif one in data:
            both[f"{one}s"] = [data[one]] * count
    return both
