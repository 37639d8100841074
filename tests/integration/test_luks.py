# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Encrypted volumes: made only where nothing is, opened, used, closed, and never lost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.brickwork.storage.tests.integration.eavesdropping import READABLE, SAMPLER
from ansible_collections.brickwork.storage.tests.integration.killing import make_interpreter, moments
from ansible_collections.brickwork.storage.tests.integration.lab import Lab

HOST, OTHER = "host1", "host2"
VOLUME = "luks-data"
PASSPHRASE = "correct horse battery staple"
# argon2id takes a minute on an emulated processor; what is tested is not the strength of a key.
OPEN = {"passphrase": PASSPHRASE, "pbkdf": "pbkdf2"}
FORMAT = {**OPEN, "format": True}
MIB = 2**20


@pytest.fixture(scope="module", autouse=True)
def created(lab: Lab) -> Iterator[None]:
    """The volume; removed at the end."""
    lab.succeed("controller", "volume", volumes=[VOLUME], size="96MiB")
    release(lab)
    yield
    lab.succeed("controller", "volume", volumes=[VOLUME], state="absent")


@pytest.fixture
def connections(lab: Lab) -> Iterator[list[dict[str, Any]]]:
    """The connection of the blank volume to the host; a test that leaves anything behind has failed."""
    make_blank(lab)
    yield lab.connect(HOST, VOLUME)
    left = lab.leftovers(HOST)
    release(lab)
    assert left == ""


def release(lab: Lab) -> None:
    """Take away whatever a test has left."""
    for host in (HOST, OTHER):
        if lab.leftovers(host):
            lab.ssh(host, "umount /mnt/test; dmsetup remove by-hand; true")
            lab.module(host, "volume_attach", volumes=[VOLUME], state="absent", force=True)
        lab.succeed("controller", "volume_connection", volumes=[VOLUME], host=host, state="absent", fenced=True)


def make_blank(lab: Lab) -> None:
    """Clear where LUKS and file systems have their marks."""
    lab.ssh("controller", f"dd if=/dev/zero of=/dev/vg0/{VOLUME} bs=1M count=32 conv=notrunc oflag=direct status=none")


def signatures(lab: Lab) -> str:
    """What is on the volume, read where the host's writes ended."""
    return lab.ssh(
        "controller", f"blockdev --flushbufs /dev/vg0/{VOLUME}; wipefs --no-act --noheadings -O TYPE /dev/vg0/{VOLUME}"
    )


def attach(lab: Lab, connections: list[dict[str, Any]], **encryption: Any) -> dict[str, Any]:
    """The attachment, which must have been made or changed."""
    done = lab.attach(HOST, connections, encryption=encryption)
    assert done["changed"]
    attachment: dict[str, Any] = done["attachments"][0]
    return attachment


def refuse(lab: Lab, connections: list[dict[str, Any]], code: str, **arguments: Any) -> dict[str, Any]:
    return lab.refuse(HOST, "volume_attach", code, connections=connections, multipath=True, **arguments)


def test_from_a_blank_volume_to_the_next_host(lab: Lab, connections: list[dict[str, Any]]) -> None:
    made = attach(lab, connections, **FORMAT)
    assert made["encrypted"] is True
    assert made["path"] == f"/dev/mapper/brickwork-{made['volume']['id']}"
    # The header is 16 MiB, and a little more where the device asks for an alignment of its own.
    assert 79 * MIB < made["size_bytes"] <= 80 * MIB
    assert (len(made["paths"]), made["multipath"]) == (2, True)
    assert lab.ssh(HOST, f"blkid -p -o value -s TYPE {made['underlying_path']}").strip() == "crypto_LUKS"
    assert lab.ssh(HOST, f"readlink -f {made['path']}").strip() == made["device"]

    again = lab.attach(HOST, connections, encryption=FORMAT)
    assert (again["changed"], again["attachments"]) == (False, [made])
    assert refuse(lab, connections, "already_exists")["field"] == "encryption"

    lab.ssh(
        HOST,
        f"mkdir -p /mnt/test; mkfs.ext4 -q {made['path']}; mount {made['path']} /mnt/test; echo kept > /mnt/test/data",
    )
    refused = lab.refuse(HOST, "volume_attach", "failed_precondition", volumes=[VOLUME], state="absent", force=True)
    assert refused["users"] == ["mount point /mnt/test"]
    lab.ssh(HOST, "umount /mnt/test")
    assert lab.module(HOST, "volume_attach", volumes=[VOLUME], state="absent", check=True)["changed"]
    lab.detach(HOST, VOLUME)
    assert lab.leftovers(HOST) == ""
    assert not lab.detach(HOST, VOLUME)["changed"]
    lab.disconnect(HOST, VOLUME)

    elsewhere = lab.connect(OTHER, VOLUME)
    wrong = {"passphrase": "Correct horse battery staple"}
    lab.refuse(OTHER, "volume_attach", "permission_denied", connections=elsewhere, multipath=True, encryption=wrong)
    assert lab.leftovers(OTHER) == ""
    # A volume that is one already is opened, whatever is allowed.
    done = lab.attach(OTHER, elsewhere, encryption=FORMAT)["attachments"][0]
    assert done["path"] == made["path"]
    assert (
        lab.ssh(OTHER, f"mkdir -p /mnt/test; mount {done['path']} /mnt/test; cat /mnt/test/data; umount /mnt/test")
        == "kept\n"
    )
    lab.detach(OTHER, VOLUME)
    assert lab.leftovers(OTHER) == ""
    lab.disconnect(OTHER, VOLUME)


@pytest.mark.full
def test_nothing_is_formatted_unless_asked_for(lab: Lab, connections: list[dict[str, Any]]) -> None:
    refused = refuse(lab, connections, "failed_precondition", encryption=OPEN)
    assert refused["field"] == "encryption.format"
    assert lab.leftovers(HOST) == ""
    assert signatures(lab) == ""


def test_what_holds_anything_is_not_formatted(lab: Lab, connections: list[dict[str, Any]]) -> None:
    plain = lab.attach(HOST, connections)["attachments"][0]
    lab.ssh(HOST, f"mkfs.ext4 -q {plain['path']}")
    lab.detach(HOST, VOLUME)
    checksum = f"dd if=/dev/vg0/{VOLUME} bs=1M iflag=direct status=none | sha256sum"
    before = lab.ssh("controller", checksum)
    refused = refuse(lab, connections, "failed_precondition", encryption=FORMAT)
    assert refused["signatures"] == ["ext4"]
    assert lab.leftovers(HOST) == ""
    assert lab.ssh("controller", checksum) == before
    plain = lab.attach(HOST, connections)["attachments"][0]
    assert plain["encrypted"] is False
    assert refuse(lab, connections, "already_exists", encryption=FORMAT)["field"] == "encryption"
    lab.detach(HOST, VOLUME)


@pytest.mark.full
def test_what_a_process_writes_to_is_not_formatted(lab: Lab, connections: list[dict[str, Any]]) -> None:
    # Its record is that of an attach that was killed; a program has begun to use the device since.
    device = lab.attach(HOST, connections)["attachments"][0]["path"]
    record = "/var/lib/brickwork/attachments/*.json"
    lab.ssh(
        HOST,
        f"""mkdir -p /run/test; sed -i 's/"attached": true/"attached": false/' {record}
        nohup sleep 600 <> {device} > /dev/null 2>&1 & echo $! > /run/test/user""",
    )
    refused = refuse(lab, connections, "failed_precondition", encryption=FORMAT)
    assert refused["users"][0].endswith("(sleep)")
    lab.ssh(HOST, "kill $(cat /run/test/user)")
    lab.detach(HOST, VOLUME)
    assert signatures(lab) == ""


@pytest.mark.full
def test_closed_behind_our_back_is_opened_again(lab: Lab, connections: list[dict[str, Any]]) -> None:
    made = attach(lab, connections, **FORMAT)
    lab.ssh(HOST, f"dmsetup remove {made['path']}")
    predicted = lab.module(HOST, "volume_attach", connections=connections, multipath=True, encryption=OPEN, check=True)
    assert (predicted["changed"], predicted["attachments"][0]["path"]) == (True, made["path"])
    refused = refuse(lab, connections, "permission_denied", encryption={"passphrase": "wrong"})
    assert refused["field"] == "encryption.passphrase"
    # It was attached before this call: only what this call added goes.
    assert "session" in lab.leftovers(HOST)
    assert attach(lab, connections, **OPEN)["path"] == made["path"]
    lab.detach(HOST, VOLUME)


@pytest.mark.full
def test_opened_by_hand_under_another_name(lab: Lab, connections: list[dict[str, Any]]) -> None:
    made = attach(lab, connections, **FORMAT)
    lab.ssh(
        HOST,
        f"dmsetup remove {made['path']}; printf '%s' '{PASSPHRASE}' | "
        f"cryptsetup open --type luks --key-file - {made['underlying_path']} by-hand",
    )
    assert "/dev/mapper/by-hand" in refuse(lab, connections, "already_exists", encryption=OPEN)["msg"]
    refused = lab.refuse(HOST, "volume_attach", "failed_precondition", volumes=[VOLUME], state="absent")
    assert refused["users"] == ["encrypted device by-hand"]
    lab.ssh(HOST, "dmsetup remove by-hand")
    lab.detach(HOST, VOLUME)


@pytest.mark.full
def test_lost_header_is_not_made_anew(lab: Lab, connections: list[dict[str, Any]]) -> None:
    made = attach(lab, connections, **FORMAT)
    lab.ssh(HOST, f"dmsetup remove {made['path']}; wipefs --all --quiet {made['underlying_path']}")
    assert "luksHeaderRestore" in refuse(lab, connections, "failed_precondition", encryption=FORMAT)["msg"]
    lab.detach(HOST, VOLUME)


@pytest.mark.full
def test_growing(lab: Lab, connections: list[dict[str, Any]]) -> None:
    made = attach(lab, connections, **FORMAT)
    lab.succeed("controller", "volume", volumes=[VOLUME], size="128MiB")
    grown = lab.connect(HOST, VOLUME)
    assert attach(lab, grown, **OPEN)["size_bytes"] == made["size_bytes"] + 32 * MIB
    assert not lab.attach(HOST, grown, encryption=OPEN)["changed"]
    lab.detach(HOST, VOLUME)


@pytest.mark.full
def test_dead_paths_with_data_queued(lab: Lab, connections: list[dict[str, Any]]) -> None:
    made = attach(lab, connections, **FORMAT)
    try:
        for network in "ab":
            lab.control("cut", HOST, network)
        lab.ssh(
            HOST,
            f"nohup dd if=/dev/urandom of={made['path']} bs=1M count=8 > /dev/null 2>&1 & sleep 20; "
            "multipath -ll | grep -c 'failed\\|faulty'",
        )
        lab.refuse(HOST, "volume_attach", "unavailable", volumes=[VOLUME], state="absent", timeout=60)
        done = lab.detach(HOST, VOLUME, force=True, timeout=120)
        assert "lost" in done["warnings"]
    finally:
        for network in "ab":
            lab.control("heal", HOST, network)
    assert lab.leftovers(HOST) == ""


@pytest.mark.full
def test_killed_at_any_moment(lab: Lab, connections: list[dict[str, Any]]) -> None:
    make_interpreter(lab, HOST)
    arguments = {"connections": connections, "multipath": True, "encryption": FORMAT}
    count = 0
    for moment, repeated in moments(lab, HOST, "volume_attach", 0.5, arguments, step=9):
        count += 1
        if repeated:
            lab.attach(HOST, connections, encryption=FORMAT)
            assert not lab.attach(HOST, connections, encryption=FORMAT)["changed"]
        lab.detach(HOST, VOLUME)
        assert lab.leftovers(HOST) == "", f"after moment {moment}"
        # Whatever was begun is whole, or gone.
        if signatures(lab):
            attach(lab, connections, **OPEN)
            lab.detach(HOST, VOLUME)
        make_blank(lab)
    assert count
    lab.detach(HOST, VOLUME)


@pytest.mark.full
def test_passphrases_stay_secret(lab: Lab) -> None:
    passphrase = "a passphrase that nobody else has"
    for machine in (HOST, "controller"):
        lab.ssh(machine, SAMPLER)
    arguments = {"hosts": HOST, "controller": "controller", "volumes": VOLUME}
    make_blank(lab)
    given = {"passphrases": {VOLUME: passphrase}, "pbkdf": "pbkdf2", "format": True}
    outputs = [
        lab.play("brickwork.storage.attach", "-vvv", "--diff", multipath=True, encryption=encryption, **arguments)
        for encryption in (given, {"passphrase": passphrase + "!"}, {"passphrase": passphrase}, passphrase)
    ]
    assert [output.status == 0 for output in outputs] == [True, True, True, False], outputs[0].output
    connections = lab.connect(HOST, VOLUME)
    lab.detach(HOST, VOLUME)
    results = [
        lab.module(HOST, "volume_attach", connections=connections, multipath=True, encryption=encryption)
        for encryption in ({"passphrase": passphrase + "!"}, {"passphrase": passphrase, "unknown": 1}, passphrase)
    ]
    assert [result["error_code"] for result in results] == ["permission_denied", "invalid_argument", "invalid_argument"]
    for text in (*(output.output for output in outputs), *map(str, results)):
        # As an extra variable of the play it is Ansible's to show, and the play was started with -vvv.
        assert passphrase not in "\n".join(line for line in text.splitlines() if "extra_vars" not in line)
    for machine in (HOST, "controller"):
        lab.ssh(machine, f"touch /run/test/stop; umask 077; printf '%s\\n' '{passphrase}' > /root/.secret")
        assert lab.ssh(machine, READABLE) == ""
    # The sampler did see the program that might have had it.
    assert "luksFormat" in lab.ssh(HOST, "cat /run/test/arguments")
    lab.play("brickwork.storage.detach", **arguments)
    assert lab.leftovers(HOST) == ""
