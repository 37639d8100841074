# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process of a driver: real ones, with a driver of a few lines in place of Cinder's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder import environment
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder.worker import Worker
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline

DRIVER = f"""
import os, subprocess, sys, time
sys.path.append({environment.collection_root()!r})
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder.worker import serve
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError

class Driver:
    def __init__(self, directory):
        self.directory = directory
        print("printed while loading")
        if os.path.exists(directory + "/broken"):
            raise StorageError("invalid_argument", "the section is wrong", field="san_ip")

    def call(self, method, arguments):
        print("printed")
        os.write(1, b"written")
        os.write(2, b"written")
        if method == "echo":
            return arguments
        if method == "fail":
            raise StorageError("resource_exhausted", "full", field="x")
        if method == "err":
            raise KeyError("secret")
        if method == "die":
            os._exit(3)
        if method == "hang":
            helper = subprocess.Popen(["sleep", "1000"])
            with open(self.directory + "/pids", "w") as pids:
                pids.write(str(os.getpid()) + " " + str(helper.pid))
            time.sleep(1000)
        if method == "leave_a_program":
            program = subprocess.Popen(["sleep", str(arguments[0])], process_group=0)
            with open(self.directory + "/pids", "w") as pids:
                pids.write(str(program.pid))
            os._exit(4)
        if method == "ask_for_input":
            return sys.stdin.readline()

serve(lambda **setting: Driver(**setting))
"""


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    found = Worker({"directory": str(tmp_path)}, [sys.executable, "-I", "-c", DRIVER])
    yield found
    found.stop()


def test_it_answers_and_what_it_prints_goes_nowhere(worker: Worker, capfd: pytest.CaptureFixture[str]) -> None:
    assert worker.call("echo", 1, "zwei", {"drei": None}, deadline=Deadline(20)) == [1, "zwei", {"drei": None}]
    assert worker.call("ask_for_input", deadline=Deadline(20)) == ""
    long = "x" * 1_000_000
    assert worker.call("echo", long, deadline=Deadline(20)) == [long]
    assert capfd.readouterr() == ("", "")


def test_its_failures_are_the_caller_s(worker: Worker, tmp_path: Path) -> None:
    (tmp_path / "broken").touch()
    with pytest.raises(StorageError) as wrong:
        worker.call("echo", deadline=Deadline(20))
    assert (wrong.value.code, wrong.value.facts) == ("invalid_argument", {"field": "san_ip"})
    (tmp_path / "broken").unlink()
    with pytest.raises(StorageError) as full:
        worker.call("fail", deadline=Deadline(20))
    assert (full.value.code, full.value.message, full.value.facts) == ("resource_exhausted", "full", {"field": "x"})
    with pytest.raises(StorageError, match="Unexpected KeyError") as unexpected:
        worker.call("err", deadline=Deadline(20))
    assert "secret" not in unexpected.value.message
    assert worker.call("echo", 1, deadline=Deadline(20)) == [1]


def test_one_that_hangs_is_killed_with_what_it_started(worker: Worker, tmp_path: Path) -> None:
    worker.call("echo", deadline=Deadline(20))
    before = time.monotonic()
    with pytest.raises(StorageError) as failure:
        worker.call("hang", deadline=Deadline(0.5))
    assert (failure.value.code, time.monotonic() - before < 10) == ("deadline_exceeded", True)
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert len(pids) == 2
    wait_until(lambda: not any(is_running(pid) for pid in pids))
    assert worker.call("echo", 2, deadline=Deadline(20)) == [2]


def test_one_that_dies_is_told_and_replaced(worker: Worker) -> None:
    with pytest.raises(StorageError, match="with 3") as failure:
        worker.call("die", deadline=Deadline(20))
    assert failure.value.code == "unavailable"
    assert worker.call("echo", 3, deadline=Deadline(20)) == [3]


def test_one_that_cannot_start_is_told(tmp_path: Path) -> None:
    worker = Worker({}, [sys.executable, "-I", "-c", "raise SystemExit(4)"])
    with pytest.raises(StorageError, match="with 4"):
        worker.call("echo", deadline=Deadline(20))


def test_it_does_not_outlive_who_started_it(tmp_path: Path) -> None:
    """The module is killed while the driver hangs; the driver must not go on."""
    module = f"""
import sys
sys.path.append({environment.collection_root()!r})
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder.worker import Worker
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline
worker = Worker({{"directory": {str(tmp_path)!r}}}, [sys.executable, "-I", "-c", {DRIVER!r}])
worker.call("hang", deadline=Deadline(1000))
"""
    process = subprocess.Popen([sys.executable, "-c", module])
    wait_until(lambda: (tmp_path / "pids").exists() and len((tmp_path / "pids").read_text().split()) == 2)
    driver, helper = (int(pid) for pid in (tmp_path / "pids").read_text().split())
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait_until(lambda: not is_running(driver))
    os.kill(helper, signal.SIGKILL)


def test_it_does_not_begin_once_who_started_it_is_gone(tmp_path: Path) -> None:
    """The module is killed when it has asked, and the driver's process has not begun to listen."""
    module = f"""
import sys
sys.path.append({environment.collection_root()!r})
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder.worker import Worker
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline
slow = "import os, time\\nopen({str(tmp_path / "driver")!r}, 'w').write(str(os.getpid()))\\ntime.sleep(1)\\n"
worker = Worker({{"directory": {str(tmp_path)!r}}}, [sys.executable, "-I", "-c", slow + {DRIVER!r}])
worker.call("hang", deadline=Deadline(1000))
"""
    process = subprocess.Popen([sys.executable, "-c", module])
    wait_until(lambda: (tmp_path / "driver").exists() and bool((tmp_path / "driver").read_text()))
    driver = int((tmp_path / "driver").read_text())
    process.send_signal(signal.SIGKILL)
    process.wait()
    try:
        wait_until(lambda: not is_running(driver) or (tmp_path / "pids").exists())
        assert not (tmp_path / "pids").exists()
    finally:
        if is_running(driver):
            os.killpg(driver, signal.SIGKILL)


def test_what_a_killed_driver_started_is_waited_for_also_once_this_one_is_loaded(tmp_path: Path) -> None:
    drivers = [Worker({"directory": str(tmp_path)}, [sys.executable, "-I", "-c", DRIVER]) for _number in range(2)]
    killed, other = drivers
    try:
        assert other.call("echo", deadline=Deadline(20)) == []
        with pytest.raises(StorageError):
            killed.call("leave_a_program", 5, deadline=Deadline(20))
        program = int((tmp_path / "pids").read_text())
        assert is_running(program)
        other.call("echo", deadline=Deadline(20))
        assert not is_running(program)
    finally:
        for worker in drivers:
            worker.stop()


def test_what_never_ends_is_ended_also_for_a_call_with_little_time(worker: Worker, tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        worker.call("leave_a_program", 1000, deadline=Deadline(20))
    program = int((tmp_path / "pids").read_text())
    try:
        assert worker.call("echo", 1, deadline=Deadline(6)) == [1]
        assert not is_running(program)
    finally:
        if is_running(program):
            os.kill(program, signal.SIGKILL)


def wait_until(reached: Callable[[], bool]) -> None:
    deadline = Deadline(20)
    while not reached():
        assert not deadline.passed
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except FileNotFoundError:
        return False
