# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules as Ansible calls them, with input that is wrong before any backend is asked."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm import backend
from ansible_collections.brickwork.storage.plugins.modules import (
    volume,
    volume_connection,
    volume_snapshot,
)

CONNECTOR = {"host": "host1", "initiator": "iqn.2026-11.org.example:host1", "multipath": True}
CONFIGURATION = (
    "[DEFAULT]\nenabled_backends = lvm\n[lvm]\nvolume_driver = lvm\nvolume_group = vg0\ntarget_ip_address = 192.0.2.1\n"
)


@pytest.fixture(autouse=True)
def _controller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(backend, "require", lambda name: None)


def call(module: ModuleType, capsys: pytest.CaptureFixture[str], **given: Any) -> dict[str, Any]:
    with patch_module_args(given), pytest.raises(SystemExit):
        module.main()
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


@pytest.mark.parametrize(
    ("module", "given", "field"),
    [
        (volume, {}, "volumes"),
        (volume, {"volumes": {"a": 1}, "size": "1GiB"}, "volumes"),
        (volume, {"volumes": "a", "size": "1GiB", "state": "there"}, "state"),
        (volume, {"volumes": "a", "size": "1 gigabyte"}, "size"),
        (volume, {"volumes": "a", "size": ["1GiB"]}, "size"),
        (volume, {"volumes": "a,,b", "size": "1GiB"}, "volumes"),
        (volume, {"volumes": "a", "snapshot": "s", "source_volume": "b"}, "snapshot"),
        (volume, {"volumes": "a", "snapshot": "s", "state": "absent"}, "snapshot"),
        (volume, {"volumes": "a,b", "source_volume": "b"}, "source_volume"),
        (volume_snapshot, {"volume": "a"}, "snapshots"),
        (volume_snapshot, {"snapshots": "s"}, "volume"),
        (volume_snapshot, {"snapshots": "s", "volume": ""}, "volume"),
        (volume_snapshot, {"snapshots": "s,,t", "volume": "a"}, "snapshots"),
        (volume_snapshot, {"snapshots": ["{'name': 's'}"], "volume": "a"}, "snapshots"),
        (volume_connection, {"volumes": "a"}, "connector"),
        (volume_connection, {"volumes": "a", "connector": "host1"}, "connector"),
        (volume_connection, {"volumes": "a", "connector": 5}, "connector"),
        (volume_connection, {"volumes": "a", "connector": []}, "connector"),
        (volume_connection, {"volumes": "a", "connector": {}}, "connector.host"),
        (volume_connection, {"volumes": "a", "connector": {"host": "host1"}}, "connector.initiator"),
        (volume_connection, {"volumes": "a", "connector": {**CONNECTOR, "initiator": "host1"}}, "connector.initiator"),
        (volume_connection, {"volumes": "a", "connector": {**CONNECTOR, "initiator": ["a"]}}, "connector.initiator"),
        (volume_connection, {"volumes": "a", "connector": CONNECTOR, "shared": "perhaps"}, "shared"),
        (volume_connection, {"volumes": "a", "connector": CONNECTOR, "timeout": "soon"}, "timeout"),
        (volume_connection, {"volumes": "a", "connector": CONNECTOR, "timeout": -5}, "timeout"),
        (volume_connection, {"volumes": "a", "state": "absent"}, "host"),
    ],
)
def test_wrong_arguments_name_the_field(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, module: ModuleType, given: dict[str, Any], field: str
) -> None:
    (tmp_path / "backends.conf").write_text(CONFIGURATION, encoding="utf-8")
    result = call(module, capsys, **given, config=str(tmp_path / "backends.conf"))
    assert result["failed"]
    assert (result["error_code"], result["field"]) == ("invalid_argument", field)
    assert "Traceback" not in json.dumps(result)


@pytest.mark.parametrize("module", [volume, volume_connection])
def test_unknown_parameters_are_refused(capsys: pytest.CaptureFixture[str], module: ModuleType) -> None:
    result = call(module, capsys, volumes="a", connector=CONNECTOR, sise="1GiB")
    assert result["error_code"] == "invalid_argument"
    assert "sise" in result["msg"]


@pytest.mark.parametrize("module", [volume, volume_connection])
def test_a_controller_without_configuration(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, module: ModuleType
) -> None:
    given = {"connector": CONNECTOR} if module is volume_connection else {"size": "1GiB"}
    result = call(module, capsys, volumes="a", config=str(tmp_path / "nothing"), **given)
    assert (result["error_code"], result["field"]) == ("not_found", "config")


@pytest.mark.parametrize("module", [volume, volume_connection])
def test_only_root(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    given = {"connector": CONNECTOR} if module is volume_connection else {"size": "1GiB"}
    assert call(module, capsys, volumes="a", **given)["error_code"] == "permission_denied"
