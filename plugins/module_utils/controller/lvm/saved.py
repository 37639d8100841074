# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file that LIO is restored from at boot: rtslib's JSON, with a line for each storage object and each target.

With a thousand exports it takes longer to take all of it apart, and to put it together again, than to change an export. So only those
lines are read that can concern a volume. rtslib writes the same JSON indented; that is taken apart as a whole, once.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Callable

from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError

Entry = dict[str, Any]

FIRST = '{"storage_objects": ['
BETWEEN = '], "targets": ['


@dataclass(frozen=True)
class Entries:
    """Storage objects, or targets: each as a line of JSON."""

    lines: Sequence[str] = ()

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> Entries:
        return cls([json.dumps(entry) for entry in entries])

    def with_any(self, words: Iterable[str]) -> Iterator[Entry]:
        """Those in which one of these words stands, wherever that is."""
        for line in self._lines_with(set(words)):
            yield _parsed(line)

    def replaced(self, words: Iterable[str], concerned: Callable[[Entry], bool], new: Iterable[Entry]) -> Entries:
        """New ones instead of those that are concerned; in each of these one of the words stands."""
        gone = {line for line in self._lines_with(set(words)) if concerned(_parsed(line))}
        return Entries([*(line for line in self.lines if line not in gone), *Entries.of(new).lines])

    def _lines_with(self, words: set[str]) -> Iterator[str]:
        return (line for line in self.lines if any(word in line for word in words))


@dataclass(frozen=True)
class Saved:
    """What a reboot brings back.

    Args:
        others: what else is in the file, by its key.
    """

    storage_objects: Entries = Entries()
    targets: Entries = Entries()
    others: Entry = field(default_factory=dict)

    @classmethod
    def parsed(cls, text: str) -> Saved:
        """The file's content.

        Raises:
            ValueError: where it is not JSON.
        """
        lines = text.rstrip("\n").split("\n")
        if lines[0] == FIRST and lines.count(BETWEEN) == 1 and lines[-1].startswith("]"):
            between = lines.index(BETWEEN)
            others: Entry = json.loads("{" + lines[-1][1:].removeprefix(", "))
            return cls(_entries(lines[1:between]), _entries(lines[between + 1 : -1]), others)
        found: Entry = json.loads(text)
        objects, targets = (Entries.of(found.pop(key, [])) for key in ("storage_objects", "targets"))
        return cls(objects, targets, found)

    def text(self) -> str:
        """The same as JSON, in the form that parsed() need not take apart."""
        lines = [FIRST, *_joined(self.storage_objects), BETWEEN, *_joined(self.targets)]
        return "\n".join([*lines, "]" + (", " if self.others else "") + json.dumps(self.others)[1:], ""])


def _parsed(line: str) -> Entry:
    try:
        entry: Entry = json.loads(line)
    except ValueError as error:
        raise StorageError(
            "failed_precondition",
            f"A line of the file that LIO is restored from at boot is not JSON ({error}); repair it, or write it anew with "
            "targetctl save.",
        ) from None
    return entry


def _entries(lines: Sequence[str]) -> Entries:
    return Entries([line.removesuffix(",") for line in lines])


def _joined(entries: Entries) -> list[str]:
    return [f"{line}," for line in entries.lines[:-1]] + list(entries.lines[-1:])
