# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""iSER: the iSCSI of a controller's target over RDMA, which its machines' ordinary network cards carry as RoCE, in software.

Needs a lab with RDMA (C(--needs rdma)).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.brickwork.storage.tests.integration.lab import Lab

HOST = "host1"
VOLUME = "test-iser"
SIZE_MIB = 64
CARDS = "storage-a storage-b"
MODULES = {"controller": "ib_isert", HOST: "ib_iser"}
# Each portal of a target takes logins over RDMA, too.
SWITCH = "for portal in /sys/kernel/config/target/iscsi/iqn.*/tpgt_1/np/*; do echo {} > $portal/iser; done"
SESSIONS = "iscsiadm -m session -P1 | grep 'Iface Transport' | sort"


@pytest.fixture(scope="module")
def connections(lab: Lab) -> Iterator[list[dict[str, Any]]]:
    """The connection of a volume whose portals answer over RDMA."""
    for machine, module in MODULES.items():
        links = f"for card in {CARDS}; do rdma link add rxe-$card type rxe netdev $card; done"
        lab.ssh(machine, f"modprobe -a rdma_rxe {module}; {links}")
    lab.succeed("controller", "volume", volumes=[VOLUME], size=f"{SIZE_MIB}MiB")
    made = lab.connect(HOST, VOLUME)
    lab.ssh("controller", SWITCH.format(1))
    yield [{**one, "connection_info": {**one["connection_info"], "driver_volume_type": "iser"}} for one in made]
    lab.module(HOST, "volume_attach", volumes=[VOLUME], state="absent", force=True)
    lab.ssh("controller", SWITCH.format(0))
    lab.disconnect(HOST, VOLUME)
    lab.succeed("controller", "volume", volumes=[VOLUME], state="absent")
    for machine in MODULES:
        lab.ssh(machine, f"for card in {CARDS}; do rdma link delete rxe-$card; done")


def test_from_connection_to_bytes_and_back(lab: Lab, connections: list[dict[str, Any]]) -> None:
    done = lab.attach(HOST, connections, min_paths=2)
    (attachment,) = done["attachments"]
    assert done["changed"]
    assert [path["state"] for path in attachment["paths"]] == ["running", "running"]
    assert [line.split()[-1] for line in lab.ssh(HOST, SESSIONS).splitlines()] == ["iser", "iser"]
    again = lab.attach(HOST, connections, min_paths=2)
    assert (again["changed"], again["attachments"]) == (False, [attachment])

    lab.ssh(
        HOST,
        f"printf '%-512s' written > /run/sector; dd if=/run/sector of={attachment['path']} bs=512 seek=8 oflag=direct status=none",
    )
    read = lab.ssh("controller", f"dd if=/dev/vg0/{VOLUME} bs=512 skip=8 count=1 iflag=direct status=none")
    assert read.strip() == "written"

    assert lab.detach(HOST, VOLUME)["changed"]
    assert lab.leftovers(HOST) == ""
    assert not lab.detach(HOST, VOLUME)["changed"]


def test_one_path_without_multipath(lab: Lab, connections: list[dict[str, Any]]) -> None:
    (attachment,) = lab.attach(HOST, connections, multipath=False)["attachments"]
    assert (attachment["multipath"], len(attachment["paths"])) == (False, 1)
    lab.detach(HOST, VOLUME)
    assert lab.leftovers(HOST) == ""
