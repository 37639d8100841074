# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that run in a copy of the process: real ones. Nothing here needs Cinder."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder.rtstool import in_a_copy


def test_what_it_prints_is_its_answer(capfd: pytest.CaptureFixture[str]) -> None:
    def program(words: list[str]) -> None:
        for word in words:
            print(word)

    print("of the process itself", end="")
    assert in_a_copy(program, ["cinder-rtstool", "iqn.1"]) == (0, "cinder-rtstool\niqn.1\n")
    assert capfd.readouterr() == ("of the process itself", "")


def test_how_it_ends_is_told() -> None:
    def broken(_words: list[str]) -> None:
        raise ValueError("no such target")

    def usage(_words: list[str]) -> None:
        sys.exit("usage")

    assert in_a_copy(lambda _words: 0, []) == (0, "")
    assert in_a_copy(lambda _words: 3, []) == (3, "")
    assert in_a_copy(lambda _words: sys.exit(4), []) == (4, "")
    assert in_a_copy(usage, []) == (1, "")
    assert in_a_copy(broken, []) == (1, "ValueError: no such target\n")


def test_nothing_of_it_is_left_in_the_process(tmp_path: Path) -> None:
    changed: list[str] = []

    def program(_words: list[str]) -> None:
        changed.append("in the copy")
        print(*sorted(os.listdir("/proc/self/fd"), key=int))

    with (tmp_path / "open").open("w"):
        before = os.listdir("/proc/self/fd")
        _status, told = in_a_copy(program, [])
        assert os.listdir("/proc/self/fd") == before
    # The directory itself is open while it is read.
    assert told.split() == ["0", "1", "2", "3"]
    assert changed == []
