# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The contract of all backends, kept by Cinder's driver for NFS with a server on the controller. A volume in use is a file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ansible_collections.brickwork.storage.tests.integration import cinder_records
from ansible_collections.brickwork.storage.tests.integration.contract import Contract, Flow, Storage
from ansible_collections.brickwork.storage.tests.integration.contract_killed import Killed
from ansible_collections.brickwork.storage.tests.integration.lab import CHECKOUT, Lab

CONFIG = "/etc/brickwork/test-cinder-nfs.conf"
DIRECTORY = "/srv/brickwork-test"
SERVICE = (CHECKOUT / "tests/lab/services/nfs").read_text(encoding="utf-8")
SETTINGS = f"""
[DEFAULT]
enabled_backends = files
[files]
volume_driver = cinder.volume.drivers.nfs.NfsDriver
nas_host = 10.77.1.10
nas_share_path = {DIRECTORY}
nfs_mount_point_base = /run/test/nfs
nfs_snapshot_support = true
"""
# A list of layers without any stays where there were some.
LOOK = f"""
cd {DIRECTORY}
for file in *; do
    case $file in
        *.info) [ "$(wc -l <"$file")" = 2 ] || {{ sed "s/^/$file: /; s/,$//" "$file"; echo; }} ;;
        *) [ ! -e "$file" ] || stat --format '%n %s' "$file" ;;
    esac
done
"""


@pytest.fixture(scope="module")
def storage(lab: Lab) -> Iterator[Storage]:
    lab.ssh("controller", f"set -- start {DIRECTORY}\n{SERVICE}")
    lab.ssh("controller", f"cat > {CONFIG} <<'CONF'{SETTINGS}CONF")
    yield Storage(lab, CONFIG, LOOK + cinder_records.LOOK, paths=1, while_connected=False)
    # A mount would wait for its server for ever.
    lab.ssh("controller", f"umount /run/test/nfs/*\nrm {CONFIG}\nset -- stop {DIRECTORY}\n{SERVICE}")


@pytest.mark.full
class TestFlow(Flow):
    """The scenario nfs has the hosts' side, and the other drivers the controller's, in every run."""


@pytest.mark.full
class TestContract(Contract):
    """The rest."""


class TestKilled(Killed):
    """At some moments."""
