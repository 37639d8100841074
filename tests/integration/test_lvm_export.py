# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The contract of all backends, kept by LVM and LIO over iSCSI, as the lab's controller has them."""

from __future__ import annotations

import pytest

from ansible_collections.brickwork.storage.tests.integration.contract import Contract, Flow, Storage
from ansible_collections.brickwork.storage.tests.integration.contract_killed import Killed
from ansible_collections.brickwork.storage.tests.integration.lab import Lab

LOOK = """
lvs -a --noheadings --units b -o lv_name,lv_size,lv_tags,origin vg0; vgs --noheadings --units b -o vg_free vg0
ls -d /sys/kernel/config/target/iscsi/iqn.* /sys/kernel/config/target/core/*/* 2>/dev/null | grep -v /hba_
grep -o '"wwn": "iqn[^"]*"' /etc/rtslib-fb-target/saveconfig.json
true
"""


@pytest.fixture(scope="module")
def storage(lab: Lab) -> Storage:
    return Storage(lab, "/etc/brickwork/backends.conf", LOOK, size=64 * 1024**2)


@pytest.mark.full
class TestFlow(Flow):
    """The main job, as the scenario default does it by the role in every run."""


@pytest.mark.full
class TestContract(Contract):
    """The rest, of which test_contract and test_snapshots have the usual part."""


class TestKilled(Killed):
    """At some moments."""
