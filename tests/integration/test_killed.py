# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A module killed at any moment: repeating it, or asking for the opposite, works and leaves nothing extra.

`make test` tries some of the moments, `make test-full` (FULL=1) all of them.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ansible_collections.brickwork.storage.tests.integration.killing import make_interpreter, moments
from ansible_collections.brickwork.storage.tests.integration.lab import Lab

# Long enough for iscsiadm to be in the middle of a login, short enough not to outlive it.
A_LITTLE_LATER = 0.2
HOST = "host1"
# A little after a moment is most often right before the next one.
WHEN = pytest.mark.parametrize(
    ("delay", "step"),
    [
        pytest.param(0, 15, id="right before"),
        pytest.param(A_LITTLE_LATER, 1, id="a little after", marks=pytest.mark.full),
    ],
)


@pytest.fixture(scope="module", autouse=True)
def interpreters(lab: Lab) -> None:
    """An interpreter on each machine that kills itself."""
    for host in (HOST, "controller"):
        make_interpreter(lab, host)


def attached_once(lab: Lab) -> None:
    """One volume over two paths, and nothing beside it."""
    left = lab.leftovers(HOST).splitlines()
    kinds = {
        "session": sum(line.startswith("session") for line in left),
        "disk": sum(line.startswith("sd") for line in left),
        "map": sum(line.startswith("dm-") for line in left),
        "record": sum(line.startswith("/var/lib/brickwork") for line in left),
        "node": sum(line.startswith("/var/lib/iscsi") and line.endswith(",3260") for line in left),
    }
    assert kinds == {"session": 2, "disk": 2, "map": 1, "record": 1, "node": 2}, left


@WHEN
def test_attach(lab: Lab, volume: str, delay: float, step: int) -> None:
    connections = lab.connect(HOST, volume)
    arguments = {"connections": connections, "multipath": True, "min_paths": 2}
    count = 0
    for moment, repeated in moments(lab, HOST, "volume_attach", delay, arguments, step):
        count += 1
        if repeated:
            lab.attach(HOST, connections, min_paths=2)
            attached_once(lab)
            assert not lab.attach(HOST, connections, min_paths=2)["changed"]
        lab.detach(HOST, volume)
        assert lab.leftovers(HOST) == "", f"after moment {moment}"
    assert count
    attached_once(lab)
    lab.detach(HOST, volume)
    lab.disconnect(HOST, volume)


@WHEN
def test_detach(lab: Lab, volume: str, delay: float, step: int) -> None:
    connections = lab.connect(HOST, volume)
    lab.attach(HOST, connections, min_paths=2)
    count = 0
    for moment, repeated in moments(lab, HOST, "volume_attach", delay, {"volumes": [volume], "state": "absent"}, step):
        count += 1
        if repeated:
            lab.detach(HOST, volume)
            assert lab.leftovers(HOST) == "", f"after moment {moment}"
        lab.attach(HOST, connections, min_paths=2)
        attached_once(lab)
    assert count
    assert lab.leftovers(HOST) == ""
    lab.disconnect(HOST, volume)


# A connection is a hundred small writes of LIO's configuration.
@pytest.mark.full
def test_connect(lab: Lab, volume: str) -> None:
    arguments = {"volumes": [volume], "connector": lab.connector(HOST)}
    count = 0
    for moment, repeated in moments(lab, "controller", "volume_connection", 0, arguments, step=40):
        count += 1
        if repeated:
            lab.connect(HOST, volume)
            assert not lab.succeed("controller", "volume_connection", **arguments)["changed"]
        lab.disconnect(HOST, volume)
        assert lab.exported() == "", f"after moment {moment}"
        saved = lab.ssh("controller", "cat /etc/rtslib-fb-target/saveconfig.json")
        assert "brickwork" not in saved, f"after moment {moment}"
    assert count
    lab.disconnect(HOST, volume)


@pytest.mark.full
def test_disconnect(lab: Lab, volume: str) -> None:
    lab.connect(HOST, volume)
    arguments = {"volumes": [volume], "host": HOST, "state": "absent"}
    count = 0
    for moment, repeated in moments(lab, "controller", "volume_connection", 0, arguments, step=30):
        count += 1
        if repeated:
            lab.disconnect(HOST, volume)
            assert lab.exported() == "", f"after moment {moment}"
        lab.connect(HOST, volume)
    assert count


BATCH = ["test-killed-1", "test-killed-2"]


@pytest.fixture
def untouched(lab: Lab) -> Iterator[str]:
    """The logical volumes of the backend without the batch; the same afterwards."""
    # A run that was cut short may have left it.
    lab.module("controller", "volume", volumes=BATCH, state="absent")
    before = logical_volumes(lab)
    yield before
    lab.module("controller", "volume", volumes=BATCH, state="absent")
    assert logical_volumes(lab) == before


def logical_volumes(lab: Lab) -> str:
    """Name and size of each, as LVM lists them."""
    return lab.ssh("controller", "lvs --noheadings --units b -o lv_name,lv_size vg0")


@pytest.mark.full
def test_create(lab: Lab, untouched: str) -> None:
    arguments = {"volumes": BATCH, "size": "64MiB"}
    count = 0
    for moment, repeated in moments(lab, "controller", "volume", 0, arguments, step=1):
        count += 1
        if repeated:
            made = lab.succeed("controller", "volume", **arguments)["volumes"]
            assert [volume["size_bytes"] for volume in made] == [64 * 2**20] * 2, f"after moment {moment}"
            assert len({volume["id"] for volume in made}) == 2
            assert not lab.succeed("controller", "volume", **arguments)["changed"]
        lab.succeed("controller", "volume", volumes=BATCH, state="absent")
        assert logical_volumes(lab) == untouched, f"after moment {moment}"
    assert count


@pytest.mark.full
def test_delete(lab: Lab, untouched: str) -> None:
    wanted = {"volumes": BATCH, "size": "64MiB"}
    lab.succeed("controller", "volume", **wanted)
    mark(lab)
    count = 0
    for moment, repeated in moments(lab, "controller", "volume", 0, {"volumes": BATCH, "state": "absent"}, step=1):
        count += 1
        if repeated:
            lab.succeed("controller", "volume", volumes=BATCH, state="absent")
            assert logical_volumes(lab) == untouched, f"after moment {moment}"
        made = lab.succeed("controller", "volume", **wanted)["volumes"]
        assert [volume["size_bytes"] for volume in made] == [64 * 2**20] * 2, f"after moment {moment}"
        # One that was kept is whole, one that was made anew shows nothing of its predecessor.
        assert marks(lab) == ["0", "0"] if repeated else set(marks(lab)) <= {"0", "2"}, f"after moment {moment}"
        mark(lab)
    assert count


MARKED = "/dev/vg0/test-killed-*"


def mark(lab: Lab) -> None:
    """Write to the beginning and to the end of each volume of the batch."""
    write = "printf x | dd of=$v bs=1 seek=$at conv=fsync,notrunc status=none"
    lab.ssh("controller", f"for v in {MARKED}; do for at in 0 67108863; do {write}; done; done")


def marks(lab: Lab) -> list[str]:
    """How many bytes of each are not zero."""
    return lab.ssh("controller", f"for v in {MARKED}; do head -c 67108864 $v | tr -d '\\0' | wc -c; done").split()
