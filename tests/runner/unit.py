# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The unit tests, counted by pytest itself."""

from __future__ import annotations

from .command import BUILD, run
from .tally import FAILED, Tally, read_junit

LIMIT = 900


def unit() -> Tally:
    """Run every test under tests/unit."""
    report = BUILD / "junit" / "unit.xml"
    report.unlink(missing_ok=True)
    outcome = run(("pytest", "--ansible-unit-inject-only", f"--junit-xml={report}", "tests/unit"), limit=LIMIT)
    tally = sum((case.tally for case in read_junit(report)), Tally()) if report.exists() else Tally()
    # A crash, or an error outside every test, is in no test's result.
    return tally if outcome.status == 0 or tally.failed else tally + FAILED
