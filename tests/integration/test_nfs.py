# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NFS against a server of its own on the controller: one mount for all volumes of a share, and a server that dies."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.brickwork.storage.tests.integration.lab import CHECKOUT, Lab, made_by_hand

HOST = "host1"
DIRECTORY = "/srv/brickwork-test"
SHARE = f"10.77.1.10:{DIRECTORY}"
SIZE = 16 * 1024**2
NAMES = ["nfs-data", "nfs-log"]
SERVICE = (CHECKOUT / "tests/lab/services/nfs").read_text(encoding="utf-8")
LEFTOVERS = """
findmnt --noheadings --types nfs,nfs4
find /var/lib/brickwork/mounts -mindepth 1 2>/dev/null
find /var/lib/brickwork/attachments -name 'nfs-*'
"""


def service(lab: Lab, *arguments: str) -> None:
    lab.ssh("controller", f"set -- {' '.join(arguments)}\n{SERVICE}")


@pytest.fixture(scope="module")
def server(lab: Lab) -> Iterator[None]:
    service(lab, "start", DIRECTORY)
    yield
    service(lab, "stop", DIRECTORY)


@pytest.fixture
def files(lab: Lab, server: None) -> Iterator[list[dict[str, Any]]]:
    """The connections of two files; a test that leaves anything of them on the host has failed."""
    lab.ssh("controller", f"cd {DIRECTORY} && truncate --size {SIZE} {' '.join(NAMES)}")
    yield [made_by_hand(HOST, name, "nfs", SIZE, export=SHARE, name=name, format="raw") for name in NAMES]
    left = lab.ssh(HOST, LEFTOVERS + "true").strip()
    if left:
        lab.module(HOST, "volume_attach", volumes=NAMES, state="absent", force=True)
    lab.ssh("controller", f"rm -f {DIRECTORY}/*")
    assert left == ""


def paths(result: dict[str, Any]) -> list[str]:
    return [attachment["path"] for attachment in result["attachments"]]


def test_one_mount_goes_with_its_last_volume(lab: Lab, files: list[dict[str, Any]]) -> None:
    first = lab.succeed(HOST, "volume_attach", connections=files[:1])
    second = lab.succeed(HOST, "volume_attach", connections=files)
    assert second["changed_volumes"] == NAMES[1:]
    assert not lab.succeed(HOST, "volume_attach", connections=files)["changed"]
    assert len(lab.ssh(HOST, "findmnt --noheadings --types nfs4").splitlines()) == 1
    lab.ssh(HOST, f"printf bytes | dd of={paths(first)[0]} conv=notrunc status=none")
    assert lab.detach(HOST, NAMES[0])["changed"]
    assert lab.ssh("controller", f"head -c 5 {DIRECTORY}/{NAMES[0]}") == "bytes"
    assert len(lab.ssh(HOST, "findmnt --noheadings --types nfs4").splitlines()) == 1
    # The mount shows the file, but nobody has it attached any more.
    detached = lab.succeed(HOST, "volume_attach", connections=files[:1], state="absent")
    assert not detached["changed"]
    assert lab.detach(HOST, NAMES[1])["changed"]


@pytest.mark.full
def test_what_uses_a_file_keeps_it(lab: Lab, files: list[dict[str, Any]]) -> None:
    data, log = paths(lab.succeed(HOST, "volume_attach", connections=files))
    lab.ssh(HOST, f"modprobe loop; losetup --find {data}; (exec 3<{log}; exec sleep 300) >/dev/null 2>&1 & sleep 1")
    refused = lab.refuse(HOST, "volume_attach", "failed_precondition", volumes=NAMES, state="absent", force=True)
    using = [error["users"][0].split()[0] for error in refused["errors"]]
    assert using == ["loop", "process"]
    lab.ssh(HOST, "losetup --detach-all; kill $(pidof sleep)")
    lab.detach(HOST, *NAMES)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"name": "nfs-none"}, "not_found"),
        ({"export": "10.77.1.10:/srv/none"}, "not_found"),
        ({"options": "-o port=2050"}, "unavailable"),
    ],
)
def test_what_cannot_be_mounted_leaves_nothing(
    lab: Lab, files: list[dict[str, Any]], changes: dict[str, Any], code: str
) -> None:
    info = files[0]["connection_info"]
    wrong = {**files[0], "connection_info": {**info, "data": {**info["data"], **changes}}}
    lab.refuse(HOST, "volume_attach", code, connections=[wrong], timeout=60)


@pytest.mark.full
def test_a_smaller_file_is_not_the_volume(lab: Lab, files: list[dict[str, Any]]) -> None:
    larger = {**files[0], "volume": {**files[0]["volume"], "size_bytes": 2 * SIZE}}
    lab.refuse(HOST, "volume_attach", "data_loss", connections=[larger], timeout=60)


@pytest.mark.full
def test_a_dead_server_holds_nobody_up(lab: Lab, files: list[dict[str, Any]]) -> None:
    path = paths(lab.succeed(HOST, "volume_attach", connections=files))[0]
    lab.control("cut", HOST, "a")
    try:
        lab.ssh(HOST, f"(timeout 2 dd if=/dev/urandom of={path} bs=4k count=4 conv=notrunc) >/dev/null 2>&1 & sleep 1")
        began = time.monotonic()
        kept = lab.module(HOST, "volume_attach", volumes=NAMES, state="absent", timeout=20)
        assert kept["error_code"] in ("unavailable", "deadline_exceeded"), kept
        assert "nfs4" in lab.ssh(HOST, "findmnt --noheadings --types nfs4")
        lab.refuse(HOST, "volume_attach", "unavailable", connections=files, timeout=20)
        gone = lab.succeed(HOST, "volume_attach", volumes=NAMES, state="absent", timeout=30, force=True)
        assert gone["changed_volumes"] == NAMES
        assert "lost" in gone["warnings"]
        assert time.monotonic() - began < 150
    finally:
        lab.control("heal", HOST, "a")
