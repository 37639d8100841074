# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Opening, formatting, resizing and closing LUKS volumes over attached devices.

The passphrase goes to cryptsetup by its standard input: never among the arguments, never into a file.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Optional
from uuid import uuid4

from ansible_collections.brickwork.storage.plugins.module_utils.commands import ENVIRONMENT, Finished, Running, run
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.host import encryption, processes
from ansible_collections.brickwork.storage.plugins.module_utils.host.attempt import Attempt
from ansible_collections.brickwork.storage.plugins.module_utils.host.encryption import Encryption, Opened, Signature
from ansible_collections.brickwork.storage.plugins.module_utils.host.found import Found
from ansible_collections.brickwork.storage.plugins.module_utils.host.records import Records
from ansible_collections.brickwork.storage.plugins.module_utils.host.removal import POLL_SECONDS, Removal, refusal
from ansible_collections.brickwork.storage.plugins.module_utils.host.sysfs import Sysfs
from ansible_collections.brickwork.storage.plugins.module_utils.host.usage import may_pass, users
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline

PROGRAM = "cryptsetup"
# For programs that only look at a new device.
PATIENCE_SECONDS = 3.0
RETRY_SECONDS = 1.0


def require() -> None:
    """See that this host has what opens volumes, before anything is begun.

    Raises:
        StorageError: C(failed_precondition), saying what to install.
    """
    if shutil.which(PROGRAM, path=ENVIRONMENT["PATH"]) is None:
        raise StorageError(
            "failed_precondition",
            f"{PROGRAM} is not installed on this host; install the package {PROGRAM} (Debian: cryptsetup-bin).",
            field="encryption",
        )


def open_volumes(attempts: Iterable[Attempt], view: Sysfs, records: Records, deadline: Deadline) -> None:
    """Open the attached volumes that are to be; what did not open is told in the attempt's C(error).

    One after another: to open one takes as much memory, and as much of the processor, as its format was told to use.

    Args:
        attempts: the volumes, attached.
        view: the host.
        records: of its attachments; a format is written down before it begins.
        deadline: for all of them.
    """
    for attempt in attempts:
        wanted = attempt.wanted.encryption
        if wanted and attempt.error is None:
            try:
                _open(attempt, wanted, view, records, deadline)
            except StorageError as error:
                attempt.error = error


def settle(volumes: Iterable[tuple[Optional[str], Found]], view: Sysfs, deadline: Deadline) -> None:
    """Let end what a call that was killed has left running: what it still does would come when nobody looks.

    Args:
        volumes: the device-mapper name and the device of each.
        view: the host.
        deadline: until when to wait.
    """
    if not _working(view):
        return
    of_volumes = {text for name, found in volumes for text in (name, found.node) if text}
    while not deadline.passed and any(of_volumes.intersection(line) for line in _working(view)):
        time.sleep(POLL_SECONDS)


def _working(view: Sysfs) -> list[list[str]]:
    """The arguments of each cryptsetup that runs."""
    return [line[1:] for line in processes.command_lines(view) if line[0].endswith(PROGRAM)]


def discard_unfinished(removals: list[Removal], view: Sysfs, deadline: Deadline) -> None:
    """Take away the LUKS headers that killed calls have left half made: nothing can have been written behind them.

    Args:
        removals: the batch; what still is there is told in its C(error), or in C(warnings) where it was forced.
        view: the host.
        deadline: for all of it.
    """
    for removal in removals:
        if removal.formatting is None or not removal.whole:
            continue
        node = removal.find(view).node
        try:
            if node is None:
                raise StorageError("unavailable", "it is not attached")
            signatures = _look(node, deadline)
            if encryption.is_unfinished(signatures, removal.formatting) and not _has_keyslots(node, deadline):
                _check(run(["wipefs", "--all", "--types", encryption.LUKS_SIGNATURE, node], deadline), node)
        except StorageError as error:
            if node and not removal.force:
                removal.error = error
            else:
                removal.warnings.append(
                    f"{removal.volume}: a LUKS header that was begun and not finished may be on it, and could not be taken away "
                    f"({error.message})."
                )


def standing(view: Sysfs, removal: Removal) -> Optional[Opened]:
    """What is open of a volume that leaves; None where nothing is, or only some of its paths leave."""
    opened = encryption.opened_as(view, removal.opened_as) if removal.opened_as and removal.whole else None
    return opened if opened and opened.is_luks else None


def close(removals: list[Removal], view: Sysfs, deadline: Deadline) -> None:
    """Close what is open of volumes that nothing uses and that are flushed, all at once.

    cryptsetup would read the header first, and so wait for a dead path: device-mapper does the same without.

    Args:
        removals: the batch; what did not close is told in its C(error).
        view: the host.
        deadline: for all of it.
    """
    closing = [(removal, opened) for removal in removals for opened in [standing(view, removal)] if opened]
    started = [Running(["dmsetup", "remove", opened.name]) for _removal, opened in closing]
    for (removal, opened), running in zip(closing, started):
        finished = running.wait(deadline)
        # udev may have had it open for a moment.
        while standing(view, removal) and not deadline.passed:
            time.sleep(RETRY_SECONDS)
            removal.error = refusal(view, removal, removal.find(view))
            if removal.error:
                break
            if standing(view, removal):
                finished = run(["dmsetup", "remove", opened.name], deadline)
        if removal.error is None and standing(view, removal):
            removal.error = StorageError(
                "deadline_exceeded", f"{opened.path} could not be closed in time ({finished.complaint}); repeat it."
            )


def _open(attempt: Attempt, wanted: Encryption, view: Sysfs, records: Records, deadline: Deadline) -> None:
    found, name = attempt.found, encryption.name_of(attempt.wanted.connection.volume.id)
    if found.file:
        raise StorageError(
            "unimplemented",
            f"{found.file} is a file, and only block devices are encrypted here. Nothing was written to it. Leave encryption out.",
            field="encryption",
        )
    node = found.node or ""
    settle([(name, found)], view, deadline)
    opened = encryption.opened_as(view, name)
    if opened is None:
        _format_where_due(attempt, wanted, node, view, records, deadline)
        argv = [PROGRAM, "open", "--type", "luks", "--key-file", "-", node, name]
    else:
        encryption.check_opened(opened, found)
        argv = [PROGRAM, "resize", "--key-file", "-", name]
    if opened is None or attempt.record.header_bytes is None or encryption.has_grown(attempt.record, found, opened):
        _check(run(argv, deadline, wanted.passphrase), node)
        opened = encryption.opened_as(view, name)
    if opened is None:
        raise StorageError("internal", f"{PROGRAM} opened {node}, but {encryption.path_of(name)} is not there.")
    encryption.check_opened(opened, found)
    header_bytes = found.size_bytes - opened.size_bytes if found.size_bytes else None
    attempt.record = replace(attempt.record, formatting=None, header_bytes=header_bytes)


def _format_where_due(
    attempt: Attempt, wanted: Encryption, node: str, view: Sysfs, records: Records, deadline: Deadline
) -> None:
    """Make a LUKS volume of a device that holds nothing, or nothing but what an earlier format of ours has begun."""
    signatures = _look(node, deadline)
    formatting = attempt.record.formatting
    unfinished = encryption.is_unfinished(signatures, formatting) and not _has_keyslots(node, deadline)
    opened_before = attempt.record.header_bytes is not None
    if not encryption.may_format([] if unfinished else signatures, wanted, node, opened_before):
        return
    using = _lasting_users(view, attempt.found, deadline)
    if using:
        raise StorageError(
            "failed_precondition",
            f"{node} is in use: {', '.join(using)}. It is not formatted; stop what uses it first.",
            users=using,
        )
    attempt.record = replace(attempt.record, formatting=formatting or str(uuid4()))
    # Before the first byte: a repeat must know which header is ours.
    records.write(attempt.record)
    argv = [PROGRAM, "luksFormat", "--batch-mode", "--type", "luks2", "--pbkdf", wanted.pbkdf]
    argv += ["--uuid", str(attempt.record.formatting), "--key-file", "-", node]
    _check(run(argv, deadline, wanted.passphrase), node)
    attempt.record = replace(attempt.record, formatting=None)
    records.write(attempt.record)


def _lasting_users(view: Sysfs, found: Found, deadline: Deadline) -> list[str]:
    """Who uses a device, but for those that let go of it in a moment."""
    patience = deadline.within(PATIENCE_SECONDS)
    using = users(view, found)
    while using and may_pass(using) and not patience.passed:
        time.sleep(POLL_SECONDS)
        using = users(view, found)
    return using


def _look(node: str, deadline: Deadline) -> list[Signature]:
    """All signatures on a device, whatever they are of."""
    finished = run(["wipefs", "--no-act", "--json", node], deadline)
    if not finished.succeeded:
        raise StorageError(
            "deadline_exceeded" if finished.status is None else "unavailable",
            f"{node} could not be looked at ({finished.complaint}), so nothing was done to it. Check its paths, and repeat.",
        )
    told = json.loads(finished.stdout)["signatures"] if finished.stdout.strip() else []
    return [Signature(one["type"], one["uuid"] or "", int(one["offset"], 16)) for one in told]


def _has_keyslots(node: str, deadline: Deadline) -> bool:
    """Whether anybody could ever have opened what a LUKS header is of: its keyslot is written last."""
    finished = run([PROGRAM, "luksDump", "--dump-json-metadata", node], deadline)
    if finished.succeeded:
        return bool(json.loads(finished.stdout)["keyslots"])
    if "not a valid LUKS device" in finished.stderr:
        return False
    raise encryption.failure(finished, node)


def _check(finished: Finished, node: str) -> None:
    if not finished.succeeded:
        raise encryption.failure(finished, node)
