# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The contract of all backends, kept by LVM and LIO over Fibre Channel, which is software FCoE here.

Needs a lab with Fibre Channel and two hosts.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ansible_collections.brickwork.storage.tests.integration.contract import DATA, SIZE, Contract, Flow, Storage
from ansible_collections.brickwork.storage.tests.integration.lab import Lab
from ansible_collections.brickwork.storage.tests.integration.test_fc_export import ports

CONFIG = "/etc/brickwork/test-fc-contract.conf"
# The targets stay, and so do the hosts that they know.
LOOK = """
lvs -a --noheadings --units b -o lv_name,lv_size,lv_tags,origin vg0; vgs --noheadings --units b -o vg_free vg0
cd /sys/kernel/config/target
ls -d core/iblock_*/* fc/*/tpgt_1/lun/lun_* fc/*/tpgt_1/acls/*/lun_* 2>/dev/null | grep -v /hba_
true
"""


@pytest.fixture(scope="module")
def storage(lab: Lab) -> Iterator[Storage]:
    lab.ssh(
        "controller",
        f"sed 's/^target_protocol.*/target_protocol = fibre_channel/' /etc/brickwork/backends.conf > {CONFIG}",
    )
    found = Storage(lab, CONFIG, LOOK)
    for machine in ("controller", *found.hosts):
        ports(lab, machine, "make")
    # With software FCoE a host sees no LUN before it comes to a target that knows it.
    found.volume(DATA, size=str(SIZE))
    for host in found.hosts:
        found.connect(host, DATA, shared=True)
    found.module("volume_connection", volumes=[DATA], all_hosts=True, state="absent")
    found.volume(DATA, state="absent")
    for host in found.hosts:
        ports(lab, host, "make")
    yield found
    for machine in (*found.hosts, "controller"):
        ports(lab, machine, "destroy")
    lab.ssh("controller", f"rm {CONFIG}")


@pytest.mark.full
class TestFlow(Flow):
    """The scenario fc has the short way."""


@pytest.mark.full
class TestContract(Contract):
    """On emulated machines."""
