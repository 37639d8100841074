# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counts of tests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree


@dataclass(frozen=True)
class Tally:
    """How many tests passed, failed and were skipped."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped)

    @property
    def good(self) -> bool:
        """Whether tests ran and none failed."""
        return self.passed > 0 and self.failed == 0

    def __str__(self) -> str:
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        return f"{self.passed} passed, {self.failed} failed{skipped}"


PASSED = Tally(passed=1)
FAILED = Tally(failed=1)


@dataclass(frozen=True)
class Case:
    """One test of a JUnit file. ``skipped`` is the reason it was skipped for, None where it ran."""

    name: str
    failed: bool
    skipped: str | None

    @property
    def tally(self) -> Tally:
        if self.skipped is not None:
            return Tally(skipped=1)
        return FAILED if self.failed else PASSED


def read_junit(path: Path) -> list[Case]:
    """Return the tests that a JUnit file reports.

    Raises OSError or ElementTree.ParseError where the file is missing or not XML.
    """
    cases = []
    for element in ElementTree.parse(path).iter("testcase"):
        skip = element.find("skipped")
        cases.append(
            Case(
                name=element.get("name", ""),
                failed=element.find("failure") is not None or element.find("error") is not None,
                skipped=None if skip is None else (skip.get("message") or skip.text or ""),
            )
        )
    return cases
