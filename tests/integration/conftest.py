# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes for the tests, and proof that nothing of them is left."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

# pytest reads this file before pytest-ansible has made the collection known.
if TYPE_CHECKING:
    from ansible_collections.brickwork.storage.tests.integration.lab import Lab

VOLUMES = ("test-data", "test-log")
HOSTS = ("host1", "host2")


# A failed assertion of these is told as one of a test is.
for name in ("contract", "contract_killed", "writing"):
    pytest.register_assert_rewrite(f"ansible_collections.brickwork.storage.tests.integration.{name}")


def pytest_configure() -> None:
    """Whoever ends the tests wants to read where they were, and the lab as it was."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.fixture(scope="session")
def lab() -> Lab:
    """The lab, which must be up."""
    from ansible_collections.brickwork.storage.tests.integration.lab import LAB, Lab

    assert (LAB / "inventory.yml").exists(), "the lab is down; start it with `make lab`"
    return Lab()


def _release(lab: Lab) -> None:
    for host in (*HOSTS, "controller"):
        lab.module(host, "volume_attach", volumes=list(VOLUMES), state="absent", force=True)
    there = lab.ssh("controller", "lvs --noheadings -o lv_name vg0").split()
    volumes = [volume for volume in VOLUMES if volume in there]
    if volumes:
        lab.module("controller", "volume_connection", volumes=volumes, all_hosts=True, fenced=True, state="absent")


@pytest.fixture(scope="session")
def created(lab: Lab) -> Iterator[None]:
    """The volumes, for all tests; removed at the end."""
    _release(lab)
    lab.succeed("controller", "volume", volumes=list(VOLUMES), size="128MiB")
    yield
    lab.succeed("controller", "volume", volumes=list(VOLUMES), state="absent")


@pytest.fixture
def volumes(lab: Lab, created: None) -> Iterator[tuple[str, str]]:
    """The names of two volumes, connected nowhere; a test that leaves anything of them behind has failed."""
    yield VOLUMES
    left = {host: lab.leftovers(host) for host in HOSTS}
    exported = lab.exported()
    if any(left.values()) or exported:
        _release(lab)
    assert (left, exported) == (dict.fromkeys(HOSTS, ""), "")


@pytest.fixture
def volume(volumes: tuple[str, str]) -> str:
    """The name of one."""
    return volumes[0]
