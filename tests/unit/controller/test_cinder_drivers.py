# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Cinder's drivers are told and say: options, failures, space, connections, the database. Nothing here needs Cinder."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Optional

import pytest

from ansible_collections.brickwork.storage.plugins.module_utils import waiting
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder import (
    catalogue,
    identity,
    loading,
    options,
    translation,
)
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder import database as databases
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder import store as stores
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline

LVM = "cinder.volume.drivers.lvm.LVMVolumeDriver"
# Of what LVM's driver reads in Cinder 29.
KNOWN = {
    "target_helper": [],
    "target_ip_address": [],
    "target_protocol": [],
    "target_secondary_ip_addresses": ["iscsi_secondary_ip_addresses"],
    "use_multipath_for_image_xfer": [],
    "volume_backend_name": [],
    "volume_group": [],
}
DRIVERS = [LVM, "cinder.volume.drivers.rbd.RBDDriver", "cinder.volume.drivers.nfs.NfsDriver"]
GIB = 1024**3


def refuse(*given: str) -> None:
    options.refuse_unknown("backends.conf", "lvm", LVM, given, KNOWN)


def test_a_section_of_a_real_configuration_is_taken() -> None:
    refuse("volume_driver", "volume_group", "target_helper", "volume_backend_name", "use_multipath_for_image_xfer")
    refuse("iscsi_secondary_ip_addresses", "backend_host", "suppress_requests_ssl_warnings")


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("iscsi_helper", "target_helper"),
        ("iscsi_protocol", "target_protocol"),
        ("iscsi_ip_address", "target_ip_address"),
        ("volume_grup", "volume_group"),
    ],
)
def test_an_old_or_misspelt_option_is_answered_with_the_right_one(given: str, wanted: str) -> None:
    with pytest.raises(StorageError, match=wanted) as failure:
        refuse("volume_group", given)
    assert (failure.value.code, failure.value.facts["field"]) == ("invalid_argument", given)
    assert failure.value.facts["candidates"][0] == wanted


def test_an_option_that_is_like_no_other() -> None:
    with pytest.raises(StorageError) as failure:
        refuse("zzz")
    assert failure.value.facts["candidates"] == []


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A few drivers, as Cinder's sources have them."""
    for name in DRIVERS:
        *directories, module, driver = name.split(".")[1:]
        path = tmp_path.joinpath(*directories, f"{module}.py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"@interface.volumedriver\n@other\nclass {driver}(Base):\n    pass\n\nclass Other:\n    pass\n")
    (tmp_path / "volume" / "drivers" / "vendor").mkdir()
    text = "@interface.volumedriver\nclass VendorDriver:\n    pass\n"
    (tmp_path / "volume" / "drivers" / "vendor" / "__init__.py").write_text(text)
    manager = f"import os\nMAPPING = {{\n    'cinder.volume.drivers.vmax.VMAXDriver':\n        '{LVM}',\n}}\n"
    (tmp_path / "volume" / "manager.py").write_text(manager)
    return tmp_path


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("cinder.volume.drivers.rbd.RbdDriver", DRIVERS[1]),
        ("cinder.volume.drivers.block_device.LVMVolumeDriver", LVM),
        ("cinder.volume.drivers.nfs.NfsDrive", DRIVERS[2]),
        ("cinder.volume.drivers.vmax.VMAXDriver", LVM),
        ("cinder.volume.drivers.rbd", DRIVERS[1]),
        ("cinder.volume.drivers.rbd.Other", DRIVERS[1]),
    ],
)
def test_a_driver_that_may_have_been_meant(package: Path, given: str, wanted: str) -> None:
    error = options.unknown_driver("backends.conf", "x", given, package)
    assert (error.code, error.facts["field"], error.facts["candidates"]) == (
        "invalid_argument",
        "volume_driver",
        [wanted],
    )


def test_a_class_that_is_no_driver(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modules = {
        name: ModuleType(name)
        for name in ("cinder", "cinder.volume", "cinder.volume.drivers", "cinder.volume.drivers.rbd")
    }
    modules["cinder"].__file__ = str(package / "__init__.py")
    monkeypatch.setattr(modules["cinder.volume.drivers.rbd"], "Other", object, raising=False)
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    with pytest.raises(StorageError, match=f"did you mean {DRIVERS[1]}") as failure:
        loading._driver_class("backends.conf", "x", "cinder.volume.drivers.rbd.Other")
    assert failure.value.code == "invalid_argument"


def test_drivers_are_found_in_the_sources(package: Path) -> None:
    assert options.installed_drivers(package) == sorted([*DRIVERS, "cinder.volume.drivers.vendor.VendorDriver"])


# Failures


class ProcessExecutionError(Exception):
    cmd = "env LC_ALL=C cinder-rtstool create /dev/x iqn.x user topsecret"
    exit_code = 7
    stderr = "it said no"


class CinderException(Exception):  # noqa: N818 - Cinder's name
    pass


class VolumeIsBusy(CinderException):
    pass


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (VolumeIsBusy("busy"), "failed_precondition"),
        (CinderException("whatever"), "unavailable"),
        (CinderException("Insufficient free space in vg"), "resource_exhausted"),
        (NotImplementedError(), "unimplemented"),
        (ConnectionRefusedError("no"), "unavailable"),
        (KeyError("oops"), "internal"),
        (ProcessExecutionError(), "unavailable"),
    ],
)
def test_the_code_of_a_failure(error: Exception, code: str) -> None:
    assert translation.failure(error, "create volume", translation.Secrets()).code == code


def test_no_secret_is_in_a_failure() -> None:
    secrets = translation.Secrets(["hunter2hunter2"])
    attached = stores.AttachmentRecord(
        "a",
        "v",
        "h",
        "i",
        "initiator",
        False,
        {},
        "connected",
        {"data": {"auth_password": "chap-secret", "target_lun": 1}},
    )
    record = stores.VolumeRecord(
        "v", "b", "n", 1, "available", "h", model={"provider_auth": "CHAP user other-secret"}, attachments=(attached,)
    )
    secrets.add_of(record)
    error = translation.failure(CinderException("hunter2hunter2, chap-secret and other-secret"), "x", secrets)
    assert "***, *** and ***" in error.message
    program = translation.failure(ProcessExecutionError(), "create export", secrets)
    assert "cinder-rtstool ended with 7: it said no" in program.message
    assert "topsecret" not in program.message


def fail_as_cinder_does() -> None:
    try:
        raise ProcessExecutionError
    except ProcessExecutionError:
        raise CinderException("Failed to create iscsi target.") from None


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("hunter2", ["hunter2"]),
        (None, []),
        (["hunter2", "swordfish"], ["hunter2", "swordfish"]),
        # As replication_device has it.
        ([{"backend_id": "b", "san_password": "hunter2"}], ["hunter2"]),
    ],
)
def test_the_secrets_in_an_option(value: Any, wanted: list[str]) -> None:
    assert translation.secrets_in(value) == wanted


def test_the_reason_that_cinder_keeps_for_its_log_is_told() -> None:
    with pytest.raises(CinderException) as failure:
        fail_as_cinder_does()
    told = translation.failure(failure.value, "create export", translation.Secrets()).message
    assert "Failed to create iscsi target: cinder-rtstool ended with 7: it said no" in told


# Space


def test_space_is_told_as_the_scheduler_has_it() -> None:
    thick = {"pool_name": "thick", "total_capacity_gb": 100, "free_capacity_gb": 40, "reserved_percentage": 10}
    thin = {
        "pool_name": "thin",
        "total_capacity_gb": "100",
        "free_capacity_gb": 10.0,
        "thin_provisioning_support": True,
        "max_over_subscription_ratio": "2.0",
        "provisioned_capacity_gb": 195,
    }
    endless = {"pool_name": "endless", "total_capacity_gb": "infinite", "free_capacity_gb": "unknown"}
    found = {pool.name: pool.free_bytes for pool in translation.pools({"pools": [thick, thin, endless]})}
    assert found == {"thick": 30 * GIB, "thin": 5 * GIB, "endless": translation.UNLIMITED_BYTES}
    assert [pool.name for pool in translation.pools({"volume_backend_name": "lvm", "total_capacity_gb": 1})] == ["lvm"]


@pytest.mark.parametrize(
    ("told", "wanted"),
    [
        ("iSCSI", "iscsi"),
        ("FC", "fibre_channel"),
        ("NVMe-TCP", "nvmeof"),
        ("ceph", "rbd"),
        ("nfs", "nfs"),
        (["FC"], "fibre_channel"),
    ],
)
def test_protocols(told: Any, wanted: str) -> None:
    assert translation.protocol(told) == wanted


# Connections


@pytest.mark.parametrize(
    "data",
    [
        {"target_portal": "p1", "target_iqn": "t", "target_lun": 0},
        {"target_portals": ["p1"], "target_iqns": ["t"], "target_luns": [0]},
    ],
)
def test_iscsi_is_told_in_both_forms(data: dict[str, Any]) -> None:
    told = translation.connection_info({"driver_volume_type": "iscsi", "data": data})["data"]
    assert (told["target_portal"], told["target_iqn"], told["target_lun"]) == ("p1", "t", 0)
    assert (told["target_portals"], told["target_iqns"], told["target_luns"]) == (["p1"], ["t"], [0])
    assert (told["access_mode"], told["encrypted"]) == ("rw", False)


def test_a_connection_is_otherwise_as_the_driver_has_it() -> None:
    answer = {"driver_volume_type": "nfs", "data": {"export": "a:/b", "name": "v"}, "mount_point_base": "/mnt"}
    told = translation.connection_info(answer)
    assert told == {**answer, "data": {**answer["data"], "access_mode": "rw", "encrypted": False}}  # type: ignore[dict-item]
    with pytest.raises(StorageError):
        translation.connection_info({"driver_volume_type": "iscsi"})


@pytest.mark.parametrize(
    ("protocol", "given", "wanted", "known_by"),
    [
        ("iscsi", {"initiator": "iqn.2026-11.org.Example:One"}, "iqn.2026-11.org.example:one", "initiator"),
        ("nvmeof", {"nqn": "nqn.2014-08.org.nvmexpress:uuid:5"}, "nqn.2014-08.org.nvmexpress:uuid:5", "nqn"),
        (
            "fibre_channel",
            {"wwpns": ["50:0A:09:82:80:CB:A5:01", "500a098280cba500"]},
            "500a098280cba500+500a098280cba501",
            "wwpns",
        ),
        ("rbd", {"initiator": "iqn.x"}, "host1", "host"),
        ("nfs", {}, "host1", "host"),
    ],
)
def test_what_a_host_is_known_by(protocol: str, given: dict[str, Any], wanted: str, known_by: str) -> None:
    found = identity.holder(protocol, {"host": "host1", **given})
    assert (found.initiator, found.known_by) == (wanted, known_by)


@pytest.mark.parametrize(("protocol", "field"), [("nvmeof", "nqn"), ("fibre_channel", "wwpns"), ("iser", "initiator")])
def test_a_connector_without_it(protocol: str, field: str) -> None:
    with pytest.raises(StorageError) as failure:
        identity.holder(protocol, {"host": "host1"})
    assert failure.value.facts["field"] == f"connector.{field}"


# The database


class RefusedError(Exception):
    pass


class Exceptions:
    class VolumeNotFound(Exception):  # noqa: N818 - Cinder's name
        def __init__(self, volume_id: str) -> None:
            super().__init__(volume_id)


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> databases.Database:
    monkeypatch.setattr(stores, "exclusive", functools.partial(waiting.exclusive, directory=tmp_path))
    store = stores.Store(Deadline(5), tmp_path / "cinder.sqlite")
    store.put(stores.VolumeRecord("v1", "fake", "db", 1, "available", "h@fake#p", model={"provider_auth": "CHAP u p"}))
    return databases.Database(store, "fake", Exceptions)


def test_the_database_answers_from_the_records_and_refuses_the_rest(database: databases.Database) -> None:
    api = ModuleType("api")
    source = "def volume_get(context, volume_id): pass\ndef service_get_all(context): pass\n"
    source += "def get_engine(): pass\ndef dispose_engine(): return 1\ndef helper(x): return x\n"
    exec(compile(source, "api.py", "exec"), api.__dict__)  # noqa: S102 - as cinder.db.api is made
    databases.put_in_place_of(api, database, RefusedError)
    row = api.volume_get(None, "v1")
    assert row["provider_auth"] == row.provider_auth == row.get("provider_auth") == "CHAP u p"
    assert vars(row) == {}
    with pytest.raises(Exceptions.VolumeNotFound):
        api.volume_get(None, "v2")
    with pytest.raises(RefusedError, match="service_get_all"):
        api.service_get_all(None)
    with pytest.raises(RefusedError, match="get_engine"):
        api.get_engine()
    assert (api.dispose_engine(), api.helper(1)) == (None, 1)


def test_what_a_driver_saves_is_kept_and_nothing_else(database: databases.Database) -> None:
    database.volume_update(None, "v1", {"provider_location": "x", "status": "error", "size": 7})
    database.volume_admin_metadata_update(None, "v1", {"format": "raw"}, True)
    row = database.volume_get(None, "v1")
    assert (row.provider_location, row.status, row.size) == ("x", "available", 1)
    assert row.volume_admin_metadata == [{"key": "format", "value": "raw"}]
    database.volume_admin_metadata_delete(None, "v1", "format")
    assert database.volume_admin_metadata_get(None, "v1") == {}
    assert [one.id for one in database.volume_get_all_by_host(None, "h@fake")] == ["v1"]
    assert databases.kept({"metadata": [{"key": "a", "value": "b"}], "name": "x"}) == {"metadata": {"a": "b"}}


def test_libraries_that_a_driver_lacks_are_found() -> None:
    source = "try:\n    import rados\n    from ceph.rbd import rbd\nexcept ImportError:\n    rados = None\n    rbd = None\nimport os\n"
    assert options.missing_libraries(source, {"rados": None, "rbd": None, "os": 1}) == ["ceph", "rados"]
    assert options.missing_libraries(source, {"rados": 1, "rbd": 1, "os": None}) == []


class Base:
    pass


class ISCSIDriver(Base):
    pass


class NfsDriver(Base):
    driver_volume_type = "nfs"


@pytest.mark.parametrize(
    ("name", "base", "wanted"),
    [
        ("RBDDriver", Base, "rbd"),
        ("PureFCDriver", Base, "fibre_channel"),
        ("SolidFireDriver", ISCSIDriver, "iscsi"),
        ("PureNVMEDriver", Base, "nvmeof"),
        ("QuobyteDriver", NfsDriver, "nfs"),
        ("LVMVolumeDriver", Base, None),
    ],
)
def test_the_protocol_of_a_driver_that_is_not_set_up(name: str, base: type, wanted: Optional[str]) -> None:
    assert catalogue.protocol_of(type(name, (base,), {})) == wanted
