# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The contract of all backends, kept by LVM and nvmet over TCP.

Needs a lab with NVMe (C(--needs nvme)).
"""

from __future__ import annotations

from collections.abc import Iterator

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
        host, larger = storage.hosts[0], {"volumes": [DATA], "size": str(2 * storage.size)}
        given = {**larger, "config": storage.config}
        before = storage.listing()
        attached_path(storage, host)
        count = moments_of(storage.lab, CONTROLLER, "volume", given)
        done = storage.listing()
        remove(storage, host)
        for moment, delay, repeated in chosen(count, storage.delays):
            at = f"killed {delay} s after moment {moment} of {count}"
            path = attached_path(storage, host)
            run_killed(storage.lab, CONTROLLER, "volume", given, moment, delay)
            if repeated:
                storage.module("volume", **larger)
                compare(storage.listing(), done, at)
                storage.lab.ssh(host, HAS_SIZE.format(path, 2 * storage.size))
                assert not storage.module("volume", **larger)["changed"], at
            remove(storage, host)
            compare(storage.listing(), before, at)


def attached_path(storage: Storage, host: str) -> str:
    """Make the volume; returns its path on the host."""
    storage.volume(DATA, size=str(storage.size))
    return storage.path(host, DATA)


def remove(storage: Storage, host: str) -> None:
    storage.detach(host, DATA)
    storage.volume(DATA, state="absent")
