# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmarks' command line."""

from __future__ import annotations

import argparse
import json
import shlex
import signal
from collections.abc import Callable, Sequence
from types import FrameType
from typing import TypeVar

from . import document
from .benchmark import Benchmark
from .case import TARGETS, cases
from .errors import BenchmarkError
from .lab import ROOT, Lab
from .say import say
from .table import tables
from .ways import WAYS

RESULT = ROOT / "build" / "bench.json"
One = TypeVar("One")


def main(arguments: Sequence[str]) -> int:
    """Run the benchmarks; 0 when every way came to the right outcome, however long it took."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)  # whoever ends it wants it to clean up, too
    RESULT.parent.mkdir(exist_ok=True)
    compared = [way for way in WAYS if way.name in options.ways]
    try:
        with Lab(RESULT.with_suffix(".log"), options.host) as lab:
            benchmark = Benchmark(lab, cases(options.volumes, options.targets), compared, options.rounds)
            figures = {"command": shlex.join(["tests/bench/run", *arguments]), **benchmark.run()}
    except BenchmarkError as error:
        say(f"FAILED: {error}")
        return 1
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    RESULT.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    text = document.tables(figures)
    RESULT.with_suffix(".rst").write_text(text, encoding="utf-8")
    if options.document:
        document.replace(text)
    print(tables(figures))
    say(f"every figure is in {RESULT.relative_to(ROOT)}; the lab is still up, `make lab-down` takes it down")
    return 1 if any(case["failed"] for case in figures["cases"]) else 0


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    names = [way.name for way in WAYS]
    parser = argparse.ArgumentParser(prog="tests/bench/run", description="Compare the collection with other ways.")
    for option, one, choices, help_ in (
        ("--volumes", _count, [1, 8, 32], "how many volumes at once"),
        ("--targets", _one_of(TARGETS), list(TARGETS), "a target for each volume, or one shared by all"),
        ("--ways", _one_of(names), names, "the ways to compare"),
    ):
        said = ",".join(map(str, choices))
        parser.add_argument(
            option, type=_list_of(one), default=choices, metavar=said.upper(), help=f"{help_} (default: {said})"
        )
    parser.add_argument("--rounds", type=_count, default=1, help="how often each way is measured (default: 1)")
    parser.add_argument("--host", default="host1", help="the lab's machine to attach to (default: host1)")
    parser.add_argument(
        "--document", action="store_true", help=f"put the tables into {document.PAGE.relative_to(ROOT)}"
    )
    return parser


def _count(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 100:
        raise argparse.ArgumentTypeError(f"expected a number from 1 to 100, not {text!r}")
    return int(text)


def _one_of(choices: Sequence[str]) -> Callable[[str], str]:
    def one(text: str) -> str:
        if text not in choices:
            raise argparse.ArgumentTypeError(f"unknown: {text!r}; there is {', '.join(choices)}")
        return text

    return one


def _list_of(one: Callable[[str], One]) -> Callable[[str], list[One]]:
    return lambda text: [one(part) for part in text.split(",")]
