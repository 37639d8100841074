# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tests that pytest runs and counts: those of decisions, and those on the lab."""

from __future__ import annotations

import os

from .command import BUILD, ROOT, run
from .tally import Tally, failed, read_junit

# What only some labs have; its tests are in files that begin with its name, as tests/integration/test_fc.py.
NEEDS = tuple(need for need in ("fc", "nvme", "rdma") if (ROOT / "tests" / "integration" / f"test_{need}.py").exists())

# Whether to run what takes long, too; and how many seconds the tests on the lab may then take, and without it.
FULL = bool(os.environ.get("FULL"))
LAB_LIMIT = 14400 if FULL else 3600


def unit() -> Tally:
    """Run every test under tests/unit."""
    return _pytest("unit", "tests/unit", limit=900)


def browser() -> Tally:
    """Run the tests of the report, in a browser."""
    return _pytest("browser", "tests/browser", limit=600)


def integration() -> Tally:
    """Run the tests under tests/integration that any lab is enough for, where they reach it."""
    others = [f"--ignore={file}" for need in NEEDS for file in _files(need)]
    return _on_lab("integration", "tests/integration", *others)


def integration_with(need: str) -> Tally:
    """Run the tests of what only some labs have."""
    return _on_lab(f"integration-{need}", *_files(need))


def _files(need: str) -> list[str]:
    found = (ROOT / "tests" / "integration").glob(f"test_{need}*.py")
    return sorted(str(file.relative_to(ROOT)) for file in found)


def _on_lab(name: str, *arguments: str) -> Tally:
    # Each test's name before it begins, and at the end where the time went: these take minutes, and may hang.
    shown = ("--verbose", "--durations=15")
    return _pytest(name, *shown, *arguments, prefix=(".lab/run",), limit=LAB_LIMIT)


def _pytest(name: str, *arguments: str, prefix: tuple[str, ...] = (), limit: int) -> Tally:
    report = BUILD / "junit" / f"{name}.xml"
    report.unlink(missing_ok=True)
    chosen = () if FULL else ("-m", "not full")
    outcome = run((*prefix, "pytest", f"--junit-xml={report}", *chosen, *arguments), limit=limit)
    tally = sum((case.tally for case in read_junit(report)), Tally()) if report.exists() else Tally()
    # A crash, or an error outside every test, is in no test's result.
    return tally if outcome.status == 0 or tally.failed else tally + failed(f"pytest ended with {outcome.status}")
