# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.common import respawn

from ansible_collections.brickwork.storage.plugins.module_utils.controller import config, libraries, registry
from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm import backend as lvm
from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm.exporter import Portal
from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm.provisioning import Provisioning
from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm.settings import Settings, settings_of
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline


@pytest.fixture(autouse=True)
def _rtslib(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library is where the controller is, not where the tests are."""
    monkeypatch.setattr(lvm, "require", lambda name: None)


SECTION = "volume_driver = lvm\nvolume_group = vg0\ntarget_ip_address = 192.0.2.1\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "backends.conf"


def settings(path: Path, text: str) -> Settings:
    path.write_text(f"[DEFAULT]\nenabled_backends = lvm\n[lvm]\n{text}", encoding="utf-8")
    return settings_of(config.enabled(str(path), None))


def test_the_least_that_is_needed(path: Path) -> None:
    assert settings(path, SECTION) == Settings(
        volume_group="vg0",
        target_protocol="iscsi",
        portals=(Portal("192.0.2.1", 3260),),
        target_prefix="iqn.2026-11.org.brickwork:",
        provisioning=Provisioning(thin=False, over_subscription=1.0, volume_clear="zero"),
    )


@pytest.mark.parametrize("line", ["san_password hunter2", " hunter2", "[hunter2"])
def test_a_line_that_cannot_be_read_is_told_without_what_it_says(path: Path, line: str) -> None:
    path.write_text(f"{line}\n[DEFAULT]\nenabled_backends = lvm\n", encoding="utf-8")
    with pytest.raises(StorageError, match="line 1") as failure:
        config.enabled(str(path), None)
    assert (failure.value.code, failure.value.facts["field"]) == ("invalid_argument", "config")
    assert "hunter2" not in failure.value.message


def test_everything(path: Path) -> None:
    text = (
        "target_secondary_ip_addresses = 198.51.100.1, 2001:db8::1,192.0.2.1\ntarget_port = 3261\ntarget_protocol = iscsi\n"
        "target_prefix = iqn.2010-10.org.openstack:volume-\nvolume_clear = none\nvolume_backend_name = LVM_iSCSI\n"
    )
    with pytest.raises(StorageError, match="ends with a colon"):
        settings(path, SECTION + text)
    found = settings(path, SECTION + text.replace("volume-", ""))
    assert [str(portal) for portal in found.portals] == ["192.0.2.1:3261", "198.51.100.1:3261", "[2001:db8::1]:3261"]
    assert (found.target_prefix, found.provisioning.volume_clear) == ("iqn.2010-10.org.openstack:", "none")


def test_thin_volumes(path: Path) -> None:
    found = settings(path, SECTION + "lvm_type = thin\nmax_over_subscription_ratio = 2.5\nlvm_mirrors = 0\n")
    assert found.provisioning == Provisioning(thin=True, over_subscription=2.5, volume_clear="zero")


def test_each_protocol_has_its_own_defaults(path: Path) -> None:
    found = settings(path, SECTION + "target_protocol = nvmet_tcp\n")
    assert (found.portals, found.target_prefix) == ((Portal("192.0.2.1", 4420),), "nqn.2026-11.org.brickwork:")
    text = "volume_group = vg0\nvolume_driver = lvm\ntarget_protocol = fibre_channel\n"
    assert settings(path, text).target_wwpns == ()
    found = settings(path, text + "target_wwpns = 50:0a:09:82:80:cb:a5:00, 0x500A098280CBA501\n")
    assert found.target_wwpns == ("500a098280cba500", "500a098280cba501")


def test_an_unknown_protocol_gets_the_known_ones(path: Path) -> None:
    with pytest.raises(StorageError, match="iscsi, nvmet_tcp, fibre_channel"):
        settings(path, SECTION + "target_protocol = iser\n")


@pytest.mark.parametrize(
    ("text", "code", "field"),
    [
        ("volume_driver = lvm\ntarget_ip_address = 192.0.2.1\n", "invalid_argument", "volume_group"),
        ("volume_driver = lvm\nvolume_group = vg0\n", "invalid_argument", "target_ip_address"),
        (SECTION + "target_ip_adress = 192.0.2.1\n", "invalid_argument", "target_ip_adress"),
        (SECTION.replace("192.0.2.1", "stor1"), "invalid_argument", "target_ip_address"),
        (SECTION.replace("192.0.2.1", "::"), "invalid_argument", "target_ip_address"),
        (SECTION + "target_secondary_ip_addresses = 192.0.2\n", "invalid_argument", "target_secondary_ip_addresses"),
        (SECTION + "target_port = many\n", "invalid_argument", "target_port"),
        (SECTION + "target_port = 65536\n", "invalid_argument", "target_port"),
        (SECTION + "volume_clear = shred\n", "invalid_argument", "volume_clear"),
        (SECTION + "lvm_type = auto\n", "invalid_argument", "lvm_type"),
        (SECTION + "lvm_type = thick\n", "invalid_argument", "lvm_type"),
        (SECTION + "lvm_mirrors = 1\n", "invalid_argument", "lvm_mirrors"),
        (SECTION + "max_over_subscription_ratio = auto\n", "invalid_argument", "max_over_subscription_ratio"),
        (SECTION + "max_over_subscription_ratio = 0.5\n", "invalid_argument", "max_over_subscription_ratio"),
        (SECTION + "target_prefix = volumes:\n", "invalid_argument", "target_prefix"),
        (SECTION + "target_prefix = iqn.2026-11.local:\n", "invalid_argument", "target_prefix"),
        (SECTION + "target_protocol = iser\n", "invalid_argument", "target_protocol"),
        (
            SECTION + "target_protocol = nvmet_tcp\ntarget_prefix = iqn.2026-11.org.x:\n",
            "invalid_argument",
            "target_prefix",
        ),
        (SECTION + "target_protocol = fibre_channel\ntarget_wwpns = 5\n", "invalid_argument", "target_wwpns"),
        ("volume_driver = lvm\ntarget_protocol = fibre_channel\n", "invalid_argument", "volume_group"),
    ],
)
def test_a_wrong_option_is_named(path: Path, text: str, code: str, field: str) -> None:
    with pytest.raises(StorageError) as failure:
        settings(path, text)
    assert (failure.value.code, failure.value.facts["field"]) == (code, field)
    assert "[lvm]" in failure.value.message
    assert str(path) in failure.value.message


def test_a_misspelt_option_gets_the_near_ones(path: Path) -> None:
    with pytest.raises(StorageError, match="did you mean target_port") as failure:
        settings(path, SECTION + "target_prt = 3260\n")
    assert "target_port" in failure.value.facts["candidates"]


TWO = f"[DEFAULT]\nenabled_backends = fast, slow\n[fast]\n{SECTION}[slow]\n{SECTION.replace('vg0', 'vg1')}"


@pytest.mark.parametrize(
    ("text", "backend", "code", "field"),
    [
        (TWO, None, "invalid_argument", "backend"),
        (TWO, "", "invalid_argument", "backend"),
        (TWO, "fasd", "not_found", "backend"),
        (TWO.replace("[slow]", "[sloww]"), "slow", "invalid_argument", "enabled_backends"),
        (TWO.replace("volume_driver = lvm", ""), "slow", "invalid_argument", "volume_driver"),
        (f"[lvm]\n{SECTION}", None, "invalid_argument", "enabled_backends"),
        ("", None, "invalid_argument", "enabled_backends"),
        ("enabled_backends = lvm\n", None, "invalid_argument", "config"),
        ("[DEFAULT\n", None, "invalid_argument", "config"),
    ],
)
def test_the_choice_of_a_backend(path: Path, text: str, backend: str | None, code: str, field: str) -> None:
    path.write_text(text, encoding="utf-8")
    with pytest.raises(StorageError) as failure:
        config.enabled(str(path), backend)
    assert (failure.value.code, failure.value.facts["field"]) == (code, field)


def test_a_named_backend_of_several(path: Path) -> None:
    path.write_text(TWO, encoding="utf-8")
    assert config.enabled(str(path), "slow").name == "slow"
    with pytest.raises(StorageError, match="fast, slow"):
        config.enabled(str(path), None)


def test_two_backends_on_one_volume_group_are_refused(path: Path) -> None:
    path.write_text(TWO.replace("vg1", "vg0"), encoding="utf-8")
    with pytest.raises(StorageError, match="backend slow too") as failure:
        registry.open_backend(str(path), "fast", Deadline(1))
    assert (failure.value.code, failure.value.facts["field"]) == ("invalid_argument", "volume_group")
    path.write_text(path.read_text(encoding="utf-8").replace("fast, slow", "fast"), encoding="utf-8")
    assert registry.open_backend(str(path), "fast", Deadline(1)).lock_name == "volume-group-vg0"


def test_a_missing_file_a_directory_and_binary_rubbish(path: Path) -> None:
    with pytest.raises(StorageError) as missing:
        config.enabled(str(path), None)
    assert (missing.value.code, missing.value.facts["field"]) == ("not_found", "config")
    with pytest.raises(StorageError) as directory:
        config.enabled(str(path.parent), None)
    assert (directory.value.code, directory.value.facts["field"]) == ("invalid_argument", "config")
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StorageError) as rubbish:
        config.enabled(str(path), None)
    assert (rubbish.value.code, rubbish.value.facts["field"]) == ("invalid_argument", "config")


@pytest.mark.parametrize(
    ("driver", "meant"),
    [
        ("lwm", "lvm"),
        ("cinder.drivers.rbd.RBDDriver", "cinder.volume.drivers.rbd.RBDDriver"),
        ("cinder.volume.driver.rbd.RBDDriver", "cinder.volume.drivers.rbd.RBDDriver"),
        ("lvm.LVMVolumeDriver", "cinder.volume.drivers.lvm.LVMVolumeDriver"),
    ],
)
def test_an_unknown_driver(path: Path, driver: str, meant: str) -> None:
    path.write_text(f"[DEFAULT]\nenabled_backends = x\n[x]\nvolume_driver = {driver}\n", encoding="utf-8")
    with pytest.raises(StorageError, match=f"'{driver}'.*did you mean {meant}") as failure:
        registry.open_backend(str(path), None, Deadline(1))
    assert failure.value.code == "invalid_argument"
    assert failure.value.facts == {"field": "volume_driver", "candidates": [meant]}


def test_opening_a_backend_touches_nothing(path: Path) -> None:
    path.write_text(TWO, encoding="utf-8")
    assert registry.open_backend(str(path), "fast", Deadline(1)).name == "fast"


def test_a_missing_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    monkeypatch.setattr(respawn, "probe_interpreters_for_module", lambda paths, name: None)
    with pytest.raises(StorageError, match=r"python3-oslo\.config") as failure:
        libraries.library("oslo_config.cfg")
    assert failure.value.code == "failed_precondition"


def test_a_library_that_the_system_has_starts_the_module_again_there(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []
    monkeypatch.setattr(importlib, "import_module", lambda name: __import__("no_such_library"))
    monkeypatch.setattr(respawn, "probe_interpreters_for_module", lambda paths, name: paths[-1])
    monkeypatch.setattr(respawn, "respawn_module", started.append)
    with pytest.raises(StorageError):
        libraries.library("rtslib_fb")
    assert started == ["/usr/bin/python3"]


def test_a_backend_that_lacks_its_library_is_not_opened(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_text(TWO, encoding="utf-8")
    monkeypatch.setattr(lvm, "require", libraries.require)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(respawn, "probe_interpreters_for_module", lambda paths, name: None)
    with pytest.raises(StorageError, match="rtslib_fb is not installed"):
        registry.open_backend(str(path), "fast", Deadline(1))


def test_what_has_no_say_in_a_backend_does_not_change_its_digest(path: Path) -> None:
    path.write_text(TWO, encoding="utf-8")
    first = config.enabled(str(path), "fast").digest
    path.write_text(TWO.replace("vg1", "vg2").replace("fast, slow", "slow, fast"), encoding="utf-8")
    assert config.enabled(str(path), "fast").digest == first
    for more in ("[backend_defaults]\nvolume_clear = none\n", "[fast]\nvolume_clear = none\n"):
        path.write_text(f"{TWO}\n{more}", encoding="utf-8")
        assert config.enabled(str(path), "fast").digest != first
