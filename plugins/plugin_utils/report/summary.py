# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fleet in plain lines of text, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.brickwork.storage.plugins.plugin_utils.report.health import OK, SEVERITY

# How many lines of what is wrong are shown; a fleet in trouble would push everything else off the screen.
LIMIT = 40
UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")


def summary(fleet: Mapping[str, Any], limit: int = LIMIT) -> list[str]:
    """The fleet in lines of text, what is worst first.

    Args:
        fleet: as fleet.fleet returns it.
        limit: how many lines to show of what is wrong, and of what nobody claims.
    """
    counts = fleet["counts"]
    return [
        f"Hosts:    {_counted(counts['hosts'])}",
        f"Volumes:  {_counted(counts['volumes'])}",
        f"Paths:    {counts['working_paths']} of {counts['paths']} work",
        *(f"Backend:  {_backend(backend)}" for backend in fleet["backends"]),
        *_cut(list(_wrong(fleet)), limit),
        *_cut([f"nobody's  {_item(item)}" for item in fleet["unclaimed"]], limit),
    ]


def size(count: int) -> str:
    """A number of bytes for a person."""
    amount, unit = float(count), 0
    while amount >= 1024 and unit < len(UNITS) - 1:
        amount, unit = amount / 1024, unit + 1
    return f"{amount:.1f}".removesuffix(".0") + f" {UNITS[unit]}"


def _counted(states: Mapping[str, int]) -> str:
    told = [f"{states[state]} {state}" for state in reversed(SEVERITY) if states.get(state)]
    return ", ".join(told) or "none"


def _backend(backend: Mapping[str, Any]) -> str:
    name = f"{backend['name']} on {backend['controller']}"
    if backend["health"] != OK:
        return f"{name} cannot be used"
    total, free = backend["total_bytes"], backend["free_bytes"]
    room = f", {size(free)} of {size(total)} free" if total is not None and free is not None else ""
    return f"{name}, {backend['volumes']} volumes{room}"


def _wrong(fleet: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong, a line each, the worst first."""
    for one in (*fleet["controllers"], *fleet["backends"]):
        for problem in one["problems"]:
            yield f"{one['health']:8}  {_about(one['name'], problem)}"
    lines = [line for line in fleet["lines"] if line["health"] != OK]
    for line in sorted(lines, key=lambda line: -SEVERITY.index(line["health"])):
        yield f"{line['health']:8}  {_about(_subject(fleet, line), ' '.join(line['problems']))}"


def _about(subject: str, sentence: str) -> str:
    return sentence if sentence.startswith(subject) else f"{subject}: {sentence}"


def _subject(fleet: Mapping[str, Any], line: Mapping[str, Any]) -> str:
    names = [
        fleet[kind][line[place]]["name"]
        for kind, place in (("volumes", "volume"), ("hosts", "host"))
        if line[place] is not None
    ]
    return " on ".join(names)


def _item(item: Mapping[str, Any]) -> str:
    return f"{item['name']} on {item['where']}: {item['problem']}"


def _cut(lines: Sequence[str], limit: int) -> list[str]:
    more = len(lines) - limit
    return [*lines[:limit], f"and {more} more, which the report shows"] if more > 0 else list(lines)
