# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two controllers that have a backend and a volume of the same names: the role tells them apart."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ansible_collections.brickwork.storage.tests.integration.lab import Lab

CONFIG = "/etc/brickwork/test-other.conf"
# The lab has one controller; another configuration of it, with other volumes, stands for the other one.
OTHER = """
[DEFAULT]
enabled_backends = lvm
[lvm]
volume_driver = lvm
volume_group = vg1
target_ip_address = 10.77.1.10
target_secondary_ip_addresses = 10.77.2.10
"""
FILE = "/var/lib/test-other.img"


@pytest.fixture
def other(lab: Lab, volume: str) -> Iterator[str]:
    lab.ssh("controller", f"truncate -s 1G {FILE}; vgcreate --quiet vg1 $(losetup --find --show {FILE})")
    lab.ssh("controller", f"cat > {CONFIG} <<'CONF'{OTHER}CONF")
    lab.succeed("controller", "volume", volumes=[volume], size="128MiB", config=CONFIG)
    yield CONFIG
    lab.module("host1", "volume_attach", volumes=[volume], state="absent")
    for module, arguments in (("volume_connection", {"all_hosts": True}), ("volume", {})):
        lab.succeed("controller", module, volumes=[volume], state="absent", config=CONFIG, **arguments)
    lab.ssh("controller", f"vgremove --quiet vg1; losetup --detach $(losetup -nO NAME -j {FILE}); rm {FILE} {CONFIG}")


@pytest.mark.full
def test_the_role_leaves_the_other_controllers_volume_alone(lab: Lab, volume: str, other: str) -> None:
    arguments = {"hosts": "host1", "controller": "controller", "volumes": volume}
    done = lab.play("brickwork.storage.attach", config=other, multipath=True, min_paths=2, **arguments)
    assert done.status == 0, done.output
    attached = lab.leftovers("host1")
    for named in (volume, "nowhere"):
        done = lab.play("brickwork.storage.detach", **{**arguments, "volumes": named})
        assert (done.status == 0, done.recap["host1"]["changed"]) == (named == volume, 0), done.output
        assert lab.leftovers("host1") == attached
    assert "No volume nowhere in lvm" in " ".join(done.output.split())
    done = lab.play("brickwork.storage.detach", config=other, **arguments)
    assert (done.status, done.recap["host1"]["changed"]) == (0, 2), done.output
    assert lab.leftovers("host1") == ""
