# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a controller needs for the backends of its configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleFilterError

from ansible_collections.brickwork.storage.plugins.module_utils.controller import config
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder import environment
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.plugin_utils.setup.backends_conf import PATH, parse
from ansible_collections.brickwork.storage.plugins.plugin_utils.setup.needs import backend_needs

ROLE = Path(__file__).parents[3] / "roles" / "controller_setup"
CINDER = "cinder.volume.drivers."


def section(driver: str, *options: str, name: str = "one") -> str:
    return "\n".join([f"[{name}]", f"volume_driver = {driver}", *options, ""])


def enabling(*names: str) -> str:
    return f"[DEFAULT]\nenabled_backends = {', '.join(names)}\n"


def needs(driver: str, *options: str, rest: str = "") -> str:
    found: list[str] = backend_needs(enabling("one") + section(driver, *options) + rest)["needs"]
    return " ".join(found)


@pytest.mark.parametrize(
    ("driver", "options", "expected"),
    [
        ("lvm", (), "lio lvm oslo_config"),
        ("lvm", ("target_protocol = fibre_channel",), "lio lvm oslo_config"),
        ("lvm", ("target_protocol = nvmet_tcp",), "lvm oslo_config"),
        ("lvm", ("lvm_type = thin", "target_protocol = nvmet_tcp"), "lvm oslo_config thin"),
        ("cinder_service", ("auth_url = http://keystone",), "keystone oslo_config"),
        ("cinder_service", ("auth_type = noauth",), "oslo_config"),
        (f"{CINDER}lvm.LVMVolumeDriver", ("target_helper = lioadm",), "cinder lio lvm oslo_config thin"),
        (
            f"{CINDER}lvm.LVMVolumeDriver",
            ("target_helper = lioadm", "lvm_type = default"),
            "cinder lio lvm oslo_config",
        ),
        # Cinder's default.
        (f"{CINDER}lvm.LVMVolumeDriver", (), "cinder lvm oslo_config tgt thin"),
        (f"{CINDER}lvm.LVMVolumeDriver", ("target_helper = nvmet",), "cinder lvm oslo_config thin"),
        (f"{CINDER}rbd.RBDDriver", ("rbd_pool = volumes",), "cinder oslo_config rbd"),
        (f"{CINDER}nfs.NfsDriver", (), "cinder nfs oslo_config"),
        (f"{CINDER}dell_emc.powerstore.nfs.PowerStoreNFSDriver", (), "cinder nfs oslo_config"),
        (f"{CINDER}netapp.common.NetAppDriver", ("netapp_storage_protocol = nfs",), "cinder nfs oslo_config"),
        (f"{CINDER}netapp.common.NetAppDriver", ("netapp_storage_protocol = iscsi",), "cinder oslo_config"),
    ],
)
def test_needs_of_a_backend(driver: str, options: tuple[str, ...], expected: str) -> None:
    assert needs(driver, *options) == expected


def test_options_that_cinders_drivers_share_count() -> None:
    shared = "[backend_defaults]\ntarget_helper = lioadm\n"
    assert needs(f"{CINDER}lvm.LVMVolumeDriver", rest=shared) == "cinder lio lvm oslo_config thin"
    assert needs(f"{CINDER}lvm.LVMVolumeDriver", "target_helper = fake", rest=shared) == "cinder lvm oslo_config thin"


def test_only_what_is_enabled_counts() -> None:
    text = enabling("one") + section("cinder_service") + section("lvm", name="other")
    assert backend_needs(text)["needs"] == ["keystone", "oslo_config"]


def test_needs_of_several_backends() -> None:
    text = enabling("one", "two") + section("cinder_service") + section(f"{CINDER}rbd.RBDDriver", name="two")
    assert backend_needs(text)["needs"] == ["cinder", "keystone", "oslo_config", "rbd"]


@pytest.mark.parametrize(
    ("driver", "options", "groups"),
    [
        ("lvm", ("volume_group = vg0",), ["vg0"]),
        # Its exports come back by a unit that waits for the volumes itself.
        ("lvm", ("volume_group = vg0", "target_protocol = nvmet_tcp"), []),
        (f"{CINDER}lvm.LVMVolumeDriver", ("target_helper = lioadm", "volume_group = vg-1"), ["vg-1"]),
        (f"{CINDER}lvm.LVMVolumeDriver", ("target_helper = lioadm",), ["cinder-volumes"]),
        # It becomes a part of a command.
        ("lvm", ("volume_group = vg0; reboot",), []),
        ("lvm", (), []),
    ],
)
def test_volume_groups_that_lio_waits_for(driver: str, options: tuple[str, ...], groups: list[str]) -> None:
    assert backend_needs(enabling("one") + section(driver, *options))["volume_groups"] == groups


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "enabled_backends is missing"),
        (enabling(), "enabled_backends is missing"),
        (enabling("one"), "has no section [one]"),
        (enabling("one") + "[one]\n", "[one] volume_driver is missing"),
        (enabling("one") + section("lwm"), "there is no driver 'lwm'; there is cinder_service, lvm"),
    ],
)
def test_what_is_wrong_for_all_backends_is_told_before_anything_is_done(text: str, message: str) -> None:
    with pytest.raises(AnsibleFilterError) as raised:
        backend_needs(text)
    assert PATH in str(raised.value)
    assert message in str(raised.value)


READABLE = f"""\
# a comment
[DEFAULT]
enabled_backends = one, two
; another

[one]
volume_driver=lvm
volume_group: vg0
description = a = b : c
quoted = "  kept  "
single = 'x'
lone = "
twice = 1
twice = 2
several = a,
   b,
\tc
{"  "}
empty =
[two]{"  "}
[one]
again = yes
"""


def test_read_as_the_controller_reads_it(tmp_path: Path) -> None:
    file = tmp_path / "backends.conf"
    file.write_text(READABLE, encoding="utf-8")
    assert parse(READABLE) == config._parse(str(file))


@pytest.mark.parametrize(
    "line",
    ["hunter2", "= hunter2", "[hunter2", "[]", "[hunter2] x"],
)
def test_what_cannot_be_read_is_told_by_its_line_alone(tmp_path: Path, line: str) -> None:
    text = f"[DEFAULT]\n{line}\n"
    file = tmp_path / "backends.conf"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(StorageError):
        config._parse(str(file))
    with pytest.raises(StorageError, match="line 2") as raised:
        parse(text)
    assert "hunter2" not in raised.value.message


@pytest.mark.parametrize("text", ["password = hunter2\n", "  password\n"])
def test_what_stands_before_the_first_section(tmp_path: Path, text: str) -> None:
    file = tmp_path / "backends.conf"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(StorageError):
        config._parse(str(file))
    with pytest.raises(StorageError, match="line 1"):
        parse(text)


# The role

EVERY_NEED = {"cinder", "keystone", "lio", "lvm", "nfs", "oslo_config", "rbd", "tgt", "thin"}


def variables(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROLE / "vars" / f"{name}.yml").read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("family", ["Debian", "RedHat"])
def test_each_need_has_its_packages_everywhere(family: str) -> None:
    assert set(variables(family)["__controller_setup_packages"]) == EVERY_NEED
    assert set(variables(family)["__controller_setup_services"]) == {"lio", "tgt"}


def test_rtslib_comes_with_cinder_on_debian() -> None:
    packages = variables("Debian")["__controller_setup_packages"]
    assert set(packages["lio"]) <= set(packages["cinder"])


def test_the_labs_archive_has_what_the_role_installs() -> None:
    archive = (ROLE.parents[1] / "tests/lab/archive-packages.txt").read_text(encoding="utf-8").split()
    packages = variables("Debian")["__controller_setup_packages"]
    assert {package for names in packages.values() for package in names} <= set(archive)


def test_the_environment_is_where_the_modules_look() -> None:
    assert variables("main")["__controller_setup_environment"] == environment.ENVIRONMENT
    assert variables("main")["__controller_setup_path"] == PATH
