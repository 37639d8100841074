# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the report looks: in light and dark, on a large screen and on a phone."""

from __future__ import annotations

import io
import re

import pytest
from PIL import Image
from playwright.sync_api import Page

from ansible_collections.brickwork.storage.tests.browser.pages import Opens

# What people with weak eyes need between a text and what is behind it (WCAG 2.2, level AA).
CONTRAST = 4.5


def pixel(page: Page, x: int, y: int) -> tuple[int, int, int]:
    """The colour of a point on the screen."""
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    colour = picture.getpixel((x, y))
    assert isinstance(colour, tuple)
    red, green, blue = (int(part) for part in colour)
    return red, green, blue


def luminance(colour: tuple[int, int, int]) -> float:
    """How bright a colour is, from 0 to 1."""
    parts = [part / 255 for part in colour]
    red, green, blue = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: tuple[int, int, int], other: tuple[int, int, int]) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def colour_of(page: Page, selector: str) -> tuple[int, int, int]:
    """The colour of a text."""
    value = page.locator(selector).first.evaluate("element => getComputedStyle(element).color")
    red, green, blue = (int(part) for part in re.findall(r"\d+", value)[:3])
    return red, green, blue


def test_light_is_light_and_dark_is_dark(small: str, opens: Opens) -> None:
    light, dark = (opens(small, scheme=scheme) for scheme in ("light", "dark"))
    # The background of the page, and that of the first card.
    for point in ((3, 3), (200, 100)):
        assert luminance(pixel(light, *point)) > 0.8
        assert luminance(pixel(dark, *point)) < 0.05


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_can_be_read(small: str, opens: Opens, scheme: str) -> None:
    page = opens(small, scheme=scheme)
    box = page.locator(".tile").first.bounding_box()
    assert box
    card = pixel(page, int(box["x"] + box["width"] - 20), int(box["y"] + 20))
    states = [f"table.lines .badge.{state}" for state in ("ok", "degraded", "failed", "unknown")]
    for selector in ("h1", ".card .note", ".link", *states):
        assert contrast(colour_of(page, selector), card) >= CONTRAST, selector


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_picture_wears_the_colours_of_health(small: str, opens: Opens, scheme: str) -> None:
    page = opens(small, scheme=scheme)
    seen = {}
    for state, name in (("failed", "sdc"), ("ok", "nvme0c0n1"), ("degraded", "db-log"), ("unknown", "db2")):
        node = page.locator(f"#picture .node.{state}", has_text=name).first
        node.scroll_into_view_if_needed()
        box = node.locator(".shape").bounding_box()
        assert box
        seen[state] = pixel(page, int(box["x"] + box["width"] / 2), int(box["y"] + box["height"] - 2))
    red, green, _blue = seen["failed"]
    assert red > green + 50
    red, green, _blue = seen["ok"]
    assert green > red + 50
    red, green, blue = seen["degraded"]
    assert red > green > blue + 50
    assert max(seen["unknown"]) - min(seen["unknown"]) < 50


@pytest.mark.parametrize("width", [320, 390, 768, 1280, 2200])
@pytest.mark.parametrize("fleet", ["small", "large"])
def test_nothing_sticks_out(request: pytest.FixtureRequest, opens: Opens, fleet: str, width: int) -> None:
    page = opens(request.getfixturevalue(fleet), width=width)
    page.locator("table.lines .link").first.click()
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_a_picture_follows_the_width_of_the_window(small: str, opens: Opens) -> None:
    page = opens(small, width=1100)
    before = page.locator("#picture svg").bounding_box()
    page.set_viewport_size({"width": 1400, "height": 900})
    page.wait_for_function(
        "width => document.querySelector('#picture svg').getBoundingClientRect().width > width",
        arg=before and before["width"],
    )


def test_a_phone_shows_a_card_for_each_line(small: str, opens: Opens) -> None:
    cells = opens(small, width=390, height=800).locator("table.lines tbody tr").first.locator("td, th")
    boxes = [box for box in (cells.nth(place).bounding_box() for place in range(cells.count())) if box]
    assert len({box["x"] for box in boxes}) == 1
    name = cells.filter(has_text="/srv/old-mail").evaluate("cell => getComputedStyle(cell, '::before').content")
    assert "Mounted at" in name
