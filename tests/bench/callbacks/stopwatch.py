# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write down how long each task took, from its start on the control node to its result."""

from __future__ import annotations

import json
import os
import time

from ansible.executor.task_result import CallbackTaskResult
from ansible.inventory.host import Host
from ansible.playbook.task import Task
from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: stopwatch
type: aggregate
short_description: Records how long each task took
description:
  - Appends a line of JSON with C(name), C(began), C(seconds), C(changed) and C(stdout) for every task that succeeded, on each host, to
    the file that the environment variable E(STOPWATCH_FILE) names.
requirements:
  - Enabled in the configuration
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "stopwatch"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._started: dict[tuple[str, str], float] = {}

    def v2_runner_on_start(self, host: Host, task: Task) -> None:
        self._started[host.get_name(), task._uuid] = time.monotonic()

    def v2_runner_on_ok(self, result: CallbackTaskResult) -> None:
        began = self._started[result.host.get_name(), result.task._uuid]
        seen = {
            "name": result.task.get_name(),
            "began": began,
            "seconds": time.monotonic() - began,
            "changed": result.is_changed(),
            "stdout": result.result.get("stdout", ""),
        }
        with open(os.environ["STOPWATCH_FILE"], "a", encoding="utf-8") as file:
            file.write(json.dumps(seen) + "\n")
