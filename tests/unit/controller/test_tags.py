# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import string

import pytest

from ansible_collections.brickwork.storage.plugins.module_utils.controller.backend import Holder, Source
from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm import iscsi, tags

ID = "5f0c1c5e-4a3b-4d37-9d0a-0f7a5f1f6f3a"
HOLDER = Holder("db1.example.org", "iqn.1993-08.org.debian:01:abc", True)
TAG = "brickwork.connection=db1.example.org/1/iqn.1993-08.org.debian:01:abc"


def test_a_holder_survives_being_a_tag() -> None:
    assert tags.encode(HOLDER) == TAG
    assert tags.decode(TAG) == HOLDER
    single = Holder("a", "naa.5001405000000000", False)
    assert tags.decode(tags.encode(single)) == single


def test_a_tag_has_only_characters_that_lvm_allows() -> None:
    assert set(tags.encode(HOLDER)) <= set(string.ascii_letters + string.digits + "_+.-/=!:&#")
    assert iscsi.INITIATOR.fullmatch(HOLDER.initiator)


@pytest.mark.parametrize("source", [Source("snapshot", "a.b+c_d-e"), Source("volume", "0")])
def test_a_source_survives_being_a_tag(source: Source) -> None:
    tag = tags.encode_source(source)
    assert set(tag) <= set(string.ascii_letters + string.digits + "_+.-/=!:&#")
    assert tags.source_of(["other", tag]) == source


@pytest.mark.parametrize(
    "found", [[], ["brickwork.source="], ["brickwork.source=disk/a"], ["brickwork.source=volume/a"] * 2]
)
def test_what_is_no_source(found: list[str]) -> None:
    assert tags.source_of(found) is None


@pytest.mark.parametrize("tag", ["", "other", "brickwork.connection=", "brickwork.connection=a/2/iqn", "x" + TAG])
def test_what_is_no_connection(tag: str) -> None:
    assert tags.decode(tag) is None


def test_holders_come_in_the_order_of_their_names() -> None:
    other = Holder("aa", "iqn.1993-08.org.debian:01:def", False)
    assert tags.holders([TAG, "brickwork.shared", tags.encode(other), "somebody.elses"]) == (other, HOLDER)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([f"brickwork.id={ID}", "other"], ID),
        ([], None),
        (["brickwork.id=5"], None),
        ([f"brickwork.id={ID.upper()}"], None),
        ([f"brickwork.id={ID}", "brickwork.id=00000000-0000-4000-8000-000000000000"], None),
    ],
)
def test_identity(given: list[str], expected: str | None) -> None:
    assert tags.identity(given) == expected


def test_tags_of_connections() -> None:
    assert tags.of_connections([HOLDER], shared=True) == {TAG, "brickwork.shared"}
    assert tags.of_connections([], shared=False) == set()
