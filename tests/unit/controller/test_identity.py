# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host connects as: one rule for every backend."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.brickwork.storage.plugins.module_utils.controller import identity
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError

CONNECTOR = {
    "host": "host1",
    "multipath": False,
    "initiator": "iqn.1993-08.org.debian:01:AbC",
    "nqn": "nqn.2014-08.org.nvmexpress:uuid:5F0C",
    "wwpns": ["50:0A:09:82:80:CB:A5:00", "0x100000109b579ef2", "500a098280cba500"],
}


@pytest.mark.parametrize(
    ("known_by", "initiator"),
    [
        ("host", "host1"),
        ("initiator", "iqn.1993-08.org.debian:01:abc"),
        ("nqn", "nqn.2014-08.org.nvmexpress:uuid:5F0C"),
        ("wwpns", "100000109b579ef2+500a098280cba500"),
    ],
)
def test_one_host_has_one_name(known_by: str, initiator: str) -> None:
    holder = identity.holder(known_by, CONNECTOR)
    assert (holder.host, holder.initiator, holder.known_by) == ("host1", initiator, known_by)


@pytest.mark.parametrize(
    ("known_by", "given"),
    [
        ("initiator", None),
        ("initiator", "abc"),
        ("initiator", "iqn.1993-08.org.debian:01:a+iqn.1993-08.org.debian:01:b"),
        ("initiator", "iqn.1993-08.org.debian:01:" + "a" * 200),
        ("initiator", "iqn.1993-08.org.debian:01:a b"),
        ("nqn", "iqn.1993-08.org.debian:01:abc"),
        ("nqn", ["nqn.2014-08.org.nvmexpress:uuid:5f0c"]),
        ("wwpns", None),
        ("wwpns", []),
        ("wwpns", "500a098280cba500"),
        ("wwpns", ["500a098280cba500", "500a098280cba50"]),
    ],
)
def test_what_names_no_host_is_refused_by_field(known_by: str, given: Any) -> None:
    with pytest.raises(StorageError) as refused:
        identity.holder(known_by, {**CONNECTOR, known_by: given})
    assert (refused.value.code, refused.value.facts["field"]) == ("invalid_argument", f"connector.{known_by}")
