# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of what the modules themselves return: of hosts captured from the lab, and of a controller in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.brickwork.storage.plugins.module_utils.controller import backend_info, connection_info
from ansible_collections.brickwork.storage.plugins.module_utils.controller.backend import Holder, Volume
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.host import info as attach_info
from ansible_collections.brickwork.storage.plugins.module_utils.host.records import Records
from ansible_collections.brickwork.storage.plugins.plugin_utils.report.fleet import fleet
from ansible_collections.brickwork.storage.tests.unit.controller.memory import GIB, MemoryBackend
from ansible_collections.brickwork.storage.tests.unit.host.tree import CAPTURED, Tree

TREES = sorted(file.stem for file in CAPTURED.glob("*.json"))
EVERYTHING = {"volumes": None, "backend": None, "config": "unused", "drivers": False}


def seen_on(name: str, tmp_path: Path) -> dict[str, Any]:
    """What volume_attach_info returns on a host captured from the lab."""
    return attach_info.info(EVERYTHING, Tree.captured(name, tmp_path / name).view, Records(tmp_path / "records"))


@pytest.mark.parametrize("name", TREES)
def test_everything_that_a_host_tells_is_in_the_report(tmp_path: Path, name: str) -> None:
    result = seen_on(name, tmp_path)
    told = fleet({"db1": result}, {}, {})
    assert len(told["lines"]) == len(result["attachments"])
    for line, attachment in zip(told["lines"], result["attachments"], strict=True):
        assert (line["health"], line["problems"]) == tuple(attachment["health"].values())
        assert line["paths"] == attachment["paths"]
        assert [layer["mount_points"] for layer in line["stack"]] == [
            layer["mount_points"] for layer in attachment["stack"]
        ]
    assert [item["name"] for item in told["unclaimed"]] == [item["name"] for item in result["unclaimed"]]


def test_a_controller_and_a_host_tell_of_one_volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_host = seen_on("multipath", tmp_path)
    [attachment] = on_host["attachments"]
    holder = Holder(attachment["host"], "iqn.2026-11.org.example:db1", True)
    memory = MemoryBackend(Volume("data", "5f0c", GIB, "memory", wwn=attachment["wwn"], holders=(holder,)))
    memory.strangers["root"] = "It was not made here."
    backends = {"memory": memory, "gone": StorageError("unavailable", "The volume group is gone.")}
    for module in (connection_info, backend_info):
        monkeypatch.setattr(module, "open_backends", lambda *_arguments: backends)
    connections, room = connection_info.info(EVERYTHING, False), backend_info.info(EVERYTHING, False)
    told = fleet({"db1": on_host}, {"stor": connections}, {"stor": room})
    assert [volume["name"] for volume in told["volumes"]] == ["data"]
    assert [line["held"] for line in told["lines"]] == [True]
    assert [(backend["name"], backend["health"]) for backend in told["backends"]] == [
        ("memory", "ok"),
        ("gone", "failed"),
    ]
    assert told["controllers"] == [{"name": "stor", "state": "told", "health": "ok", "problems": []}]
    assert [item["name"] for item in told["unclaimed"]] == ["memory/root"]
