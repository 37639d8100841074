# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots, volumes made from them and from other volumes, thick and thin, on a real controller."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.brickwork.storage.tests.integration.killing import make_interpreter, moments
from ansible_collections.brickwork.storage.tests.integration.lab import Lab
from ansible_collections.brickwork.storage.tests.integration.writing import MIB, read, write

CONTROLLER = "controller"
HOST = "host1"
SIZE_MIB = 64
SIZE = SIZE_MIB * MIB
NAMES = ("snap-data", "snap-clone", "snap-copy", "snap-other")
SNAPSHOTS = ("snap-then", "snap-later")
POOL = "vg0-pool"
THIN = "/run/test/thin.conf"
# Everything that LVM has, hidden parts included, with what decides how it can be used.
LISTING = "lvs -a --noheadings --units b -o lv_name,lv_size,lv_tags,origin,pool_lv vg0; vgs --noheadings --units b -o vg_free vg0"


@pytest.fixture(scope="module", params=["thick", "thin"])
def config(lab: Lab, request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """The arguments that choose the backend: the lab's own, and one with thin volumes in a pool of the same group."""
    if request.param == "thick":
        yield {}
        return
    lab.ssh(
        CONTROLLER,
        f"mkdir -p /run/test; sed 's/^volume_driver.*/&\\nlvm_type = thin/' /etc/brickwork/backends.conf > {THIN}\n"
        f"lvs vg0/{POOL} >/dev/null 2>&1 || lvcreate -qq --yes --type thin-pool -L 512M -n {POOL} vg0",
    )
    yield {"config": THIN}
    lab.ssh(CONTROLLER, f"lvremove -qq --yes vg0/{POOL}")


class Backend:
    """The modules of the controller, for one backend, which must succeed."""

    def __init__(self, lab: Lab, config: dict[str, Any]) -> None:
        self.lab = lab
        self.config = config
        self.thin = bool(config)

    def volume(self, *names: str, **arguments: Any) -> dict[str, Any]:
        return self.lab.succeed(CONTROLLER, "volume", volumes=list(names), **self.config, **arguments)

    def snapshot(self, *names: str, **arguments: Any) -> dict[str, Any]:
        return self.lab.succeed(CONTROLLER, "volume_snapshot", snapshots=list(names), **self.config, **arguments)

    def refuse(self, module: str, code: str, **arguments: Any) -> dict[str, Any]:
        return self.lab.refuse(CONTROLLER, module, code, **self.config, **arguments)

    def attach(self, name: str) -> str:
        """Attach a volume to the host; returns its device."""
        connections = self.lab.connect(HOST, name, **self.config)
        path: str = self.lab.attach(HOST, connections)["attachments"][0]["path"]
        return path

    def detach(self, name: str) -> None:
        self.lab.detach(HOST, name)
        self.lab.disconnect(HOST, name, **self.config)

    def listing(self) -> str:
        return self.lab.ssh(CONTROLLER, LISTING)

    def remove_all(self) -> None:
        """The snapshots, and the volumes: the copies first, because what is being copied is not deleted."""
        if "brickwork.connection" in self.listing():
            names: dict[str, Any] = {"volumes": list(NAMES), "state": "absent"}
            self.lab.module(HOST, "volume_attach", force=True, **names)
            self.lab.module(CONTROLLER, "volume_connection", all_hosts=True, fenced=True, **names, **self.config)
        self.volume(*NAMES[1:], state="absent")
        self.snapshot(*SNAPSHOTS, state="absent")
        self.volume(NAMES[0], state="absent")


@pytest.fixture
def backend(lab: Lab, config: dict[str, Any]) -> Iterator[Backend]:
    """A backend with a volume snap-data; afterwards LVM has exactly what it had before."""
    found = Backend(lab, config)
    if any(name in found.listing() for name in (*NAMES, *SNAPSHOTS)):
        found.remove_all()
    before = found.listing()
    found.volume("snap-data", size=str(SIZE))
    yield found
    found.remove_all()
    assert found.listing() == before


def test_what_an_attached_volume_had_is_in_the_clone_and_in_the_copy(backend: Backend, lab: Lab) -> None:
    device = backend.attach("snap-data")
    then = write(lab, HOST, device, "then", SIZE_MIB)
    predicted = lab.module(
        CONTROLLER, "volume_snapshot", check=True, snapshots=["snap-then"], volume="snap-data", **backend.config
    )
    taken = backend.snapshot("snap-then", volume="snap-data")
    assert (predicted["changed"], taken["changed"]) == (True, True)
    assert {**taken["snapshots"][0], "id": None} == predicted["snapshots"][0]
    again = backend.snapshot("snap-then", volume="snap-data")
    assert (again["changed"], again["snapshots"]) == (False, taken["snapshots"])

    now = write(lab, HOST, device, "now", SIZE_MIB)
    assert now != then
    clone = backend.volume("snap-clone", snapshot="snap-then", size=str(2 * SIZE))["volumes"][0]
    copy = backend.volume("snap-copy", source_volume="snap-data")["volumes"][0]
    assert (clone["size_bytes"], copy["size_bytes"]) == (2 * SIZE, SIZE)
    assert not backend.volume("snap-clone", snapshot="snap-then", size=str(2 * SIZE))["changed"]
    assert not backend.volume("snap-copy", source_volume="snap-data")["changed"]

    assert read(lab, HOST, backend.attach("snap-clone"), SIZE_MIB) == then
    assert read(lab, HOST, backend.attach("snap-copy"), SIZE_MIB) == now
    # They are on their own: what is written to one is in no other.
    write(lab, HOST, device, "later", 1)
    backend.snapshot("snap-then", state="absent")
    assert read(lab, CONTROLLER, "/dev/vg0/snap-clone", SIZE_MIB) == then
    assert read(lab, CONTROLLER, "/dev/vg0/snap-copy", SIZE_MIB) == now
    for name in ("snap-data", "snap-clone", "snap-copy"):
        backend.detach(name)


def test_a_snapshot_holds_whatever_is_written(backend: Backend, lab: Lab) -> None:
    then = write(lab, CONTROLLER, "/dev/vg0/snap-data", "then", SIZE_MIB)
    backend.snapshot(*SNAPSHOTS, volume="snap-data")
    write(lab, CONTROLLER, "/dev/vg0/snap-data", "all of it", SIZE_MIB)
    backend.volume("snap-clone", "snap-copy", snapshot="snap-later")
    assert read(lab, CONTROLLER, "/dev/vg0/snap-clone", SIZE_MIB) == then
    assert read(lab, CONTROLLER, "/dev/vg0/snap-copy", SIZE_MIB) == then


def test_refusals(backend: Backend, lab: Lab) -> None:
    backend.snapshot("snap-then", volume="snap-data")
    kept = backend.refuse("volume", "failed_precondition", volumes=["snap-data"], state="absent")
    assert kept["snapshots"] == ["snap-then"]
    near = backend.refuse("volume_snapshot", "not_found", snapshots=["snap-later"], volume="snap-dat")
    assert near["candidates"][0] == "snap-data"
    near = backend.refuse("volume", "not_found", volumes=["snap-clone"], snapshot="snap-ten")
    assert near["candidates"] == ["snap-then"]
    backend.volume("snap-other", size="8MiB")
    taken = backend.refuse("volume_snapshot", "already_exists", snapshots=["snap-then"], volume="snap-other")
    assert "snap-data" in taken["msg"]
    other = backend.refuse("volume", "already_exists", volumes=["snap-other"], snapshot="snap-then")
    assert "not made from anything" in other["msg"]
    small = backend.refuse("volume", "invalid_argument", volumes=["snap-clone"], snapshot="snap-then", size="8MiB")
    assert small["field"] == "size"
    backend.refuse("volume", "already_exists", volumes=["snap-then"], size="8MiB")
    if backend.thin:
        assert backend.volume("snap-data", size=str(2 * SIZE))["changed"]
    else:
        grown = backend.refuse("volume", "failed_precondition", volumes=["snap-data"], size=str(2 * SIZE))
        assert grown["snapshots"] == ["snap-then"]


def test_a_snapshot_made_by_hand_is_not_lost_with_its_volume(backend: Backend, lab: Lab) -> None:
    room = "" if backend.thin else "-L 8M"
    lab.ssh(CONTROLLER, f"lvcreate -qq --yes -s {room} -n by-hand vg0/snap-data")
    if backend.thin:
        assert backend.volume("snap-data", state="absent")["changed"]
    else:
        kept = backend.refuse("volume", "failed_precondition", volumes=["snap-data"], state="absent")
        assert kept["snapshots"] == ["by-hand"]
    lab.ssh(CONTROLLER, "lvremove -qq --yes vg0/by-hand")


def test_nothing_of_a_deleted_snapshot_shows_up_in_the_next_volume(backend: Backend, lab: Lab) -> None:
    mark = "rest-of-an-earlier-volume"
    lab.ssh(
        CONTROLLER,
        f"yes {mark} | head -c {SIZE} | dd of=/dev/vg0/snap-data bs=1M iflag=fullblock oflag=direct status=none",
    )
    backend.snapshot("snap-then", volume="snap-data")
    # Now the snapshot has a copy of everything.
    lab.ssh(CONTROLLER, "blkdiscard --zeroout /dev/vg0/snap-data")
    assert int(lab.ssh(CONTROLLER, f"lvchange -K -ay vg0/snap-then; grep -c {mark} /dev/vg0/snap-then"))
    if backend.thin:
        lab.ssh(CONTROLLER, "lvchange -an vg0/snap-then")
    backend.snapshot("snap-then", state="absent")
    backend.volume("snap-other", size=str(SIZE + 4 * MIB))
    assert lab.ssh(CONTROLLER, f"grep -c {mark} /dev/vg0/snap-other; true").strip() == "0"


@pytest.fixture(scope="module", autouse=True)
def interpreter(lab: Lab) -> None:
    make_interpreter(lab, CONTROLLER)


@pytest.mark.full
@pytest.mark.parametrize(
    ("source", "delay", "step"),
    [
        pytest.param("source_volume", 0, 7, id="of a volume"),
        pytest.param("snapshot", 0, 7, id="of a snapshot"),
        # In the middle of what takes long: the copying and the clearing.
        pytest.param("source_volume", 0.4, 3, id="of a volume, a little later"),
    ],
)
def test_a_killed_copy_is_completed_or_removed(
    backend: Backend, lab: Lab, source: str, delay: float, step: int
) -> None:
    data = write(lab, CONTROLLER, "/dev/vg0/snap-data", "then", SIZE_MIB)
    backend.snapshot("snap-then", volume="snap-data")
    without = backend.listing()
    arguments: dict[str, Any] = {
        "volumes": ["snap-clone"],
        source: "snap-data" if source == "source_volume" else "snap-then",
    }
    count = 0
    for moment, repeated in moments(lab, CONTROLLER, "volume", delay, {**arguments, **backend.config}, step):
        count += 1
        unfinished = "brickwork.unfinished" in backend.listing()
        if unfinished:
            connector = lab.connector(HOST)
            backend.refuse("volume_connection", "failed_precondition", volumes=["snap-clone"], connector=connector)
        if repeated:
            backend.volume("snap-clone", **{key: value for key, value in arguments.items() if key != "volumes"})
            assert read(lab, CONTROLLER, "/dev/vg0/snap-clone", SIZE_MIB) == data, f"after moment {moment}"
            assert "brickwork.unfinished" not in backend.listing()
            assert "brickwork_copy" not in backend.listing()
        backend.volume("snap-clone", state="absent")
        assert backend.listing() == without, f"after moment {moment}"
        assert lab.ssh(CONTROLLER, "pgrep -x dd; true") == ""
    assert count


@pytest.mark.full
def test_a_killed_deletion_of_a_snapshot_is_completed_or_made_anew(backend: Backend, lab: Lab) -> None:
    without = backend.listing()
    wanted: dict[str, Any] = {"volume": "snap-data"}
    backend.snapshot("snap-then", **wanted)
    count = 0
    for moment, repeated in moments(
        lab, CONTROLLER, "volume_snapshot", 0, {"snapshots": ["snap-then"], "state": "absent", **backend.config}, 1
    ):
        count += 1
        if repeated:
            backend.snapshot("snap-then", state="absent")
            assert backend.listing() == without, f"after moment {moment}"
        taken = backend.snapshot("snap-then", **wanted)["snapshots"]
        assert taken[0]["size_bytes"] == SIZE, f"after moment {moment}"
        assert "brickwork.deleting" not in backend.listing()
    assert count
