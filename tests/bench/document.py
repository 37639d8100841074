# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables as reStructuredText, and the page of the documentation that holds them."""

from __future__ import annotations

from typing import Any

from .lab import ROOT
from .table import Rows, explained, notes, nothing_to_do, title, ways_of, widths

PAGE = ROOT / "docs/docsite/rst/performance.rst"
PROGRAM = "tests/bench/run"
BEGIN = ".. Written by {program} --document, from here\n"
END = "\n.. to here\n"


def tables(figures: dict[str, Any]) -> str:
    """Every comparison, with the command that made it.

    Args:
        figures: as build/bench.json holds them.
    """
    versions = ", ".join(f"{name} {version}" for name, version in sorted(figures["packages"].items()))
    parts = [f"Made by ``{figures['command']}`` on the lab, all within one run. On the host: {versions}."]
    parts.append(explained(figures["rounds"]))
    for case in figures["cases"]:
        said = title(case, figures["paths"])
        parts += [f"{said}\n{'~' * len(said)}", simple_table(ways_of(case))]
        parts += ["\n".join(f"* {note}" for note in notes(case))]
    measured = [case for case in figures["cases"] if case["nothing_to_do"]]
    if measured:
        parts += ["Nothing to do\n~~~~~~~~~~~~~", simple_table(nothing_to_do(measured))]
    return "\n\n".join(filter(None, parts)) + "\n"


def simple_table(rows: Rows) -> str:
    """A table in reStructuredText's simple form."""
    line = "  ".join("=" * width for width in widths(rows))
    written = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths(rows), strict=True)).rstrip() for row in rows
    ]
    return "\n".join([line, written[0], line, *written[1:], line])


def replace(text: str, program: str = PROGRAM) -> None:
    """Put the tables where the page has a program's old ones."""
    page = PAGE.read_text(encoding="utf-8")
    before, begin, rest = page.partition(BEGIN.format(program=program))
    _old, _end, after = rest.partition(END)
    PAGE.write_text(f"{before}{begin}\n{text}{END}{after}", encoding="utf-8")
