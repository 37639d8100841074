# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pictures of the report for the manual."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import Literal

from PIL import Image

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
            # A third of the size, and hardly a difference to the eye: the manual comes with every copy of the collection.
            picture = Image.open(io.BytesIO(page.screenshot(full_page=True))).convert("RGB")
            picture.quantize(128, dither=Image.Dither.NONE).save(file, optimize=True)
            print(file)
    return 0
