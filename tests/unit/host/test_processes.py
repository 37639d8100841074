# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The processes of a host. Who has a device open is seen in test_usage.py."""

from __future__ import annotations

from ansible_collections.brickwork.storage.plugins.module_utils.host import processes
from ansible_collections.brickwork.storage.tests.unit.host.tree import Capture


def test_multipathd_is_seen_where_it_runs(capture: Capture) -> None:
    assert "multipathd" in processes.names(capture("multipath").view)
    assert "multipathd" not in processes.names(capture("single_path").view)
