# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A page for each test, which may neither ask the network for anything nor complain."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Browser, Page

# pytest reads this file before pytest-ansible has made the collection known.
if TYPE_CHECKING:
    from ansible_collections.brickwork.storage.tests.browser.pages import Opens


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    from ansible_collections.brickwork.storage.tests.browser.pages import chromium

    with chromium() as started:
        yield started


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of the report of a small fleet with one of each."""
    from ansible_collections.brickwork.storage.tests.browser.example import example
    from ansible_collections.brickwork.storage.tests.browser.pages import written

    return written(example(), tmp_path_factory.mktemp("small") / "report.html")


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> str:
    """That of 1,000 hosts with 5 volumes each, and 10,000 paths."""
    from ansible_collections.brickwork.storage.tests.browser.made_up import made_up
    from ansible_collections.brickwork.storage.tests.browser.pages import written

    return written(made_up(1000), tmp_path_factory.mktemp("large") / "report.html")


@pytest.fixture
def opens(browser: Browser) -> Iterator[Opens]:
    """Opens a report; after the test, nothing may have been fetched but the file itself, and nothing have gone wrong."""
    complaints: list[str] = []
    fetched: list[str] = []
    pages: list[Page] = []

    def open_page(address: str, width: int = 1280, height: int = 900, scheme: str = "light") -> Page:
        page = browser.new_page(viewport={"width": width, "height": height})
        pages.append(page)
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        page.set_default_timeout(10_000)
        page.on("request", lambda request: fetched.append(request.url.partition("#")[0]))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(address)
        return page

    yield open_page
    opened = {page.url.partition("#")[0] for page in pages}
    for page in pages:
        page.close()
    assert complaints == []
    assert set(fetched) <= opened


@pytest.fixture
def report_file(tmp_path: Path) -> Path:
    return tmp_path / "report.html"
