# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines that the terminal shows of a fleet."""

from __future__ import annotations

import pytest

from ansible_collections.brickwork.storage.plugins.plugin_utils.report.fleet import fleet
from ansible_collections.brickwork.storage.plugins.plugin_utils.report.summary import size, summary
from ansible_collections.brickwork.storage.tests.browser.made_up import UNREACHABLE, made_up


def test_a_fleet_that_is_well_takes_a_few_lines() -> None:
    made = made_up(2, volumes_each=2, trouble=0)
    made.connections["stor1"]["volumes"][-1]["problems"] = []
    made.backends["stor1"]["backends"] = made.backends["stor1"]["backends"][:1]
    assert summary(fleet(made.hosts, made.connections, made.backends)) == [
        "Hosts:    2 ok",
        "Volumes:  5 ok",
        "Paths:    8 of 8 work",
        "Backend:  gold on stor1, 100 volumes, 23 TiB of 64 TiB free",
    ]


def test_what_is_worst_comes_first() -> None:
    made = made_up(2, volumes_each=1, trouble=0)
    made.hosts["web1"] = UNREACHABLE
    attachment = made.hosts["db1"]["attachments"][0]
    attachment["health"] = {"state": "failed", "problems": ["None of its 2 paths works."]}
    lines = summary(fleet(made.hosts, {}, {}))
    assert lines == [
        "Hosts:    1 failed, 1 unknown",
        "Volumes:  1 failed",
        "Paths:    2 of 2 work",
        "failed    db1-data on db1: None of its 2 paths works.",
        f"unknown   web1 could not be reached. {UNREACHABLE['msg']}",
    ]


def test_a_backend_that_cannot_be_used_says_why() -> None:
    made = made_up(1, trouble=0)
    lines = summary(fleet(made.hosts, made.connections, made.backends))
    assert "Backend:  cloud on stor1 cannot be used" in lines
    assert "failed    cloud: http://keystone.example.org:5000 does not answer. See whether it runs." in lines


def test_a_fleet_in_trouble_does_not_flood_the_terminal() -> None:
    made = made_up(100, trouble=1)
    lines = summary(fleet(made.hosts, made.connections, made.backends), limit=3)
    assert len(lines) == 3 + 4 + 2 * (3 + 1)
    assert lines[-1].startswith("and ")


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1536, "1.5 KiB"), (10 << 30, "10 GiB"), (5 << 60, "5120 PiB")],
)
def test_a_size_is_for_people(count: int, text: str) -> None:
    assert size(count) == text
