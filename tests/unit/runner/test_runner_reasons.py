# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who sees the last lines of a log alone learns from them what failed."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.brickwork.storage.tests.runner import molecule
from ansible_collections.brickwork.storage.tests.runner.main import LENGTH, REASONS, Result, reasons
from ansible_collections.brickwork.storage.tests.runner.tally import PASSED, Tally, failed, read_junit

MOLECULE = """\
TASK [Attach] ****
fatal: [host1]: FAILED! => {"msg": "Backend lvm has no volume data."}
ERROR    [default > converge] Executed: Failed
default                   : actions=3  successful=2  disabled=0  skipped=0  missing=0  failed=1
"""


def test_a_scenario_that_failed_says_what_ansible_said() -> None:
    tally = molecule.judge(1, MOLECULE, "passed one\n")
    assert (tally.passed, tally.failed) == (3, 1)
    assert 'fatal: [host1]: FAILED! => {"msg": "Backend lvm has no volume data."}' in tally.reasons
    assert not any("TASK" in reason for reason in tally.reasons)


def test_a_scenario_that_failed_outside_of_its_actions_is_a_failure_with_a_reason() -> None:
    assert molecule.judge(2, "", "") == failed("molecule ended with 2")


def test_what_went_well_has_no_reason() -> None:
    said = "failed: [host1] => once, and then retried\ndefault : actions=1  successful=1  failed=0\n"
    assert molecule.judge(0, said, "").reasons == ()


def test_a_junit_file_says_why(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(
        "<testsuite><testcase name='good'/>"
        "<testcase name='bad'><failure message='assert 1 == 2'>trace</failure></testcase>"
        "<testcase name='broken'><error>no fixture</error></testcase>"
        "<testcase name='left'><skipped message='no lab'/></testcase></testsuite>"
    )
    tally = sum((case.tally for case in read_junit(report)), Tally())
    assert tally == Tally(1, 2, 1, ("bad: assert 1 == 2", "broken: no fixture"))


def test_reasons_are_told_once_each_short_and_few() -> None:
    many = Tally(failed=20, reasons=("same", "same", "long " * LENGTH, *(f"reason {number}" for number in range(20))))
    told = reasons([Result("unit", PASSED, 1.0), Result("integration", many, 1.0)]).splitlines()
    assert told[0] == "integration: same"
    assert len(told[1]) < LENGTH + 20
    assert len(told) == REASONS + 1
    assert told[-1] == "integration: and 14 more"
