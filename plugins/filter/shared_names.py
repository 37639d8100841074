# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter shared_names; its documentation is in shared_names.yml."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.brickwork.storage.plugins.plugin_utils.setup.shared_names import shared_names


class FilterModule:
    """The filter, by its name."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"shared_names": shared_names}
