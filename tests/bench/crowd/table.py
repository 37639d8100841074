# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables. Pure: figures go in, rows come out."""

from __future__ import annotations

from statistics import median
from typing import Any

from ..table import Rows

EXPLAINED = (
    "Seconds are those of whole Ansible tasks, medians of {rounds} rounds in which they alternate; beside each is its ratio to the ping of "
    "the same rounds, and how that has grown since the fewest exports: the machine's own speed changes within an hour. Crowds count from "
    "the first host's start to the last one's end."
)


def explained(figures: dict[str, Any]) -> str:
    return EXPLAINED.format(rounds=figures["rounds"])


def sections(figures: dict[str, Any]) -> dict[str, Rows]:
    """Every comparison, by its title."""
    found = {
        "One connection": one(figures),
        f"{figures['hosts']} hosts at once, {figures['forks']} forks, {figures['cases'][0]['exports']} exports": crowd(
            figures
        ),
    }
    if figures["cinder"]:
        found["One connection by Cinder's driver for LVM"] = cinder(figures["cinder"])
    return found


def one(figures: dict[str, Any]) -> Rows:
    """One connection beside so many exports."""
    rows: Rows = [("exports", "step", "seconds", "to ping", "growth")]
    fewest = _to_ping(figures["cases"][0]["one"])
    for case in figures["cases"]:
        for step, ratio in _to_ping(case["one"]).items():
            seconds = median(case["one"][step])
            rows.append((str(case["exports"]), step, f"{seconds:.2f}", f"{ratio:.2f}", f"{ratio / fewest[step]:.2f}"))
    return rows


def _to_ping(seconds: dict[str, list[float]]) -> dict[str, float]:
    return {step: median(measured) / median(seconds["ping"]) for step, measured in seconds.items()}


def crowd(figures: dict[str, Any]) -> Rows:
    """A crowd beside the fewest exports."""
    found = figures["crowd"]
    answered = figures["hosts"] - found["aborted"]
    ratios = [f"{found[step] / found['ping']:.2f}" for step in ("ask", "release")]
    return [
        ("answered", "aborted", "seconds", "to as many pings", "to release", "to as many pings"),
        (str(answered), str(found["aborted"]), f"{found['ask']:.1f}", ratios[0], f"{found['release']:.1f}", ratios[1]),
    ]


def cinder(seconds: dict[str, list[float]]) -> Rows:
    """What a driver of Cinder's costs beside its bare load."""
    rows: Rows = [("step", "seconds", "to ping", "to the bare load")]
    ping, bare = median(seconds["ping"]), median(seconds["bare"])
    for step, measured in seconds.items():
        middle = median(measured)
        rows.append((step, f"{middle:.2f}", f"{middle / ping:.2f}", f"{middle / bare:.2f}"))
    return rows
