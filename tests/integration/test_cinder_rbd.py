# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The contract of all backends, kept by Cinder's driver for RBD with a Ceph cluster on the controller."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ansible_collections.brickwork.storage.tests.integration import cinder_records
from ansible_collections.brickwork.storage.tests.integration.contract import Contract, Flow, Storage
from ansible_collections.brickwork.storage.tests.integration.contract_killed import Killed
from ansible_collections.brickwork.storage.tests.integration.lab import CHECKOUT, Lab

CONFIG = "/etc/brickwork/test-cinder-rbd.conf"
SERVICE = (CHECKOUT / "tests/lab/services/ceph").read_text(encoding="utf-8")
SETTINGS = """
[DEFAULT]
enabled_backends = ceph
[ceph]
volume_driver = cinder.volume.drivers.rbd.RBDDriver
rbd_pool = volumes
rbd_user = volumes
rbd_ceph_conf = /run/ceph-lab/volumes.conf
rbd_keyring_conf = /run/ceph-lab/volumes.keyring
"""
# The lock of a client that was killed stays until another client writes, which takes it over.
LOOK = """
rbd() { command rbd --conf /run/ceph-lab/ceph.conf --pool volumes "$@"; }
rbd ls --long | sed 's/ *excl *$//'
rbd trash ls --all
for image in $(rbd ls); do rbd snap ls --all "$image" | tr -s ' ' | cut -d ' ' -f 3-7; done
"""


@pytest.fixture(scope="module")
def storage(lab: Lab) -> Iterator[Storage]:
    lab.ssh("controller", f"set -- start 10.77.1.10\n{SERVICE}")
    lab.ssh("controller", f"cat > {CONFIG} <<'CONF'{SETTINGS}CONF")
    # The work is done in a library, whose steps nobody sees: somewhere in it.
    delays = (0.2, 0.0, 1.0, 0.5)
    yield Storage(lab, CONFIG, LOOK + cinder_records.LOOK, paths=1, tells_of_growth=True, delays=delays)
    lab.ssh("controller", f"rm {CONFIG}\nset -- stop\n{SERVICE}")


class TestFlow(Flow):
    """Seen in every run."""


@pytest.mark.full
class TestContract(Contract):
    """The rest."""


class TestKilled(Killed):
    """At some moments."""
