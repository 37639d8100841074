# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What udev found on block devices."""

from __future__ import annotations

from ansible_collections.brickwork.storage.plugins.module_utils.host.udev import Content, content
from ansible_collections.brickwork.storage.tests.unit.host.tree import Capture


def test_what_udev_found(capture: Capture) -> None:
    view = capture("stacked").view
    # As lsblk showed it.
    assert content(view, "dm-2") == Content("ext4", "781b92f2-08c2-49a4-8153-8c506a28de1e", "db data")
    assert content(view, "dm-3") == Content("LVM2_member", "r5q3X1-JU6N-BbL6-Q3Cl-2AQP-wAXV-FGeMeb")
    assert content(view, "dm-0") == Content()


def test_nothing_on_an_empty_host(capture: Capture) -> None:
    assert content(capture("empty").view, "sda") == Content()
