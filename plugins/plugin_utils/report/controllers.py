# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controllers of the fleet and their backends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.brickwork.storage.plugins.plugin_utils.report import health, told
from ansible_collections.brickwork.storage.plugins.plugin_utils.report.told import Result

OF_BACKEND = ("driver", "protocol", "total_bytes", "free_bytes", "volumes")


def controller(name: str, connections: Result, backends: Result) -> dict[str, Any]:
    """A controller as the report shows it: whether it told, and what it could not tell.

    Args:
        name: the inventory's.
        connections: the result of volume_connection_info.
        backends: the result of volume_backend_info.
    """
    problems = []
    for result, key in ((connections, "volumes"), (backends, "backends")):
        if told.state_of(result, key) != told.TOLD:
            problems.append(told.sentence(name, result, key))
    # What is wrong with a backend is told there.
    of_backends = {error["msg"] for seen in backends.get("backends", ()) if (error := seen.get("error"))}
    problems += [_error(error) for error in connections.get("errors", ()) if error.get("msg") not in of_backends]
    return {
        "name": name,
        "state": told.state_of(connections, "volumes"),
        "health": health.FAILED if problems else health.OK,
        "problems": list(dict.fromkeys(problems)),
    }


def backend(controller_name: str, seen: Mapping[str, Any]) -> dict[str, Any]:
    """A backend as the report shows it."""
    error = seen.get("error")
    return {
        "name": seen["name"],
        "controller": controller_name,
        "health": health.OK if seen["usable"] else health.FAILED,
        "problems": [str(error["msg"])] if error else [],
        "capabilities": list(seen.get("capabilities", ())),
        **{key: seen.get(key) for key in OF_BACKEND},
    }


def _error(error: Mapping[str, Any]) -> str:
    subject, sentence = str(error.get("volume") or error.get("backend") or ""), str(error.get("msg", ""))
    return sentence if subject in sentence else f"{subject}: {sentence}"
