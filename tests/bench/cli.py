# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmarks' command line."""

from __future__ import annotations

import argparse
import json
import signal
from collections.abc import Sequence
from types import FrameType

from .benchmark import Benchmark
from .errors import BenchmarkError
from .lab import ROOT, Lab
from .say import say
from .table import tables

RESULT = ROOT / "build" / "bench.json"


def main(arguments: Sequence[str]) -> int:
    """Run the benchmarks; 0 when every way came to the right outcome, however long it took."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)  # whoever ends it wants it to clean up, too
    RESULT.parent.mkdir(exist_ok=True)
    try:
        with Lab(RESULT.with_suffix(".log")) as lab:
            figures = Benchmark(lab, options.volumes, options.rounds).run()
    except BenchmarkError as error:
        say(f"FAILED: {error}")
        return 1
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    RESULT.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print(tables(figures))
    say(f"every figure is in {RESULT.relative_to(ROOT)}; the lab is still up, `make lab-down` takes it down")
    return 0


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tests/bench/run", description="Compare the collection with other ways.")
    parser.add_argument("--volumes", type=_count, default=8, help="how many volumes (default: 8)")
    parser.add_argument("--rounds", type=_count, default=1, help="how often each way is measured (default: 1)")
    return parser


def _count(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 100:
        raise argparse.ArgumentTypeError(f"expected a number from 1 to 100, not {text!r}")
    return int(text)
