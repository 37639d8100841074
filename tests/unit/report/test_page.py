# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file that is the report: whole, and safe whatever is told."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from ansible_collections.brickwork.storage.plugins.plugin_utils.report import page as page_
from ansible_collections.brickwork.storage.plugins.plugin_utils.report.fleet import fleet
from ansible_collections.brickwork.storage.tests.browser.made_up import made_up

MADE = "2026-11-24T00:30:00Z"
NASTY = [
    "</script><script>alert(1)</script>",
    "<!-- <script>",
    '"; alert(1); "',
    'it\'s \\ a "volume" & more',
    "{{ style }}",
    "]]>\u2028\u2029",
    "half of a character: \udce4",
]


def fleet_named(name: str) -> dict[str, Any]:
    made = made_up(1, volumes_each=1, trouble=0)
    attachment = made.hosts["db1"]["attachments"][0]
    attachment["volume"]["name"] = name
    attachment["stack"][0]["mount_points"] = [f"/mnt/{name}"]
    return fleet(made.hosts, {}, {})


class Parts(HTMLParser):
    """The elements of a page, and what is in its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = dict(attrs).get("type") or tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        self.texts[self._inside] = self.texts.get(self._inside, "") + data


@pytest.mark.parametrize("name", NASTY)
def test_no_name_breaks_out_of_the_data(name: str) -> None:
    seen = fleet_named(name)
    parts = Parts(page_.page(seen, "Storage", MADE))
    assert [attributes.get("type") for tag, attributes in parts.tags if tag == "script"] == [
        "application/json",
        "module",
    ]
    assert json.loads(parts.texts["application/json"]) == seen


@pytest.mark.parametrize("name", NASTY)
def test_the_file_can_be_written_whatever_is_told(name: str) -> None:
    assert page_.page(fleet_named(name), "Storage", MADE).encode("utf-8")


def test_the_title_is_text() -> None:
    parts = Parts(page_.page(fleet_named("data"), "<b>A & B</b> {{ fleet }}", MADE))
    assert parts.texts["title"] == "<b>A & B</b> {{ fleet }}"
    assert "b" not in [tag for tag, _attributes in parts.tags]


def test_only_the_style_and_the_code_of_the_report_are_let_in() -> None:
    parts = Parts(page_.page(fleet_named("data"), "Storage", MADE))
    [policy] = [str(attributes["content"]) for tag, attributes in parts.tags if "http-equiv" in attributes]
    for directive, text in (("style-src", parts.texts["style"]), ("script-src", parts.texts["module"])):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy


def test_nothing_is_fetched() -> None:
    text = page_.page(fleet_named("data"), "Storage", MADE)
    links = [
        value for _tag, attributes in Parts(text).tags for key, value in attributes.items() if key in ("src", "href")
    ]
    assert links == ["data:,", "#volumes"]
    assert set(re.findall(r"https?://[^\s\"')]+", text)) == {
        "http://www.w3.org/2000/svg",
        "https://www.gnu.org/licenses/gpl-3.0.txt",
    }


def test_every_module_is_in_the_page_after_those_that_it_uses() -> None:
    files = sorted(file.stem for file in page_.PARTS.glob("*.js"))
    assert sorted(page_.MODULES) == files
    for place, name in enumerate(page_.MODULES):
        text = (page_.PARTS / f"{name}.js").read_text(encoding="utf-8")
        used = re.findall(r'^import [^;]+ from "\./(\w+)\.js";$', text, re.MULTILINE)
        assert set(used) <= set(page_.MODULES[:place]), name


def test_modules_are_joined_without_what_browsers_need_of_files() -> None:
    joined = page_.joined(
        ["export const A = 1;\n", 'import {\n  A,\n} from "./a.js";\n\nexport function b() {\n  return A;\n}\n']
    )
    assert joined == "const A = 1;\n\n\nfunction b() {\n  return A;\n}\n"
