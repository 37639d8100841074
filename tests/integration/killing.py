# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules killed at every moment, for the tests to repeat or to undo what they had begun."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.brickwork.storage.tests.integration.lab import Lab

WATCHER = Path(__file__).with_name("killed_at.py")
DIRECTORY = "/run/test/killed"
# The environment of Cinder's drivers, whose Python heeds no variables; it loads the watcher where there is one.
CINDER = "/opt/brickwork/cinder"
LOADER = f"import sys; sys.path.append('{DIRECTORY}'); __import__('importlib.util').util.find_spec('killed_at') and __import__('killed_at')"
# After the last moment the module ends by itself; a module that does more than this has changed beyond recognition.
MOST_MOMENTS = 400


def make_interpreter(lab: Lab, host: str) -> None:
    """Put an interpreter on a machine that kills itself, and have the process of Cinder's drivers killed with it."""
    lab.ssh(
        host,
        f"""
        mkdir -p {DIRECTORY}
        cat > {DIRECTORY}/killed_at.py <<'WATCHER'
{WATCHER.read_text()}
WATCHER
        echo 'import killed_at' > {DIRECTORY}/sitecustomize.py
        printf '#!/bin/sh\\nPYTHONPATH={DIRECTORY} exec /usr/bin/python3 "$@"\\n' > {DIRECTORY}/python
        chmod +x {DIRECTORY}/python
        for packages in {CINDER}/lib/python3*/site-packages; do
            [ ! -d "$packages" ] || echo "{LOADER}" > "$packages/killed_at.pth"
        done
        """,
    )


def run_killed(
    lab: Lab, host: str, module: str, arguments: dict[str, Any], moment: int, delay: float
) -> subprocess.CompletedProcess[str]:
    """Run a module that is killed I(delay) seconds after its I(moment); 0 is none, to count them."""
    lab.ssh(host, f"rm -f {DIRECTORY}/count {DIRECTORY}/module; echo {moment}:{delay} > {DIRECTORY}/at")
    done = lab.ansible(
        host,
        "-m",
        f"brickwork.storage.{module}",
        "-a",
        json.dumps(arguments),
        "-e",
        f"ansible_python_interpreter={DIRECTORY}/python",
    )
    # For what is not to be killed.
    lab.ssh(host, f"rm {DIRECTORY}/at")
    assert done.returncode == 0 or "error_code" not in done.stdout, done.stdout
    return done


def moments_of(lab: Lab, host: str, module: str, arguments: dict[str, Any]) -> int:
    """Run a module undisturbed, and count its moments."""
    done = run_killed(lab, host, module, arguments, 0, 0)
    assert done.returncode == 0, done.stdout
    return len(lab.ssh(host, f"cat {DIRECTORY}/count").splitlines())


def moments(
    lab: Lab, host: str, module: str, delay: float, arguments: dict[str, Any], step: int
) -> Iterator[tuple[int, bool]]:
    """Kill the module at its first moment, its second, and so on; ends when it came to its end first.

    Each is killed twice: once for the test to repeat it (true) and once to ask for the opposite at once.
    """
    for moment in range(1, MOST_MOMENTS + 1, 1 if os.environ.get("FULL") else step):
        for repeated in (True, False):
            if run_killed(lab, host, module, arguments, moment, delay).returncode == 0:
                return
            yield moment, repeated
    pytest.fail(f"{module} was not done after {MOST_MOMENTS} moments")
