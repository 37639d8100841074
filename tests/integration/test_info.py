# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What volume_attach_info sees of a real host, beside what other tools see of it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.brickwork.storage.tests.integration.lab import Lab

HOST = os.environ.get("LAB_HOST", "host1")
VOLUMES = ("info-data", "info-log")
MOUNT = "/mnt/info data"
RECORDS = "/var/lib/brickwork/attachments"
STACK = f"""
wipefs -qa {{path}}
pvcreate -qq {{path}} && vgcreate -qq info-group {{path}} && lvcreate -qq -y -n my-log -L 64M info-group
mkfs.ext4 -q -L 'my log' /dev/info-group/my-log && udevadm settle
mkdir -p '{MOUNT}' && mount /dev/info-group/my-log '{MOUNT}'
"""
UNSTACK = f"umount '{MOUNT}' 2>/dev/null; vgremove -qq -y info-group 2>/dev/null; rmdir '{MOUNT}' 2>/dev/null; true"
UNTIL_PATHS_ARE = """
for _ in $(seq 90); do [ $(cat /sys/block/sd*/device/state | grep -c running) = {running} ] && exit 0; sleep 1; done; exit 1
"""


@pytest.fixture(scope="module")
def attached(lab: Lab) -> Iterator[dict[str, dict[str, Any]]]:
    """Two volumes over two paths each, the first with a file system on LVM; by name."""
    lab.succeed("controller", "volume", volumes=list(VOLUMES), size="128MiB")
    done = lab.attach(HOST, lab.connect(HOST, *VOLUMES), min_paths=2)["attachments"]
    lab.ssh(HOST, "set -e\n" + STACK.format(path=done[0]["path"]))
    yield {attachment["volume"]["name"]: attachment for attachment in done}
    lab.ssh(HOST, UNSTACK)
    lab.detach(HOST, *VOLUMES, force=True)
    lab.disconnect(HOST, *VOLUMES)
    lab.succeed("controller", "volume", volumes=list(VOLUMES), state="absent")
    assert lab.leftovers(HOST) == ""


def look(lab: Lab, **arguments: Any) -> dict[str, dict[str, Any]]:
    """What is seen, by name."""
    seen = lab.succeed(HOST, "volume_attach_info", **arguments)
    assert not seen["changed"]
    return {attachment["volume"]["name"]: attachment for attachment in seen["attachments"]}


def test_it_is_what_volume_attach_returned_and_more(lab: Lab, attached: dict[str, dict[str, Any]]) -> None:
    seen = look(lab)
    assert list(seen) == sorted(VOLUMES)
    for name, attachment in attached.items():
        assert {key: seen[name][key] for key in attachment} == attachment
        assert seen[name]["health"] == {"state": "ok", "problems": []}


def test_the_stack_is_what_lsblk_shows(lab: Lab, attached: dict[str, dict[str, Any]]) -> None:
    device = attached["info-data"]["device"]
    columns = "PATH,FSTYPE,UUID,LABEL,SIZE,MOUNTPOINTS"
    told = json.loads(lab.ssh(HOST, f"lsblk --json --bytes --list -o {columns} {device}"))["blockdevices"]
    stack = look(lab, volumes=["info-data"])["info-data"]["stack"]
    # lsblk knows a device by its link.
    assert [
        (layer["fstype"], layer["uuid"], layer["label"], layer["size_bytes"], layer["mount_points"]) for layer in stack
    ] == [
        (row["fstype"], row["uuid"], row["label"], row["size"], [point for point in row["mountpoints"] if point])
        for row in told
    ]
    assert [(layer["kind"], layer["name"]) for layer in stack][1:] == [("lvm", "info-group/my-log")]
    assert stack[1]["mount_points"] == [MOUNT]


def test_without_os_brick_and_in_check_mode(lab: Lab, attached: dict[str, dict[str, Any]]) -> None:
    lab.ssh(
        HOST,
        """
        mkdir -p /run/info/os_brick
        echo 'raise SystemExit("os_brick was imported")' > /run/info/os_brick/__init__.py
        printf '#!/bin/sh\\nPYTHONPATH=/run/info exec /usr/bin/python3 "$@"\\n' > /run/info/python
        chmod +x /run/info/python
        """,
    )
    seen = lab.module(HOST, "volume_attach_info", check=True, python="/run/info/python")
    assert (seen["failed"], len(seen["attachments"])) == (False, len(VOLUMES))


def test_a_name_that_nobody_knows(lab: Lab, attached: dict[str, dict[str, Any]]) -> None:
    refused = lab.refuse(HOST, "volume_attach_info", "not_found", volumes=["info-dat"])
    assert refused["candidates"][0] == "info-data"


@pytest.fixture(scope="class")
def healed(lab: Lab, attached: dict[str, dict[str, Any]]) -> Iterator[None]:
    """Heals both networks at the end."""
    yield
    for network in ("a", "b"):
        lab.control("heal", HOST, network)
    lab.ssh(HOST, UNTIL_PATHS_ARE.format(running=4))
    # multipathd uses them again only when it has tried them.
    lab.ssh(
        HOST,
        "for _ in $(seq 90); do [ $(multipathd show paths raw format %t | grep -c active) = 4 ] && exit 0; sleep 1; done; exit 1",
    )


@pytest.mark.usefixtures("healed")
@pytest.mark.full
class TestPathsThatAreDead:
    def test_one_of_two(self, lab: Lab) -> None:
        lab.control("cut", HOST, "b")
        lab.ssh(HOST, UNTIL_PATHS_ARE.format(running=2))
        for seen in look(lab).values():
            assert seen["health"]["state"] == "degraded"
            assert seen["health"]["problems"][0] == "1 of 2 paths work."
            (missing,) = seen["missing_paths"]
            assert f"by {missing} does not work" in seen["health"]["problems"][1]
            assert sorted(session["state"] == "LOGGED_IN" for session in seen["sessions"]) == [False, True]

    def test_all_of_them_while_programs_hang_on_the_volume(self, lab: Lab, attached: dict[str, dict[str, Any]]) -> None:
        device = attached["info-log"]["device"]
        lab.control("cut", HOST, "a")
        lab.ssh(HOST, f"nohup dd if=/dev/zero of={device} bs=1M count=4 conv=fsync >/dev/null 2>&1 & sleep 1")
        assert all(seen["attached"] for seen in look(lab).values())  # before the host has noticed
        lab.ssh(HOST, UNTIL_PATHS_ARE.format(running=0))
        for seen in look(lab).values():
            assert seen["health"]["state"] == "failed"
            assert len(seen["missing_paths"]) == 2


class TestHostThatTheCollectionNeverTouched:
    """The same host without its records."""

    @pytest.fixture(autouse=True)
    def without_records(self, lab: Lab, attached: dict[str, dict[str, Any]]) -> Iterator[None]:
        lab.ssh(HOST, f"mv {RECORDS} {RECORDS}.away")
        yield
        lab.ssh(HOST, f"rm -rf {RECORDS}; mv {RECORDS}.away {RECORDS}")

    def test_volumes_are_known_by_their_wwn(self, lab: Lab, attached: dict[str, dict[str, Any]]) -> None:
        seen = {one["wwn"]: one for one in lab.succeed(HOST, "volume_attach_info")["attachments"]}
        assert set(seen) == {one["wwn"] for one in attached.values()}
        for attachment in attached.values():
            same = seen[attachment["wwn"]]
            assert {key: same[key] for key in ("path", "device", "paths")} == {
                key: attachment[key] for key in ("path", "device", "paths")
            }
            assert (same["recorded"], same["volume"]["name"]) == (False, None)
        assert seen[attached["info-data"]["wwn"]]["stack"][1]["mount_points"] == [MOUNT]

    # The last one: it takes the second volume's disks away.
    def test_sessions_without_lun_and_a_map_without_paths(self, lab: Lab, attached: dict[str, dict[str, Any]]) -> None:
        lost = attached["info-log"]
        disks = " ".join(path["device"].rpartition("/")[2] for path in lost["paths"])
        # Without multipathd the map stays when its disks go.
        lab.ssh(
            HOST,
            f"systemctl stop multipathd.socket multipathd; for disk in {disks}; do echo 1 > /sys/block/$disk/device/delete; done",
        )
        try:
            unclaimed = lab.succeed(HOST, "volume_attach_info")["unclaimed"]
        finally:
            lab.ssh(HOST, "systemctl start multipathd.socket multipathd")
        assert sorted((one["kind"], one["wwn"]) for one in unclaimed if one["kind"] != "iscsi_session") == [
            ("multipath_map", lost["wwn"])
        ]
        portals = [one["portal"] for one in unclaimed if one["kind"] == "iscsi_session"]
        assert sorted(portals) == sorted(path["portal"] for path in lost["paths"])
