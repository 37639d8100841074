# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables. Pure: figures go in, text comes out."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

from .case import Case
from .ways import STEPS, WAYS, Iscsiadm, OpenIscsi, OsBrick

Rows = list[tuple[str, ...]]
REFERENCES = (Iscsiadm.rows[0], OsBrick.rows[0])
EXPLAINED = (
    "Seconds of iscsiadm, os-brick and volume_attach are those on the host, from the start of the process that does the work to "
    "its end; those of whole Ansible tasks count from the control node. Processes are the forks that the host's /proc/stat "
    "counted meanwhile, threads included, whoever made them: udev and multipathd as well. Every outcome was verified."
)


def tables(figures: dict[str, Any]) -> str:
    """Every comparison, for people.

    Args:
        figures: as build/bench.json holds them.
    """
    lines = []
    for case in figures["cases"]:
        lines += [f"{title(case, figures['paths'])}", "", *aligned(ways_of(case)), *notes(case), ""]
    measured = [case for case in figures["cases"] if case["nothing_to_do"]]
    if measured:
        lines += ["Nothing to do: all volumes attached already, whole tasks that alternate", ""]
        lines += [*aligned(nothing_to_do(measured)), ""]
    return "\n".join([*lines, explained(figures["rounds"])])


def explained(rounds: int) -> str:
    """What the columns are."""
    return EXPLAINED + (f" Medians of {rounds} rounds." if rounds > 1 else "")


def title(case: dict[str, Any], paths: int) -> str:
    """What was attached."""
    return f"{Case(case['volumes'], case['targets']).title}, {paths} paths each"


def ways_of(case: dict[str, Any]) -> Rows:
    """The comparison of the ways: medians, and their ratios to iscsiadm by hand and to os-brick in a loop."""
    rows: Rows = [("step", "way", "seconds", "to iscsiadm", "to os-brick", "processes")]
    for step in STEPS:
        middle = {row: _middle(steps[step], "seconds") for row, steps in case["ways"].items() if _complete(steps)}
        for way in WAYS:
            if way.name in case["failed"]:
                rows.append((step, way.rows[0], "failed", "", "", ""))
                continue
            for row in way.rows:
                if row in middle:
                    ratios = (f"{middle[row] / middle[other]:.2f}" if other in middle else "" for other in REFERENCES)
                    processes = _middle(case["ways"][row][step], "processes")
                    rows.append((step, row, f"{middle[row]:.1f}", *ratios, f"{processes:.0f}"))
    return rows


def notes(case: dict[str, Any]) -> list[str]:
    """What the seconds do not tell: a way that failed, or ended before its work was complete, or left something."""
    lines = [f"{name} failed: {why}" for name, why in case["failed"].items()]
    for row, steps in case["ways"].items():
        for step, measured in steps.items():
            late = max((figure["late_seconds"] for figure in measured), default=0)
            if late:
                lines.append(f"{row}, {step}: not complete when it ended, but up to {late:.0f} s later.")
    if OpenIscsi.rows[0] in case["ways"]:
        lines.append(f"{OpenIscsi.rows[0]}, detach: the node records stay; the module cannot remove them.")
    return lines


def nothing_to_do(cases: Sequence[dict[str, Any]]) -> Rows:
    """The comparison with ping; for a module's first task in a playbook Ansible also has to pack it, so it stands apart."""
    rows: Rows = [("attached", "ping", "volume_attach", "to ping", "the first", "to ping")]
    for case in cases:
        ping, own = case["nothing_to_do"]["ping"], case["nothing_to_do"]["volume_attach"]
        pairs = ((median(ping), median(own)), (ping[0], own[0]))
        (usual, mine), (first, my_first) = pairs
        seconds = (f"{usual:.2f}", f"{mine:.2f}", f"{mine / usual:.2f}", f"{my_first:.2f}", f"{my_first / first:.2f}")
        rows.append((Case(case["volumes"], case["targets"]).title, *seconds))
    return rows


def _complete(steps: dict[str, list[dict[str, Any]]]) -> bool:
    return all(steps[step] for step in STEPS)


def _middle(measured: list[dict[str, Any]], what: str) -> float:
    return float(median(figure[what] for figure in measured))


def widths(rows: Rows) -> list[int]:
    """How wide each column is."""
    return [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]


def aligned(rows: Rows) -> list[str]:
    """Text to the left, numbers to the right, a line under the heading."""
    numbers = [not any(row[column][:1].isalpha() for row in rows[1:]) for column in range(len(rows[0]))]
    numbers[0] = False
    lines = [
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(row, widths(rows), numbers, strict=True)
        ).rstrip()
        for row in rows
    ]
    return [lines[0], "-" * max(map(len, lines)), *lines[1:]]
