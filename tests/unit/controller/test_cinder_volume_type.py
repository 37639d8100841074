# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Extra specs and limits: from the section to what a driver reads. Nothing here needs Cinder."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.brickwork.storage.plugins.module_utils import waiting
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder import database as databases
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder import store as stores
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder import volume_type
from ansible_collections.brickwork.storage.plugins.module_utils.controller.config import Section
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline

SPECS = {"extra_specs": {"netapp:thin_provisioned": "<is> True"}, "qos_specs": {"maxIOPS": "500"}}


def section(**given: str) -> Section:
    return Section("gold", "cinder.volume.drivers.any.Driver", "backends.conf", given)


def test_specs_are_read_as_they_are_written() -> None:
    found = volume_type.specs_of(
        section(volume_group="vg0", extra_specs=" netapp:thin_provisioned=<is> True, a = b=c ", qos_specs="maxIOPS=500")
    )
    assert found == {
        "extra_specs": {"netapp:thin_provisioned": "<is> True", "a": "b=c"},
        "qos_specs": {"maxIOPS": "500"},
    }
    assert volume_type.specs_of(section(volume_group="vg0", extra_specs="")) == {}


@pytest.mark.parametrize("wrong", ["a", "a=", "=b", "a=b,,c=d", "a=b,a=c"])
def test_what_is_no_spec_is_refused(wrong: str) -> None:
    with pytest.raises(StorageError, match="KEY=VALUE") as failure:
        volume_type.specs_of(section(qos_specs=wrong))
    assert (failure.value.code, failure.value.facts["field"]) == ("invalid_argument", "qos_specs")


class Exceptions:
    class VolumeTypeNotFound(Exception):  # noqa: N818 - Cinder's name
        def __init__(self, volume_type_id: str) -> None:
            super().__init__(volume_type_id)

    class QoSSpecsNotFound(Exception):  # noqa: N818 - Cinder's name
        def __init__(self, specs_id: str) -> None:
            super().__init__(specs_id)


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> databases.Database:
    monkeypatch.setattr(stores, "exclusive", functools.partial(waiting.exclusive, directory=tmp_path))
    store = stores.Store(Deadline(5), tmp_path / "cinder.sqlite")
    store.put(stores.VolumeRecord("v1", "fake", "plain", 1, "available", "h@fake#p"))
    store.put(stores.VolumeRecord("v2", "fake", "gold", 1, "available", "h@fake#p", specs=SPECS))
    return databases.Database(store, "fake", Exceptions)


def test_a_driver_reads_the_type_of_the_volume_however_it_asks(database: databases.Database) -> None:
    volume: Any = database.volume_get(None, "v2")
    found = volume.volume_type_id
    assert volume.volume_type["extra_specs"] == SPECS["extra_specs"]
    assert database.volume_type_get(None, found)["id"] == found
    assert database.volume_type_extra_specs_get(None, found) == SPECS["extra_specs"]
    limits = database.volume_type_qos_specs_get(None, found)["qos_specs"]
    assert (limits["consumer"], limits["specs"]) == ("back-end", SPECS["qos_specs"])
    assert database.qos_specs_get(None, volume.volume_type["qos_specs_id"]).specs == SPECS["qos_specs"]
    for model, wanted in (("VolumeType", found), ("QualityOfServiceSpecs", limits["id"])):
        assert database.get_by_id(None, type(model, (), {}), wanted)["id"] == wanted


def test_a_volume_without_specs_has_no_type(database: databases.Database) -> None:
    volume: Any = database.volume_get(None, "v1")
    assert (volume.volume_type_id, volume.volume_type) == (None, None)
    with pytest.raises(Exceptions.VolumeTypeNotFound):
        database.volume_type_get(None, "of nobody")
    with pytest.raises(Exceptions.QoSSpecsNotFound):
        database.qos_specs_get(None, "of nobody")
