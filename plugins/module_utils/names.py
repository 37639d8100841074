# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names, as people and templates give them."""

from __future__ import annotations

from collections.abc import Iterable

from ansible_collections.brickwork.storage.plugins.module_utils.errors import invalid


def names_of_volumes(given: Iterable[str]) -> list[str]:
    """Names of volumes, each once, in the order given; see names_of."""
    return names_of("volumes", given)


def names_of(field: str, given: Iterable[str]) -> list[str]:
    """The names in an option such as C(volumes), each once, in the order given.

    Raises:
        StorageError: C(invalid_argument) where there is none, one is empty, or one was a mapping or a list before Ansible made text of it.
    """
    stripped = [name.strip() for name in given]
    if not stripped or any(name.startswith(("{", "[")) or not name for name in stripped):
        raise invalid(field, f"names of {field}, as a list or as a,b", ",".join(stripped))
    return list(dict.fromkeys(stripped))
