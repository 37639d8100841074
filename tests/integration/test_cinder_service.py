# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The contract of all backends, kept by a Cinder service of its own on the controller, with LVM and LIO behind it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.brickwork.storage.tests.integration.contract import (
    CONTROLLER,
    COPY,
    DATA,
    SIZE,
    SNAPSHOT,
    Contract,
    Flow,
    Storage,
    Untouched,
)
from ansible_collections.brickwork.storage.tests.integration.killing import make_interpreter, moments
from ansible_collections.brickwork.storage.tests.integration.lab import CHECKOUT, Lab

PORTALS = ("10.77.1.10", "10.77.2.10")
ENDPOINT = f"http://{PORTALS[0]}:8776/v3"
PROJECT = "8f6a2c0e5b7d4f1c9a3e6d2b0c4f8a1e"
SERVICE = (CHECKOUT / "tests/lab/services/cinder").read_text(encoding="utf-8")
CONFIG = "/etc/brickwork/test-cinder-service.conf"
# By volume type: one whose volumes can be shared, and one whose volumes cannot.
SETTINGS = f"""
[DEFAULT]
enabled_backends = {{0}}
[{{0}}]
volume_driver = cinder_service
auth_type = noauth
endpoint_override = {ENDPOINT}
project_id = {PROJECT}
volume_type = {{0}}
"""
SHARED, ALONE = "cluster", "plain"
ASK = f"""
import json, sys
from urllib.request import Request, urlopen

HEADERS = {{"X-Auth-Token": "admin:{PROJECT}", "OpenStack-API-Version": "volume 3.60", "Content-Type": "application/json"}}

def ask(path, body=None, method=None):
    with urlopen(Request("{ENDPOINT}" + path, body and json.dumps(body).encode(), HEADERS, method=method)) as answer:
        return json.load(answer)
"""
# What the service itself says of the project, and beside it LVM, LIO, and what LIO would restore.
LOOK = f"""
python3 - <<'PYTHON'
{ASK}
for kind, told in (("volume", "name size status metadata attachments"), ("snapshot", "name status metadata"), ("attachment", "status")):
    for one in ask("/" + kind + "s/detail")[kind + "s"]:
        print(kind, *(json.dumps(one[key], sort_keys=True) for key in told.split() if key != "attachments"), len(one.get("attachments", ())))
PYTHON
lvs -a --noheadings -o lv_name,lv_size,origin cinder-lab
ls -d /sys/kernel/config/target/iscsi/iqn.* /sys/kernel/config/target/iscsi/iqn.*/tpgt_*/acls/* 2>/dev/null
ls -d /sys/kernel/config/target/core/*/* | grep -v /hba_
grep -oh '"wwn": "iqn[^"]*"' /etc/*target/saveconfig.json
true
"""


def asked(storage: Storage, program: str) -> str:
    """What a program prints that asks the service, past the collection."""
    return storage.lab.ssh(CONTROLLER, f"python3 - <<'PYTHON'\n{ASK}\n{program}\nPYTHON")


def config(volume_type: str) -> str:
    return CONFIG if volume_type == SHARED else f"{CONFIG}.{volume_type}"


@pytest.fixture(scope="module")
def service(lab: Lab) -> Iterator[None]:
    lab.ssh(CONTROLLER, f"set -- start {' '.join(PORTALS)}\n{SERVICE}")
    for volume_type in (SHARED, ALONE):
        lab.ssh(CONTROLLER, f"cat > {config(volume_type)} <<'CONF'{SETTINGS.format(volume_type)}CONF")
    yield
    lab.ssh(CONTROLLER, f"set -- stop\n{SERVICE}")
    lab.ssh(CONTROLLER, f"rm {CONFIG}*")


@pytest.fixture(scope="module")
def storage(lab: Lab, service: None) -> Storage:
    return Storage(lab, config(SHARED), LOOK)


class TestFlow(Flow):
    """Seen in every run."""


@pytest.mark.full
class TestContract(Contract):
    """The rest, which takes minutes: Cinder's own programs take long to start."""


@pytest.mark.full
class TestNotOurs(Untouched):
    """What the service says no to, and what others do with it."""

    @pytest.fixture
    def storage(self, lab: Lab, service: None) -> Storage:
        return Storage(lab, config(ALONE), LOOK)

    def test_a_volume_of_a_type_for_one_host_is_not_shared(self, storage: Storage) -> None:
        storage.volume(DATA, size=str(SIZE))
        wanted = storage.connection(storage.hosts[0], DATA)
        refused = storage.refuse("volume_connection", "failed_precondition", shared=True, **wanted)
        assert "multiattach" in refused["msg"]

    def test_what_somebody_else_attached_is_held_and_never_released(self, storage: Storage) -> None:
        volume_id = storage.volume(DATA, size=str(SIZE))["volumes"][0]["id"]
        body = {"attachment": {"volume_uuid": volume_id}}
        made = asked(storage, f"print(ask('/attachments', {body})['attachment']['id'])").strip()
        wanted = storage.connection(storage.hosts[0], DATA)
        refused = storage.refuse("volume_connection", "failed_precondition", **wanted)
        assert refused["errors"][0]["holders"] == [f"attachment-{made}"]
        releasing = {"volumes": [DATA], "all_hosts": True, "fenced": True, "state": "absent"}
        refused = storage.refuse("volume_connection", "failed_precondition", **releasing)
        assert made in refused["msg"]
        asked(storage, f"ask('/attachments/{made}', method='DELETE')")
        assert storage.module("volume_connection", **wanted)["changed"]
        storage.module("volume_connection", **releasing)


# Until the driver has not started a program for a while: it goes on with what a killed call has asked for.
SETTLE = """
for still in 1 2 3; do
    while pgrep -f bin/cinder-rtstool > /dev/null; do sleep 0.5; done
    sleep 1
done
"""
# Right before each request; once the service has it; and while its driver is busy with an export.
WHEN = pytest.mark.parametrize("delay", [0, 0.5, 4], ids=["before", "asked", "busy"])
SOON = pytest.mark.parametrize("delay", [0, 0.5], ids=["before", "asked"])
WHAT = pytest.mark.parametrize("what", ["volume", "copy", "snapshot"])


@pytest.fixture(scope="module")
def killed(lab: Lab) -> None:
    """An interpreter that kills itself."""
    make_interpreter(lab, CONTROLLER)


@pytest.mark.full
@pytest.mark.usefixtures("killed")
class TestKilled(Untouched):
    """A call killed at any request: repeating it, or asking for the opposite, works, and leaves nothing in the service or in LIO."""

    def settled(self, storage: Storage) -> list[str]:
        storage.lab.ssh(CONTROLLER, SETTLE)
        return storage.listing()

    @WHEN
    def test_connecting(self, storage: Storage, delay: float) -> None:
        storage.volume(DATA, size=str(SIZE))
        free, host = storage.listing(), storage.hosts[0]
        arguments = {"shared": True, **storage.connection(host, DATA)}
        connected: list[str] = []
        for moment, repeated in self.kills(storage, "volume_connection", delay, arguments):
            if repeated:
                storage.connect(host, DATA, shared=True)
                assert not storage.module("volume_connection", **arguments)["changed"]
                connected = connected or self.settled(storage)
                assert self.settled(storage) == connected, f"after moment {moment}"
            storage.module("volume_connection", volumes=[DATA], host=host, state="absent")
            assert self.settled(storage) == free, f"after moment {moment}"
        assert self.settled(storage) == connected

    @WHEN
    def test_releasing(self, storage: Storage, delay: float) -> None:
        storage.volume(DATA, size=str(SIZE))
        leaving, staying = storage.hosts
        storage.connect(staying, DATA, shared=True)
        other = storage.listing()
        storage.connect(leaving, DATA, shared=True)
        both = storage.listing()
        arguments = {"volumes": [DATA], "host": leaving, "state": "absent"}
        for moment, repeated in self.kills(storage, "volume_connection", delay, arguments):
            if repeated:
                storage.module("volume_connection", **arguments)
                assert self.settled(storage) == other, f"after moment {moment}"
            storage.connect(leaving, DATA, shared=True)
            assert self.settled(storage) == both, f"after moment {moment}"
        assert self.settled(storage) == other

    @SOON
    @WHAT
    def test_making(self, storage: Storage, what: str, delay: float) -> None:
        module, wanted, unwanted = self.calls(storage, what)
        without = storage.listing()
        made: list[str] = []
        for moment, repeated in self.kills(storage, module, delay, wanted):
            if repeated:
                storage.module(module, **wanted)
                assert not storage.module(module, **wanted)["changed"]
                made = made or storage.listing()
                assert storage.listing() == made, f"after moment {moment}"
            storage.module(module, **unwanted)
            assert storage.listing() == without, f"after moment {moment}"
        assert storage.listing() == made
        storage.module(module, **unwanted)

    @SOON
    @WHAT
    def test_deleting(self, storage: Storage, what: str, delay: float) -> None:
        module, wanted, unwanted = self.calls(storage, what)
        without = storage.listing()
        storage.module(module, **wanted)
        made = storage.listing()
        for moment, repeated in self.kills(storage, module, delay, unwanted):
            if repeated:
                storage.module(module, **unwanted)
                assert storage.listing() == without, f"after moment {moment}"
            storage.module(module, **wanted)
            assert storage.listing() == made, f"after moment {moment}"
        assert storage.listing() == without

    @SOON
    def test_growing(self, storage: Storage, delay: float) -> None:
        wanted = {"volumes": [DATA], "size": str(2 * SIZE)}
        without = storage.listing()
        storage.volume(DATA, size=str(SIZE))
        grown: list[str] = []
        for moment, repeated in self.kills(storage, "volume", delay, wanted):
            if repeated:
                assert storage.module("volume", **wanted)["volumes"][0]["size_bytes"] == 2 * SIZE
                assert not storage.module("volume", **wanted)["changed"]
                grown = grown or storage.listing()
                assert storage.listing() == grown, f"after moment {moment}"
            storage.volume(DATA, state="absent")
            assert storage.listing() == without, f"after moment {moment}"
            storage.volume(DATA, size=str(SIZE))
        assert storage.listing() == grown

    def kills(
        self, storage: Storage, module: str, delay: float, arguments: dict[str, Any]
    ) -> Iterator[tuple[int, bool]]:
        given = {"config": storage.config, **arguments}
        return moments(storage.lab, CONTROLLER, module, delay, given, step=4)

    def calls(self, storage: Storage, what: str) -> tuple[str, dict[str, Any], dict[str, Any]]:
        """A module, and its arguments to make something and to delete it."""
        if what == "volume":
            return "volume", {"volumes": [DATA], "size": str(SIZE)}, {"volumes": [DATA], "state": "absent"}
        storage.volume(DATA, size=str(SIZE))
        if what == "copy":
            return "volume", {"volumes": [COPY], "source_volume": DATA}, {"volumes": [COPY], "state": "absent"}
        unwanted = {"snapshots": [SNAPSHOT], "state": "absent"}
        return "volume_snapshot", {"snapshots": [SNAPSHOT], "volume": DATA}, unwanted
