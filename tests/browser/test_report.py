# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a reader does with the report: search, sort, choose, with the mouse and with the keyboard alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from ansible_collections.brickwork.storage.plugins.module_utils.host.info import info
from ansible_collections.brickwork.storage.plugins.module_utils.host.records import Records
from ansible_collections.brickwork.storage.tests.browser.example import example
from ansible_collections.brickwork.storage.tests.browser.made_up import Fleet
from ansible_collections.brickwork.storage.tests.browser.pages import Opens, written
from ansible_collections.brickwork.storage.tests.unit.host.tree import CAPTURED, Tree

VOLUMES = ["mail-2019", "db-log", "spare", "db-copy", "archive", "db-data", "mail", "www", "www"]


def column(page: Page, title: str) -> list[str]:
    """The cells of a column of the table, from above."""
    return [text.strip() for text in page.locator(f"table.lines [data-title='{title}']").all_inner_texts()]


def row(page: Page, volume: str) -> Locator:
    """What chooses a line of the table."""
    return page.locator("table.lines").get_by_role("button", name=volume, exact=True)


def nodes(page: Page) -> list[str]:
    """The names of what is in the picture."""
    return page.locator("#picture .node .label").all_text_contents()


def test_what_is_worst_is_first(small: str, opens: Opens) -> None:
    page = opens(small)
    assert column(page, "Volume") == VOLUMES
    assert column(page, "Health") == ["failed", "degraded", "degraded", "unknown", *["ok"] * 5]
    expect(page.locator("#count")).to_have_text("9 lines")
    expect(page.locator("th[aria-sort=descending]")).to_have_text("Health")


def test_a_small_fleet_is_drawn_whole(small: str, opens: Opens) -> None:
    drawn = nodes(opens(small))
    assert {"mail-2019", "slow", "198.51.100.10", "mail1", "sdd", "mpathb", "/srv/old-mail"} <= set(drawn)
    assert {"db2", "spare", "swap", "/srv/archive", "203.0.113.5"} <= set(drawn)


@pytest.mark.parametrize(
    ("title", "first", "last"),
    [
        ("Volume", "archive", "www"),
        ("Size", "1,000 GiB", "20 GiB"),
        ("Backend", "fast", "slow"),
        ("Host", "", "web2"),
        ("Paths", "0/2", "2/2"),
        ("Mounted at", "", "/var/log/postgresql"),
    ],
)
def test_a_click_on_a_heading_sorts_and_another_turns_round(
    small: str, opens: Opens, title: str, first: str, last: str
) -> None:
    page = opens(small)
    heading = page.get_by_role("columnheader", name=title)
    heading.get_by_role("button").click()
    once = column(page, title)
    assert (once[0], once[-1]) == (first, last)
    heading.get_by_role("button").click()
    twice = column(page, title)
    assert (twice[0], twice[-1]) == (last, first)
    assert heading.get_attribute("aria-sort") in ("ascending", "descending")
    expect(page.locator("th[aria-sort=none]")).to_have_count(6)


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("db-", ["db-log", "db-copy", "db-data"]),
        ("DB log", ["db-log"]),
        ("host:mail1", ["mail-2019", "mail"]),
        ("backend:nas", ["archive"]),
        ("volume:mail", ["mail"]),
        ('mount:"/srv/www"', ["www", "www"]),
        ("198.51.100.20", ["db-log", "db-data", "mail"]),
        ("portal:192.0.2.10:3260", ["mail-2019", "www", "www"]),
        ("protocol:nfs", ["archive"]),
        ("no route", ["db-copy"]),
        ("nothing like this", []),
        ("constructor:www", []),
    ],
)
def test_a_search_finds_what_has_all_its_words(small: str, opens: Opens, search: str, found: list[str]) -> None:
    page = opens(small)
    page.get_by_label("Search").fill(search)
    assert column(page, "Volume") == found
    expect(page.locator("#count")).to_have_text(f"{len(found)} of 9 lines")
    assert {name for name in nodes(page) if name in VOLUMES} == set(found)


def test_states_of_health_are_chosen_by_clicking(small: str, opens: Opens) -> None:
    page = opens(small)
    filters = page.get_by_role("group", name="Health")
    filters.get_by_role("button", name="failed").click()
    assert column(page, "Health") == ["failed"]
    filters.get_by_role("button", name="degraded").click()
    assert column(page, "Health") == ["failed", "degraded", "degraded"]
    filters.get_by_role("button", name="failed").click()
    assert column(page, "Health") == ["degraded", "degraded"]
    page.get_by_role("button", name="Clear").click()
    assert len(column(page, "Health")) == 9
    expect(page.get_by_role("button", name="Clear")).to_be_hidden()


def test_a_host_of_the_overview_shows_its_volumes(small: str, opens: Opens) -> None:
    page = opens(small)
    page.get_by_role("toolbar", name="Hosts").get_by_role("button", name="db1: degraded").click()
    assert column(page, "Volume") == ["db-log", "db-data"]


def test_a_backend_of_the_overview_shows_its_volumes(small: str, opens: Opens) -> None:
    page = opens(small)
    page.locator(".backends").get_by_role("button", name="fast").click()
    assert column(page, "Volume") == ["db-log", "db-data", "mail"]


def test_a_node_of_the_picture_shows_what_belongs_to_it(small: str, opens: Opens) -> None:
    page = opens(small)
    page.locator("#picture .node", has_text="198.51.100.10").click()
    assert column(page, "Volume") == ["mail-2019", "www", "www"]
    expect(page.get_by_label("Search")).to_have_value("portal:198.51.100.10:3260")


def test_what_is_pointed_at_stands_out_with_its_way(small: str, opens: Opens) -> None:
    page = opens(small)
    page.locator("#picture .node", has_text="db-copy").hover()
    beside = page.locator("#picture .node.aside .label").all_text_contents()
    assert {"slow", "db2", "db-copy"}.isdisjoint(beside)
    assert {"mail1", "www", "fast"} <= set(beside)


def test_a_chosen_volume_is_drawn_alone_and_told_in_words(small: str, opens: Opens) -> None:
    page = opens(small)
    row(page, "db-log").click()
    assert {name for name in nodes(page) if name in VOLUMES} == {"db-log"}
    details = page.locator("#details")
    expect(details.get_by_role("heading")).to_contain_text("degraded db-log on db1")
    expect(details).to_contain_text("does not work (connecting). Check that portal and the network to it.")
    expect(details.get_by_role("table", name="Paths").get_by_role("row")).to_have_count(3)
    expect(details.get_by_role("table", name="What stands on it")).to_contain_text("/var/log/postgresql")
    page.get_by_role("button", name="Show all again").click()
    expect(details).to_be_empty()
    assert set(VOLUMES) <= set(nodes(page))


def test_a_shared_volume_is_drawn_on_every_host_that_has_it(small: str, opens: Opens) -> None:
    page = opens(small)
    page.locator("table.lines tbody tr").last.click()
    assert {"www", "web1", "web2"} <= set(nodes(page))
    assert "mail1" not in nodes(page)


def test_the_keyboard_is_enough(small: str, opens: Opens) -> None:
    page = opens(small)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the table")).to_be_focused()
    first = page.get_by_role("toolbar", name="Hosts").get_by_role("button").first
    first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert column(page, "Host") == ["web1"]
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    assert column(page, "Host") == ["backup1"]
    page.locator("#picture .node[role=button]", has_text="archive").first.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Search")).to_have_value("volume:archive")
    row(page, "archive").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#details").get_by_role("heading")).to_contain_text("archive on backup1")


def test_the_address_keeps_what_was_asked_for(small: str, opens: Opens) -> None:
    page = opens(small)
    page.get_by_label("Search").fill("host:mail1")
    page.get_by_role("group", name="Health").get_by_role("button", name="failed").click()
    again = opens(page.url)
    assert column(again, "Volume") == ["mail-2019"]
    expect(again.get_by_label("Search")).to_have_value("host:mail1")


def test_what_nobody_claims_is_told(small: str, opens: Opens) -> None:
    items = opens(small).locator("#unclaimed li")
    expect(items).to_have_count(2)
    expect(items.first).to_contain_text("session4 on web1: The iSCSI session with iqn.2026-11.org.example:www-2018")


def test_everything_that_can_be_pressed_has_a_name(small: str, opens: Opens) -> None:
    page = opens(small)
    row(page, "db-log").click()
    nameless = page.locator("button, [role=button], [role=img]").evaluate_all(
        "all => all.filter(one => !(one.getAttribute('aria-label') || one.textContent.trim())).length"
    )
    assert nameless == 0
    assert page.locator("h1").count() == 1


def test_names_are_text_whatever_is_in_them(opens: Opens, report_file: Path) -> None:
    name = '</script><img src="x" onerror="window.hacked = 1"><script>window.hacked = 1</script>'
    told = example()
    attachment = told.hosts["db1"]["attachments"][1]
    attachment["volume"] = {**attachment["volume"], "name": name, "id": "another", "wwn": None}
    attachment["wwn"] = None
    attachment["stack"][0]["mount_points"] = [f'/mnt/"{name}']
    attachment["health"]["problems"] = [name]
    page = opens(written(told, report_file, title=name))
    expect(page.locator("h1")).to_have_text(name)
    row(page, name).click()
    expect(page.locator("#details .problems li").first).to_have_text(name)
    page.locator("#picture .node[role=button]").first.click()
    assert column(page, "Volume") == [name]
    assert page.evaluate("window.hacked") is None
    assert page.locator("img").count() == 0


@pytest.mark.parametrize(
    ("told", "lines"),
    [
        (Fleet({}, {}, {}), 0),
        (Fleet({"db1": {"attachments": [], "unclaimed": []}}, {}, {}), 0),
        (Fleet({"db1": {"unreachable": True, "msg": "No route to host"}}, {}, {}), 1),
        (Fleet({}, {"stor1": {"msg": "no configuration"}}, {"stor1": {"msg": "no configuration"}}), 0),
        (Fleet(example().hosts, {}, {}), 8),
        (Fleet({}, example().connections, example().backends), 8),
    ],
    ids=["nothing", "idle host", "silent host", "silent controller", "hosts alone", "controllers alone"],
)
def test_a_part_of_a_fleet_is_shown_as_well(told: Fleet, lines: int, opens: Opens, report_file: Path) -> None:
    page = opens(written(told, report_file))
    assert len(column(page, "Health")) == lines


def test_what_real_hosts_told_is_shown(opens: Opens, report_file: Path, tmp_path: Path) -> None:
    everything = {"volumes": None, "backend": None}
    told = {
        file.stem: info(everything, Tree.captured(file.stem, tmp_path / file.stem).view, Records(tmp_path / "records"))
        for file in sorted(CAPTURED.glob("*.json"))
    }
    page = opens(written(Fleet(told, {}, {}), report_file))
    for host, result in told.items():
        page.get_by_label("Search").fill(f"host:{host}")
        assert len(column(page, "Health")) == len(result["attachments"]), host
        drawn = page.locator("#picture .node[aria-label^='path,']").count()
        assert drawn == sum(len(attachment["paths"]) for attachment in result["attachments"]), host
