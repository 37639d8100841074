# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words of health, as volume_attach_info tells them, and one more for what nobody could tell."""

from __future__ import annotations

from collections.abc import Iterable

OK, UNKNOWN, DEGRADED, FAILED = "ok", "unknown", "degraded", "failed"
# What was not seen may be worse than what works, and is not as bad as what was seen to fail.
SEVERITY = (OK, UNKNOWN, DEGRADED, FAILED)


def worst(states: Iterable[str]) -> str:
    """The worst of several, ok of none."""
    return max(states, key=SEVERITY.index, default=OK)
