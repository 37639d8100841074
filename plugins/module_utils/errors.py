# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The failures of every module: one exception, one list of codes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Optional

# Worst first. A batch fails with the worst code among its volumes.
ERROR_CODES = (
    "data_loss",
    "internal",
    "failed_precondition",
    "already_exists",
    "permission_denied",
    "resource_exhausted",
    "unavailable",
    "deadline_exceeded",
    "aborted",
    "unimplemented",
    "not_found",
    "invalid_argument",
)


class StorageError(Exception):
    """What happened, to what, and what to do, with what a play needs to act on it.

    Args:
        code: one of ERROR_CODES.
        message: a sentence for a person.
        facts: what a play can act on: C(volume) (a name), C(field) (of the input), C(holders) (host names),
            C(users) (mount points, volume groups, processes), C(portals), C(candidates) (near names).
    """

    def __init__(self, code: str, message: str, **facts: Any) -> None:
        if code not in ERROR_CODES:
            raise ValueError(f"unknown error code {code!r}")
        super().__init__(message)
        self.code = code
        self.message = message
        self.facts = {name: value for name, value in facts.items() if value is not None}

    def concerning(self, kind: str, name: str) -> StorageError:
        """The same failure, naming what it belongs to: a C(volume) or a C(snapshot)."""
        return StorageError(self.code, self.message, **{kind: name, **self.facts})

    def as_dict(self) -> dict[str, Any]:
        """The failure as a module returns it: C(msg), C(error_code) and the facts."""
        return {"msg": self.message, "error_code": self.code, **self.facts}


def invalid(field: str, expected: str, found: Any = None) -> StorageError:
    """An C(invalid_argument) failure that names the field, what was expected and what was found."""
    given = "is missing" if found is None else f"is {found!r}"
    return StorageError("invalid_argument", f"{field} {given}; expected {expected}.", field=field)


def worst(errors: Iterable[StorageError]) -> Optional[StorageError]:
    """The failure that decides the code of a batch; None without failures."""
    return min(errors, key=lambda error: ERROR_CODES.index(error.code), default=None)
