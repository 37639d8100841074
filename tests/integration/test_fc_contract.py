# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The contract of all backends, kept by LVM and LIO over Fibre Channel.

Needs a lab with Fibre Channel (C(--needs fc)).
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ansible_collections.brickwork.storage.tests.integration import fcoe
from ansible_collections.brickwork.storage.tests.integration.contract import CONTROLLER, Contract, Flow, Storage
from ansible_collections.brickwork.storage.tests.integration.contract_killed import Killed
from ansible_collections.brickwork.storage.tests.integration.lab import Lab

HOSTS = ("host1", "host2")
CONFIG = "/etc/brickwork/test-fc-contract.conf"
# The links are LUNs that a target has, or a host sees. What is saved of them counts as much.
LOOK = """
lvs -a --noheadings --units b -o lv_name,lv_size,lv_tags,origin vg0; vgs --noheadings --units b -o vg_free vg0
cd /sys/kernel/config/target
ls -d core/iblock_* core/iblock_*/*-*-*-*-* fc/*/tpgt_1/lun/lun_* fc/*/tpgt_1/acls/* fc/*/tpgt_1/acls/*/lun_* 2>/dev/null
grep . core/iblock_*/*-*/attrib/emulate_tpu 2>/dev/null
find fc -type l
ls /run/brickwork/unsaved 2>/dev/null
python3 - <<'SCRIPT'
import json
saved = json.load(open("/etc/rtslib-fb-target/saveconfig.json"))
for one in saved["storage_objects"]:
    print("saved", one["name"], one["dev"])
for target in saved["targets"]:
    for group in target["tpgs"]:
        for lun in group["luns"]:
            print("saved", target["wwn"], lun["index"], lun["storage_object"])
        for acl in group["node_acls"]:
            for lun in acl["mapped_luns"]:
                print("saved", target["wwn"], acl["node_wwn"], lun["index"], lun["tpg_lun"])
SCRIPT
"""


@pytest.fixture(scope="module")
def storage(lab: Lab) -> Iterator[Storage]:
    lab.ssh(
        CONTROLLER,
        f"sed 's/^target_protocol.*/target_protocol = fibre_channel/' /etc/brickwork/backends.conf > {CONFIG}",
    )
    fcoe.introduce(lab, CONFIG, *HOSTS)
    yield Storage(lab, CONFIG, LOOK, size=64 * 1024**2, hosts=HOSTS)
    for machine in (*HOSTS, CONTROLLER):
        fcoe.destroy_ports(lab, machine)
    lab.ssh(CONTROLLER, f"rm {CONFIG}")


@pytest.mark.full
class TestFlow(Flow):
    """The main job, as the scenario fibre_channel does it by the role in every run."""


@pytest.mark.full
class TestContract(Contract):
    """The rest."""


class TestKilled(Killed):
    """What the targets have a part in; the rest is LVM's own, as in test_lvm_export: LIO sees by itself that a volume has grown."""

    @pytest.mark.parametrize("name", ["connect", "release", "share", "unshare"])
    def test_it_can_be_repeated_or_taken_back(self, storage: Storage, name: str) -> None:
        super().test_it_can_be_repeated_or_taken_back(storage, name)
