# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of a host's own, by which targets tell it from all others: which it keeps, and which are made. Nothing here looks at the host."""

from __future__ import annotations

import re
import uuid
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Optional

from ansible_collections.brickwork.storage.plugins.module_utils.errors import invalid

# As they are called in results and options. The last two go together: they are one host's for NVMe.
KINDS = ("initiator", "nqn", "hostid")
LABELS = {"initiator": "iSCSI initiator name", "nqn": "NVMe host NQN", "hostid": "NVMe host identifier"}
# As open-iscsi wants one, and LIO: without a dot in the domain it refuses an IQN.
INITIATOR_NAME = re.compile(
    r"iqn\.\d{4}-(?:0[1-9]|1[0-2])(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?){2,}(?::[a-z0-9.:-]+)?"
    r"|eui\.[0-9A-Fa-f]{16}|naa\.(?:[0-9A-Fa-f]{16}){1,2}"
)
MOST_BYTES = 223
INITIATOR_PREFIX = "iqn.2026-11.org.brickwork:host:"
NQN_PREFIX = "nqn.2014-08.org.nvmexpress:uuid:"
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
MACHINE_ID = re.compile(r"[0-9a-f]{32}")
# What firmware says where nobody has told it which machine it is in; one digit all over is another way to say it.
PLACEHOLDERS = frozenset(
    {
        "01234567-89ab-cdef-0123-456789abcdef",
        "03000200-0400-0500-0006-000700080009",
        "12345678-1234-5678-90ab-cddeefaabbcc",
    }
)
DIGITS_AT_LEAST = 3


@dataclass(frozen=True)
class Names:
    """A host's names; None for one that it has not."""

    initiator: Optional[str] = None
    nqn: Optional[str] = None
    hostid: Optional[str] = None

    def of(self, kind: str) -> Optional[str]:
        """One of them."""
        found: Optional[str] = getattr(self, kind)
        return found


@dataclass(frozen=True)
class Given:
    """What is recorded: the machine that these names were given to."""

    machine: str
    names: Names


@dataclass(frozen=True)
class Plan:
    """What is to be.

    Args:
        names: the host's, afterwards.
        changed: which of them are others than before.
        invented: which of them hold what nobody can know before.
        copied: which of the host's names were given to another machine, of which it is a copy.
    """

    names: Names
    changed: tuple[str, ...]
    invented: tuple[str, ...]
    copied: tuple[str, ...]


def plan(
    found: Names, given: Optional[Given], machine: str, initiator_name: Optional[str], renew: Collection[str]
) -> Plan:
    """Which names the host keeps, and which it gets.

    Args:
        found: the names it has.
        given: the record; None where nothing is recorded: then what is there is its own.
        machine: what tells this machine from others.
        initiator_name: the one it is to have; None for any.
        renew: kinds of which it is to have other names.
    """
    copied: tuple[str, ...] = ()
    if given and given.machine != machine:
        # A name that differs from the recorded one was given to this machine, after it was copied.
        copied = tuple(kind for kind in KINDS if found.of(kind) and found.of(kind) == given.names.of(kind))
    kept = replace(found, **dict.fromkeys([*copied, *renew]))
    invented = []
    initiator = initiator_name or kept.initiator
    if not initiator:
        initiator = INITIATOR_PREFIX + uuid.uuid4().hex
        invented.append("initiator")
    nqn, hostid = kept.nqn, kept.hostid
    if not (nqn and hostid):
        known = _known_uuid(kept, found)
        if not known:
            invented += [kind for kind in ("nqn", "hostid") if not kept.of(kind)]
        own = known or str(uuid.uuid4())
        nqn, hostid = nqn or NQN_PREFIX + own, hostid or own
    names = Names(initiator, nqn, hostid)
    changed = tuple(kind for kind in KINDS if names.of(kind) != found.of(kind))
    return Plan(names, changed, tuple(invented), tuple(kind for kind in copied if kind in changed))


def _known_uuid(kept: Names, before: Names) -> Optional[str]:
    """The UUID in the one of NVMe's two names that stays, where the other one did not have it before."""
    if kept.nqn:
        found = UUID.search(kept.nqn)
        return found[0] if found and found[0] != before.hostid else None
    if kept.hostid and UUID.fullmatch(kept.hostid) and before.nqn != NQN_PREFIX + kept.hostid:
        return kept.hostid
    return None


def check_initiator_name(name: str) -> str:
    """A name as somebody gave it.

    Raises:
        StorageError: C(invalid_argument) where it is none that targets take.
    """
    if not INITIATOR_NAME.fullmatch(name) or len(name) > MOST_BYTES:
        raise invalid(
            "initiator_name",
            "iqn.YYYY-MM.DOMAIN:NAME in lower case, with a domain such as org.example and 223 characters at most, "
            "or eui. with 16 or naa. with 16 or 32 hexadecimal digits",
            name,
        )
    return name


def machine_of(product_uuid: str, machine_id: str) -> Optional[str]:
    """What tells a machine from all others; None where nothing does.

    The firmware's UUID comes first: whoever copies a machine gives the copy another one, and may forget its machine-id.

    Args:
        product_uuid: DMI's; empty where there is none.
        machine_id: systemd's.
    """
    product = product_uuid.lower()
    distinct = len(set(product) - {"-"})
    if UUID.fullmatch(product) and product not in PLACEHOLDERS and distinct >= DIGITS_AT_LEAST:
        return f"dmi {product}"
    # While it is not known it holds a word.
    return f"machine-id {machine_id}" if MACHINE_ID.fullmatch(machine_id) else None


def with_initiator_name(written: str, name: str) -> str:
    """The text of initiatorname.iscsi with another name; what else stands in it stays."""
    lines = [line for line in written.splitlines() if not re.match(r"\s*(?:InitiatorName|GenerateName)\s*=", line)]
    return "\n".join([*lines, f"InitiatorName={name}", ""])
