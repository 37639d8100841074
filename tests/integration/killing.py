# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules killed at every moment, for the tests to repeat or to undo what they had begun."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.brickwork.storage.tests.integration.lab import Lab

WATCHER = Path(__file__).with_name("killed_at.py")
DIRECTORY = "/run/test/killed"
# After the last moment the module ends by itself; a module that does more than this has changed beyond recognition.
MOST_MOMENTS = 400


def make_interpreter(lab: Lab, host: str) -> None:
    """Put an interpreter on a machine that kills itself."""
    lab.ssh(
        host,
        f"mkdir -p {DIRECTORY}\ncat > {DIRECTORY}/sitecustomize.py <<'WATCHER'\n{WATCHER.read_text()}\nWATCHER\n"
        f"printf '#!/bin/sh\\nKILLED_AT=$(cat {DIRECTORY}/at) PYTHONPATH={DIRECTORY} exec /usr/bin/python3 \"$@\"\\n'"
        f" > {DIRECTORY}/python\nchmod +x {DIRECTORY}/python\n",
    )


def moments(
    lab: Lab, host: str, module: str, delay: float, arguments: dict[str, Any], step: int
) -> Iterator[tuple[int, bool]]:
    """Kill the module at its first moment, its second, and so on; ends when it came to its end first.

    Each is killed twice: once for the test to repeat it (true) and once to ask for the opposite at once.
    """
    for moment in range(1, MOST_MOMENTS + 1, 1 if os.environ.get("FULL") else step):
        for repeated in (True, False):
            lab.ssh(host, f"echo {moment}:{delay} > {DIRECTORY}/at")
            done = lab.ansible(
                host,
                "-m",
                f"brickwork.storage.{module}",
                "-a",
                json.dumps(arguments),
                "-e",
                f"ansible_python_interpreter={DIRECTORY}/python",
            )
            if done.returncode == 0:
                return
            assert "error_code" not in done.stdout, done.stdout
            yield moment, repeated
    pytest.fail(f"{module} was not done after {MOST_MOMENTS} moments")
