# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tests that pytest runs and counts: those of decisions, and those on the lab."""

from __future__ import annotations

from .command import BUILD, run
from .tally import FAILED, Tally, read_junit


def unit() -> Tally:
    """Run every test under tests/unit."""
    return _pytest("unit", limit=900)


def integration() -> Tally:
    """Run every test under tests/integration, where they reach the lab."""
    return _pytest("integration", ".lab/run", limit=2400)


def _pytest(name: str, *prefix: str, limit: int) -> Tally:
    report = BUILD / "junit" / f"{name}.xml"
    report.unlink(missing_ok=True)
    outcome = run((*prefix, "pytest", f"--junit-xml={report}", f"tests/{name}"), limit=limit)
    tally = sum((case.tally for case in read_junit(report)), Tally()) if report.exists() else Tally()
    # A crash, or an error outside every test, is in no test's result.
    return tally if outcome.status == 0 or tally.failed else tally + FAILED
