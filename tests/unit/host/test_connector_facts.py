# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""volume_connector_facts where os-brick is not installed: what comes before it. With os-brick it runs on the lab."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable, Optional

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.brickwork.storage.plugins.module_utils import module as frame
from ansible_collections.brickwork.storage.plugins.module_utils.commands import Finished
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.host import brick
from ansible_collections.brickwork.storage.plugins.module_utils.module import AnotherInterpreterError
from ansible_collections.brickwork.storage.plugins.modules import volume_connector_facts

Run = Callable[..., dict[str, Any]]
# As iproute2 told it on the lab.
ADDRESSES = json.dumps(
    [
        {"ifname": "mgmt", "addr_info": [{"family": "inet", "local": "10.77.0.12", "scope": "global"}]},
        {},
        {"ifname": "storage-a", "addr_info": [{"family": "inet", "local": "10.77.1.12", "scope": "global"}]},
    ]
)


@pytest.fixture
def run_module(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the module; its result."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setitem(sys.modules, "os_brick", None)

    def run_it(**params: Any) -> dict[str, Any]:
        with patch_module_args(params), pytest.raises(SystemExit):
            volume_connector_facts.main()
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    return run_it


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"multipath": "perhaps"}, "multipath"),
        ({"enforce_multipath": [1]}, "enforce_multipath"),
        ({"multipaths": True}, "multipaths"),
    ],
)
def test_bad_input_is_named(run_module: Run, params: dict[str, Any], field: str) -> None:
    result = run_module(**params)
    assert (result["error_code"], result["field"]) == ("invalid_argument", field)


@pytest.mark.parametrize("respawned", [False, True])
def test_no_interpreter_has_os_brick(run_module: Run, monkeypatch: pytest.MonkeyPatch, respawned: bool) -> None:
    monkeypatch.setattr(brick, "has_respawned", lambda: respawned)
    monkeypatch.setattr(brick, "probe_interpreters_for_module", lambda interpreters, module: None)
    result = run_module()
    assert result["error_code"] == "failed_precondition"
    assert "install python3-os-brick" in result["msg"]


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An interpreter in an environment of the collection's own."""
    interpreter = tmp_path / "python3"
    interpreter.touch(mode=0o755)
    monkeypatch.setattr(brick, "OWN_INTERPRETER", str(interpreter))
    monkeypatch.setattr(brick, "has_respawned", lambda: False)
    return interpreter


@pytest.mark.parametrize("here", [False, True])
def test_environment_of_its_own_is_taken_first(monkeypatch: pytest.MonkeyPatch, own: Path, here: bool) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: here or None)
    with pytest.raises(AnotherInterpreterError) as caught:
        brick.require()
    assert caught.value.interpreter == str(own)
    monkeypatch.setattr(brick, "has_respawned", lambda: here)  # it is the one that this runs in
    if here:
        brick.require()


def test_other_interpreters_are_asked_where_this_one_has_none(monkeypatch: pytest.MonkeyPatch, own: Path) -> None:
    own.unlink()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: True)
    monkeypatch.setattr(brick, "probe_interpreters_for_module", lambda paths, module: paths[0])
    brick.require()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(AnotherInterpreterError) as caught:
        brick.require()
    assert caught.value.interpreter == "/usr/bin/python3"


def test_module_goes_on_in_the_other_interpreter(run_module: Run, monkeypatch: pytest.MonkeyPatch, own: Path) -> None:
    taken: list[str] = []

    def respawn(interpreter: str) -> None:
        taken.append(interpreter)
        sys.exit(0)

    monkeypatch.setattr(frame, "respawn_module", respawn)
    with patch_module_args({}), pytest.raises(SystemExit):
        volume_connector_facts.main()
    assert taken == [str(own)]


@pytest.mark.parametrize("asked", [True, False])
def test_multipath_is_what_was_asked_for_also_while_multipathd_restarts(
    monkeypatch: pytest.MonkeyPatch, asked: bool
) -> None:
    def properties(root: str, ip: str, multipath: bool, enforce: bool) -> dict[str, Any]:
        return {"ip": ip, "multipath": False}  # as os-brick 6.1 does where multipathd does not answer

    modules = {
        "os_brick": {"exception": SimpleNamespace(BrickException=Exception)},
        "os_brick.initiator": {"connector": SimpleNamespace(get_connector_properties=properties)},
        "os_brick.privileged": {"nvmeof": SimpleNamespace()},
    }
    for name, holds in modules.items():
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(**holds))
    monkeypatch.setattr(brick, "require", lambda: None)
    monkeypatch.setattr(brick, "_import", lambda: None)
    assert brick.connector("192.0.2.1", asked, False) == {"ip": "192.0.2.1", "multipath": asked}


class NoRoute(socket.socket):
    """The way out of a host without a default route."""

    def connect(self, address: Any) -> None:
        raise OSError(101, "Network is unreachable")


@pytest.mark.parametrize(
    ("told", "address"),
    [
        (Finished(("ip",), 0, ADDRESSES, ""), "10.77.0.12"),
        (Finished(("ip",), 0, "[]", ""), None),
        (Finished(("ip",), 0, "", ""), None),
        (Finished(("ip",), 1, "", "broken"), None),
        (Finished(("ip",), None, "", ""), None),
    ],
)
def test_address_of_a_host_without_a_route(
    monkeypatch: pytest.MonkeyPatch, told: Finished, address: Optional[str]
) -> None:
    monkeypatch.setattr(socket, "socket", NoRoute)
    monkeypatch.setattr(brick, "run", lambda argv, deadline: told)
    if address:
        assert brick.own_address() == address
        return
    with pytest.raises(StorageError) as caught:
        brick.own_address()
    assert (caught.value.code, caught.value.facts["field"]) == ("failed_precondition", "ip")


def test_address_by_which_others_are_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(brick, "ANYWHERE", (("127.0.0.1", 9), ("::1", 9)))
    assert brick.own_address() == "127.0.0.1"
