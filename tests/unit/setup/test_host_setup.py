# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role host_setup: what it shares with the modules and the lab."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from packaging.requirements import Requirement

from ansible_collections.brickwork.storage.plugins.module_utils.host import brick

CHECKOUT = Path(__file__).parents[3]
ROLE = CHECKOUT / "roles" / "host_setup"
LISTS = CHECKOUT / "tests" / "lab"


def variables(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROLE / "vars" / f"{name}.yml").read_text(encoding="utf-8"))
    return found


def options() -> dict[str, Any]:
    specs = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))
    found: dict[str, Any] = specs["argument_specs"]["main"]["options"]
    return found


def evaluated(name: str, family: str, **given: Any) -> Any:
    """A variable of the role's, as Ansible would see it."""
    defaults = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text(encoding="utf-8"))
    known = {**defaults, **_trusted({**variables("main"), **variables(family)}), **given}
    return Templar(DataLoader(), variables=known).template(known[name])


def _trusted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _trusted(inner) for key, inner in value.items()}
    return trust_as_template(value) if isinstance(value, str) else value


def test_defaults_are_those_of_the_documentation() -> None:
    defaults = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text(encoding="utf-8"))
    assert defaults == {name: option["default"] for name, option in options().items() if "default" in option}


@pytest.mark.parametrize("family", ["Debian", "RedHat"])
def test_each_need_has_its_packages_everywhere(family: str) -> None:
    needs = {
        "always",
        "encryption",
        "environment",
        "multipath",
        "os_brick",
        *options()["host_setup_protocols"]["choices"],
    }
    assert set(variables(family)["__host_setup_packages"]) == needs


def test_the_labs_archive_has_what_the_role_installs() -> None:
    archive = (LISTS / "archive-packages.txt").read_text(encoding="utf-8").split()
    packages = variables("Debian")["__host_setup_packages"]
    assert {package for names in packages.values() for package in names} <= set(archive)


def test_the_environment_is_where_the_modules_look() -> None:
    environment = variables("main")["__host_setup_environment"]
    assert f"{environment}/bin/python3" == brick.OWN_INTERPRETER


def test_removing_the_environment_leaves_what_is_inside() -> None:
    assert set(variables("main")["__host_setup_environment_parts"]) == {
        "bin",
        "etc",
        "include",
        "lib",
        "lib64",
        "pyvenv.cfg",
    }


def test_the_labs_os_brick_is_one_of_those_that_are_installed() -> None:
    wanted = Requirement(variables("main")["__host_setup_os_brick"])
    lines = (LISTS / "rootfs-os-brick-7.1.txt").read_text(encoding="utf-8").splitlines()
    (version,) = (line.partition("==")[2] for line in lines if line.startswith("os-brick=="))
    assert wanted.specifier.contains(version)
    assert not any(wanted.specifier.contains(harmful) for harmful in ("6.2.1", "6.5.0"))


@pytest.mark.parametrize(
    ("distribution", "version", "good"),
    [
        ("Debian", "12", True),
        ("Debian", "12.11", True),
        ("Debian", "13", True),
        ("Debian", "n/a", True),
        ("Debian", "11.9", False),
        ("Ubuntu", "24.04", True),
        ("Ubuntu", "22.04", False),
        ("Linux Mint", "22", False),
    ],
)
def test_where_the_distributions_os_brick_is_good(distribution: str, version: str, good: bool) -> None:
    facts = {"distribution": distribution, "distribution_version": version}
    assert evaluated("__host_setup_package_is_good", "Debian", ansible_facts=facts) is good


@pytest.mark.parametrize(
    ("wanted", "family", "there", "expected"),
    [
        ("auto", "Debian", False, False),
        ("auto", "Debian", True, True),
        ("auto", "RedHat", False, True),
        ("package", "Debian", True, False),
        ("package", "RedHat", False, False),
        ("environment", "Debian", False, True),
    ],
)
def test_where_os_brick_comes_from(wanted: str, family: str, there: bool, expected: bool) -> None:
    given = {
        "host_setup_os_brick": wanted,
        "__host_setup_interpreter": {"stat": {"exists": there}},
        "ansible_facts": {"distribution": "Debian", "distribution_version": "13"},
    }
    assert evaluated("__host_setup_in_environment", family, **given) is expected
    packages = evaluated("__host_setup_wanted_packages", family, **given)
    assert ("python3-os-brick" in packages) is not expected
    assert "dmidecode" in packages


@pytest.mark.parametrize(
    ("given", "packages"),
    [
        ({}, ["dmidecode", "open-iscsi", "dmsetup", "multipath-tools", "python3-os-brick"]),
        (
            {"host_setup_protocols": ["nfs"], "host_setup_multipath": False},
            ["dmidecode", "nfs-common", "python3-os-brick"],
        ),
        (
            {"host_setup_protocols": ["fibre_channel"], "host_setup_encryption": True},
            ["dmidecode", "dmsetup", "multipath-tools", "cryptsetup-bin", "python3-os-brick"],
        ),
    ],
)
def test_only_what_is_needed_is_installed(given: dict[str, Any], packages: list[str]) -> None:
    known = {
        "__host_setup_interpreter": {"stat": {"exists": False}},
        "ansible_facts": {"distribution": "Debian", "distribution_version": "13"},
    }
    assert evaluated("__host_setup_wanted_packages", "Debian", **known, **given) == packages


@pytest.mark.parametrize(
    ("states", "ran"), [(["active", "inactive"], [True, False]), (["inactive", "active"], [False, True])]
)
def test_which_services_ran(states: list[str], ran: list[bool]) -> None:
    names = ("__host_setup_iscsid_ran", "__host_setup_multipathd_ran")
    assert [evaluated(name, "Debian", __host_setup_states={"stdout_lines": states}) for name in names] == ran
