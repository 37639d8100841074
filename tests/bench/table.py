# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables. Pure: figures go in, text comes out."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

from .ways import STEPS, WAYS, Iscsiadm, OsBrick, VolumeAttach

WANTED_RATIO = 1.5


def tables(figures: dict[str, Any]) -> str:
    """Both comparisons, for people.

    Args:
        figures: as build/bench.json holds them.
    """
    volumes, paths = figures["volumes"], figures["paths"]
    rounds = len(figures["ways"][WAYS[0].name][STEPS[0]])
    several = f", medians of {rounds} rounds" if rounds > 1 else ""
    return "\n".join(
        [
            f"{volumes} volumes with {paths} paths each, every outcome verified{several}",
            "",
            *_aligned(_ways(figures["ways"])),
            "",
            "Seconds on the host, from the start of the process that does the work to its end; for volume_attach also the whole",
            "Ansible task. Processes and threads that the host started meanwhile, udev's and multipathd's included.",
            *_late(figures["ways"]),
            "",
            f"{volumes} volumes attached already; medians of {len(figures['nothing_to_do']['ping'])} tasks each, that alternate",
            "",
            *_aligned(_nothing_to_do(figures["nothing_to_do"])),
            "",
            "Whole Ansible tasks. For its first task in a playbook Ansible also has to pack the module.",
            f"Wanted: a ratio of at most {WANTED_RATIO}. os_brick was not imported; Python listed what was.",
        ]
    )


def _ways(compared: dict[str, dict[str, list[dict[str, Any]]]]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("step", "way", "seconds", "to os-brick", "to iscsiadm", "processes")]
    for step in STEPS:
        middle = {name: _middle(steps[step], "seconds") for name, steps in compared.items()}
        lines = [(name, seconds, _middle(compared[name][step], "processes")) for name, seconds in middle.items()]
        task = _middle(compared[VolumeAttach.name][step], "task_seconds")
        for name, seconds, processes in [(f"{VolumeAttach.name}, the whole task", task, None), *lines]:
            ratios = (f"{seconds / middle[other.name]:.2f}" for other in (OsBrick, Iscsiadm))
            rows.append((step, name, f"{seconds:.1f}", *ratios, "" if processes is None else f"{processes:.0f}"))
    return rows


def _late(compared: dict[str, dict[str, list[dict[str, Any]]]]) -> list[str]:
    """What the seconds do not tell: a way that ended before its work was complete."""
    lines = []
    for name, steps in compared.items():
        for step, measured in steps.items():
            late = max(figure["late_seconds"] for figure in measured)
            if late:
                lines.append(f"{name}, {step}: not complete when it ended, but up to {late:.0f} s later.")
    return lines


def _nothing_to_do(seconds: dict[str, list[float]]) -> list[tuple[str, ...]]:
    ping = seconds["ping"]
    rows: list[tuple[str, ...]] = [("task", "seconds", "to ping", "the first", "to ping")]
    for name, measured in (
        ("ansible.builtin.ping", ping),
        ("brickwork.storage.volume_attach", seconds["volume_attach"]),
    ):
        pairs = ((median(measured), median(ping)), (measured[0], ping[0]))
        rows.append((name, *(text for own, other in pairs for text in (f"{own:.2f}", f"{own / other:.2f}"))))
    return rows


def _middle(measured: list[dict[str, Any]], what: str) -> float:
    return float(median(figure[what] for figure in measured))


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Text to the left, numbers to the right, a line under the heading."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    numbers = [not any(row[column][:1].isalpha() for row in rows[1:]) for column in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(row, widths, numbers, strict=True)
        ).rstrip()
        for row in rows
    ]
    return [lines[0], "-" * max(map(len, lines)), *lines[1:]]
