# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters that make a report of the fleet. They only call the functions that do it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.brickwork.storage.plugins.plugin_utils.report.fleet import fleet
from ansible_collections.brickwork.storage.plugins.plugin_utils.report.page import page
from ansible_collections.brickwork.storage.plugins.plugin_utils.report.summary import summary


class FilterModule:
    """The filters by their names."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"fleet": fleet, "fleet_page": page, "fleet_summary": summary}
