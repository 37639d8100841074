# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Choose the stages, run them one after another, and sum up."""

from __future__ import annotations

import functools
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass

from .command import BUILD, ROOT, say
from .lab import Lab, in_order
from .lint import lint
from .machines import Machines
from .molecule import scenarios
from .pytest import FULL, NEEDS, browser, integration, integration_with, unit
from .sanity import sanity
from .stage import Stage
from .tally import Tally, failed

# How many reasons of a stage's failures are told at the end, and how many characters of each.
REASONS = 8
LENGTH = 900


@dataclass(frozen=True)
class Result:
    """What came of a stage."""

    stage: str
    tally: Tally
    seconds: float


def main(wanted: Sequence[str]) -> int:
    """Run the stages named, or all; return 0 only if each ran a test and none failed."""
    every = [Stage("lint", lint), Stage("sanity", sanity), Stage("unit", unit), Stage("browser", browser), *scenarios()]
    if (ROOT / "tests" / "integration").is_dir():
        every.append(Stage("integration", integration, Machines(debian13=2, debian12=1, bare=FULL)))
        # Emulated machines are slow; the scenarios have the short path of each protocol.
        for need in NEEDS if FULL else ():
            machines = Machines(debian13=2, needs=frozenset([need]))
            every.append(Stage(f"integration/{need}", functools.partial(integration_with, need), machines))
    unknown = [name for name in wanted if not any(stage.is_named(name) for stage in every)]
    if unknown:
        say(f"unknown stage: {', '.join(unknown)}; there are: {', '.join(stage.name for stage in every)}")
        return 2
    chosen = [stage for stage in every if not wanted or any(map(stage.is_named, wanted))]

    BUILD.mkdir(exist_ok=True)
    order = list(in_order(chosen))
    # Booting the first lab takes about as long as the stages that need none, and so does building what the others need.
    for number, lab in enumerate(dict.fromkeys(lab for _stage, lab in order if lab)):
        if number == 0:
            lab.start()
        else:
            lab.build_images()
    results = [_run(stage, lab) for stage, lab in order]
    say(table(results))
    if told := reasons(results):
        say(told + "\n")
    total = str(sum((result.tally for result in results), Tally()))
    say(total)
    (BUILD / "count").write_text(total + "\n")
    return 0 if all(result.tally.good for result in results) else 1


def table(results: Sequence[Result]) -> str:
    """Return a line for each stage."""
    width = max(len(result.stage) for result in results)
    lines = []
    for result in results:
        verdict = "ok" if result.tally.good else "FAILED"
        lines.append(f"{result.stage:{width}}  {result.seconds:5.0f} s  {verdict:6}  {result.tally}")
    return "\n".join(["", *lines, ""])


def reasons(results: Sequence[Result]) -> str:
    """Return what failed and how it said so: whoever sees the end of a log alone is to know what to mend."""
    lines = []
    for result in results:
        told = list(dict.fromkeys(_shortened(reason) for reason in result.tally.reasons))
        lines += [f"{result.stage}: {reason}" for reason in told[:REASONS]]
        if len(told) > REASONS:
            lines.append(f"{result.stage}: and {len(told) - REASONS} more")
    return "\n".join(lines)


def _shortened(reason: str) -> str:
    line = " ".join(reason.split())
    return line if len(line) <= LENGTH else f"{line[:LENGTH]} …"


def _run(stage: Stage, lab: Lab | None) -> Result:
    say(f"\n=== {stage.name}")
    began = time.monotonic()
    try:
        tally = failed("the lab did not come up") if lab and not lab.is_up() else stage.run()
    except Exception as error:
        # A stage that breaks must not keep the others from running, nor the totals from being told.
        traceback.print_exc()
        tally = failed(repr(error))
    if not tally.passed and not tally.failed:
        tally += failed("no test ran")
    return Result(stage.name, tally, time.monotonic() - began)
