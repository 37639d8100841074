# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The CHAP secret is where step 3 needs it, and nowhere else."""

from __future__ import annotations

import pytest

from ansible_collections.brickwork.storage.tests.integration.eavesdropping import READABLE, SAMPLER
from ansible_collections.brickwork.storage.tests.integration.lab import Lab

HOST = "host1"


def test_the_secret_is_in_no_log_output_argument_or_readable_file(lab: Lab, volumes: tuple[str, str]) -> None:
    arguments = {"hosts": HOST, "controller": "controller", "volumes": ",".join(volumes)}
    machines = (HOST, "controller")
    for machine in machines:
        lab.ssh(machine, SAMPLER)
    outputs = [
        lab.play("brickwork.storage.attach", "-vvv", "--diff", multipath=True, min_paths=2, **arguments),
        lab.play("brickwork.storage.attach", "-vvv", "--diff", multipath=True, min_paths=2, **arguments),
    ]
    assert [output.status for output in outputs] == [0, 0], outputs[0].output
    connections = lab.connect(HOST, *volumes)
    secrets = [connection["connection_info"]["data"]["auth_password"] for connection in connections]
    assert len(set(secrets)) == 2
    assert min(map(len, secrets)) >= 16
    attached = lab.module(HOST, "volume_attach", connections=connections, multipath=True, min_paths=2)
    refused = lab.module(HOST, "volume_attach", connections=connections, multipath=False)
    outputs.append(lab.play("brickwork.storage.detach", "-vvv", "--diff", **arguments))
    for text in (*(output.output for output in outputs), str(attached), str(refused)):
        assert not any(secret in text for secret in secrets)
    for machine in machines:
        written = "\\n".join(secrets)
        lab.ssh(machine, f"touch /run/test/stop; umask 077; printf '{written}\\n' > /root/.secret")
        assert lab.ssh(machine, READABLE) == ""
        # The sampler did see the programs that might have had it.
    assert "iscsiadm" in lab.ssh(HOST, "cat /run/test/arguments")


@pytest.mark.full
def test_each_host_has_a_secret_of_its_own(lab: Lab, volume: str) -> None:
    secrets = [
        lab.connect(host, volume, shared=True)[0]["connection_info"]["data"]["auth_password"]
        for host in ("host1", "host2")
    ]
    assert secrets[0] != secrets[1]
    for host in ("host1", "host2"):
        lab.disconnect(host, volume)


def test_a_host_sees_its_own_volumes_alone(lab: Lab, volumes: tuple[str, str]) -> None:
    own, others = volumes
    lab.connect("host1", own)
    foreign = lab.connect("host2", others)[0]["connection_info"]["data"]
    # Logged in by hand with all that host2 knows, but as host1.
    lab.ssh(
        "host1",
        f"""
        node="iscsiadm -m node -T {foreign["target_iqn"]} -p {foreign["target_portal"]}"
        $node -o new > /dev/null
        $node -o update -n node.session.auth.authmethod -v CHAP
        $node -o update -n node.session.auth.username -v {foreign["auth_username"]}
        $node -o update -n node.session.auth.password -v {foreign["auth_password"]}
        $node --login && exit 1
        $node -o delete
        """,
    )
    lab.disconnect("host1", own)
    lab.disconnect("host2", others)
