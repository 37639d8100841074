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
    """How many tests passed, failed and were skipped, and what those said that failed: a line each."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    reasons: tuple[str, ...] = ()

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.passed + other.passed,
            self.failed + other.failed,
            self.skipped + other.skipped,
            self.reasons + other.reasons,
        )

    @property
    def good(self) -> bool:
        """Whether tests ran and none failed."""
        return self.passed > 0 and self.failed == 0

    def __str__(self) -> str:
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        return f"{self.passed} passed, {self.failed} failed{skipped}"


PASSED = Tally(passed=1)


def failed(reason: str) -> Tally:
    """Return the tally of one test that failed."""
    return Tally(failed=1, reasons=(reason,))


@dataclass(frozen=True)
class Case:
    """One test of a JUnit file.

    ``failure`` is what it failed with and ``skipped`` the reason it was skipped for, each None where that was not so.
    """

    name: str
    failure: str | None
    skipped: str | None

    @property
    def tally(self) -> Tally:
        if self.skipped is not None:
            return Tally(skipped=1)
        return PASSED if self.failure is None else failed(f"{self.name}: {self.failure}")


def read_junit(path: Path) -> list[Case]:
    """Return the tests that a JUnit file reports.

    Raises OSError or ElementTree.ParseError where the file is missing or not XML.
    """
    return [
        Case(
            name=element.get("name", ""),
            failure=_said(element.find("failure"), element.find("error")),
            skipped=_said(element.find("skipped")),
        )
        for element in ElementTree.parse(path).iter("testcase")
    ]


def _said(*elements: ElementTree.Element | None) -> str | None:
    """Return the message of the first that is there."""
    for element in elements:
        if element is not None:
            return element.get("message") or element.text or ""
    return None
