# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A LUKS volume over an attached device: what is wanted, what is found, and what may be done. It only reads."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.brickwork.storage.plugins.module_utils.commands import Finished
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError, invalid
from ansible_collections.brickwork.storage.plugins.module_utils.host.found import Found
from ansible_collections.brickwork.storage.plugins.module_utils.host.records import Record
from ansible_collections.brickwork.storage.plugins.module_utils.host.sysfs import Sysfs

LUKS_UUID_PREFIX = "CRYPT-LUKS"
LUKS_SIGNATURE = "crypto_LUKS"
# cryptsetup reads no more than this at a prompt: a longer passphrase could never be typed.
PASSPHRASE_BYTES = 512
# What device-mapper takes as a name as it stands; with cryptsetup's UUID in front it must not become too long.
PLAIN_ID = re.compile(r"[A-Za-z0-9#+.:=@_-]{1,64}", re.ASCII)

# cryptsetup's exit statuses (cryptsetup(8)).
NO_PERMISSION, OUT_OF_MEMORY, BUSY = 2, 3, 5


@dataclass(frozen=True)
class Encryption:
    """The encryption of one volume, as asked for.

    Args:
        passphrase: that opens it.
        format: whether a device on which nothing is found may be made a LUKS2 volume.
        pbkdf: how formatting makes a key of the passphrase, as cryptsetup names it.
    """

    passphrase: str = field(repr=False)
    format: bool
    pbkdf: str


@dataclass(frozen=True)
class Opened:
    """An opened LUKS volume.

    Args:
        device: kernel name, C(dm-3).
        name: of device-mapper.
        uuid: of device-mapper; empty while it is being made.
        on: the kernel names of what it stands on.
        size_bytes: as the kernel sees it now.
    """

    device: str
    name: str
    uuid: str
    on: frozenset[str]
    size_bytes: int

    @property
    def is_luks(self) -> bool:
        return self.uuid.startswith(LUKS_UUID_PREFIX)

    @property
    def node(self) -> str:
        return f"/dev/{self.device}"

    @property
    def path(self) -> str:
        return path_of(self.name)


@dataclass(frozen=True)
class Signature:
    """What wipefs found on a device.

    Args:
        type: C(ext4), C(LVM2_member), C(crypto_LUKS).
        uuid: of what it marks; empty where it has none.
        offset: in bytes.
    """

    type: str
    uuid: str
    offset: int


def asked_for(given: Optional[dict[str, Any]], volume: str) -> Optional[Encryption]:
    """What the option says for a volume.

    Args:
        given: the option; None where it was left out.
        volume: the name of the volume.

    Raises:
        StorageError: C(invalid_argument) where there is no passphrase for it, or none that can be typed.
    """
    if given is None:
        return None
    own = (given.get("passphrases") or {}).get(volume)
    where = f"encryption.passphrases.{volume}" if own is not None else "encryption.passphrase"
    passphrase = given.get("passphrase") if own is None else own
    if passphrase is None:
        raise invalid(where, f"a passphrase, for there is none for {volume} in encryption.passphrases either")
    typable = isinstance(passphrase, str) and passphrase and not re.search(r"[\r\n\0]", passphrase)
    if not typable or len(passphrase.encode("utf-8", "surrogatepass")) > PASSPHRASE_BYTES:
        # The value is a secret: the message must not repeat it.
        raise invalid(where, f"text of one line, at most {PASSPHRASE_BYTES} bytes", "***")
    return Encryption(passphrase, given["format"], given["pbkdf"])


def name_of(volume_id: str) -> str:
    """The device-mapper name of a volume that this collection has opened: the same on every host, at every boot."""
    if PLAIN_ID.fullmatch(volume_id):
        return f"brickwork-{volume_id}"
    return f"brickwork-{hashlib.sha256(volume_id.encode()).hexdigest()[:32]}"


def path_of(name: str) -> str:
    """The path of an opened volume by its device-mapper name."""
    return f"/dev/mapper/{name}"


def opened_as(view: Sysfs, name: str) -> Optional[Opened]:
    """The device of a device-mapper name, whatever it is; None where there is none."""
    device = view.dm_named(name)
    size = view.size_bytes(device) if device else None
    if device is None or size is None:
        return None
    return Opened(device, name, view.dm(device, "uuid"), frozenset(view.members(device)), size)


def lacks(
    wanted: Optional[Encryption], volume_id: str, record: Optional[Record], found: Found, view: Sysfs
) -> tuple[str, ...]:
    """What an attachment lacks beyond the device.

    Args:
        wanted: the encryption asked for; None where none is.
        volume_id: of the volume.
        record: of its attachment.
        found: the volume on this host.
        view: the host.

    Returns:
        In words, for people; nothing where there is nothing to do.

    Raises:
        StorageError: C(already_exists) where it is attached the other way, or open under another name;
            C(failed_precondition) where what is open under its name is not the volume; C(unimplemented) for a file.
    """
    name = name_of(volume_id)
    if wanted and found.file:
        raise StorageError(
            "unimplemented", f"{found.file} is a file; encryption needs a block device.", field="encryption"
        )
    if record and record.attached and found.anything and record.encrypted != bool(wanted):
        raise _attached_otherwise("with" if record.encrypted else "without")
    if wanted is None:
        if any(view.dm(holder, "name") == name for holder in _holders(view, found)):
            raise _attached_otherwise("with")
        return ()
    opened = opened_as(view, name)
    if opened is None:
        _check_not_open_otherwise(view, found)
        return ("not open",)
    check_opened(opened, found)
    return (f"opened with {opened.size_bytes} bytes",) if has_grown(record, found, opened) else ()


def check_opened(opened: Opened, found: Found) -> None:
    """Refuse what is open under the volume's name and is not the volume.

    Raises:
        StorageError: C(failed_precondition), saying what it is.
    """
    if not opened.is_luks:
        raise StorageError(
            "failed_precondition",
            f"{opened.path} is not a LUKS volume ({opened.uuid or 'no UUID'}), so the volume cannot be opened under this "
            "name. Find out who made it, and remove it.",
        )
    if not (opened.on and opened.on <= _names(found)):
        stands = ", ".join(f"/dev/{name}" for name in sorted(opened.on)) or "a device that is gone"
        raise StorageError(
            "failed_precondition",
            f"{opened.path} is open over {stands}, and the volume is {found.node or 'not attached'} now. "
            "Detach the volume, then attach it again.",
        )


def has_grown(record: Optional[Record], found: Found, opened: Opened) -> bool:
    """Whether the device has more room than what was opened over it shows."""
    if record is None or record.header_bytes is None or found.size_bytes is None:
        return False
    return found.size_bytes - opened.size_bytes > record.header_bytes


def may_format(signatures: Sequence[Signature], wanted: Encryption, node: str, opened_before: bool) -> bool:
    """Whether a device is to be formatted (true) or opened (false), after what is on it.

    Args:
        signatures: all that was found on it.
        wanted: as asked for.
        node: the device, for messages.
        opened_before: whether this host's record says that the volume has been open.

    Raises:
        StorageError: C(failed_precondition) where it can be neither, naming what is on it.
    """
    luks = [signature for signature in signatures if signature.type == LUKS_SIGNATURE]
    others = [signature for signature in signatures if signature.type != LUKS_SIGNATURE]
    # A second header without the first may be left from before what is there now; cryptsetup would write the first anew.
    if luks and (not others or any(signature.offset == 0 for signature in luks)):
        return False
    if others:
        what = ", ".join(
            signature.type + (f" with UUID {signature.uuid}" if signature.uuid else "") for signature in others
        )
        raise StorageError(
            "failed_precondition",
            f"{node} holds {what}, not LUKS: it is never formatted over. Attach it without encryption to look at it; if "
            "nobody needs what is there, remove that with wipefs.",
            field="encryption",
            signatures=sorted({signature.type for signature in others}),
        )
    if not wanted.format:
        raise StorageError(
            "failed_precondition",
            f"Nothing was found on {node}, neither a LUKS header nor a file system or the like. Check that it is the right "
            "volume; encryption.format makes a LUKS volume of it.",
            field="encryption.format",
        )
    if opened_before:
        raise StorageError(
            "failed_precondition",
            f"{node} has been open here as a LUKS volume, and its header is gone now: it is not formatted again. Bring the "
            "header back from a backup (cryptsetup luksHeaderRestore), or detach the volume before it is formatted anew.",
            field="encryption.format",
        )
    return True


def is_unfinished(signatures: Sequence[Signature], formatting: Optional[str]) -> bool:
    """Whether all that is on a device is a LUKS header that this host has begun to write and may not have finished.

    Args:
        signatures: all that was found on the device.
        formatting: the UUID that its record tells.
    """
    headers = {(signature.type, signature.uuid) for signature in signatures}
    return formatting is not None and headers == {(LUKS_SIGNATURE, formatting)}


def failure(finished: Finished, node: str) -> StorageError:
    """Why cryptsetup did not do what it was started for."""
    doing = f"{node} could not be opened or formatted ({finished.complaint})"
    if finished.status is None:
        return StorageError("deadline_exceeded", f"{doing}; give a longer timeout.")
    if finished.status == NO_PERMISSION:
        return StorageError(
            "permission_denied",
            f"The passphrase does not open {node}. Give the right one.",
            field="encryption.passphrase",
        )
    if finished.status == OUT_OF_MEMORY:
        return StorageError("resource_exhausted", f"{doing}; argon2id needs the memory that it was formatted with.")
    if finished.status == BUSY:
        return StorageError(
            "failed_precondition", f"{node} is in use ({finished.complaint}). Stop what uses it, and repeat."
        )
    return StorageError("failed_precondition", f"{doing}.")


def describe_opened(opened: Optional[Opened]) -> dict[str, Any]:
    """What C(--diff) shows of the encryption, beside what it shows of the volume."""
    return {"encrypted": opened.path if opened else None}


def _attached_otherwise(how: str) -> StorageError:
    return StorageError(
        "already_exists",
        f"It is attached, but {how} encryption. Detach it first, or ask for what is there.",
        field="encryption",
    )


def _names(found: Found) -> set[str]:
    """The kernel names of what a LUKS volume may stand on: without a map each path is a device of its own."""
    return set() if found.file else {node[len("/dev/") :] for node in found.nodes_to_flush}


def _holders(view: Sysfs, found: Found) -> list[str]:
    return sorted({holder for name in _names(found) for holder in view.holders(name)})


def _check_not_open_otherwise(view: Sysfs, found: Found) -> None:
    for holder in _holders(view, found):
        if view.dm(holder, "uuid").startswith("CRYPT-"):
            other = view.dm(holder, "name")
            raise StorageError(
                "already_exists",
                f"{found.node} is open as {path_of(other)}, and this collection did not open it. Close that first.",
                users=[f"encrypted device {other}"],
            )
