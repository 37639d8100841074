# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pictures of the report for the manual."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Literal

from .example import example
from .pages import chromium, written

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "docsite" / "rst" / "images"
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


def main() -> int:
    """Draw them, in light and dark."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        address = written(example(), Path(folder) / "report.html")
        for scheme in SCHEMES:
            page = browser.new_page(viewport={"width": 1200, "height": 1000}, color_scheme=scheme)
            page.goto(address)
            file = IMAGES / f"report-{scheme}.png"
            page.screenshot(path=file, full_page=True)
            print(file)
    return 0
