# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules return for a batch of volumes or snapshots."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError, worst


@dataclass
class Outcome:
    """What became of one volume, or one snapshot, of a batch.

    Args:
        name: of it.
        result: what the module returns for it (a volume, a connection, an attachment); None where it failed.
        changed: whether this call changed something for it, or would have, in check mode.
        before: its state for C(--diff), without secrets; empty where there is none.
        after: the same, after the call.
        error: why it failed.
        warnings: sentences for a person.
    """

    name: str
    result: Optional[dict[str, Any]] = None
    changed: bool = False
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    error: Optional[StorageError] = None
    warnings: list[str] = field(default_factory=list)


def batch_result(key: str, outcomes: list[Outcome], kind: str = "volume") -> dict[str, Any]:
    """The module's result for a batch, in the order given.

    Args:
        key: under which the results of those that did not fail are.
        kind: C(volume) or C(snapshot).

    Returns:
        C(changed); C(warnings); I(key); C(changed_volumes) or C(changed_snapshots), the names of those that this call changed;
        C(diff) where something changed; with failures C(errors), C(msg), C(error_code) and the facts of the worst failure, and
        C(failed).
    """
    result: dict[str, Any] = {
        "changed": any(outcome.changed for outcome in outcomes),
        f"changed_{kind}s": [outcome.name for outcome in outcomes if outcome.changed],
        "warnings": [warning for outcome in outcomes for warning in outcome.warnings],
        key: [outcome.result for outcome in outcomes if outcome.error is None],
    }
    changed = [outcome for outcome in outcomes if outcome.changed]
    if changed:
        result["diff"] = {
            "before": {outcome.name: outcome.before for outcome in changed},
            "after": {outcome.name: outcome.after for outcome in changed},
        }
    errors = [outcome.error.concerning(kind, outcome.name) for outcome in outcomes if outcome.error]
    decisive = worst(errors)
    if decisive:
        result.update(decisive.as_dict(), failed=True, errors=[error.as_dict() for error in errors])
        if len(outcomes) > 1:
            sentences = " ".join(_named(kind, error) for error in errors)
            result["msg"] = f"{len(errors)} of {len(outcomes)} {kind}s failed. {sentences}"
    return result


def _named(kind: str, error: StorageError) -> str:
    """The message, with the name of what it belongs to in front where it does not have it."""
    name = error.facts[kind]
    named = re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", error.message)
    return error.message if named else f"{name}: {error.message}"
