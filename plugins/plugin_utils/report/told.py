# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host or a controller answered when it was asked: its result, or why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# What Ansible puts around a reason, and in the place of one that it hides.
AROUND = ("Task failed: ", ": <error censored due to no log>")
TOLD, UNREACHABLE, FAILED, NOT_ASKED = "told", "unreachable", "failed", "not asked"

Result = Mapping[str, Any]


def state_of(result: Result, key: str) -> str:
    """Whether a module's result tells what was asked.

    Args:
        result: of the task; empty where it never ran.
        key: of the result that holds the answer. A module that could tell a part only has failed, and told that part.
    """
    if result.get("unreachable"):
        return UNREACHABLE
    if key in result:
        return TOLD
    return FAILED if result else NOT_ASKED


def sentence(name: str, result: Result, key: str) -> str:
    """Why somebody did not tell what was asked, for a person."""
    state = state_of(result, key)
    reason = " ".join(str(result.get("msg") or "").split()).removeprefix(AROUND[0]).removesuffix(AROUND[1])
    if state == UNREACHABLE:
        return f"{name} could not be reached. {reason}".strip()
    if state == FAILED:
        return f"{name} could not tell. {reason}".strip()
    return f"{name} was not asked."
