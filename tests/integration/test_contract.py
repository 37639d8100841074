# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The contract of the three steps, one sentence a test, on real machines."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.brickwork.storage.tests.integration.lab import Lab
from ansible_collections.brickwork.storage.tests.integration.writing import Writer

MOUNT = "mkdir -p /mnt/test && mkfs.ext4 -q {path} && mount {path} /mnt/test"


@pytest.fixture
def attached(lab: Lab, volume: str) -> Iterator[dict[str, Any]]:
    """A volume attached to host1 over two paths."""
    done = lab.attach("host1", lab.connect("host1", volume), min_paths=2)
    yield done["attachments"][0]
    lab.ssh("host1", "umount /mnt/test 2>/dev/null; true")
    lab.detach("host1", volume)
    lab.disconnect("host1", volume)


def test_a_repeat_changes_nothing_and_returns_the_same(lab: Lab, volume: str, attached: dict[str, Any]) -> None:
    connections = lab.connect("host1", volume)
    again = lab.attach("host1", connections, min_paths=2)
    assert not again["changed"]
    assert again["attachments"] == [attached]


def test_a_repeat_does_not_import_os_brick(lab: Lab, volume: str, attached: dict[str, Any]) -> None:
    lab.ssh(
        "host1",
        """
        mkdir -p /run/test/os_brick
        echo 'raise SystemExit("os_brick was imported")' > /run/test/os_brick/__init__.py
        printf '#!/bin/sh\\nPYTHONPATH=/run/test exec /usr/bin/python3 "$@"\\n' > /run/test/python
        chmod +x /run/test/python
        """,
    )
    assert not lab.attach("host1", lab.connect("host1", volume), python="/run/test/python")["changed"]
    # The same interpreter shows that it would have been seen.
    facts = lab.ansible(
        "host1", "-m", "brickwork.storage.volume_connector_facts", "-e", "ansible_python_interpreter=/run/test/python"
    )
    assert facts.returncode != 0
    assert "os_brick was imported" in facts.stdout + facts.stderr


def test_luns_as_strings_attach_and_really_detach(lab: Lab, volume: str) -> None:
    connections = lab.connect("host1", volume)
    data = connections[0]["connection_info"]["data"]
    data["target_lun"] = str(data["target_lun"])
    data["target_luns"] = [str(lun) for lun in data["target_luns"]]
    assert len(lab.attach("host1", connections, min_paths=2)["attachments"][0]["paths"]) == 2
    lab.succeed("host1", "volume_attach", connections=connections, state="absent")
    assert lab.leftovers("host1") == ""
    lab.disconnect("host1", volume)


@pytest.mark.full
def test_without_multipath_there_is_one_session(lab: Lab, volume: str) -> None:
    connections = lab.connect("host1", volume, multipath=False)
    done = lab.attach("host1", connections, multipath=False)["attachments"][0]
    assert len(done["paths"]) == 1
    assert (
        lab.ssh("host1", "ls /sys/class/iscsi_session").split()
        == lab.ssh("host1", "ls /sys/class/iscsi_session").split()[:1]
    )
    assert not lab.attach("host1", connections, multipath=False)["changed"]
    lab.detach("host1", volume)
    lab.disconnect("host1", volume)


class TestOneOfTwoPortalsIsUnreachable:
    @pytest.fixture(autouse=True)
    def cut(self, lab: Lab) -> Iterator[None]:
        lab.control("cut", "host1", "b")
        yield
        lab.control("heal", "host1", "b")

    def test_one_path_suffices_when_min_paths_is_1(self, lab: Lab, volume: str) -> None:
        connections = lab.connect("host1", volume)
        began = time.monotonic()
        done = lab.attach("host1", connections, min_paths=1)["attachments"][0]
        # Not a measurement: a portal that is down must not cost open-iscsi's two minutes.
        assert time.monotonic() - began < 30
        assert [path["state"] for path in done["paths"]] == ["running"]
        assert done["missing_paths"] == [connections[0]["connection_info"]["data"]["target_portals"][1]]
        assert not lab.attach("host1", connections, min_paths=1)["changed"]
        lab.detach("host1", volume)
        lab.disconnect("host1", volume)

    def test_nothing_is_left_when_min_paths_is_2(self, lab: Lab, volume: str) -> None:
        connections = lab.connect("host1", volume)
        dead = connections[0]["connection_info"]["data"]["target_portals"][1]
        refused = lab.refuse(
            "host1", "volume_attach", "deadline_exceeded", connections=connections, multipath=True, min_paths=2
        )
        assert dead in refused["msg"]
        assert refused["portals"] == [dead]
        assert lab.leftovers("host1") == ""
        lab.disconnect("host1", volume)

    @pytest.mark.full
    def test_the_role_releases_what_it_connected_in_vain_and_keeps_the_rest(
        self, lab: Lab, volumes: tuple[str, str]
    ) -> None:
        kept, failing = volumes
        lab.attach("host1", lab.connect("host1", kept))
        done = lab.play(
            "brickwork.storage.attach",
            hosts="host1",
            controller="controller",
            volumes=list(volumes),
            multipath=True,
            min_paths=2,
        )
        assert done.status != 0
        assert f"Released again: {failing}." in " ".join(done.output.split())
        tags = lab.ssh("controller", "lvs --noheadings -o lv_name,lv_tags vg0")
        held = [line.split()[0] for line in tags.splitlines() if "brickwork.connection" in line]
        assert held == [kept]
        assert lab.ssh("host1", "ls /sys/class/iscsi_session | wc -l").strip() == "1"
        lab.detach("host1", kept)
        lab.disconnect("host1", kept)


def test_a_volume_held_by_one_host_is_refused_to_another(lab: Lab, volume: str) -> None:
    lab.connect("host1", volume)
    refused = lab.refuse(
        "controller",
        "volume_connection",
        "failed_precondition",
        volumes=[volume],
        connector=lab.connector("host2"),
    )
    assert refused["holders"] == ["host1"]
    assert "host1" in refused["msg"]
    lab.disconnect("host1", volume)


def test_detaching_one_of_two_hosts_leaves_the_others_io_running(lab: Lab, volume: str) -> None:
    for host in ("host1", "host2"):
        lab.attach(host, lab.connect(host, volume, shared=True), min_paths=2)
    again = lab.succeed("host2", "volume_attach", connections=lab.connect("host2", volume, shared=True), multipath=True)
    writer = Writer(lab, "host2", again["attachments"][0]["path"])
    lab.detach("host1", volume)
    lab.disconnect("host1", volume)
    writer.prove()
    writer.stop()
    lab.detach("host2", volume)
    lab.disconnect("host2", volume)


def test_detaching_a_volume_leaves_the_sessions_of_the_others(lab: Lab, volumes: tuple[str, str]) -> None:
    leaving, staying = volumes
    attachments = lab.attach("host1", lab.connect("host1", *volumes), min_paths=2)["attachments"]
    [path] = [attachment["path"] for attachment in attachments if attachment["volume"]["name"] == staying]
    lab.ssh("host1", MOUNT.format(path=path))
    look = "grep -H . /sys/class/iscsi_session/*/state"
    before = set(lab.ssh("host1", look).split())
    lab.detach("host1", leaving)
    after = set(lab.ssh("host1", look).split())
    assert (len(before), len(after)) == (4, 2)
    assert after < before
    lab.ssh("host1", "echo text > /mnt/test/file && sync -f /mnt/test/file && umount /mnt/test")
    lab.detach("host1", staying)
    lab.disconnect("host1", *volumes)


@pytest.mark.parametrize(
    ("use", "user", "end"),
    [
        (MOUNT, "mount point /mnt/test", "umount /mnt/test"),
        (
            "losetup /dev/loop7 {path} && mkdir -p /mnt/test && mkfs.ext4 -q /dev/loop7 && mount /dev/loop7 /mnt/test",
            "mount point /mnt/test",
            "umount /mnt/test; losetup -d /dev/loop7",
        ),
        pytest.param(
            "vgcreate -qq test-group {path} && lvcreate -qq -n part -L 16M test-group",
            "volume group test-group",
            "vgremove -qq -y test-group",
            marks=pytest.mark.full,
        ),
        pytest.param(
            "nohup sleep 600 < {path} > /dev/null 2>&1 & echo $! > /run/test.pid",
            "(sleep)",
            "kill $(cat /run/test.pid); sleep 1",
            marks=pytest.mark.full,
        ),
    ],
    ids=["mounted", "over a loop device", "volume group", "process"],
)
def test_a_device_in_use_is_not_detached(
    lab: Lab, volume: str, attached: dict[str, Any], use: str, user: str, end: str
) -> None:
    lab.ssh("host1", f"wipefs -qa {attached['path']}; udevadm settle; {use.format(path=attached['path'])}")
    for arguments in ({}, {"force": True}, {"check": True}):
        refused = lab.refuse(
            "host1", "volume_attach", "failed_precondition", volumes=[volume], state="absent", **arguments
        )
        assert any(user in using for using in refused["users"]), refused
        assert user in refused["msg"]
    lab.ssh("host1", end)


def test_partitions_of_a_map_are_part_of_the_volume(lab: Lab, volume: str, attached: dict[str, Any]) -> None:
    # As multipathd makes them itself where multipath.conf does not say skip_kpartx.
    lab.ssh(
        "host1",
        f"""
        set -e
        parted --script {attached["path"]} mklabel gpt mkpart data ext4 1MiB 100%
        kpartx -a -s {attached["path"]}
        udevadm settle
        partition=$(ls /sys/block/$(basename $(readlink -f {attached["path"]}))/holders)
        mkfs.ext4 -q /dev/$partition
        mkdir -p /mnt/test
        mount /dev/$partition /mnt/test
        """,
    )
    refused = lab.refuse("host1", "volume_attach", "failed_precondition", volumes=[volume], state="absent")
    assert refused["users"] == ["mount point /mnt/test"]
    lab.ssh("host1", "umount /mnt/test")
    assert lab.detach("host1", volume)["changed"]
    assert lab.leftovers("host1") == ""


def test_another_volume_behind_the_lun_is_refused(lab: Lab, volumes: tuple[str, str]) -> None:
    connections = lab.connect("host1", volumes[0])
    connections[0]["volume"]["wwn"] = lab.connect("host1", volumes[1])[0]["volume"]["wwn"]
    lab.refuse("host1", "volume_attach", "data_loss", connections=connections, multipath=True)
    assert lab.leftovers("host1") == ""
    lab.disconnect("host1", *volumes)


@pytest.mark.full
def test_a_smaller_device_is_refused(lab: Lab, volume: str) -> None:
    connections = lab.connect("host1", volume)
    connections[0]["volume"]["size_bytes"] *= 2
    lab.refuse("host1", "volume_attach", "data_loss", connections=connections, multipath=True, timeout=20)
    assert lab.leftovers("host1") == ""
    lab.disconnect("host1", volume)


def test_a_wrong_secret_is_refused(lab: Lab, volume: str) -> None:
    connections = lab.connect("host1", volume)
    connections[0]["connection_info"]["data"]["auth_password"] = "not-what-the-target-knows"
    lab.refuse("host1", "volume_attach", "permission_denied", connections=connections, multipath=True)
    assert lab.leftovers("host1") == ""
    lab.disconnect("host1", volume)


def test_another_way_of_attaching_is_refused(lab: Lab, volume: str, attached: dict[str, Any]) -> None:
    connections = lab.connect("host1", volume)
    refused = lab.refuse("host1", "volume_attach", "already_exists", connections=connections, multipath=False)
    assert refused["field"] == "multipath"


def test_a_host_that_holds_the_lock_is_named(lab: Lab, volume: str) -> None:
    connections = lab.connect("host1", volume)
    lab.ssh(
        "host1",
        "mkdir -p /run/brickwork/lock; nohup flock /run/brickwork/lock/attachments.lock sleep 60 >/dev/null 2>&1 &",
    )
    refused = lab.refuse("host1", "volume_attach", "aborted", connections=connections, multipath=True, timeout=2)
    assert "/run/brickwork/lock/attachments.lock" in refused["msg"]
    lab.ssh("host1", "fuser -k /run/brickwork/lock/attachments.lock 2>/dev/null; true")
    lab.disconnect("host1", volume)


@pytest.mark.full
class TestAllPathsAreDead:
    @pytest.fixture(autouse=True)
    def cut(self, lab: Lab, attached: dict[str, Any]) -> Iterator[None]:
        for network in ("a", "b"):
            lab.control("cut", "host1", network)
        # Until the host has noticed.
        lab.ssh(
            "host1",
            "for _ in $(seq 60); do multipathd show paths raw format %t | grep -q active || exit 0; sleep 1; done; exit 1",
        )
        yield
        for network in ("a", "b"):
            lab.control("heal", "host1", network)

    @pytest.mark.parametrize("without_paths", ["fail_if_no_path", "queue_if_no_path"])
    def test_a_detach_keeps_the_map_and_force_gives_it_up(
        self, lab: Lab, volume: str, attached: dict[str, Any], without_paths: str
    ) -> None:
        # A write that nobody waits for; where the map queues, it and all that flushes would wait for ever.
        lab.ssh(
            "host1",
            f"dmsetup message {attached['path']} 0 {without_paths}\n"
            f"nohup dd if=/dev/zero of={attached['path']} bs=64k count=1 seek=64 conv=notrunc > /dev/null 2>&1 &",
        )
        began = time.monotonic()
        refused = lab.module("host1", "volume_attach", volumes=[volume], state="absent", timeout=30)
        # Its own limit, and what starting it takes: not the minutes that the kernel tries for.
        assert time.monotonic() - began < 90
        # A path that multipathd has just tried again does not count as dead: then the flush does not end. Neither does the write
        # while the map queues it.
        codes = ("unavailable", "deadline_exceeded", "failed_precondition")[: 2 + (without_paths == "queue_if_no_path")]
        assert refused["error_code"] in codes, refused
        assert attached["device"] in refused["msg"]
        assert attached["wwn"] in lab.ssh("host1", "cat /sys/block/dm-*/dm/uuid")
        if refused["error_code"] == "failed_precondition":
            assert "(dd)" in refused["msg"]
        # The program that hangs in its write cannot be killed; force lets it fail.
        done = lab.detach("host1", volume, force=True, timeout=120)
        assert done["changed"]
        warned = " ".join(done["warnings"].split())
        assert "is lost" in warned
        assert "fail_if_no_path" in warned
        assert lab.leftovers("host1") == ""
        # No logout has reached the target, which must be told that this host is done with it.
        lab.disconnect("host1", volume, fenced=True)


def test_a_grown_volume_shows_its_new_size(lab: Lab, volume: str, attached: dict[str, Any]) -> None:
    size = attached["size_bytes"]
    lab.succeed("controller", "volume", volumes=[volume], size=str(size + 64 * 2**20))
    connections = lab.connect("host1", volume)
    grown = lab.attach("host1", connections, min_paths=2)
    assert grown["changed"]
    assert grown["attachments"][0]["size_bytes"] == size + 64 * 2**20
    assert not lab.attach("host1", connections, min_paths=2)["changed"]
    device = attached["device"].rpartition("/")[2]
    assert int(lab.ssh("host1", f"cat /sys/block/{device}/size")) * 512 == size + 64 * 2**20


@pytest.mark.full
def test_the_controller_brings_its_exports_back_when_it_boots(lab: Lab, volume: str, attached: dict[str, Any]) -> None:
    lab.ssh("host1", f"echo kept | dd of={attached['path']} oflag=direct bs=512 conv=sync,notrunc status=none")
    lab.control("reboot", "controller")
    lab.ssh(
        "host1",
        "for _ in $(seq 90); do [ $(multipathd show paths raw format %t | grep -c active) = 2 ] && exit 0; sleep 1; done; exit 1",
    )
    assert lab.ssh("host1", f"dd if={attached['path']} iflag=direct bs=512 count=1 status=none").startswith("kept")
    connector = lab.connector("host1")
    assert not lab.succeed("controller", "volume_connection", volumes=[volume], connector=connector)["changed"]


def test_the_role_attaches_a_controllers_own_volume(lab: Lab, volumes: tuple[str, str]) -> None:
    arguments = {"hosts": "controller", "controller": "controller", "volumes": ",".join(volumes)}
    done = lab.play("brickwork.storage.attach", multipath=True, min_paths=2, **arguments)
    assert done.status == 0, done.output
    again = lab.play("brickwork.storage.attach", multipath=True, min_paths=2, **arguments)
    assert (again.status, again.recap["controller"]["changed"]) == (0, 0), again.output
    assert len(lab.ssh("controller", "multipathd show paths raw format %t").split()) == 4
    done = lab.play("brickwork.storage.detach", **arguments)
    assert done.status == 0, done.output
    assert lab.leftovers("controller").count("session") == 0


def test_each_steps_output_pastes_into_the_next_ones_input(lab: Lab, volume: str) -> None:
    def adhoc(host: str, module: str, arguments: str) -> str:
        done = lab.ansible(host, "-m", f"brickwork.storage.{module}", "-a", arguments)
        assert done.returncode == 0, done.stdout
        return done.stdout.partition(" => ")[2]

    def copied(text: str, key: str) -> str:
        """What a person marks with the mouse: the text behind a key."""
        start = text.index(f'"{key}": ') + len(key) + 4
        length: int = json.JSONDecoder().raw_decode(text[start:])[1]
        return text[start : start + length]

    facts = adhoc("host1", "volume_connector_facts", "multipath=true")
    connected = adhoc(
        "controller",
        "volume_connection",
        '{{"volumes": "{}", "connector": {}}}'.format(volume, copied(facts, "volume_connector")),
    )
    attached = adhoc(
        "host1", "volume_attach", '{{"connections": {}, "multipath": true}}'.format(copied(connected, "connections"))
    )
    assert '"attached": true' in attached
    detached = adhoc(
        "host1", "volume_attach", '{{"connections": {}, "state": "absent"}}'.format(copied(connected, "connections"))
    )
    assert '"attached": false' in detached
    adhoc(
        "controller",
        "volume_connection",
        '{{"volumes": "{}", "state": "absent", "connector": {}}}'.format(volume, copied(facts, "volume_connector")),
    )
