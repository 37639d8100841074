# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that outlive the driver that started them: real processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder import survivors

DRIVER = """
import os, subprocess, sys, time
program = subprocess.Popen(["sleep", "1000"], stdout=subprocess.DEVNULL)
copy = os.fork()
if copy == 0:
    os.close(1)
    time.sleep(1000)
service = subprocess.Popen(["sleep", "1000"], stdout=subprocess.DEVNULL, start_new_session=True)
print(program.pid, copy, service.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def started() -> Iterator[tuple[subprocess.Popen[str], list[int], int]]:
    """A driver, a program and a copy of it, and a service that it started on the way."""
    driver = subprocess.Popen(
        survivors.marked([sys.executable, "-c", DRIVER]),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="ascii",
        start_new_session=True,
    )
    assert driver.stdout is not None
    *programs, service = map(int, driver.stdout.readline().split())
    yield driver, programs, service
    driver.communicate()
    subprocess.run(["kill", *map(str, programs), str(service)], check=False, stderr=subprocess.DEVNULL)


def test_what_outlives_its_driver_is_waited_for_and_then_ended(
    started: tuple[subprocess.Popen[str], list[int], int],
) -> None:
    driver, programs, service = started
    assert not survivors.survivors()
    driver.kill()
    os.waitid(os.P_PID, driver.pid, os.WEXITED | os.WNOWAIT)
    # Whether or not anybody has asked how it ended.
    assert sorted(survivors.survivors()) == sorted(programs)
    driver.wait()
    assert sorted(survivors.survivors()) == sorted(programs)
    assert service not in survivors.survivors()
    survivors.wait(0.1)
    assert not survivors.survivors()
