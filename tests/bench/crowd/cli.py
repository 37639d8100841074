# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmark's command line."""

from __future__ import annotations

import argparse
import json
import shlex
import signal
from collections.abc import Sequence
from types import FrameType
from typing import Any

from .. import document
from ..errors import BenchmarkError
from ..lab import ROOT, Lab
from ..say import say
from ..table import aligned
from . import table
from .benchmark import Crowd

RESULT = ROOT / "build" / "bench-crowd.json"
PROGRAM = "tests/bench/crowd/run"


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark; 0 when every answer was right, however long it took."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)  # whoever ends it wants it to clean up, too
    RESULT.parent.mkdir(exist_ok=True)
    try:
        with (
            Lab(RESULT.with_suffix(".log"), "host1") as lab,
            Crowd(lab, options.hosts, options.forks, options.rounds) as crowd,
        ):
            figures = {"command": shlex.join([PROGRAM, *arguments]), **crowd.run(sorted(options.exports))}
            _tell(figures, options.document)
    except BenchmarkError as error:
        say(f"FAILED: {error}")
        return 1
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    say(f"every figure is in {RESULT.relative_to(ROOT)}; the lab is still up, `make lab-down` takes it down")
    return 0


def _tell(figures: dict[str, Any], documented: bool) -> None:
    RESULT.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    sections = table.sections(figures)
    if documented:
        made = f"Made by ``{figures['command']}`` on the lab, all within one run."
        tables = [f"{title}\n{'~' * len(title)}\n\n{document.simple_table(rows)}" for title, rows in sections.items()]
        document.replace("\n\n".join([made, table.explained(figures), *tables]) + "\n", PROGRAM)
    for title, rows in sections.items():
        print(f"{title}\n", *aligned(rows), "", sep="\n")
    print(table.explained(figures))


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=PROGRAM, description="Many exports, and many hosts at once.")
    parser.add_argument(
        "--exports",
        type=lambda text: [_count(part) for part in text.split(",")],
        default=[10, 100, 1000],
        metavar="N,N",
        help="how many exports the controller has beside what is measured (default: 10,100,1000)",
    )
    for option, default, what in (
        ("--hosts", 100, "how many made-up hosts ask at once"),
        ("--forks", 50, "how many of them Ansible serves at once"),
        ("--rounds", 5, "how often one connection is measured"),
    ):
        parser.add_argument(option, type=_count, default=default, help=f"{what} (default: {default})")
    parser.add_argument(
        "--document", action="store_true", help=f"put the tables into {document.PAGE.relative_to(ROOT)}"
    )
    return parser


def _count(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 10000:
        raise argparse.ArgumentTypeError(f"expected a number from 1 to 10000, not {text!r}")
    return int(text)
