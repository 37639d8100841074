# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""host_identity on hosts of files."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Optional

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.brickwork.storage.plugins.module_utils import waiting
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.host import naming
from ansible_collections.brickwork.storage.plugins.module_utils.host.name_files import (
    BOOT_ID,
    MACHINE_ID,
    PRODUCT_UUID,
    RECORD,
)
from ansible_collections.brickwork.storage.plugins.module_utils.host.nvme_sysfs import HOST_ID, HOST_NQN
from ansible_collections.brickwork.storage.plugins.module_utils.host.records import LOCK, Records
from ansible_collections.brickwork.storage.plugins.module_utils.host.sysfs import INITIATOR_NAME
from ansible_collections.brickwork.storage.plugins.module_utils.host.unique_names import KINDS
from ansible_collections.brickwork.storage.plugins.modules import host_identity
from ansible_collections.brickwork.storage.tests.unit.host.examples import record
from ansible_collections.brickwork.storage.tests.unit.host.tree import Capture, Tree

FILES = (INITIATOR_NAME, HOST_NQN, HOST_ID, RECORD)
OWN = "5f0c6a3e-3b0f-4a53-9d57-9b3b8a1f6a10"
FOUND = {"initiator": "iqn.2026-11.org.example:db1", "nqn": f"nqn.2014-08.org.nvmexpress:uuid:{OWN}", "hostid": OWN}


class Host:
    """A host, and the module on it."""

    def __init__(self, tree: Tree, tmp_path: Path) -> None:
        self.tree = tree
        self.records = Records(tmp_path / "attachments")
        self.is_machine("a")
        tree.put(BOOT_ID, "boot\n")

    def is_machine(self, letter: str) -> None:
        self.tree.put(MACHINE_ID, letter * 32 + "\n")

    def has_names(self) -> None:
        self.tree.put(INITIATOR_NAME, f"## a comment\nInitiatorName={FOUND['initiator']}\n")
        self.tree.put(HOST_NQN, f"{FOUND['nqn']}\n")
        self.tree.put(HOST_ID, f"{OWN}\n")

    def give(
        self, check_mode: bool = False, initiator_name: Optional[str] = None, renew: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        params = {"initiator_name": initiator_name, "renew": list(renew)}
        return naming.give(params, check_mode, self.tree.view, self.records)

    def refuse(self, code: str, **arguments: Any) -> StorageError:
        before = self.files()
        for check_mode in (True, False):
            with pytest.raises(StorageError) as caught:
                self.give(check_mode, **arguments)
            assert caught.value.code == code
            assert self.files() == before
        return caught.value

    def files(self) -> dict[str, tuple[str, int]]:
        """Each file's text and mode."""
        paths = [self.tree.root / name for name in FILES]
        return {
            str(path.relative_to(self.tree.root)): (path.read_text(encoding="utf-8"), path.stat().st_mode & 0o777)
            for path in paths
            if path.exists()
        }


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setattr(naming, "exclusive_if_free", _locks(tmp_path / "locks"))
    return Host(Tree(tmp_path / "host"), tmp_path)


def _locks(directory: Path) -> Any:
    return lambda name, purpose: waiting.exclusive_if_free(name, purpose, directory / "lock")


def test_a_bare_host_gets_names(host: Host) -> None:
    before = os.umask(0o077)
    try:
        result = host.give()
    finally:
        os.umask(before)
    names = result["names"]
    assert (result["changed"], result["changed_names"], result["boot"]) == (True, list(KINDS), "boot")
    files = host.files()
    assert files[INITIATOR_NAME] == (f"InitiatorName={names['initiator']}\n", 0o600)
    assert files[HOST_NQN] == (f"{names['nqn']}\n", 0o644)
    assert files[HOST_ID] == (f"{names['hostid']}\n", 0o644)
    assert files[RECORD][1] == 0o600
    assert json.loads(files[RECORD][0]) == {"machine": f"machine-id {'a' * 32}", "names": names}


def test_again_changes_nothing(host: Host) -> None:
    first = host.give()
    before = host.files()
    again = host.give()
    assert (again["changed"], again["changed_names"], again["names"]) == (False, [], first["names"])
    assert "diff" not in again
    assert host.files() == before


def test_check_mode_predicts(host: Host) -> None:
    result = host.give(check_mode=True)
    assert (result["changed"], result["changed_names"]) == (True, list(KINDS))
    assert result["names"] == dict.fromkeys(KINDS)
    assert result["diff"]["after"] == {**dict.fromkeys(KINDS), "recorded": True}
    assert host.files() == {}


def test_names_that_are_there_are_recorded(host: Host) -> None:
    host.has_names()
    before = host.files()
    result = host.give(check_mode=True)
    assert (result["changed"], result["changed_names"], result["names"]) == (True, [], FOUND)
    assert result["diff"] == {"before": {**FOUND, "recorded": False}, "after": {**FOUND, "recorded": True}}
    result = host.give()
    assert (result["changed"], result["changed_names"], result["names"]) == (True, [], FOUND)
    recorded = host.files().pop(RECORD)
    assert host.files() == {**before, RECORD: recorded}
    assert not host.give()["changed"]


@pytest.mark.parametrize(
    "written",
    [
        "",
        "InitiatorName=\nInitiatorAlias=db1\n",
        "GenerateName=yes\n",
        "GenerateName=yes\nInitiatorName=iqn.old\n",
        "# none\n",
    ],
)
def test_a_file_without_a_name(host: Host, written: str) -> None:
    host.has_names()
    host.tree.put(INITIATOR_NAME, written)
    result = host.give()
    assert result["changed_names"] == ["initiator"]
    assert host.tree.view.initiator_name() == result["names"]["initiator"]
    assert "GenerateName" not in host.files()[INITIATOR_NAME][0]
    assert ("InitiatorAlias" in written) == ("InitiatorAlias" in host.files()[INITIATOR_NAME][0])


def test_a_copy_gets_names_of_its_own(host: Host) -> None:
    host.has_names()
    host.give()
    host.is_machine("b")
    assert host.give(check_mode=True)["changed_names"] == list(KINDS)
    result = host.give()
    assert result["changed_names"] == list(KINDS)
    assert all(result["names"][kind] != FOUND[kind] for kind in KINDS)
    assert len(result["warnings"]) == len(KINDS)
    assert FOUND["initiator"] in result["warnings"][0]
    again = host.give()
    assert (again["changed"], again["names"], again["warnings"]) == (False, result["names"], [])


def test_the_firmware_tells_a_copy_that_kept_its_machine_id(host: Host) -> None:
    host.tree.put(PRODUCT_UUID, "4C4C4544-0031-4A10-8051-B4C04F4E3132\n")
    host.give()
    host.tree.put(PRODUCT_UUID, "4C4C4544-0031-4A10-8051-B4C04F4E3133\n")
    assert host.give()["changed_names"] == list(KINDS)


def test_an_administrators_new_name_is_kept(host: Host) -> None:
    host.has_names()
    host.give()
    host.tree.put(INITIATOR_NAME, "InitiatorName=iqn.2026-11.org.example:other\n")
    result = host.give()
    assert (result["changed"], result["changed_names"]) == (True, [])
    host.is_machine("b")
    assert host.give()["names"]["initiator"] != "iqn.2026-11.org.example:other"


@pytest.mark.parametrize("written", [1, 2, 3])
def test_a_copy_whose_call_was_killed(host: Host, monkeypatch: pytest.MonkeyPatch, written: int) -> None:
    host.has_names()
    host.give()
    host.is_machine("b")
    moments = iter(range(1, 5))
    replaced = os.replace

    def replace(new: Path, old: Path) -> None:
        if next(moments) > written:
            raise KeyboardInterrupt
        replaced(new, old)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", replace)
        with pytest.raises(KeyboardInterrupt):
            host.give()
    names = host.give()["names"]
    assert all(names[kind] != FOUND[kind] for kind in KINDS)
    assert names["nqn"].endswith(names["hostid"])


def test_a_name_that_was_asked_for(host: Host) -> None:
    host.has_names()
    name = "iqn.2026-11.org.example:db2"
    assert host.give(check_mode=True, initiator_name=name)["names"]["initiator"] == name
    result = host.give(initiator_name=name)
    assert (result["changed_names"], result["explicit"]) == (["initiator"], True)
    assert host.files()[INITIATOR_NAME][0] == f"## a comment\nInitiatorName={name}\n"
    assert not host.give(initiator_name=name)["changed"]


def test_renewed(host: Host) -> None:
    host.has_names()
    result = host.give(renew=("initiator",))
    assert (result["changed_names"], result["explicit"]) == (["initiator"], False)
    assert host.give(renew=("initiator",))["changed_names"] == ["initiator"]


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"initiator_name": "iqn.2026-11.lab:h1"}, "initiator_name"),
        ({"initiator_name": ""}, "initiator_name"),
        ({"initiator_name": FOUND["initiator"], "renew": ("initiator",)}, "renew"),
    ],
)
def test_bad_input(host: Host, arguments: dict[str, Any], field: str) -> None:
    assert host.refuse("invalid_argument", **arguments).facts["field"] == field


def test_nothing_tells_the_machine(host: Host) -> None:
    host.tree.put(MACHINE_ID, "uninitialized\n")
    host.refuse("failed_precondition")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"machine": "a", "names": {"wwpn": "b"}}'])
def test_a_record_that_is_none(host: Host, text: str) -> None:
    host.tree.put(RECORD, text)
    assert RECORD in host.refuse("internal").message


def test_while_volumes_are_being_attached(host: Host, tmp_path: Path) -> None:
    with waiting.exclusive(LOCK, "attaching", waiting.Deadline(1), tmp_path / "locks" / "lock"):
        with pytest.raises(StorageError) as caught:
            host.give()
        assert caught.value.code == "aborted"
        assert host.give(check_mode=True)["changed"]
    assert host.files() == {}
    host.give()
    with waiting.exclusive(LOCK, "attaching", waiting.Deadline(1), tmp_path / "locks" / "lock"):
        assert not host.give()["changed"]


# In use


@pytest.fixture
def in_use(capture: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(naming, "exclusive_if_free", _locks(tmp_path / "locks"))

    def build(name: str) -> Host:
        host = Host(capture(name), tmp_path)
        host.has_names()
        return host

    return build


def test_sessions_keep_their_name(in_use: Any) -> None:
    host = in_use("multipath")
    error = host.refuse("failed_precondition", renew=("initiator",))
    assert len(error.facts["users"]) == len(host.tree.view.sessions())
    assert all(user in error.message for user in error.facts["users"])
    assert FOUND["initiator"] in error.message
    host.refuse("failed_precondition", initiator_name="iqn.2026-11.org.example:db2")
    # That is no change, and NVMe has its own.
    assert host.give(initiator_name=FOUND["initiator"], renew=("nqn", "hostid"))["changed_names"] == ["nqn", "hostid"]


@pytest.mark.parametrize("kind", ["nqn", "hostid"])
def test_controllers_keep_their_name(in_use: Any, kind: str) -> None:
    host = in_use("nvme_shared")
    assert host.refuse("failed_precondition", renew=(kind,)).facts["users"] == host.give()["users"][kind] != []
    assert host.give(renew=("initiator",))["changed_names"] == ["initiator"]


def test_attachments_keep_their_name(host: Host) -> None:
    host.has_names()
    host.records.write(record())
    assert host.refuse("failed_precondition", renew=("initiator",)).facts["users"] == [
        f"the attachment of {record().volume['name']}"
    ]
    assert host.give(renew=("nqn",))["changed_names"] == ["nqn"]


def test_a_copy_in_use_is_told(in_use: Any) -> None:
    host = in_use("multipath")
    host.give()
    host.is_machine("b")
    assert "another machine" in host.refuse("failed_precondition").message


def test_a_name_is_made_where_there_is_none_whatever_is_there(in_use: Any) -> None:
    host = in_use("nvme_shared")
    host.tree.remove(HOST_NQN)
    host.tree.remove(HOST_ID)
    assert host.give()["changed_names"] == ["nqn", "hostid"]


@pytest.mark.parametrize(
    ("params", "field"),
    [({"renew": ["wwpns"]}, "renew"), ({"renew": True}, "renew"), ({"name": "iqn.a"}, "name")],
)
def test_what_the_module_does_not_take(capsys: pytest.CaptureFixture[str], params: dict[str, Any], field: str) -> None:
    with patch_module_args(params), pytest.raises(SystemExit):
        host_identity.main()
    result = json.loads(capsys.readouterr().out)
    assert (result["error_code"], result["field"]) == ("invalid_argument", field)
