# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that see only a part of this host."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import pytest

from ansible_collections.brickwork.storage.plugins.module_utils.commands import Running
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.host.mount_namespace import showing_only
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline

ENTRIES = ["session1", "session2", "session3"]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Links that lead to directories beside their own, as those of sysfs."""
    links = tmp_path / "class"
    links.mkdir()
    for name in ENTRIES:
        (tmp_path / "devices" / name).mkdir(parents=True)
        (tmp_path / "devices" / name / "state").write_text(f"state of {name}\n")
        (links / name).symlink_to(f"../devices/{name}")
    return links


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may have a mount namespace")
def test_program_sees_only_what_it_is_shown(directory: Path) -> None:
    program = ["sh", "-c", 'cd "$1"; ls; cat */state', "sh", str(directory)]
    finished = showing_only(str(directory), ["session2"], partial(Running, program)).wait(Deadline(10))
    assert finished.stdout.splitlines() == ["session2", "state of session2"]
    assert sorted(os.listdir(directory)) == ENTRIES


def test_entry_that_has_gone(directory: Path) -> None:
    with pytest.raises(FileNotFoundError):
        showing_only(str(directory), ["session9"], lambda: pytest.fail("started all the same"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may have a mount namespace")
def test_program_that_cannot_be_started(directory: Path) -> None:
    with pytest.raises(StorageError, match="is not installed"):
        showing_only(str(directory), ["session2"], partial(Running, ["no-such-program"]))
    assert sorted(os.listdir(directory)) == ENTRIES
