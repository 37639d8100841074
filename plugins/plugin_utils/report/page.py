# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report as one HTML file: its style, its code and the fleet are inside, and nothing is fetched from anywhere."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

PARTS = Path(__file__).parent / "browser"
# The parts of the code, each after those that it uses.
MODULES = ("dom", "words", "fleet", "graph", "layout", "picture", "details", "overview", "table", "filters", "main")


def page(fleet: Mapping[str, Any], title: str, made: str) -> str:
    """The whole file.

    Args:
        fleet: as fleet.fleet returns it.
        title: of the report.
        made: when it was made, in ISO 8601.
    """
    style = _read("style.css")
    script = joined(_read(f"{name}.js") for name in MODULES)
    values = {
        "title": html.escape(title),
        "made": html.escape(made),
        "style": style,
        "script": script,
        "style_hash": _hash(style),
        "script_hash": _hash(script),
        "fleet": embedded(fleet),
    }
    # In one pass, so that nothing put in is taken for a place to put something.
    return re.sub(r"\{\{ (\w+) \}\}", lambda place: values[place[1]], _read("page.html"))


def embedded(fleet: Mapping[str, Any]) -> str:
    """The fleet as JSON that nothing in it can break out of, a name with a closing script tag neither."""
    # ASCII alone, so that half of a character in a mount point can be written too.
    text = json.dumps(fleet, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def joined(modules: Iterable[str]) -> str:
    """The modules as one: each stands in its file as browsers know them, and a page alone cannot import files."""
    text = "\n".join(modules)
    return re.sub(r"(?m)^import [^;]+;\n|^export ", "", text)


def _hash(text: str) -> str:
    """How a content security policy names what may run."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _read(name: str) -> str:
    return (PARTS / name).read_text(encoding="utf-8")
