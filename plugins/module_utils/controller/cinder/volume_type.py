# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Cinder calls a volume type: extra specs and limits that a section asks of its driver for every volume that is made.

A volume keeps the ones that it was made with, whatever the section says later: the driver reads them again when it connects or deletes it.
"""

from __future__ import annotations

import json
import uuid
from typing import Any, Optional

from ansible_collections.brickwork.storage.plugins.module_utils.controller.config import Section

# Of a section; Cinder has them in its database, and so no options for them.
EXTRA_SPECS, QOS_SPECS = OPTIONS = ("extra_specs", "qos_specs")
# By option, the keys and values.
Specs = dict[str, dict[str, str]]
_NAMESPACE = uuid.UUID("6f3d2b0a-3c0e-5d0b-9a53-3a1d2c7f4e10")
_FORM = "is KEY=VALUE, of several with a comma between them"


def specs_of(section: Section) -> Specs:
    """What a section asks for; options that are not set are left out.

    Raises:
        StorageError: C(invalid_argument), naming the option.
    """
    return {option: _pairs(section, option) for option in OPTIONS if section.given.get(option)}


def type_id(specs: Specs) -> Optional[str]:
    """The id of the volume type with these specs; None without any."""
    return str(uuid.uuid5(_NAMESPACE, json.dumps(specs, sort_keys=True))) if specs else None


def row(specs: Specs) -> Optional[dict[str, Any]]:
    """The volume type as Cinder's database has it; None without any specs."""
    if not specs:
        return None
    found, limits = type_id(specs), qos_row(specs)
    return {
        "id": found,
        "name": found,
        "description": None,
        "is_public": True,
        "projects": [],
        "extra_specs": dict(specs.get(EXTRA_SPECS, {})),
        "qos_specs_id": limits and limits["id"],
        "qos_specs": limits,
        "created_at": None,
        "updated_at": None,
        "deleted_at": None,
        "deleted": False,
    }


def qos_row(specs: Specs) -> Optional[dict[str, Any]]:
    """The limits of a volume type as Cinder's database has them, for the storage to keep; None without any."""
    if QOS_SPECS not in specs:
        return None
    # No two kinds of volumes have the same.
    found = type_id(specs)
    return {"id": found, "name": found, "consumer": "back-end", "specs": dict(specs[QOS_SPECS]), "created_at": None}


def _pairs(section: Section, option: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for part in section.given[option].split(","):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not (key and equals and value) or key in pairs:
            raise section.error(option, f"{part.strip() or 'nothing'} is not what was expected: {_FORM}, each key once")
        pairs[key] = value
    return pairs
