# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""backends.conf, read where the playbooks run: oslo.config, which the controllers read it with, need not be there."""

from __future__ import annotations

from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError

PATH = "/etc/brickwork/backends.conf"

Sections = dict[str, dict[str, str]]


def parse(text: str) -> Sections:
    """The sections with their options, read as oslo.config does; of an option that stands twice, the last.

    Raises:
        StorageError: C(invalid_argument), naming the line and not what stands in it: that may be a password.
    """
    sections: Sections = {}
    section: dict[str, str] | None = None
    option: str | None = None
    for number, line in enumerate(map(str.rstrip, text.splitlines()), start=1):
        if not line:
            option = None
        elif line[0] in " \t":
            if section is None or option is None:
                raise _wrong(number, "is indented, and there is no option above it that it goes on with")
            section[option] = f"{section[option]}\n{line.strip()}"
        elif line[0] == "[":
            if not line.endswith("]") or not line[1:-1].strip():
                raise _wrong(number, "is not the name of a section in [ ]")
            section, option = sections.setdefault(line[1:-1], {}), None
        elif line[0] in "#;":
            option = None
        elif section is None:
            raise _wrong(number, "stands before the first section; is [DEFAULT] missing above it?")
        else:
            option, value = _assignment(number, line)
            section[option] = value
    return sections


def _assignment(number: int, line: str) -> tuple[str, str]:
    ends = [place for place in (line.find("="), line.find(":")) if place >= 0]
    option = line[: min(ends)].strip() if ends else ""
    if not option:
        raise _wrong(number, "is not in the form option = value")
    value = line[min(ends) + 1 :].strip()
    if value and value[0] == value[-1] and value[0] in "\"'":
        value = value[1:-1]
    return option, value


def _wrong(number: int, message: str) -> StorageError:
    return StorageError("invalid_argument", f"{PATH}: line {number} {message}.", field="config")
