# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The view of a host as a whole: ports and images, and what udev found."""

from __future__ import annotations

from ansible_collections.brickwork.storage.plugins.module_utils.host.topology import (
    Content,
    Image,
)
from ansible_collections.brickwork.storage.tests.unit.host import made_up
from ansible_collections.brickwork.storage.tests.unit.host.made_up import SIZE
from ansible_collections.brickwork.storage.tests.unit.host.tree import Capture


def test_nothing_on_an_empty_host(capture: Capture) -> None:
    view = capture("empty").topology
    assert (view.images(), view.maps()) == ([], [])
    assert view.content("sda") == Content()


def test_rados_images(capture: Capture) -> None:
    tree = capture("empty")
    made_up.rados_image(tree, 0, "db-data")
    made_up.rados_image(tree, 1, "db-log", namespace="prod", snapshot="before")
    assert tree.topology.images() == [
        Image("rbd0", "volumes/db-data", SIZE),
        Image("rbd1", "volumes/prod/db-log@before", SIZE),
    ]


def test_what_udev_found(capture: Capture) -> None:
    view = capture("stacked").topology
    # As lsblk showed it.
    assert view.content("dm-2") == Content("ext4", "781b92f2-08c2-49a4-8153-8c506a28de1e", "db data")
    assert view.content("dm-3") == Content("LVM2_member", "r5q3X1-JU6N-BbL6-Q3Cl-2AQP-wAXV-FGeMeb")
    assert view.content("dm-0") == Content()
