# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write a line for every assertion that a playbook makes, so that the runner can count them."""

from __future__ import annotations

import os

from ansible.executor.task_result import CallbackTaskResult
from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: assertions
type: aggregate
short_description: Records each assertion's result for the tests of this collection
description:
  - Appends C(passed TASK) or C(failed TASK) to the file that the environment variable E(ASSERTIONS_FILE) names.
  - A failure that the playbook ignores is one that it expects, and is not recorded.
requirements:
  - Enabled in the configuration
"""

ASSERT = ("assert", "ansible.builtin.assert", "ansible.legacy.assert")


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "assertions"
    CALLBACK_NEEDS_ENABLED = True

    def v2_runner_on_ok(self, result: CallbackTaskResult) -> None:
        self._record("passed", result)

    def v2_runner_on_failed(self, result: CallbackTaskResult, ignore_errors: bool = False) -> None:
        if not ignore_errors:
            self._record("failed", result)

    @staticmethod
    def _record(word: str, result: CallbackTaskResult) -> None:
        if result.task.action in ASSERT:
            with open(os.environ["ASSERTIONS_FILE"], "a", encoding="utf-8") as file:
                file.write(f"{word} {result.task.get_name()}\n")
