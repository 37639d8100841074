# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host has after its reboot: what was asked to persist, under the same path and mounted, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.brickwork.storage.tests.integration.lab import Lab

MOUNT_POINT = "/srv/test"
# host2 has no multipathd, so a volume without multipath is a plain disk there.
WAYS: dict[str, dict[str, Any]] = {"host1": {"multipath": True, "min_paths": 2}, "host2": {"multipath": False}}
# Whatever would make open-iscsi log in at boot, wait for it, or mount what is not there.
AT_BOOT = "grep -rls 'node.startup = automatic' /var/lib/iscsi/nodes; systemctl --failed --no-legend; true"


@pytest.fixture
def without_multipathd(lab: Lab) -> Iterator[None]:
    """host2's multipathd is off, over a reboot too."""
    lab.ssh("host2", "systemctl disable --now multipathd.service multipathd.socket 2>&1")
    yield
    lab.ssh("host2", "systemctl enable --now multipathd.socket multipathd.service 2>&1")


@pytest.fixture
def fstab(lab: Lab) -> Iterator[None]:
    """The hosts' /etc/fstab, put back at the end."""
    for host in WAYS:
        lab.ssh(host, "cp /etc/fstab /root/fstab.before")
    yield
    for host in WAYS:
        lab.ssh(
            host,
            f"mountpoint -q {MOUNT_POINT} && umount {MOUNT_POINT}; mv /root/fstab.before /etc/fstab; systemctl daemon-reload",
        )


@pytest.mark.full
def test_persistent_volumes_come_back(
    lab: Lab, volumes: tuple[str, str], without_multipathd: None, fstab: None
) -> None:
    connections = {
        host: lab.connect(host, volume, multipath=WAYS[host]["multipath"]) for host, volume in zip(WAYS, volumes)
    }
    paths = {}
    for host, way in WAYS.items():
        (attachment,) = lab.attach(host, connections[host], persistent=True, **way)["attachments"]
        paths[host] = attachment["path"]
        assert attachment["multipath"] is way["multipath"]
        lab.ssh(
            host,
            f"wipefs -qa {paths[host]}; mkfs.ext4 -q {paths[host]}; mkdir -p {MOUNT_POINT}\n"
            # No `nofail`: the boot would end in an emergency if the device came too late.
            f"echo '{paths[host]} {MOUNT_POINT} ext4 _netdev 0 0' >> /etc/fstab; systemctl daemon-reload\n"
            f"mount {MOUNT_POINT}; echo {host} > {MOUNT_POINT}/file; sync",
        )
        lab.control("reboot", host)
    for host, way in WAYS.items():
        assert lab.ssh(host, f"cat {MOUNT_POINT}/file").strip() == host
        repeat = lab.attach(host, connections[host], persistent=True, **way)
        assert not repeat["changed"]
        (attachment,) = repeat["attachments"]
        assert (attachment["path"], attachment["missing_paths"]) == (paths[host], [])
        assert len(attachment["paths"]) == (2 if way["multipath"] else 1)

    for host, way in WAYS.items():
        lab.ssh(host, f"umount {MOUNT_POINT}; cp /root/fstab.before /etc/fstab; systemctl daemon-reload")
        assert lab.attach(host, connections[host], persistent=False, **way)["changed"]
        lab.control("reboot", host)
        assert lab.ssh(host, AT_BOOT) == ""
        left = lab.leftovers(host).splitlines()
        assert not [line for line in left if line.startswith(("session", "sd", "dm-"))], left
        # Where nothing is left but the record, both a repeat and the opposite work.
        if way["multipath"]:
            assert lab.attach(host, connections[host], **way)["attachments"][0]["path"] == paths[host]
    for host, volume in zip(WAYS, volumes):
        assert lab.detach(host, volume)["changed"]
        assert lab.leftovers(host) == ""
        lab.disconnect(host, volume)
