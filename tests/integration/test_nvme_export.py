# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NVMe/TCP from end to end: the controller's own exports by nvmet, at two portals.

Needs a lab with NVMe (C(--needs nvme)).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.brickwork.storage.tests.integration.killing import make_interpreter, moments
from ansible_collections.brickwork.storage.tests.integration.lab import Lab

HOST = "host1"
VOLUME = "test-export-nvmet"
SIZE_MIB = 64
CONFIG = "/etc/brickwork/test-nvmet.conf"
KERNEL = "/sys/kernel/config/nvmet"
# Whatever there is of exports: in the kernel, and for the next boot.
EXPORTED = f"""
ls -d {KERNEL}/subsystems/* {KERNEL}/ports/* {KERNEL}/hosts/* 2>/dev/null
ls /etc/systemd/system/brickwork* /etc/systemd/system/*/brickwork* 2>/dev/null
find /var/lib/brickwork -path '*nvmet*' -not -type d 2>/dev/null
true
"""


@pytest.fixture(scope="module")
def size_bytes(lab: Lab) -> Iterator[int]:
    """The size of the volume, which is there for all tests; its backend is the lab's, over another protocol."""
    lab.ssh(
        "controller", f"sed 's/^target_protocol.*/target_protocol = nvmet_tcp/' /etc/brickwork/backends.conf > {CONFIG}"
    )
    lab.succeed("controller", "volume", volumes=[VOLUME], size=f"{SIZE_MIB}MiB", config=CONFIG)
    yield SIZE_MIB * 1024**2
    lab.succeed("controller", "volume", volumes=[VOLUME], state="absent", config=CONFIG)


@pytest.fixture
def connections(lab: Lab, size_bytes: int) -> Iterator[list[dict[str, Any]]]:
    """The connection; the test that leaves anything of it behind has failed."""
    assert lab.ssh("controller", EXPORTED) == ""
    yield lab.connect(HOST, VOLUME, config=CONFIG)
    lab.module(HOST, "volume_attach", volumes=[VOLUME], state="absent", force=True)
    lab.module(
        "controller",
        "volume_connection",
        volumes=[VOLUME],
        all_hosts=True,
        fenced=True,
        state="absent",
        config=CONFIG,
    )
    assert lab.ssh("controller", EXPORTED) == ""


def connection_again(lab: Lab, **arguments: Any) -> dict[str, Any]:
    """A repeat of the connection."""
    return lab.succeed(
        "controller",
        "volume_connection",
        **{"volumes": [VOLUME], "connector": lab.connector(HOST), "config": CONFIG, **arguments},
    )


def test_from_connection_to_bytes_and_back(lab: Lab, connections: list[dict[str, Any]]) -> None:
    assert lab.ssh("controller", f"cat {KERNEL}/subsystems/*/attr_allow_any_host") == "0\n"
    again = connection_again(lab)
    assert (again["changed"], again["connections"]) == (False, connections)
    attachment = lab.attach(HOST, connections, min_paths=2)["attachments"][0]
    assert attachment["wwn"] == connections[0]["volume"]["wwn"]
    assert [path["state"] for path in attachment["paths"]] == ["running", "running"]
    assert lab.attach(HOST, connections, min_paths=2)["changed"] is False
    lab.ssh(
        HOST,
        f"printf '%-512s' written > /run/sector; dd if=/run/sector of={attachment['path']} bs=512 seek=8 oflag=direct status=none",
    )
    read = lab.ssh("controller", f"dd if=/dev/vg0/{VOLUME} bs=512 skip=8 count=1 iflag=direct status=none")
    assert read.strip() == "written"
    lab.detach(HOST, VOLUME)
    assert lab.disconnect(HOST, VOLUME, config=CONFIG)["changed"]
    assert lab.ssh("controller", EXPORTED) == ""
    assert lab.disconnect(HOST, VOLUME, config=CONFIG)["changed"] is False


def test_other_hosts_are_kept_away(lab: Lab, connections: list[dict[str, Any]]) -> None:
    other = {**lab.connector(HOST), "host": "host9", "nqn": "nqn.2014-08.org.nvmexpress:uuid:other"}
    refused = lab.refuse(
        "controller", "volume_connection", "failed_precondition", volumes=[VOLUME], connector=other, config=CONFIG
    )
    assert refused["errors"][0]["holders"] == [HOST]
    same = {**lab.connector(HOST), "host": "host9"}
    refused = lab.refuse(
        "controller", "volume_connection", "failed_precondition", volumes=[VOLUME], connector=same, config=CONFIG
    )
    assert refused["errors"][0]["field"] == "connector.nqn"
    changed = {**lab.connector(HOST), "nqn": other["nqn"]}
    refused = lab.refuse(
        "controller", "volume_connection", "already_exists", volumes=[VOLUME], connector=changed, config=CONFIG
    )
    assert refused["errors"][0]["field"] == "connector.nqn"
    # With other eyes: the target itself lets in nobody but the holder.
    data = connections[0]["connection_info"]["data"]
    address, port, _transport = data["portals"][0]
    connect = f"modprobe nvme-tcp; nvme connect -t tcp -a {address} -s {port} -n {data['target_nqn']}"
    assert "LEFT" in lab.ssh(HOST, f"{connect} -q {other['nqn']} || echo LEFT OUT")


def test_another_protocol_leaves_the_connection_alone(lab: Lab, connections: list[dict[str, Any]]) -> None:
    refused = lab.refuse(
        "controller", "volume_connection", "failed_precondition", volumes=[VOLUME], host=HOST, state="absent"
    )
    assert refused["errors"][0]["field"] == "target_protocol"
    assert connection_again(lab)["changed"] is False


def test_a_host_that_is_released_is_cut_off_and_no_other(lab: Lab, connections: list[dict[str, Any]]) -> None:
    second = {**lab.connector(HOST), "host": "host9", "nqn": "nqn.2014-08.org.nvmexpress:uuid:second"}
    shared = connection_again(lab, connector=second, shared=True)["connections"][0]
    data = shared["connection_info"]["data"]
    lab.attach(HOST, connections, min_paths=2)
    # The second host, played by the first: it stays connected, as one that somebody thought dead.
    address, port, _transport = data["portals"][0]
    lab.ssh(
        HOST,
        f"nvme connect -t tcp -a {address} -s {port} -n {data['target_nqn']} -q {second['nqn']} -I $(cat /proc/sys/kernel/random/uuid)",
    )
    states = f"grep -lx {data['target_nqn']} /sys/class/nvme/*/subsysnqn | xargs dirname | xargs -I@ cat @/state"
    own = f"grep -lx {connections[0]['connection_info']['data']['target_nqn']} /sys/class/nvme/*/subsysnqn | xargs dirname | xargs -I@ cat @/state"
    try:
        assert lab.ssh(HOST, states).split() == ["live"]
        released = lab.succeed(
            "controller",
            "volume_connection",
            volumes=[VOLUME],
            host="host9",
            fenced=True,
            state="absent",
            config=CONFIG,
        )
        assert released["changed"]
        assert "live" not in lab.ssh(HOST, f"sleep 3; {states}")
        assert lab.ssh(HOST, own).split() == ["live", "live"]
    finally:
        lab.ssh(HOST, f"nvme disconnect -n {data['target_nqn']}")


def test_grown_volume(lab: Lab, connections: list[dict[str, Any]], size_bytes: int) -> None:
    lab.attach(HOST, connections, min_paths=2)
    larger = 2 * size_bytes
    lab.succeed("controller", "volume", volumes=[VOLUME], size=str(larger), config=CONFIG)
    grown = connection_again(lab)["connections"]
    attachment = lab.attach(HOST, grown, min_paths=2)["attachments"][0]
    assert attachment["size_bytes"] == larger


@pytest.mark.full
def test_growth_that_the_kernel_could_not_be_told_of(
    lab: Lab, connections: list[dict[str, Any]], size_bytes: int
) -> None:
    lab.attach(HOST, connections, min_paths=2)
    larger = 3 * size_bytes
    grow = {"volumes": [VOLUME], "size": str(larger), "config": CONFIG}
    nqn = connections[0]["connection_info"]["data"]["target_nqn"]
    attribute = f"{KERNEL}/subsystems/{nqn}/namespaces/1/revalidate_size"
    # Whoever writes to it is told that there is no room.
    lab.ssh("controller", f"mount --bind /dev/full {attribute}")
    try:
        lab.refuse("controller", "volume", "aborted", **grow)
    finally:
        lab.ssh("controller", f"umount {attribute}")
    assert lab.succeed("controller", "volume", **grow)["changed"]
    assert not lab.succeed("controller", "volume", **grow)["changed"]
    attachment = lab.attach(HOST, connection_again(lab)["connections"], min_paths=2)["attachments"][0]
    assert attachment["size_bytes"] == larger


def test_killed_while_connecting_or_releasing(lab: Lab, size_bytes: int) -> None:
    make_interpreter(lab, "controller")
    present = {"volumes": [VOLUME], "connector": lab.connector(HOST), "config": CONFIG}
    absent = {"volumes": [VOLUME], "host": HOST, "state": "absent", "config": CONFIG}
    kills = 0
    for moment, repeated in moments(lab, "controller", "volume_connection", 0, present, step=12):
        kills += 1
        if repeated:
            lab.succeed("controller", "volume_connection", **present)
            assert not lab.succeed("controller", "volume_connection", **present)["changed"], moment
        lab.succeed("controller", "volume_connection", **absent)
        assert lab.ssh("controller", EXPORTED) == "", f"after moment {moment}"
    for moment, repeated in moments(lab, "controller", "volume_connection", 0, absent, step=12):
        kills += 1
        if repeated:
            lab.succeed("controller", "volume_connection", **absent)
            assert lab.ssh("controller", EXPORTED) == "", f"after moment {moment}"
        lab.succeed("controller", "volume_connection", **present)
        assert not lab.succeed("controller", "volume_connection", **present)["changed"], moment
    assert kills > 2
    lab.succeed("controller", "volume_connection", **absent)
    assert lab.ssh("controller", EXPORTED) == ""


def test_exports_come_back_at_boot(lab: Lab, connections: list[dict[str, Any]]) -> None:
    before = lab.ssh(
        "controller", f"cd {KERNEL}; grep -r . subsystems/*/attr_serial subsystems/*/namespaces; ls subsystems hosts"
    )
    assert lab.ssh("controller", "stat -c '%a' /var/lib/brickwork/nvmet /var/lib/brickwork/nvmet/*").split() == [
        "700",
        "600",
    ]
    lab.control("reboot", "controller")
    lab.ssh("controller", "for n in $(seq 60); do systemctl is-active -q brickwork-nvmet && break; sleep 2; done")
    after = lab.ssh(
        "controller", f"cd {KERNEL}; grep -r . subsystems/*/attr_serial subsystems/*/namespaces; ls subsystems hosts"
    )
    assert after == before
    assert connection_again(lab)["changed"] is False
    lab.attach(HOST, connections, min_paths=2)
