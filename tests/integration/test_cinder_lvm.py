# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The contract of all backends, kept by Cinder's driver for LVM with LIO, as a section of a cinder.conf describes it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ansible_collections.brickwork.storage.tests.integration import cinder_records
from ansible_collections.brickwork.storage.tests.integration.contract import (
    DATA,
    WRITTEN_MIB,
    Contract,
    Flow,
    Storage,
    Untouched,
)
from ansible_collections.brickwork.storage.tests.integration.contract_killed import Killed
from ansible_collections.brickwork.storage.tests.integration.eavesdropping import READABLE, SAMPLER
from ansible_collections.brickwork.storage.tests.integration.lab import Lab
from ansible_collections.brickwork.storage.tests.integration.writing import read, write

CONFIG = "/etc/brickwork/test-cinder-lvm.conf"
# Of cinderlib's manual.
EXAMPLE = """[lvm]
volume_driver = cinder.volume.drivers.lvm.LVMVolumeDriver
volume_group = vg0
target_helper = lioadm
volume_backend_name = lvm_iscsi
use_multipath_for_image_xfer = true
"""
SETTINGS = f"""
[DEFAULT]
enabled_backends = lvm
{EXAMPLE}target_ip_address = 10.77.1.10
target_secondary_ip_addresses = 10.77.2.10
"""
LOOK = """
lvs -a --noheadings --units b -o lv_name,lv_size,lv_tags,origin vg0; vgs --noheadings --units b -o vg_free vg0
ls -d /sys/kernel/config/target/iscsi/iqn.* /sys/kernel/config/target/core/*/* 2>/dev/null | grep -v /hba_
grep -o '"wwn": "iqn[^"]*"' /etc/rtslib-fb-target/saveconfig.json
true
"""
# Where there was no volume yet, or thin ones are asked for, the driver makes a pool of all that is free.
FORGET_POOL = "lvremove --yes --quiet vg0/vg0-pool 2>/dev/null; true"


@pytest.fixture(scope="module")
def storage(lab: Lab) -> Iterator[Storage]:
    lab.ssh("controller", f"cat > {CONFIG} <<'CONF'{SETTINGS}CONF")
    yield loaded(Storage(lab, CONFIG, LOOK + cinder_records.LOOK))
    lab.ssh("controller", f"rm {CONFIG}; {FORGET_POOL}")


def loaded(storage: Storage) -> Storage:
    """The driver makes its pool when it is loaded, whatever it is asked then."""
    storage.module("volume_backend_info")
    return storage


class TestFlow(Flow):
    """Seen in every run."""


@pytest.mark.full
class TestContract(Contract):
    """The rest, which takes minutes: Cinder's own programs take long to start."""


@pytest.fixture
def forgetful(lab: Lab) -> Iterator[None]:
    """Nobody restores LIO's targets at boot."""
    lab.ssh("controller", "systemctl disable --quiet rtslib-fb-targetctl")
    yield
    lab.ssh("controller", "systemctl enable --quiet rtslib-fb-targetctl")


@pytest.mark.full
class TestReboot(Untouched):
    """Of the controller, while a host has a volume attached."""

    def test_what_is_restored_at_boot_needs_no_repeat(self, storage: Storage) -> None:
        lab, host = storage.lab, storage.hosts[0]
        storage.volume(DATA, size=str(storage.size))
        connections = storage.connect(host, DATA)
        path = storage.attach(host, connections)["attachments"][0]["path"]
        written = write(lab, host, path, "kept", WRITTEN_MIB)
        lab.control("reboot", "controller")
        assert not storage.module("volume_connection", **storage.connection(host, DATA))["changed"]
        assert read(lab, host, path, WRITTEN_MIB) == written
        storage.detach(host, DATA)

    def test_what_is_lost_is_made_again_as_it_was(self, storage: Storage, forgetful: None) -> None:
        lab, host = storage.lab, storage.hosts[0]
        storage.volume(DATA, size=str(storage.size))
        connections = storage.connect(host, DATA)
        path = storage.attach(host, connections)["attachments"][0]["path"]
        written = write(lab, host, path, "kept", WRITTEN_MIB)
        exported = storage.listing()
        lab.control("reboot", "controller")
        assert storage.listing() != exported
        (seen,) = storage.module("volume_connection_info", volumes=[DATA])["volumes"]
        assert seen["problems"], seen
        assert storage.module("volume_connection", check=True, **storage.connection(host, DATA))["changed"]
        assert storage.connect(host, DATA) == connections
        assert storage.listing() == exported
        assert not storage.module("volume_connection", **storage.connection(host, DATA))["changed"]
        # Where the host has given up its sessions meanwhile, they are opened again.
        assert storage.attach(host, connections)["attachments"][0]["path"] == path
        assert read(lab, host, path, WRITTEN_MIB) == written
        storage.detach(host, DATA)


@pytest.mark.full
class TestSecret(Untouched):
    """Of an export, which Cinder's own way of changing it would put among the arguments of a program."""

    def test_it_is_in_no_argument_log_or_readable_file(self, storage: Storage) -> None:
        lab, host = storage.lab, storage.hosts[0]
        storage.volume(DATA, size=str(storage.size))
        lab.ssh("controller", SAMPLER)
        secret = storage.connect(host, DATA)[0]["connection_info"]["data"]["auth_password"]
        storage.module("volume_connection", volumes=[DATA], host=host, state="absent")
        lab.ssh("controller", f"touch /run/test/stop; umask 077; printf '{secret}\\n' > /root/.secret")
        assert lab.ssh("controller", READABLE) == ""
        # The sampler did see the driver's process.
        assert "/opt/brickwork/cinder/bin/python" in lab.ssh("controller", "cat /run/test/arguments")


# Every cinder.conf has this address.
PASTED = f"""
[DEFAULT]
enabled_backends = lvm
my_ip = 10.77.1.10
{EXAMPLE}"""


@pytest.mark.full
class TestExample(Untouched):
    """Of cinderlib's manual, pasted."""

    @pytest.fixture
    def storage(self, lab: Lab) -> Iterator[Storage]:
        config = "/etc/brickwork/test-cinderlib.conf"
        lab.ssh("controller", f"cat > {config} <<'CONF'{PASTED}CONF")
        yield loaded(Storage(lab, config, LOOK + cinder_records.LOOK, paths=1))
        lab.ssh("controller", f"rm {config}; {FORGET_POOL}")

    def test_its_volumes_can_be_used(self, storage: Storage) -> None:
        before, (first, second) = storage.listing(), storage.hosts
        storage.volume(DATA, size=str(storage.size))
        written = write(storage.lab, first, storage.path(first, DATA), "moved", WRITTEN_MIB)
        storage.detach(first, DATA)
        assert read(storage.lab, second, storage.path(second, DATA), WRITTEN_MIB) == written
        storage.detach(second, DATA)
        storage.volume(DATA, state="absent")
        assert storage.listing() == before


KILLED = """
[DEFAULT]
enabled_backends = lvm
[lvm]
volume_driver = cinder.volume.drivers.lvm.LVMVolumeDriver
volume_group = vg0
lvm_type = {type}
target_helper = lioadm
target_ip_address = 10.77.1.10
volume_clear_size = 1
"""


def of_a_type(lab: Lab, lvm_type: str) -> Iterator[Storage]:
    config = f"/etc/brickwork/test-cinder-lvm-{lvm_type}.conf"
    lab.ssh("controller", f"cat > {config} <<'CONF'{KILLED.format(type=lvm_type)}CONF\n{FORGET_POOL}")
    yield loaded(Storage(lab, config, LOOK + cinder_records.LOOK))
    lab.ssh("controller", f"rm {config}; {FORGET_POOL}")


@pytest.fixture(scope="module")
def thick(lab: Lab) -> Iterator[Storage]:
    yield from of_a_type(lab, "default")


@pytest.fixture(scope="module")
def thin(lab: Lab) -> Iterator[Storage]:
    yield from of_a_type(lab, "thin")


class TestKilled(Killed):
    """At some moments."""

    @pytest.fixture
    def storage(self, thick: Storage) -> Storage:
        return thick


class TestKilledThin(Killed):
    """What is done in another way with thin volumes."""

    @pytest.fixture
    def storage(self, thin: Storage) -> Storage:
        return thin

    @pytest.mark.parametrize("name", ["snapshot", "copy"])
    def test_it_can_be_repeated_or_taken_back(self, storage: Storage, name: str) -> None:
        super().test_it_can_be_repeated_or_taken_back(storage, name)
