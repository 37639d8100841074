# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts for the tests."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

# pytest reads this file before pytest-ansible has made the collection known.
if TYPE_CHECKING:
    from ansible_collections.brickwork.storage.tests.unit.host.tree import Capture, Tree


@pytest.fixture
def capture(tmp_path: Path) -> Capture:
    """Builds a tree captured from the lab, by its name, under a temporary root."""
    from ansible_collections.brickwork.storage.tests.unit.host import tree

    def build(name: str) -> Tree:
        return tree.Tree.captured(name, tmp_path / name)

    return build
