# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Optional

import pytest

from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm import iscsi, lio
from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm.exporter import Portal
from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm.saved import Entries
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError

ID = "5f0c1c5e-4a3b-4d37-9d0a-0f7a5f1f6f3a"
OTHER = "00000000-0000-4000-8000-000000000000"
PREFIX = "iqn.2026-11.org.brickwork:"


def test_the_wwn_follows_from_the_id() -> None:
    assert lio.wwn(ID) == "36001405" + "5f0c1c5e4a3b4d379d0a0f7a5"
    assert len(lio.wwn(ID)) == 33


def test_ipv6_portals_are_in_brackets() -> None:
    assert str(Portal("2001:db8::1", 3260)) == "[2001:db8::1]:3260"
    assert str(Portal("192.0.2.1", 3260)) == "192.0.2.1:3260"


@pytest.mark.parametrize(
    "name",
    ["iqn.1993-08.org.debian:01:abc", "iqn.2026-11.org.example", "eui.0123456789abcdef", "naa.5001405000000000"],
)
def test_initiators(name: str) -> None:
    assert iscsi.INITIATOR.fullmatch(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "host1",
        "iqn.2026-11.lab:h1",
        "iqn.2026-11.org.example:with_underscore",
        "iqn.2026-11.org.example:a/b",
        "iqn.2026-11.org.example:a b",
        "iqn.2026-11.org.example:a\n",
        "iqn.2026-11.org.example:" + "a" * 200,
        "eui.01",
    ],
)
def test_what_is_no_initiator(name: str) -> None:
    assert not iscsi.INITIATOR.fullmatch(name)


class Dumped:
    """What rtslib dumps of a target or a storage object."""

    def __init__(self, **entry: Any) -> None:
        self.dump = lambda: entry


@pytest.fixture
def exports(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> iscsi.Iscsi:
    saved = tmp_path / "target" / "saveconfig.json"
    monkeypatch.setattr(lio, "UNSAVED", tmp_path / "unsaved")
    monkeypatch.setattr(lio, "CONFIGFS", tmp_path / "configfs")
    monkeypatch.setattr(
        lio, "library", lambda name: SimpleNamespace(root=SimpleNamespace(default_save_file=str(saved)))
    )
    return iscsi.Iscsi(PREFIX, [Portal("192.0.2.1", 3260)])


def now_in_kernel(monkeypatch: pytest.MonkeyPatch, exports: iscsi.Iscsi, present: bool) -> None:
    def storage_object(volume_id: str) -> Optional[Dumped]:
        return Dumped(name=volume_id, new=True) if present else None

    def target(volume_id: str) -> Optional[Dumped]:
        return Dumped(wwn=PREFIX + volume_id, new=True) if present else None

    monkeypatch.setattr(exports, "_storage_object", storage_object)
    monkeypatch.setattr(exports, "_target", target)


def test_saves_the_changed_volumes_and_leaves_the_rest(
    monkeypatch: pytest.MonkeyPatch, exports: iscsi.Iscsi, tmp_path: Path
) -> None:
    path = tmp_path / "target" / "saveconfig.json"
    path.parent.mkdir()
    path.write_text(
        json.dumps(
            {
                "fabric_modules": [{"name": "iscsi"}],
                "storage_objects": [{"name": ID}, {"name": OTHER}, {"name": "somebody's"}],
                "targets": [{"wwn": PREFIX + ID}, {"wwn": "iqn.2003-01.org.somebody:x"}],
            }
        ),
        encoding="utf-8",
    )
    lio.mark(ID)
    now_in_kernel(monkeypatch, exports, present=True)
    exports.save([ID])
    assert json.loads(path.read_text(encoding="utf-8")) == {
        "fabric_modules": [{"name": "iscsi"}],
        "storage_objects": [{"name": OTHER}, {"name": "somebody's"}, {"name": ID, "new": True}],
        "targets": [{"wwn": "iqn.2003-01.org.somebody:x"}, {"wwn": PREFIX + ID, "new": True}],
    }
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["saveconfig.json"]
    assert list((tmp_path / "unsaved").iterdir()) == []

    lio.mark(ID)
    now_in_kernel(monkeypatch, exports, present=False)
    exports.save([ID])
    assert [entry["name"] for entry in json.loads(path.read_text(encoding="utf-8"))["storage_objects"]] == [
        OTHER,
        "somebody's",
    ]


def test_without_changes_nothing_is_saved(exports: iscsi.Iscsi, tmp_path: Path) -> None:
    exports.save([ID])
    assert not (tmp_path / "target").exists()


def test_a_volume_that_another_call_left_unfinished_is_not_saved(
    monkeypatch: pytest.MonkeyPatch, exports: iscsi.Iscsi, tmp_path: Path
) -> None:
    lio.mark(ID)
    lio.mark(OTHER)
    now_in_kernel(monkeypatch, exports, present=True)
    exports.save([ID])
    saved = json.loads((tmp_path / "target" / "saveconfig.json").read_text(encoding="utf-8"))
    assert [entry["name"] for entry in saved["storage_objects"]] == [ID]
    assert lio.is_marked(OTHER)


def test_a_broken_file_is_not_replaced(monkeypatch: pytest.MonkeyPatch, exports: iscsi.Iscsi, tmp_path: Path) -> None:
    path = tmp_path / "target" / "saveconfig.json"
    path.parent.mkdir()
    path.write_text("{", encoding="utf-8")
    lio.mark(ID)
    now_in_kernel(monkeypatch, exports, present=True)
    with pytest.raises(StorageError) as failure:
        exports.save([ID])
    assert failure.value.code == "failed_precondition"
    assert path.read_text(encoding="utf-8") == "{"
    assert lio.is_marked(ID)


def test_an_existing_target_keeps_its_name(exports: iscsi.Iscsi, tmp_path: Path) -> None:
    assert exports.target_name(ID) == PREFIX + ID
    (tmp_path / "configfs" / "iscsi" / f"iqn.2010-10.org.openstack:{ID}").mkdir(parents=True)
    assert exports.target_name(ID) == f"iqn.2010-10.org.openstack:{ID}"
    assert exports.target_name(OTHER) == PREFIX + OTHER


def test_what_was_not_saved_is_no_complete_export(exports: iscsi.Iscsi) -> None:
    assert exports.export(ID) is None
    lio.mark(ID)
    export = exports.export(ID)
    assert export is not None
    assert not export["saved"]


def test_finds_the_saved_secret_of_this_target_and_initiator_alone() -> None:
    acls = [{"node_wwn": "iqn.a"}, {"node_wwn": "iqn.b", "chap_userid": "host2", "chap_password": "secret"}]
    saved = Entries.of([{"wwn": PREFIX + OTHER, "tpgs": []}, {"wwn": PREFIX + ID, "tpgs": [{"node_acls": acls}]}])
    assert iscsi._saved_secret(saved, PREFIX + ID, "iqn.b") == "secret"
    assert iscsi._saved_secret(saved, PREFIX + ID, "iqn.a") is None
    assert iscsi._saved_secret(saved, PREFIX + OTHER, "iqn.b") is None
    assert iscsi._saved_secret(Entries(), PREFIX + ID, "iqn.b") is None


def test_secrets_are_long_and_differ() -> None:
    assert len({iscsi._new_secret() for dummy in range(50)}) == 50
    assert all(len(secret) == 32 and secret.isalnum() for secret in [iscsi._new_secret()])
