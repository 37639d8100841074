# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is started to open, format, resize and close, in which order, and what is written down before."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

import pytest

from ansible_collections.brickwork.storage.plugins.module_utils.commands import Finished
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.host import cryptsetup, encryption
from ansible_collections.brickwork.storage.plugins.module_utils.host.attempt import Attempt
from ansible_collections.brickwork.storage.plugins.module_utils.host.detach import removal_of
from ansible_collections.brickwork.storage.plugins.module_utils.host.encryption import Encryption
from ansible_collections.brickwork.storage.plugins.module_utils.host.found import Found, FoundPath
from ansible_collections.brickwork.storage.plugins.module_utils.host.plan import AttachPlan
from ansible_collections.brickwork.storage.plugins.module_utils.host.records import Record, Records
from ansible_collections.brickwork.storage.plugins.module_utils.host.removal import Removal
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline
from ansible_collections.brickwork.storage.tests.unit.host.examples import (
    CAPTURE_ID,
    CAPTURE_WWN,
    export,
    parsed,
    record,
    wanted,
)
from ansible_collections.brickwork.storage.tests.unit.host.luks import HEADER_BYTES, NAME, OPENED_SIZE, put_opened
from ansible_collections.brickwork.storage.tests.unit.host.tree import Capture, Tree

PASSPHRASE = "a passphrase that nobody else has"
OURS, THEIRS = "8d6f1d3a-ours", "11111111-theirs"


def signatures(*found: tuple[str, str]) -> str:
    return json.dumps({"signatures": [{"type": kind, "uuid": uuid, "offset": "0x0"} for kind, uuid in found]})


class Programs:
    """Takes the place of the programs: notes what was started, and answers as told."""

    def __init__(self, tree: Tree, records: Records) -> None:
        self.tree = tree
        self.records = records
        self.started: list[str] = []
        self.arguments: list[Sequence[str]] = []
        self.on_device = signatures()
        self.keyslots: Optional[dict[str, Any]] = {"0": {}}
        self.status: dict[str, Optional[int]] = {}
        self.formatting: Optional[str] = None

    def run(self, argv: Sequence[str], deadline: Deadline, text: Optional[str] = None) -> Finished:
        name = argv[1] if argv[0] == "cryptsetup" else argv[0]
        self.started.append(name)
        self.arguments.append(argv)
        assert (text == PASSPHRASE) is (name in ("open", "luksFormat", "resize"))
        status, said, complained = self.status.get(name, 0), "", ""
        if name == "wipefs":
            said = self.on_device
        elif name == "luksDump" and self.keyslots is None:
            status, complained = 1, "Device /dev/dm-0 is not a valid LUKS device."
        elif name == "luksDump":
            said = json.dumps({"keyslots": self.keyslots})
        elif name == "luksFormat":
            written = self.records.get(CAPTURE_ID)
            self.formatting = written.formatting if written else None
        elif name == "open" and status == 0:
            put_opened(self.tree)
        return Finished(tuple(argv), status, said, complained)


@pytest.fixture
def programs(capture: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    found = Programs(capture("multipath"), Records(tmp_path / "records"))
    monkeypatch.setattr(cryptsetup, "run", found.run)
    monkeypatch.setattr(cryptsetup, "PATIENCE_SECONDS", 0.0)
    return found


def attempt(programs: Programs, *, may_format: bool = False, **recorded: Any) -> Attempt:
    asked = replace(wanted(), encryption=Encryption(PASSPHRASE, may_format, "pbkdf2"))
    begun = record(encrypted=True, **{"attached": False, **recorded})
    programs.records.write(begun)
    found = export().find(programs.tree.view, CAPTURE_WWN)
    return Attempt(asked, AttachPlan((), (), True), begun, found=found)


def open_it(programs: Programs, one: Attempt) -> Record:
    """Open it, and see that no argument of any program holds the passphrase."""
    cryptsetup.open_volumes([one], programs.tree.view, programs.records, Deadline(10))
    assert not any(PASSPHRASE in argument for argv in programs.arguments for argument in argv)
    return one.record


def test_open(programs: Programs) -> None:
    programs.on_device = signatures(("crypto_LUKS", THEIRS))
    one = attempt(programs, may_format=True)
    done = open_it(programs, one)
    assert one.error is None
    assert programs.started == ["wipefs", "open"]
    assert programs.arguments[1][-2:] == ["/dev/dm-0", NAME]
    assert (done.header_bytes, done.formatting) == (HEADER_BYTES, None)


def test_a_file_is_not_formatted(programs: Programs) -> None:
    one = attempt(programs, may_format=True)
    one.found = Found(paths=(FoundPath("volume", "glusterfs", "running", None, 2**30, False),), file="/srv/volume")
    open_it(programs, one)
    assert one.error
    assert (one.error.code, one.error.facts["field"]) == ("unimplemented", "encryption")
    assert programs.started == []


def test_format(programs: Programs) -> None:
    one = attempt(programs, may_format=True)
    done = open_it(programs, one)
    assert one.error is None
    assert programs.started == ["wipefs", "luksFormat", "open"]
    argv = programs.arguments[1]
    assert argv[argv.index("--type") + 1] == "luks2"
    assert argv[argv.index("--pbkdf") + 1] == "pbkdf2"
    # It was written down before it began, and that it has ended before anything else.
    assert programs.formatting
    assert argv[argv.index("--uuid") + 1] == programs.formatting
    assert done.formatting is None
    written = programs.records.get(CAPTURE_ID)
    assert written
    assert written.formatting is None


@pytest.mark.parametrize("keyslots", [{}, None])
def test_our_unfinished_header_is_formatted_again(programs: Programs, keyslots: Optional[dict[str, Any]]) -> None:
    programs.on_device, programs.keyslots = signatures(("crypto_LUKS", OURS)), keyslots
    one = attempt(programs, may_format=True, formatting=OURS)
    open_it(programs, one)
    assert one.error is None
    assert programs.started == ["wipefs", "luksDump", "luksFormat", "open"]
    assert programs.formatting == OURS


def test_unfinished_header_is_not_formatted_again_unasked(programs: Programs) -> None:
    programs.on_device, programs.keyslots = signatures(("crypto_LUKS", OURS)), {}
    one = attempt(programs, formatting=OURS)
    open_it(programs, one)
    assert one.error
    assert one.error.facts["field"] == "encryption.format"


@pytest.mark.parametrize(("uuid", "formatting"), [(OURS, OURS), (THEIRS, OURS), (THEIRS, None)])
def test_header_that_may_have_been_used_is_opened(programs: Programs, uuid: str, formatting: Optional[str]) -> None:
    programs.on_device = signatures(("crypto_LUKS", uuid))
    if uuid == THEIRS:
        programs.keyslots = {}  # whatever it is, it is not ours
    one = attempt(programs, may_format=True, formatting=formatting)
    open_it(programs, one)
    assert one.error is None
    assert "luksFormat" not in programs.started


@pytest.mark.parametrize(
    ("program", "status", "code", "started"),
    [
        ("wipefs", 1, "unavailable", ["wipefs"]),
        ("wipefs", None, "deadline_exceeded", ["wipefs"]),
        ("luksFormat", None, "deadline_exceeded", ["wipefs", "luksFormat"]),
        ("open", 2, "permission_denied", ["wipefs", "luksFormat", "open"]),
    ],
)
def test_failure(programs: Programs, program: str, status: Optional[int], code: str, started: list[str]) -> None:
    programs.status[program] = status
    one = attempt(programs, may_format=True)
    done = open_it(programs, one)
    assert one.error
    assert one.error.code == code
    assert programs.started == started
    assert (done.formatting is not None) is (program == "luksFormat")


def test_in_use_is_not_formatted(programs: Programs) -> None:
    programs.tree.put("/proc/1/ns/mnt", {"link": "mnt:[1]"})
    programs.tree.put("/proc/1/mountinfo", "600 1 254:0 / /srv/db rw - odd /dev/dm-0 rw\n")
    one = attempt(programs, may_format=True)
    open_it(programs, one)
    assert one.error
    assert one.error.facts["users"] == ["mount point /srv/db"]
    assert programs.started == ["wipefs"]


def test_what_was_opened_in_the_meantime_is_kept(programs: Programs) -> None:
    put_opened(programs.tree)
    one = attempt(programs, header_bytes=HEADER_BYTES)
    open_it(programs, one)
    assert one.error is None
    assert programs.started == []


@pytest.mark.parametrize("header_bytes", [None, HEADER_BYTES])
def test_resize(programs: Programs, header_bytes: Optional[int]) -> None:
    put_opened(programs.tree, size_bytes=OPENED_SIZE - 4096)
    one = attempt(programs, header_bytes=header_bytes)
    done = open_it(programs, one)
    assert one.error is None
    assert programs.started == ["resize"]
    assert done.header_bytes == HEADER_BYTES + 4096


def test_no_device_although_opened(programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    programs.on_device = signatures(("crypto_LUKS", THEIRS))
    one = attempt(programs)
    monkeypatch.setattr(encryption, "opened_as", lambda view, name: None)
    open_it(programs, one)
    assert one.error
    assert one.error.code == "internal"


def test_settle_waits_for_what_was_left_running(programs: Programs) -> None:
    found = export().find(programs.tree.view, CAPTURE_WWN)
    ended = Deadline(0.3)
    cryptsetup.settle([(NAME, found)], programs.tree.view, ended)
    assert not ended.passed
    programs.tree.put("/proc/4711/cmdline", "/usr/sbin/cryptsetup\0open\0/dev/dm-0\0" + NAME + "\0")
    cryptsetup.settle([(NAME, found)], programs.tree.view, ended)
    assert ended.passed


def removal(formatting: Optional[str], force: bool = False) -> Removal:
    return removal_of(parsed(), record(formatting=formatting), [], force)


@pytest.mark.parametrize(
    ("formatting", "uuid", "keyslots", "started"),
    [
        (None, OURS, {}, []),
        (OURS, OURS, {}, ["wipefs", "luksDump", "wipefs"]),
        (OURS, OURS, {"0": {}}, ["wipefs", "luksDump"]),
        (OURS, THEIRS, {}, ["wipefs"]),
    ],
)
def test_unfinished_header_goes_with_the_volume(
    programs: Programs, formatting: Optional[str], uuid: str, keyslots: dict[str, Any], started: list[str]
) -> None:
    programs.on_device, programs.keyslots = signatures(("crypto_LUKS", uuid)), keyslots
    leaving = removal(formatting)
    cryptsetup.discard_unfinished([leaving], programs.tree.view, Deadline(10))
    assert leaving.error is None
    assert programs.started == started
    if len(started) == 3:
        assert list(programs.arguments[-1]) == ["wipefs", "--all", "--types", "crypto_LUKS", "/dev/dm-0"]


@pytest.mark.parametrize("force", [False, True])
def test_unfinished_header_that_stays_is_told(programs: Programs, force: bool) -> None:
    programs.status["wipefs"] = None
    leaving = removal(OURS, force)
    cryptsetup.discard_unfinished([leaving], programs.tree.view, Deadline(10))
    assert (leaving.error is None) is force
    assert bool(leaving.warnings) is force


def test_what_is_closed(programs: Programs) -> None:
    view = programs.tree.view
    assert cryptsetup.standing(view, removal(None)) is None
    put_opened(programs.tree, uuid="LVM")
    assert cryptsetup.standing(view, removal(None)) is None
    put_opened(programs.tree)
    opened = cryptsetup.standing(view, removal(None))
    assert opened
    assert (opened.device, opened.path) == ("dm-5", f"/dev/mapper/{NAME}")
    some_paths = replace(removal(None), portals=removal(None).portals[1:])
    assert cryptsetup.standing(view, some_paths) is None


def test_missing_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cryptsetup, "PROGRAM", "brickwork-no-such-program")
    with pytest.raises(StorageError, match="install the package") as caught:
        cryptsetup.require()
    assert caught.value.code == "failed_precondition"
