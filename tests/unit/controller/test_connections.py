# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""volume_connection's work on a backend in memory."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.brickwork.storage.plugins.module_utils import waiting
from ansible_collections.brickwork.storage.plugins.module_utils.controller import connections
from ansible_collections.brickwork.storage.plugins.module_utils.controller.backend import (
    Holder,
    Inventory,
    Volume,
)
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.tests.unit.controller.memory import GIB, MemoryBackend

HOST1 = {"host": "host1", "initiator": "i1", "multipath": True, "ip": "192.0.2.11"}
HOST2 = {"host": "host2", "initiator": "i2", "multipath": "true"}


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> MemoryBackend:
    found = MemoryBackend(*(Volume(name, f"id-of-{name}", GIB, "memory") for name in ("a", "b", "c")))
    monkeypatch.setattr(connections, "LOGOUT_SECONDS", 0)
    monkeypatch.setattr(connections, "open_backend", lambda path, name, deadline: found)
    monkeypatch.setattr(connections, "exclusive", functools.partial(waiting.exclusive, directory=tmp_path))
    if_free = functools.partial(waiting.exclusive_if_free, directory=tmp_path)
    monkeypatch.setattr(connections, "exclusive_if_free", if_free)
    return found


@pytest.fixture
def busy(backend: MemoryBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another call holds the lock when a call begins, and has given it back when that waits for it."""
    monkeypatch.setattr(connections, "exclusive_if_free", lambda name, purpose: contextlib.nullcontext(False))


def ask(check_mode: bool = False, **given: Any) -> dict[str, Any]:
    params = {
        "volumes": ["a"],
        "connector": None,
        "host": None,
        "backend": None,
        "shared": False,
        "all_hosts": False,
        "fenced": False,
        "state": "present",
        "timeout": 5,
        "config": "unused",
    }
    return connections.work({**params, **given}, check_mode)


def test_connects_and_repeats(backend: MemoryBackend) -> None:
    first = ask(connector=HOST1)
    assert first["changed"]
    assert first["connections"] == [
        {
            "volume": {"name": "a", "id": "id-of-a", "size_bytes": GIB, "backend": "memory", "wwn": None},
            "host": "host1",
            "connector": HOST1,
            "connection_info": {"driver_volume_type": "memory", "data": {"secret": "of-host1"}},
            "connected": True,
        }
    ]
    assert backend.volumes["a"].holders == (Holder("host1", "i1", True),)
    calls = list(backend.calls)
    again = ask(connector={**HOST1, "ip": "198.51.100.1", "multipath": "yes"})
    assert not again["changed"]
    assert "diff" not in again
    assert again["connections"][0]["connection_info"] == first["connections"][0]["connection_info"]
    assert backend.calls == calls


@pytest.mark.usefixtures("busy")
def test_a_repeat_needs_no_lock(backend: MemoryBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    ask(connector=HOST1)
    monkeypatch.setattr(connections, "exclusive", None)
    assert not ask(connector=HOST1)["changed"]


def test_an_export_that_differs_from_the_record_is_repaired(backend: MemoryBackend) -> None:
    ask(connector=HOST1)
    backend.exports["a"] = None
    assert ask(connector=HOST1, check_mode=True)["changed"]
    assert backend.exports["a"] is None
    assert ask(connector=HOST1)["changed"]
    assert backend.exports["a"] == {"initiators": ["i1"]}


def test_check_mode_predicts_and_changes_nothing(backend: MemoryBackend) -> None:
    predicted = ask(connector=HOST1, check_mode=True)
    assert backend.calls == []
    assert predicted["connections"][0]["connected"] is False
    assert predicted["connections"][0]["connection_info"]["data"] == {"secret": None}
    real = ask(connector=HOST1)
    for key in ("changed", "changed_volumes", "diff"):
        assert predicted[key] == real[key]
    unchanged = ask(connector=HOST1, check_mode=True)
    assert unchanged["connections"] == real["connections"]
    assert not unchanged["changed"]


def test_a_batch_keeps_what_succeeded(backend: MemoryBackend) -> None:
    ask(connector=HOST2, volumes=["b"])
    backend.refuses = {"c"}
    result = ask(connector=HOST1, volumes=["a", "b", "c", "nothing"])
    assert result["failed"]
    assert [connection["volume"]["name"] for connection in result["connections"]] == ["a"]
    assert result["changed_volumes"] == ["a"]
    assert result["error_code"] == "failed_precondition"
    assert [(error["volume"], error["error_code"]) for error in result["errors"]] == [
        ("b", "failed_precondition"),
        ("c", "unavailable"),
        ("nothing", "not_found"),
    ]
    assert result["errors"][0]["holders"] == ["host2"]
    backend.refuses = set()
    assert ask(connector=HOST1, volumes=["a", "c"])["changed_volumes"] == ["c"]


def test_shared_is_released_one_by_one(backend: MemoryBackend) -> None:
    ask(connector=HOST1)
    ask(connector=HOST2, shared=True)
    released = ask(state="absent", host="host1")
    assert released["connections"][0] == {
        "volume": {"name": "a", "id": "id-of-a", "size_bytes": GIB, "backend": "memory", "wwn": None},
        "host": "host1",
        "connector": None,
        "connection_info": None,
        "connected": False,
        "released": ["host1"],
    }
    assert backend.exports["a"] == {"initiators": ["i2"]}
    ask(state="absent", connector=HOST2)
    assert not any(backend.exports.values())
    assert not backend.volumes["a"].shared


def test_absent_twice_and_of_an_unknown_host(backend: MemoryBackend) -> None:
    ask(connector=HOST1)
    calls = list(backend.calls)
    assert not ask(state="absent", host="unknown")["changed"]
    assert backend.calls == calls
    assert ask(state="absent", host="host1")["changed"]
    assert not ask(state="absent", host="host1")["changed"]


def test_releasing_one_host_does_not_repair_what_another_uses(backend: MemoryBackend) -> None:
    ask(connector=HOST1)
    ask(connector=HOST2, shared=True)
    backend.exports["a"] = {"initiators": ["i1", "i2"], "portals": "other ones than wanted"}
    assert not ask(state="absent", host="unknown")["changed"]
    released = ask(state="absent", host="host1", check_mode=True)
    assert released["diff"]["after"]["a"]["export"] == {"initiators": ["i2"], "portals": "other ones than wanted"}


def test_what_is_left_of_an_export_goes_with_the_next_release(backend: MemoryBackend) -> None:
    backend.exports["a"] = {"initiators": ["i1"]}
    assert ask(state="absent", host="host1")["changed"]
    assert backend.exports["a"] is None


def test_what_the_controller_itself_uses_is_given_to_no_host(backend: MemoryBackend) -> None:
    backend.used["a"] = ["/mnt"]
    result = ask(connector=HOST1)
    assert (result["error_code"], result["users"]) == ("failed_precondition", ["/mnt"])
    assert backend.calls == []


def test_a_session_prevents_the_release_unless_fenced(backend: MemoryBackend) -> None:
    ask(connector=HOST1)
    backend.live["a"] = {"i1": ["192.0.2.11"]}
    for check_mode in (True, False):
        refused = ask(state="absent", host="host1", check_mode=check_mode)
        assert refused["error_code"] == "failed_precondition"
    assert backend.volumes["a"].hosts == ["host1"]
    assert not ask(connector=HOST1)["changed"]
    assert ask(state="absent", host="host1", fenced=True)["changed"]
    assert backend.volumes["a"].hosts == []


def test_a_session_that_is_about_to_end_is_waited_for(backend: MemoryBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    ask(connector=HOST1)
    backend.live["a"] = {"i1": ["192.0.2.11"]}
    monkeypatch.setattr(connections, "LOGOUT_SECONDS", 5)
    monkeypatch.setattr(time, "sleep", lambda seconds: backend.live.clear())
    assert ask(state="absent", host="host1")["changed"]


def test_all_hosts(backend: MemoryBackend) -> None:
    ask(connector=HOST1)
    ask(connector=HOST2, shared=True)
    backend.live["a"] = {"i2": []}
    assert ask(state="absent", all_hosts=True)["error_code"] == "failed_precondition"
    assert backend.volumes["a"].hosts == ["host1", "host2"]
    backend.live = {}
    result = ask(state="absent", all_hosts=True)
    assert result["connections"][0]["released"] == ["host1", "host2"]
    assert not ask(state="absent", all_hosts=True)["changed"]


def test_a_result_that_is_not_what_was_decided_is_a_failure(
    backend: MemoryBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend, "connect", lambda changes: {})
    assert ask(connector=HOST1)["error_code"] == "internal"


def test_what_was_done_is_verified_though_the_time_is_up(
    backend: MemoryBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[float] = []

    def until(deadline: waiting.Deadline) -> MemoryBackend:
        given.append(deadline.seconds)
        return backend

    monkeypatch.setattr(backend, "until", until)
    assert ask(connector=HOST1, timeout=1)["newly_connected"] == ["a"]
    assert given == [connections.VERIFY_SECONDS]


def test_where_nobody_holds_the_lock_it_is_decided_once(
    backend: MemoryBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    inventory = backend.inventory

    def reading() -> Inventory:
        read.append("inventory")
        return inventory()

    monkeypatch.setattr(backend, "inventory", reading)
    monkeypatch.setattr(connections, "exclusive", None)
    assert ask(connector=HOST1)["changed"]
    # Once to decide, once to verify.
    assert len(read) == 2
    assert not ask(connector=HOST1)["changed"]
    assert len(read) == 3


def test_a_host_that_logs_out_is_waited_for_without_the_lock(
    backend: MemoryBackend, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ask(connector=HOST1)
    backend.live["a"] = {"i1": []}

    def logged_out(_seconds: float) -> None:
        with waiting.exclusive(backend.lock_name, "another call", waiting.Deadline(0), tmp_path):
            backend.live = {}

    monkeypatch.setattr(connections, "LOGOUT_SECONDS", 5)
    monkeypatch.setattr(time, "sleep", logged_out)
    assert ask(state="absent", host="host1")["changed"]


def test_what_needs_preparing_is_prepared_before_the_lock_is_taken(
    backend: MemoryBackend, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def prepare() -> None:
        with waiting.exclusive(backend.lock_name, "another call", waiting.Deadline(0), tmp_path):
            backend.calls.append("prepare")

    monkeypatch.setattr(MemoryBackend, "is_prepared", False)
    monkeypatch.setattr(backend, "prepare", prepare)
    assert ask(connector=HOST1)["changed"]
    assert backend.calls[0] == "prepare"


def test_waiting_in_vain_changes_nothing_and_names_the_holder(backend: MemoryBackend, tmp_path: Path) -> None:
    other_call = waiting.exclusive(backend.lock_name, "connecting to host2", waiting.Deadline(1), tmp_path)
    with other_call, pytest.raises(StorageError, match=r"process \d+ \(connecting to host2\)") as failure:
        ask(connector=HOST1, timeout=1)
    assert failure.value.code == "aborted"
    assert (backend.calls, backend.volumes["a"].holders) == ([], ())


@pytest.mark.usefixtures("busy")
def test_a_turn_that_comes_late_has_time_for_its_work(
    backend: MemoryBackend, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given: list[float] = []

    def until(deadline: waiting.Deadline) -> MemoryBackend:
        given.append(round(deadline.seconds))
        return backend

    @contextlib.contextmanager
    def at_the_last_moment(name: str, purpose: str, deadline: waiting.Deadline) -> Iterator[None]:
        monkeypatch.setattr(deadline, "remaining", lambda: 0.1)
        yield

    monkeypatch.setattr(backend, "until", until)
    monkeypatch.setattr(connections, "exclusive", at_the_last_moment)
    assert ask(connector=HOST1, timeout=300)["changed"]
    assert given == [connections.TURN_SECONDS, connections.VERIFY_SECONDS]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"connector": {"host": "host1"}}, "connector.initiator"),
        ({"connector": {"initiator": "i1"}}, "connector.host"),
        ({"connector": {**HOST1, "multipath": "perhaps"}}, "connector.multipath"),
        ({"connector": HOST1, "host": "host2"}, "host"),
        ({"connector": HOST1, "all_hosts": True}, "all_hosts"),
        ({"connector": HOST1, "volumes": []}, "volumes"),
        ({"state": "absent"}, "host"),
        ({"state": "absent", "host": "a/b"}, "host"),
        ({"connector": HOST1, "timeout": 0}, "timeout"),
    ],
)
def test_bad_input_names_the_field(backend: MemoryBackend, given: dict[str, Any], field: str) -> None:
    with pytest.raises(StorageError) as failure:
        ask(**given)
    assert (failure.value.code, failure.value.facts["field"]) == ("invalid_argument", field)


def test_backend_that_cannot_share(backend: MemoryBackend) -> None:
    backend.capabilities = frozenset({"grow"})
    with pytest.raises(StorageError, match="cannot share") as refused:
        ask(connector=HOST1, shared=True)
    assert refused.value.code == "unimplemented"
    assert backend.calls == []
    assert ask(connector=HOST1)["changed"]


def failing(wrapped: Any, error: StorageError, times: int = 100) -> Any:
    """A backend's method that fails for volume a, the first times that it is asked."""
    left = times

    def wrapper(volume: Volume, *arguments: Any) -> Any:
        nonlocal left
        if volume.name == "a" and left > 0:
            left -= 1
            raise error
        return wrapped(volume, *arguments)

    return wrapper


@pytest.mark.parametrize("check_mode", [False, True])
def test_what_one_volume_has_no_connection_for_fails_that_one_alone(
    backend: MemoryBackend, monkeypatch: pytest.MonkeyPatch, check_mode: bool
) -> None:
    full = StorageError("resource_exhausted", "no free LUN")
    monkeypatch.setattr(backend, "connection_info", failing(backend.connection_info, full))
    result = ask(check_mode, connector=HOST1, volumes=["a", "b"])
    assert result["error_code"] == "resource_exhausted"
    assert [connection["volume"]["name"] for connection in result["connections"]] == ["b"]
    assert result["changed_volumes"] == (["b"] if check_mode else ["a", "b"])


@pytest.mark.usefixtures("busy")
@pytest.mark.parametrize("times", [1, 100])
def test_a_repeat_waits_for_who_is_just_changing_the_volume(
    backend: MemoryBackend, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    ask(connector=HOST1)
    changing = StorageError("aborted", "changed meanwhile")
    monkeypatch.setattr(backend, "connection_info", failing(backend.connection_info, changing, times))
    result = ask(connector=HOST1)
    assert not result["changed"]
    assert len(result["connections"]) == (1 if times == 1 else 0)
    assert result.get("error_code") == (None if times == 1 else "aborted")


def test_what_cannot_be_verified_fails_that_volume_alone(
    backend: MemoryBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = backend.export

    def unreadable(volume: Volume) -> Any:
        if volume.name == "a" and volume.holders:
            raise StorageError("aborted", "changed meanwhile")
        return export(volume)

    monkeypatch.setattr(backend, "export", unreadable)
    result = ask(connector=HOST1, volumes=["a", "b"])
    assert result["error_code"] == "aborted"
    assert [connection["volume"]["name"] for connection in result["connections"]] == ["b"]


def test_what_cannot_be_read_again_fails_as_each_volume_does(
    backend: MemoryBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    inventory = backend.inventory

    def gone() -> Any:
        if backend.calls:
            raise StorageError("unavailable", "no answer")
        return inventory()

    monkeypatch.setattr(backend, "inventory", gone)
    result = ask(connector=HOST1, volumes=["a", "b"])
    assert [(error["volume"], error["error_code"]) for error in result["errors"]] == [
        ("a", "unavailable"),
        ("b", "unavailable"),
    ]
    assert result["connections"] == []
