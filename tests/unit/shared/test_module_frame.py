# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The frame of every module: secrets, codes, and no traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any, Callable

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args

from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.module import StorageModule, run, secrets_in

SECRET = "the-secret-of-host1"
SPECIFICATION: dict[str, Any] = {
    "argument_spec": {
        "names": {"type": "list", "elements": "str"},
        "numbers": {"type": "list", "elements": "int"},
        "data": {"type": "dict"},
        "count": {"type": "int"},
        "state": {"type": "str", "choices": ["present", "absent", "none"], "default": "present"},
        "needed": {"type": "str", "required": True},
    },
    "mutually_exclusive": [("names", "data")],
    "required_if": [("state", "absent", ("names",)), ("state", "none", ("count", "data"), True)],
}
Work = Callable[[dict[str, Any], bool], dict[str, Any]]
Run = Callable[..., dict[str, Any]]


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    monkeypatch.setattr(AnsibleModule, "log", lambda module, msg, log_args=None: found.append(f"{msg} {log_args}"))
    return found


@pytest.fixture
def run_module(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], logged: list[str]) -> Run:
    """Run a module that does the work given; its result, and its exit status under "status"."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)

    def run_it(work: Work, **arguments: Any) -> dict[str, Any]:
        given = {name: value for name, value in {"needed": "x", **arguments}.items() if value is not None}
        with patch_module_args(given), pytest.raises(SystemExit) as ended:
            run(StorageModule(**SPECIFICATION), work)
        result: dict[str, Any] = json.loads(capsys.readouterr().out)
        return {**result, "status": ended.value.code}

    return run_it


def nothing(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    return {"changed": False}


def test_success(run_module: Run) -> None:
    result = run_module(lambda params, check_mode: {"changed": True, "volumes": params["names"]}, names="a,b")
    assert (result["status"], result["changed"], result["volumes"]) == (0, True, ["a", "b"])
    assert "failed" not in result


@pytest.mark.parametrize("check_mode", [True, False])
def test_check_mode_is_passed_on(run_module: Run, check_mode: bool) -> None:
    def work(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
        return {"changed": False, "checked": check_mode}

    assert run_module(work, _ansible_check_mode=check_mode)["checked"] is check_mode


def test_failed_result(run_module: Run) -> None:
    failing = {"changed": True, "failed": True, "msg": "1 of 2", "error_code": "aborted", "volumes": ["b"]}
    result = run_module(lambda params, check_mode: dict(failing))
    assert result["status"] == 1
    assert {key: result[key] for key in failing} == failing


def test_storage_error(run_module: Run) -> None:
    def work(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
        raise StorageError("unavailable", "No portal answers.", portals=["192.0.2.1:3260"])

    result = run_module(work)
    assert (result["status"], result["failed"], result["msg"]) == (1, True, "No portal answers.")
    assert (result["error_code"], result["portals"]) == ("unavailable", ["192.0.2.1:3260"])


def test_anything_else_is_a_sentence_with_a_code(run_module: Run) -> None:
    def work(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
        raise RuntimeError("wires crossed")

    result = run_module(work)
    assert (result["status"], result["error_code"]) == (1, "internal")
    assert "RuntimeError: wires crossed" in result["msg"]
    assert "Traceback" not in result["msg"]


def test_not_root(run_module: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    result = run_module(nothing)
    assert (result["status"], result["error_code"]) == (1, "permission_denied")


def test_warnings_become_the_modules(run_module: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    warned: list[str] = []
    monkeypatch.setattr(AnsibleModule, "warn", lambda module, warning: warned.append(warning))
    run_module(lambda params, check_mode: {"changed": False, "warnings": ["look out"]})
    assert warned == ["look out"]


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"count": "many"}, "count"),
        ({"data": 5}, "data"),
        ({"nmaes": ["a"], "cuont": 5}, "cuont"),
        ({"numbers": [1, "two"]}, "numbers"),
        ({"state": "here"}, "state"),
        ({"state": "absent"}, "names"),
        ({"names": ["a"], "data": {}}, "names"),
        ({"state": "none"}, "count"),
        ({"needed": None}, "needed"),
    ],
)
def test_bad_arguments(run_module: Run, arguments: dict[str, Any], field: str) -> None:
    """Every way in which Ansible refuses arguments."""
    result = run_module(nothing, **arguments)
    assert (result["status"], result["error_code"], result.get("field")) == (1, "invalid_argument", field)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"auth_password": SECRET}, [SECRET]),
        ({"connections": [{"connection_info": {"data": {"discovery_auth_password": SECRET}}}]}, [SECRET]),
        ({"keyring": SECRET, "dhchap_key": "1", "dhchap_ctrl_key": "2"}, [SECRET, "1", "2"]),
        ({"auth_password": {"auth_password": SECRET}}, [SECRET]),
        ([({"auth_password": SECRET},)], [SECRET]),
        ({"auth_password": None, "auth_username": "host1", "password": 5}, []),
        # The empty text would mask everything.
        ({"auth_password": ""}, []),
        ("auth_password", []),
        (None, []),
    ],
)
def test_secrets(value: Any, expected: list[str]) -> None:
    assert list(secrets_in(value)) == expected


@pytest.mark.parametrize(
    ("end", "status", "said"),
    [
        ("sys.exit(3)", 3, ["done", "registered"]),
        ("sys.exit(0)", 0, ["done", "registered"]),
        ("sys.exit('words')", 1, ["done", "registered", "tidied"]),
        ("raise RuntimeError", 1, ["done", "registered", "tidied"]),
    ],
)
def test_end_under_ansibles_wrapper(end: str, status: int, said: list[str]) -> None:
    """Nothing is lost but the time to tidy the memory up."""
    program = f"""
import atexit, sys
from ansible_collections.brickwork.storage.plugins.module_utils import module
_ansiballz_main = None
class Memory:
    def __del__(self):
        print("tidied")
memory = Memory()
def work(*_):
    atexit.register(print, "registered")
    print("done")
    {end}
module._run = work
module.run(None, None)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    finished = subprocess.run(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=False, env=environment
    )
    assert (finished.returncode, finished.stdout.split()) == (status, said)


NESTED = {"a": [{"auth_password": SECRET, "lun": 1}]}


@pytest.mark.parametrize("arguments", [{"data": NESTED}, {"data": NESTED, "count": "many"}, {"data": NESTED, "x": 1}])
def test_secret_is_in_no_log_and_no_invocation(run_module: Run, logged: list[str], arguments: dict[str, Any]) -> None:
    result = run_module(nothing, **arguments)
    assert SECRET not in str(logged)
    assert SECRET not in json.dumps(result)


def test_secret_is_masked_wherever_it_comes_up(run_module: Run) -> None:
    def work(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
        raise RuntimeError(f"iscsiadm: cannot log in with {SECRET}")

    result = run_module(work, data=NESTED)
    assert SECRET not in json.dumps(result)
    assert "cannot log in" in result["msg"]


def test_other_values_are_not_masked(run_module: Run) -> None:
    result = run_module(lambda params, check_mode: {"changed": False, "lun": 1, "of": "host1"}, data=NESTED)
    assert (result["lun"], result["of"]) == (1, "host1")
