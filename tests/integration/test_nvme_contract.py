# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The contract of all backends, kept by LVM and nvmet over TCP.

Needs a lab with NVMe and two hosts.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ansible_collections.brickwork.storage.tests.integration.contract import Contract, Flow, Storage
from ansible_collections.brickwork.storage.tests.integration.lab import Lab

CONFIG = "/etc/brickwork/test-nvmet-contract.conf"
LOOK = """
lvs -a --noheadings --units b -o lv_name,lv_size,lv_tags,origin vg0; vgs --noheadings --units b -o vg_free vg0
find /sys/kernel/config/nvmet/subsystems /sys/kernel/config/nvmet/ports /sys/kernel/config/nvmet/hosts -mindepth 1 -maxdepth 1
find /var/lib/brickwork -path '*nvmet*' -not -type d
true
"""


@pytest.fixture(scope="module")
def storage(lab: Lab) -> Iterator[Storage]:
    lab.ssh(
        "controller",
        f"modprobe nvmet\nsed 's/^target_protocol.*/target_protocol = nvmet_tcp/' /etc/brickwork/backends.conf > {CONFIG}",
    )
    # The kernel of a host is told by its controller that a namespace has grown.
    yield Storage(lab, CONFIG, LOOK, tells_of_growth=True)
    lab.ssh("controller", f"rm {CONFIG}")


@pytest.mark.full
class TestFlow(Flow):
    """The scenario nvme has the short way."""


@pytest.mark.full
class TestContract(Contract):
    """On emulated machines."""
