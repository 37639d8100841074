# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The contract of all backends, kept by a Cinder service of its own on the controller, with LVM and LIO behind it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ansible_collections.brickwork.storage.tests.integration.contract import (
    CONTROLLER,
    DATA,
    SIZE,
    Contract,
    Flow,
    Storage,
    Untouched,
)
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

def ask(path, body=None):
    with urlopen(Request("{ENDPOINT}" + path, body and json.dumps(body).encode(), HEADERS)) as answer:
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
grep -o '"wwn": "iqn[^"]*"' /etc/target/saveconfig.json
true
"""


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


class TestOtherPeople(Untouched):
    """A volume of a type for one host, and an attachment that somebody else has made."""

    @pytest.fixture(scope="class")
    def storage(self, lab: Lab, service: None) -> Storage:
        return Storage(lab, config(ALONE), LOOK)

    def test_a_volume_of_a_type_for_one_host_is_not_shared(self, storage: Storage) -> None:
        storage.volume(DATA, size=str(SIZE))
        refused = storage.refuse(
            "volume_connection", "failed_precondition", shared=True, **storage.connection("host1", DATA)
        )
        assert "multiattach" in refused["msg"]
        volume_id = storage.volume(DATA, size=str(SIZE))["volumes"][0]["id"]
        made = storage.lab.ssh(
            CONTROLLER,
            f"python3 - <<'PYTHON'\n{ASK}\nprint(ask('/attachments', {{'attachment': {{'volume_uuid': '{volume_id}'}}}})['attachment']['id'])\nPYTHON",
        )
        refused = storage.refuse("volume_connection", "failed_precondition", **storage.connection("host1", DATA))
        assert refused["errors"][0]["holders"] == [f"attachment-{made.strip()}"]
