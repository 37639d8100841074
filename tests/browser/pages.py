# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reports of made-up fleets as files, and the browser that opens them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from ansible_collections.brickwork.storage.plugins.plugin_utils.report.fleet import fleet
from ansible_collections.brickwork.storage.plugins.plugin_utils.report.page import page

from .made_up import Fleet

# What the fixture of that name is: it opens an address, in a window of a width and a height, in a scheme, light or dark.
Opens = Callable[..., Page]
MADE = "2026-11-24T08:30:00Z"
# Debian's names first, then those of other systems.
NAMES = ("chromium", "chromium-browser", "google-chrome")


def written(told: Fleet, file: Path, title: str = "Storage report") -> str:
    """Write the report of a fleet; return its address."""
    seen = fleet(told.hosts, told.connections, told.backends)
    file.write_text(page(seen, title, MADE), encoding="utf-8")
    return file.as_uri()


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless Chromium, the machine's own."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        raise FileNotFoundError(
            f"no Chromium on this machine: none of {', '.join(NAMES)} is there; tests/bootstrap installs it"
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program)
        try:
            yield browser
        finally:
            browser.close()
