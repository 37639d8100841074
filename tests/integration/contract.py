# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The contract that every backend keeps, for the tests of each: its file has a fixture C(storage), and makes these classes its own.

Each test begins and ends with the storage as it was, as its own tools tell.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from ansible_collections.brickwork.storage.tests.integration.lab import Lab
from ansible_collections.brickwork.storage.tests.integration.writing import Writer, read, write

CONTROLLER = "controller"
GIB = 1024**3
# A whole GiB, because some backends know no less.
SIZE = GIB
DATA, COPY, CLONE = VOLUMES = ("contract-data", "contract-copy", "contract-clone")
SNAPSHOT = "contract-then"
WRITTEN_MIB = 4
IDS = re.compile(r"[0-9a-f]{8}(-?)[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{12}")


@dataclass(frozen=True)
class Storage:
    """A backend under test.

    Args:
        lab: that is up.
        config: the path of its configuration on the controller.
        look: a script for the controller that prints all that the storage has, and all that is exported.
        size: of a volume, in bytes.
        paths: how many a host is to reach a volume by; where there are several, it attaches over multipath.
        tells_of_growth: whether hosts learn by themselves that a volume has grown.
        while_connected: whether a volume can grow, and be copied, while a host holds it; else nobody can have it while it has snapshots,
            either.
        delays: how long after a moment the module is killed, where that is tried; a little later, a program that it started is at work.
            After the last moments the module would be done by then: the second of them is 0.
        hosts: two of the lab; for the tests of one host that one.
    """

    lab: Lab
    config: str
    look: str
    size: int = SIZE
    paths: int = 2
    tells_of_growth: bool = False
    while_connected: bool = True
    delays: tuple[float, ...] = (0.3, 0.0)
    hosts: tuple[str, ...] = ("host1", "host2")

    def module(self, name: str, **arguments: Any) -> dict[str, Any]:
        """Run a module of the controller, which must succeed."""
        return self.lab.succeed(CONTROLLER, name, config=self.config, **arguments)

    def refuse(self, name: str, code: str, **arguments: Any) -> dict[str, Any]:
        """Run a module of the controller, which must fail."""
        return self.lab.refuse(CONTROLLER, name, code, config=self.config, **arguments)

    def volume(self, *names: str, **arguments: Any) -> dict[str, Any]:
        return self.module("volume", volumes=list(names), **arguments)

    def snapshot(self, *names: str, **arguments: Any) -> dict[str, Any]:
        return self.module("volume_snapshot", snapshots=list(names), **arguments)

    def connection(self, host: str, *names: str) -> dict[str, Any]:
        """The arguments of a connection."""
        return {"volumes": list(names), "connector": self.lab.connector(host, self.multipath)}

    @property
    def multipath(self) -> bool:
        return self.paths > 1

    def connect(self, host: str, *names: str, **arguments: Any) -> list[dict[str, Any]]:
        done = self.module("volume_connection", **self.connection(host, *names), **arguments)
        connections: list[dict[str, Any]] = done["connections"]
        return connections

    def attach(self, host: str, connections: list[dict[str, Any]]) -> dict[str, Any]:
        return self.lab.attach(host, connections, multipath=self.multipath, min_paths=self.paths)

    def path(self, host: str, name: str, **arguments: Any) -> str:
        """Connect a volume and attach it; returns its device or file."""
        path: str = self.attach(host, self.connect(host, name, **arguments))["attachments"][0]["path"]
        return path

    def detach(self, host: str, *names: str) -> None:
        """Detach volumes, and disconnect them."""
        self.lab.detach(host, *names)
        assert self.module("volume_connection", volumes=list(names), host=host, state="absent")["changed"]

    def can(self, capability: str) -> bool:
        return capability in self._capabilities

    @functools.cached_property
    def _capabilities(self) -> list[str]:
        (backend,) = self.module("volume_backend_info")["backends"]
        capabilities: list[str] = backend["capabilities"]
        return capabilities

    def listing(self) -> list[str]:
        """What the storage has, without what differs from one time to the next."""
        return sorted(IDS.sub("ID", line).strip() for line in self.lab.ssh(CONTROLLER, self.look).splitlines())

    def remove_all(self) -> None:
        """Whatever a test has left."""
        for host in self.hosts:
            if self.lab.leftovers(host):
                self.lab.module(host, "volume_attach", volumes=list(VOLUMES), state="absent", force=True)
        if not any(name in line for name in (*VOLUMES, SNAPSHOT) for line in self.listing()):
            return
        told = self.module("volume_connection_info")["volumes"]
        there = [volume["name"] for volume in told if volume["name"] in VOLUMES]
        held = [volume["name"] for volume in told if volume["name"] in there and volume["holders"]]
        if held:
            self.module("volume_connection", volumes=held, all_hosts=True, fenced=True, state="absent")
        # The copies first: what is being copied is not deleted.
        self.volume(COPY, CLONE, state="absent")
        if self.can("snapshot"):
            self.snapshot(SNAPSHOT, state="absent")
        self.volume(DATA, state="absent")


class Untouched:
    """What each test leaves."""

    @pytest.fixture(autouse=True)
    def untouched(self, storage: Storage) -> Iterator[None]:
        """The storage has afterwards what it had before, and the hosts have nothing."""
        storage.remove_all()
        before = storage.listing()
        yield
        left = {host: storage.lab.leftovers(host) for host in storage.hosts}
        storage.remove_all()
        assert storage.listing() == before
        assert not any(left.values()), left


class Flow(Untouched):
    """The way of a volume, from its creation to its end."""

    def test_a_volume_is_made_moved_with_its_data_and_deleted(self, storage: Storage) -> None:
        lab, (first, second) = storage.lab, storage.hosts
        wanted: dict[str, Any] = {"volumes": [DATA], "size": str(storage.size)}
        before = storage.listing()
        assert storage.module("volume", check=True, **wanted)["changed"]
        assert storage.listing() == before
        assert storage.module("volume", **wanted)["changed"]
        assert not storage.module("volume", **wanted)["changed"]
        unconnected = storage.listing()

        connecting = storage.connection(first, DATA)
        predicted = storage.module("volume_connection", check=True, **connecting)
        assert (predicted["changed"], predicted["connections"][0]["connected"]) == (True, False)
        assert lab.succeed(
            first, "volume_attach", check=True, connections=predicted["connections"], multipath=storage.multipath
        )["changed"]
        assert storage.listing() == unconnected
        connections = storage.connect(first, DATA)
        again = storage.module("volume_connection", **connecting)
        assert (again["changed"], again["connections"]) == (False, connections)
        refused = storage.refuse("volume_connection", "failed_precondition", **storage.connection(second, DATA))
        assert refused["errors"][0]["holders"] == [first]
        refused = storage.refuse("volume", "failed_precondition", volumes=[DATA], state="absent")
        assert refused["errors"][0]["holders"] == [first]

        attached = storage.attach(first, connections)
        assert storage.paths == 1 or len(attached["attachments"][0]["paths"]) == storage.paths
        again = storage.attach(first, connections)
        assert (again["changed"], again["attachments"]) == (False, attached["attachments"])
        written = write(lab, first, attached["attachments"][0]["path"], "moved", WRITTEN_MIB)
        (told,) = storage.module("volume_connection_info", volumes=[DATA])["volumes"]
        assert ([holder["host"] for holder in told["holders"]], told["problems"]) == ([first], [])

        storage.detach(first, DATA)
        assert not storage.module("volume_connection", volumes=[DATA], host=first, state="absent")["changed"]
        assert storage.listing() == unconnected
        assert read(lab, second, storage.path(second, DATA), WRITTEN_MIB) == written
        storage.detach(second, DATA)
        assert storage.volume(DATA, state="absent")["changed"]
        assert not storage.volume(DATA, state="absent")["changed"]
        assert storage.listing() == before


class OfOneHost(Untouched):
    """What else a volume can do that one host has."""

    def test_an_attached_volume_grows(self, storage: Storage) -> None:
        lab, host = storage.lab, storage.hosts[0]
        storage.volume(DATA, size=str(storage.size))
        path = storage.path(host, DATA)
        written = write(lab, host, path, "kept", WRITTEN_MIB)
        if not storage.can("grow"):
            storage.refuse("volume", "unimplemented", volumes=[DATA], size=str(2 * storage.size))
            return
        if not storage.while_connected:
            refused = storage.refuse("volume", "failed_precondition", volumes=[DATA], size=str(2 * storage.size))
            assert refused["errors"][0]["holders"] == [host]
            storage.detach(host, DATA)
        assert storage.volume(DATA, size=str(2 * storage.size))["changed"]
        assert not storage.volume(DATA, size=str(2 * storage.size))["changed"]
        connections = storage.connect(host, DATA)
        grown = storage.attach(host, connections)
        assert grown["changed"] is not storage.tells_of_growth
        assert grown["attachments"][0]["size_bytes"] == 2 * storage.size
        assert not storage.attach(host, connections)["changed"]
        assert read(lab, host, path, WRITTEN_MIB) == written
        storage.refuse("volume", "invalid_argument", volumes=[DATA], size=str(storage.size))
        storage.detach(host, DATA)

    def test_snapshots_and_copies_have_what_was_there(self, storage: Storage) -> None:
        lab, host = storage.lab, storage.hosts[0]
        storage.volume(DATA, size=str(storage.size))
        path = storage.path(host, DATA)
        then = write(lab, host, path, "then", WRITTEN_MIB)
        if not storage.can("snapshot"):
            storage.refuse("volume_snapshot", "unimplemented", snapshots=[SNAPSHOT], volume=DATA)
            storage.detach(host, DATA)
            return
        if not storage.while_connected:
            refused = storage.refuse("volume_snapshot", "failed_precondition", snapshots=[SNAPSHOT], volume=DATA)
            assert refused["errors"][0]["holders"] == [host]
            storage.detach(host, DATA)
        assert storage.snapshot(SNAPSHOT, volume=DATA)["changed"]
        assert not storage.snapshot(SNAPSHOT, volume=DATA)["changed"]
        if storage.while_connected:
            now = write(lab, host, path, "now", WRITTEN_MIB)
        else:
            now = then
            storage.refuse("volume_connection", "failed_precondition", **storage.connection(host, DATA))
        assert storage.volume(CLONE, snapshot=SNAPSHOT)["changed"]
        assert storage.volume(COPY, source_volume=DATA)["changed"]
        assert not storage.volume(CLONE, snapshot=SNAPSHOT)["changed"]
        storage.refuse("volume", "failed_precondition", volumes=[DATA], state="absent")
        assert read(lab, host, storage.path(host, CLONE), WRITTEN_MIB) == then
        assert read(lab, host, storage.path(host, COPY), WRITTEN_MIB) == now
        storage.detach(host, CLONE, COPY)
        if storage.while_connected:
            storage.detach(host, DATA)
        assert storage.snapshot(SNAPSHOT, state="absent")["changed"]
        assert read(lab, host, storage.path(host, DATA), WRITTEN_MIB) == now
        storage.detach(host, DATA)


class Contract(OfOneHost):
    """What else a volume can do."""

    def test_sharing_leaves_the_other_host_alone(self, storage: Storage) -> None:
        lab, (leaving, staying) = storage.lab, storage.hosts
        storage.volume(DATA, size=str(storage.size))
        if not storage.can("share"):
            refused = storage.refuse(
                "volume_connection", "unimplemented", shared=True, **storage.connection(leaving, DATA)
            )
            assert DATA in refused["msg"] or "share" in refused["msg"]
            return
        storage.path(leaving, DATA, shared=True)
        path = storage.path(staying, DATA, shared=True)
        writer = Writer(lab, staying, path)
        storage.detach(leaving, DATA)
        writer.prove()
        # It comes and goes again, beside the one that writes.
        storage.path(leaving, DATA, shared=True)
        storage.detach(leaving, DATA)
        writer.prove()
        writer.stop()
        storage.detach(staying, DATA)
