# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The contract of all backends, kept by LVM and nvmet over TCP.

Needs a lab with NVMe (C(--needs nvme)).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.brickwork.storage.tests.integration.contract import CONTROLLER, DATA, Contract, Flow, Storage
from ansible_collections.brickwork.storage.tests.integration.contract_killed import Killed, chosen, compare
from ansible_collections.brickwork.storage.tests.integration.killing import moments_of, run_killed
from ansible_collections.brickwork.storage.tests.integration.lab import Lab

CONFIG = "/etc/brickwork/test-nvmet-contract.conf"
# With what is saved for the next boot, and the unit that restores it.
LOOK = """
lvs -a --noheadings --units b -o lv_name,lv_size,lv_tags,origin vg0; vgs --noheadings --units b -o vg_free vg0
cd /sys/kernel/config/nvmet 2>/dev/null &&
    ls -d subsystems/* subsystems/*/namespaces/* subsystems/*/allowed_hosts/* ports/* ports/*/subsystems/* hosts/* 2>/dev/null
ls -d /etc/systemd/system/brickwork* /etc/systemd/system/*/brickwork* 2>/dev/null
find /var/lib/brickwork -path '*nvmet*' -not -type d -print -exec cat {} + 2>/dev/null
true
"""
# A host is told of it by its kernel, a moment later.
HAS_SIZE = "for n in $(seq 50); do [ $(blockdev --getsize64 {}) = {} ] && exit; sleep 0.2; done; exit 1"


@pytest.fixture(scope="module")
def storage(lab: Lab) -> Iterator[Storage]:
    lab.ssh(
        CONTROLLER, f"sed 's/^target_protocol.*/target_protocol = nvmet_tcp/' /etc/brickwork/backends.conf > {CONFIG}"
    )
    yield Storage(lab, CONFIG, LOOK, size=64 * 1024**2, tells_of_growth=True)
    lab.ssh(CONTROLLER, f"rm {CONFIG}")


@pytest.mark.full
class TestFlow(Flow):
    """The main job, as the scenario nvme does it by the role in every run."""


@pytest.mark.full
class TestContract(Contract):
    """The rest."""


class TestKilled(Killed):
    """What nvmet has a part in; the rest is LVM's own, as in test_lvm_export."""

    @pytest.mark.parametrize("name", ["connect", "release", "share", "unshare"])
    def test_it_can_be_repeated_or_taken_back(self, storage: Storage, name: str) -> None:
        super().test_it_can_be_repeated_or_taken_back(storage, name)

    def test_a_host_is_told_of_growth_by_the_repeat(self, storage: Storage) -> None:
        lab, host = storage.lab, storage.hosts[0]
        sizes = itertools.count(2 * storage.size, storage.size)

        def larger() -> dict[str, Any]:
            return {"volumes": [DATA], "size": str(next(sizes)), "config": storage.config}

        before = storage.listing()
        storage.volume(DATA, size=str(storage.size))
        path = storage.path(host, DATA)
        count = moments_of(lab, CONTROLLER, "volume", larger())
        for moment, delay, repeated in chosen(count, storage.delays):
            growing = larger()
            run_killed(lab, CONTROLLER, "volume", growing, moment, delay)
            # Where it is not repeated, the next growth completes it.
            if repeated:
                lab.succeed(CONTROLLER, "volume", **growing)
                lab.ssh(host, HAS_SIZE.format(path, growing["size"]))
                assert not lab.succeed(CONTROLLER, "volume", **growing)["changed"], moment
        storage.detach(host, DATA)
        storage.volume(DATA, state="absent")
        compare(storage.listing(), before, f"killed at {count} moments, and deleted")
