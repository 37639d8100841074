# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Choose the stages, run them one after another, and sum up."""

from __future__ import annotations

import time
import traceback
from collections.abc import Sequence

from .command import say
from .lab import Lab
from .lint import lint
from .molecule import scenarios
from .sanity import sanity
from .stage import Stage
from .tally import FAILED, Tally
from .unit import unit


def main(wanted: Sequence[str]) -> int:
    """Run the stages named, or all; return 0 only if each ran a test and none failed."""
    every = [Stage("lint", lint), Stage("sanity", sanity), Stage("unit", unit), *scenarios()]
    unknown = [name for name in wanted if not any(stage.is_named(name) for stage in every)]
    if unknown:
        say(f"unknown stage: {', '.join(unknown)}; there are: {', '.join(stage.name for stage in every)}")
        return 2
    chosen = [stage for stage in every if not wanted or any(map(stage.is_named, wanted))]

    # Booting the lab takes about as long as the stages that do not need it.
    lab = Lab() if any(stage.needs_lab for stage in chosen) else None
    rows = [_run(stage, lab) for stage in chosen]
    total = sum((tally for _, tally, _ in rows), Tally())

    width = max(len(stage.name) for stage, _, _ in rows)
    say("")
    for stage, tally, seconds in rows:
        say(f"{stage.name:{width}}  {seconds:6.0f} s  {'ok    ' if tally.good else 'FAILED'}  {tally}")
    say("")
    say(str(total))
    return 0 if all(tally.good for _, tally, _ in rows) else 1


def _run(stage: Stage, lab: Lab | None) -> tuple[Stage, Tally, float]:
    say(f"\n=== {stage.name}")
    began = time.monotonic()
    try:
        tally = FAILED if stage.needs_lab and lab and not lab.is_up() else stage.run()
    except Exception:
        # A stage that breaks must not keep the others from running, nor the totals from being told.
        traceback.print_exc()
        tally = FAILED
    if not tally.passed and not tally.failed:
        say(f"{stage.name} ran no test")
        tally += FAILED
    return stage, tally, time.monotonic() - began
