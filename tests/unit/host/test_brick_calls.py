# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""os-brick's calls in a process of their own, with something else in os-brick's place: how they end, and are ended."""

from __future__ import annotations

import inspect
import os
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.brickwork.storage.plugins.module_utils.host import brick
from ansible_collections.brickwork.storage.plugins.module_utils.host.brick import Answer, Call, Calls
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import LOCK_DIRECTORY, Deadline
from ansible_collections.brickwork.storage.tests.unit.host.examples import export


def calls(*devices: dict[str, Any]) -> list[Call]:
    return [Call(export(), multipath=True, device=device) for device in devices]  # type: ignore[arg-type]


def test_each_call_is_answered_in_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    def call(asked: Call) -> dict[str, Any]:
        print("os-brick must not write to the module's output")
        if asked.device == {"fails": True}:
            raise ValueError("no\nsuch device")
        return {**(asked.device or {}), "file": Path("/dev/null")}

    monkeypatch.setattr(brick, "_call", call)
    assert Calls(calls({"a": 1}, {"fails": True}, {"b": 2})).wait(Deadline(10)) == [
        Answer(0, {"a": 1, "file": "/dev/null"}),
        Answer(1, {}, "ValueError: no such device"),
        Answer(2, {"b": 2, "file": "/dev/null"}),
    ]


def exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_call_that_hangs_is_ended_with_all_it_started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def call(asked: Call) -> dict[str, Any]:
        if asked.device == {"hangs": True}:
            (tmp_path / "pid").write_text(str(os.getpid()))
            os.system("sleep 600 & wait")
        return {}

    monkeypatch.setattr(brick, "_call", call)
    running = Calls(calls({}, {"hangs": True}, {}))
    assert running.wait(Deadline(2)) == [Answer(0, {})]
    assert not running.ended
    group = int((tmp_path / "pid").read_text())
    patience = Deadline(5)
    while exists(group) and not patience.passed:
        time.sleep(0.05)
    assert not exists(group)


def test_process_that_dies_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(brick, "_call", lambda asked: os._exit(1))
    failures = [answer.failure for answer in Calls(calls({}, {})).wait(Deadline(10))]
    assert failures == ["os-brick's process ended early"] * 2


def test_os_brick_with_the_hole_is_refused() -> None:
    def old(self: Any, connection_properties: Any, devices: Any, device_info: Any) -> None: ...
    def mended(self: Any, connection_properties: Any, devices: Any, device_info: Any, force: Any, exc: Any) -> None: ...

    refused = brick.harmful("6.1.0", inspect.signature(old))
    assert refused
    assert "CVE-2023-2088" in refused
    assert "6.1.0-3" in refused
    assert brick.harmful("6.1.0", inspect.signature(mended)) is None


def test_locks_are_shared_with_the_services_of_the_host(tmp_path: Path) -> None:
    nova, cinder = tmp_path / "nova.conf", tmp_path / "cinder.conf"
    paths = [str(nova), str(cinder)]
    assert brick.lock_directory(paths) == str(LOCK_DIRECTORY)
    cinder.write_text("[DEFAULT]\nhost = a\nhost = b\n[oslo_concurrency]\nlock_path = /var/lib/cinder/tmp\n")
    assert brick.lock_directory(paths) == "/var/lib/cinder/tmp"
    nova.write_text("[oslo_concurrency]\nlock_path = $state_path/locks\n[os_brick]\nlock_path = /var/lib/os-brick\n")
    assert brick.lock_directory(paths) == "/var/lib/os-brick"
    nova.write_text("no configuration at all")
    assert brick.lock_directory(paths) == "/var/lib/cinder/tmp"
