# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The os-brick that a host has, and the one that somebody installed for the collection."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ansible_collections.brickwork.storage.tests.integration.lab import Lab

DEBIAN12 = "host3"
OWN = "/opt/brickwork/bin"
USED = "/run/test-os-brick"
# Stands where an environment of the collection's own would be, and leaves word of each use.
INTERPRETER = f"""
mkdir -p {OWN}
cat > {OWN}/python3 <<'SCRIPT'
#!/bin/sh
echo "$1" >> {USED}
exec /opt/os-brick-7.1/bin/python3 "$@"
SCRIPT
chmod +x {OWN}/python3
rm -f {USED}
/opt/os-brick-7.1/bin/python3 -c 'import importlib.metadata as m; print(m.version("os-brick"))'
"""


@pytest.fixture
def newer(lab: Lab) -> Iterator[str]:
    """A newer os-brick in an environment of its own on host1, and its version."""
    yield lab.ssh("host1", INTERPRETER).strip()
    lab.ssh("host1", f"rm -rf {OWN.rpartition('/')[0]} {USED}")


@pytest.mark.full
def test_environment_of_the_collections_own_is_taken(lab: Lab, newer: str) -> None:
    assert newer.startswith("7.1")
    by_newer = lab.succeed("host1", "volume_connector_facts", multipath=True)
    assert lab.ssh("host1", f"cat {USED}")
    assert by_newer["changed"] is False
    lab.ssh("host1", f"rm -r {OWN}")
    by_older = lab.succeed("host1", "volume_connector_facts", multipath=True)
    # What a volume is connected by must not depend on who asks.
    names = ("initiator", "host", "ip", "multipath", "nqn", "wwpns")
    facts = [found["ansible_facts"]["volume_connector"] for found in (by_newer, by_older)]
    assert [facts[0].get(name) for name in names] == [facts[1].get(name) for name in names]


@pytest.mark.full
def test_nothing_to_do_does_not_leave_the_interpreter(lab: Lab, newer: str, volume: str) -> None:
    connections = lab.connect("host1", volume)
    lab.attach("host1", connections, min_paths=2)
    lab.ssh("host1", f"rm -f {USED}")
    assert not lab.attach("host1", connections, min_paths=2)["changed"]
    assert lab.detach("host1", volume)["changed"]
    # iSCSI is done without os-brick.
    assert lab.ssh("host1", f"cat {USED} 2>/dev/null; true") == ""
    lab.disconnect("host1", volume)


def test_debian_12(lab: Lab, volume: str) -> None:
    assert lab.ssh(DEBIAN12, "dpkg-query -Wf '${Version}' python3-os-brick").startswith("6.1.0")
    connections = lab.connect(DEBIAN12, volume)
    attachment = lab.attach(DEBIAN12, connections, min_paths=2)["attachments"][0]
    assert (attachment["multipath"], len(attachment["paths"])) == (True, 2)
    assert not lab.attach(DEBIAN12, connections, min_paths=2)["changed"]
    lab.ssh(DEBIAN12, f"echo kept | dd of={attachment['path']} conv=fsync,notrunc status=none")
    assert lab.detach(DEBIAN12, volume)["changed"]
    assert lab.leftovers(DEBIAN12) == ""
    lab.disconnect(DEBIAN12, volume)
    assert lab.ssh("controller", f"head -c 4 /dev/vg0/{volume}") == "kept"
