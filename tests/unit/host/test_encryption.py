# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is opened, what is formatted, and what is neither."""

from __future__ import annotations

import re
from typing import Any, Optional

import pytest

from ansible_collections.brickwork.storage.plugins.module_utils.commands import Finished
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.host import encryption
from ansible_collections.brickwork.storage.plugins.module_utils.host.detach import removal_of
from ansible_collections.brickwork.storage.plugins.module_utils.host.encryption import Encryption, Signature
from ansible_collections.brickwork.storage.plugins.module_utils.host.found import Found
from ansible_collections.brickwork.storage.plugins.module_utils.host.records import Record
from ansible_collections.brickwork.storage.plugins.module_utils.host.removal import refusal
from ansible_collections.brickwork.storage.tests.unit.host.examples import (
    CAPTURE_ID,
    CAPTURE_SIZE,
    CAPTURE_WWN,
    export,
    parsed,
    record,
)
from ansible_collections.brickwork.storage.tests.unit.host.luks import HEADER_BYTES, NAME, OPENED_SIZE, put_opened
from ansible_collections.brickwork.storage.tests.unit.host.tree import Capture, Tree

WANTED = Encryption("a-passphrase", False, "argon2id")
FORMAT = Encryption("a-passphrase", True, "argon2id")
LUKS = Signature("crypto_LUKS", "uuid-of-luks", 0)
SECOND_HEADER = Signature("crypto_LUKS", "uuid-of-luks", 0x4000)
EXT4 = Signature("ext4", "uuid-of-ext4", 0x438)
OLD_GPT = Signature("gpt", "", 0x7FFFE00)


def given(**changes: Any) -> dict[str, Any]:
    return {"passphrase": None, "passphrases": None, "format": False, "pbkdf": "argon2id", **changes}


@pytest.mark.parametrize(
    ("option", "passphrase"),
    [
        (given(passphrase="for all"), "for all"),
        (given(passphrase="for all", passphrases={"db-data": "its own"}), "its own"),
        (given(passphrase="for all", passphrases={"db-log": "another's"}), "for all"),
        (given(passphrases={"db-data": "with blanks at the end  "}), "with blanks at the end  "),
        (given(passphrase="ü" * 256), "ü" * 256),
    ],
)
def test_passphrase(option: dict[str, Any], passphrase: str) -> None:
    wanted = encryption.asked_for(option, "db-data")
    assert wanted
    assert wanted.passphrase == passphrase
    assert passphrase not in repr(wanted)


def test_no_encryption() -> None:
    assert encryption.asked_for(None, "db-data") is None


@pytest.mark.parametrize(
    ("option", "field"),
    [
        (given(), "encryption.passphrase"),
        (given(passphrases={"db-log": "another's"}), "encryption.passphrase"),
        (given(passphrase=""), "encryption.passphrase"),
        (given(passphrase="from a file\n"), "encryption.passphrase"),
        (given(passphrase="ü" * 257), "encryption.passphrase"),
        (given(passphrases={"db-data": 4711}), "encryption.passphrases.db-data"),
        (given(passphrase="for all", passphrases={"db-data": "two\nlines"}), "encryption.passphrases.db-data"),
    ],
)
def test_passphrase_that_will_not_do(option: dict[str, Any], field: str) -> None:
    with pytest.raises(StorageError) as caught:
        encryption.asked_for(option, "db-data")
    assert (caught.value.code, caught.value.facts["field"]) == ("invalid_argument", field)
    for secret in ("for all", "another's", "from a file", "ü", "4711", "two"):
        assert secret not in caught.value.message


@pytest.mark.parametrize("volume_id", [CAPTURE_ID, "Volume_1.of:pool", "x" * 64])
def test_name_tells_the_id(volume_id: str) -> None:
    assert encryption.name_of(volume_id) == f"brickwork-{volume_id}"


@pytest.mark.parametrize("volume_id", ["pool/image", "x" * 65, "ä", "with blank", "a\n"])
def test_name_of_an_id_that_is_no_name(volume_id: str) -> None:
    name = encryption.name_of(volume_id)
    # device-mapper's names end at 127 characters, and its UUIDs, which hold the name, too.
    assert re.fullmatch(r"brickwork-[0-9a-f]{32}", name)
    assert name not in {encryption.name_of(other) for other in ("pool/image2", "x" * 66, "ö")}


def found_in(tree: Tree) -> Found:
    return export().find(tree.view, CAPTURE_WWN)


def lacks(tree: Tree, wanted: Optional[Encryption], recorded: Optional[Record]) -> tuple[str, ...]:
    return encryption.lacks(wanted, CAPTURE_ID, recorded, found_in(tree), tree.view)


def opened_record(**changes: Any) -> Record:
    return record(encrypted=True, header_bytes=HEADER_BYTES, **changes)


@pytest.mark.parametrize(
    ("name", "wanted", "recorded", "lacking"),
    [
        ("multipath", None, record(), ()),
        ("multipath", WANTED, opened_record(), ("not open",)),
        ("multipath", WANTED, None, ("not open",)),
        ("multipath", WANTED, record(attached=False), ("not open",)),
        ("empty", WANTED, opened_record(), ("not open",)),
        ("empty", WANTED, record(), ("not open",)),
        ("single_path", WANTED, None, ("not open",)),
    ],
)
def test_what_is_not_open(
    capture: Capture, name: str, wanted: Optional[Encryption], recorded: Optional[Record], lacking: tuple[str, ...]
) -> None:
    assert lacks(capture(name), wanted, recorded) == lacking


@pytest.mark.parametrize("uuid", ["CRYPT-LUKS2", "CRYPT-LUKS1"])
@pytest.mark.parametrize(("name", "on"), [("multipath", "dm-0"), ("two_paths_without_map", "sdb")])
def test_what_is_open_lacks_nothing(capture: Capture, name: str, on: str, uuid: str) -> None:
    tree = capture(name)
    put_opened(tree, on=on, uuid=uuid)
    assert lacks(tree, WANTED, opened_record()) == ()
    assert lacks(tree, WANTED, None) == ()


def test_grown(capture: Capture) -> None:
    tree = capture("multipath")
    put_opened(tree, size_bytes=OPENED_SIZE - 4096)
    assert lacks(tree, WANTED, opened_record()) == (f"opened with {OPENED_SIZE - 4096} bytes",)
    assert lacks(tree, WANTED, record(encrypted=True, header_bytes=HEADER_BYTES + 4096)) == ()


@pytest.mark.parametrize(
    ("wanted", "recorded", "is_open", "how"),
    [
        (None, opened_record(), True, "with"),
        (None, opened_record(), False, "with"),
        (WANTED, record(), False, "without"),
    ],
)
def test_attached_the_other_way(
    capture: Capture, wanted: Optional[Encryption], recorded: Record, is_open: bool, how: str
) -> None:
    tree = capture("multipath")
    if is_open:
        put_opened(tree)
    with pytest.raises(StorageError, match=f"but {how} encryption") as caught:
        lacks(tree, wanted, recorded)
    assert (caught.value.code, caught.value.facts["field"]) == ("already_exists", "encryption")


def test_open_and_nobody_recorded_it(capture: Capture) -> None:
    tree = capture("multipath")
    put_opened(tree)
    with pytest.raises(StorageError, match="with encryption"):
        lacks(tree, None, None)


def test_open_under_another_name(capture: Capture) -> None:
    tree = capture("multipath")
    put_opened(tree, name="by-hand")
    with pytest.raises(StorageError, match="/dev/mapper/by-hand") as caught:
        lacks(tree, WANTED, opened_record())
    assert (caught.value.code, caught.value.facts["users"]) == ("already_exists", ["encrypted device by-hand"])


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("multipath", {"on": "sda"}, "open over /dev/sda, and the volume is /dev/dm-0 now"),
        ("multipath", {"uuid": "LVM"}, "is not a LUKS volume"),
        ("empty", {"on": "sda"}, "and the volume is not attached now"),
    ],
)
def test_something_else_has_its_name(capture: Capture, name: str, changes: dict[str, Any], words: str) -> None:
    tree = capture(name)
    put_opened(tree, **changes)
    with pytest.raises(StorageError, match=words) as caught:
        lacks(tree, WANTED, None)
    assert caught.value.code == "failed_precondition"


def test_file_is_not_encrypted(capture: Capture) -> None:
    with pytest.raises(StorageError) as caught:
        encryption.lacks(WANTED, CAPTURE_ID, None, Found(file="/mnt/share/volume"), capture("empty").view)
    assert caught.value.code == "unimplemented"


@pytest.mark.parametrize(
    ("signatures", "wanted", "formats"),
    [
        ([], FORMAT, True),
        ([LUKS, SECOND_HEADER], FORMAT, False),
        ([LUKS], WANTED, False),
        ([SECOND_HEADER], FORMAT, False),
        # The other end of a partition table that was there before.
        ([LUKS, OLD_GPT], FORMAT, False),
    ],
)
def test_formatted_or_opened(signatures: list[Signature], wanted: Encryption, formats: bool) -> None:
    assert encryption.may_format(signatures, wanted, "/dev/dm-0", opened_before=False) is formats


@pytest.mark.parametrize("wanted", [WANTED, FORMAT])
@pytest.mark.parametrize(
    ("signatures", "types"),
    [
        ([EXT4], ["ext4"]),
        ([OLD_GPT, Signature("PMBR", "", 0x1FE)], ["PMBR", "gpt"]),
        # A file system over what was LUKS once: cryptsetup would write the first header anew over it.
        ([EXT4, SECOND_HEADER], ["ext4"]),
    ],
)
def test_never_over_a_signature(signatures: list[Signature], types: list[str], wanted: Encryption) -> None:
    with pytest.raises(StorageError) as caught:
        encryption.may_format(signatures, wanted, "/dev/dm-0", opened_before=False)
    assert (caught.value.code, caught.value.facts["signatures"]) == ("failed_precondition", types)
    assert all(name in caught.value.message for name in types)


@pytest.mark.parametrize(
    ("wanted", "before", "words"), [(WANTED, False, "Nothing was found"), (FORMAT, True, "header is gone")]
)
def test_never_unasked_and_never_twice(wanted: Encryption, before: bool, words: str) -> None:
    with pytest.raises(StorageError, match=words) as caught:
        encryption.may_format([], wanted, "/dev/dm-0", opened_before=before)
    assert (caught.value.code, caught.value.facts["field"]) == ("failed_precondition", "encryption.format")


@pytest.mark.parametrize(
    ("signatures", "formatting", "unfinished"),
    [
        ([LUKS], "uuid-of-luks", True),
        ([LUKS, SECOND_HEADER], "uuid-of-luks", True),
        ([LUKS], None, False),
        ([LUKS], "uuid-of-another", False),
        ([LUKS, OLD_GPT], "uuid-of-luks", False),
        ([EXT4], "uuid-of-ext4", False),
        ([], "uuid-of-luks", False),
    ],
)
def test_unfinished(signatures: list[Signature], formatting: Optional[str], unfinished: bool) -> None:
    assert encryption.is_unfinished(signatures, formatting) is unfinished


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (2, "permission_denied"),
        (3, "resource_exhausted"),
        (5, "failed_precondition"),
        (1, "failed_precondition"),
        (None, "deadline_exceeded"),
    ],
)
def test_failure(status: Optional[int], code: str) -> None:
    error = encryption.failure(Finished(("cryptsetup",), status, "", "it said why"), "/dev/dm-0")
    assert error.code == code
    assert "/dev/dm-0" in error.message


@pytest.mark.parametrize(
    ("mountinfo", "users"),
    [
        ("", None),
        ("600 1 254:5 / /srv/db rw - ext4 /dev/mapper/x rw\n", ["mount point /srv/db"]),
    ],
)
@pytest.mark.parametrize("name", ["multipath", "empty"])
def test_detach_asks_who_uses_the_opened_device(
    capture: Capture, name: str, mountinfo: str, users: Optional[list[str]]
) -> None:
    tree = capture(name)
    put_opened(tree)
    tree.put("/proc/1/ns/mnt", {"link": "mnt:[1]"})
    tree.put("/proc/1/mountinfo", mountinfo)
    removal = removal_of(parsed(), opened_record(), [])
    error = refusal(tree.view, removal, removal.find(tree.view))
    assert (error.facts["users"] if error else None) == users


def test_detach_leaves_what_another_opened(capture: Capture) -> None:
    tree = capture("multipath")
    put_opened(tree, name="by-hand")
    removal = removal_of(parsed(), opened_record(), [])
    error = refusal(tree.view, removal, removal.find(tree.view))
    assert error
    assert error.facts["users"] == ["encrypted device by-hand"]


def test_dead_paths_beneath(capture: Capture) -> None:
    tree = capture("dead_map")
    put_opened(tree)
    removal = removal_of(parsed(), opened_record(), [])
    error = refusal(tree.view, removal, removal.find(tree.view))
    assert error
    assert error.code == "unavailable"


def test_description() -> None:
    assert encryption.describe_opened(None) == {"encrypted": None}
    assert CAPTURE_SIZE > OPENED_SIZE
    assert encryption.path_of(NAME) == f"/dev/mapper/brickwork-{CAPTURE_ID}"
