# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put together what hosts and controllers told into one picture of the fleet. Pure: results go in, one dictionary comes out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Any

from ansible_collections.brickwork.storage.plugins.plugin_utils.report import health, lines, told
from ansible_collections.brickwork.storage.plugins.plugin_utils.report.catalogue import Catalogue, Volume
from ansible_collections.brickwork.storage.plugins.plugin_utils.report.controllers import backend, controller
from ansible_collections.brickwork.storage.plugins.plugin_utils.report.hosts import Host, Hosts
from ansible_collections.brickwork.storage.plugins.plugin_utils.report.lines import Line
from ansible_collections.brickwork.storage.plugins.plugin_utils.report.told import Result

# By controller, its results of the two modules as C(connections) and C(backends).
Controllers = Mapping[str, Mapping[str, Result]]


def fleet(
    hosts: Mapping[str, Result],
    connections: Mapping[str, Result],
    backends: Mapping[str, Result],
) -> dict[str, Any]:
    """The fleet.

    Args:
        hosts: the results of volume_attach_info, by host.
        connections: the results of volume_connection_info, by controller.
        backends: the results of volume_backend_info, by controller.

    Returns:
        C(controllers), C(backends), C(hosts), C(volumes), C(lines), C(unclaimed) and C(counts). A line names its volume and its host
        by their places in C(volumes) and C(hosts).
    """
    controllers = {
        name: {"connections": result, "backends": backends.get(name, {})} for name, result in connections.items()
    }
    asked, catalogue = Hosts(hosts), Catalogue()
    for name, result in connections.items():
        for volume in result.get("volumes", ()):
            catalogue.add_of_controller(name, volume)
    every = [
        lines.of_attachment(catalogue.of_attachment(attachment), host, attachment)
        for host in asked.all
        for attachment in host.attachments
    ]
    every += _compared(every, catalogue, asked, _read_whole(controllers))
    used = {id(line.volume) for line in every}
    every += [Line(volume, None, held=False, attached=False) for volume in catalogue.volumes if id(volume) not in used]
    busy = {id(line.host) for line in every}
    # A controller is asked as a host too, which it need not be.
    shown = [host for host in asked.all if id(host) in busy or host.unclaimed or host.name not in controllers]
    every += [lines.of_silent_host(host) for host in shown if id(host) not in busy and host.state != told.TOLD]
    for line in every:
        for problem in line.volume.problems if line.volume else ():
            line.add_problem(health.DEGRADED, problem)
    return _shape(every, catalogue.volumes, shown, controllers)


def _compared(every: list[Line], catalogue: Catalogue, hosts: Hosts, whole: set[str]) -> list[Line]:
    """Compare what hosts have with what controllers have connected.

    Args:
        every: the lines of the hosts' attachments, which learn who holds them.
        catalogue: the volumes.
        hosts: of the fleet; one that only a controller names is added.
        whole: the backends of which every volume is known.

    Returns:
        The lines of the connections that no host told of.
    """
    more = []
    by_pair = {(id(line.volume), id(line.host)): line for line in every}
    for volume in catalogue.volumes:
        for holder in volume.holders:
            host = hosts.named(holder["host"])
            line = by_pair.pop((id(volume), id(host)), None)
            if line is None:
                line = lines.of_holder(volume, host)
                more.append(line)
            line.held, line.used_from = True, list(holder.get("sessions", ()))
    for line in by_pair.values():
        _judge_not_held(line, whole)
    return more


def _judge_not_held(line: Line, whole: set[str]) -> None:
    """Say what is wrong with an attachment for which no controller has made the connection."""
    volume, host = line.volume, line.host
    if volume is None or host is None:
        return
    if volume.controller and line.attached:
        sentence = f"{volume.controller} has not connected it to {host.name}, which has it. Detach it there, or attach it again."
    elif not volume.controller and line.recorded and volume.backend in whole:
        sentence = (
            f"{volume.backend} has no volume {volume.label} of this id. See whether it was deleted, and detach it."
        )
    else:
        return
    line.held = False
    line.add_problem(health.DEGRADED, sentence)


def _read_whole(controllers: Controllers) -> set[str]:
    """The backends of which every volume is known; where several controllers have one of that name, of all of them."""
    known: dict[str, bool] = {}
    for results in controllers.values():
        whole = "volumes" in results["connections"] and not results["connections"].get("errors")
        for seen in results["backends"].get("backends", ()):
            known[seen["name"]] = known.get(seen["name"], True) and whole and bool(seen["usable"])
    return {name for name, whole in known.items() if whole}


def _shape(every: list[Line], volumes: list[Volume], hosts: list[Host], controllers: Controllers) -> dict[str, Any]:
    """The fleet as a dictionary."""
    of_volume = _worst((id(line.volume), line.health) for line in every)
    of_host = _worst((id(line.host), line.health) for line in every)
    shaped_volumes = [_volume(volume, of_volume[id(volume)]) for volume in volumes]
    shaped_hosts = [_host(host, of_host.get(id(host), health.OK)) for host in hosts]
    place_of_volume = {id(volume): place for place, volume in enumerate(volumes)}
    place_of_host = {id(host): place for place, host in enumerate(hosts)}
    return {
        "controllers": [controller(name, **results) for name, results in controllers.items()],
        "backends": [
            backend(name, seen)
            for name, results in controllers.items()
            for seen in results["backends"].get("backends", ())
        ],
        "hosts": shaped_hosts,
        "volumes": shaped_volumes,
        "lines": [line.as_dict(place_of_volume, place_of_host) for line in every],
        "unclaimed": [*_unclaimed(hosts), *_strangers(controllers)],
        "counts": {
            "hosts": Counter(host["health"] for host in shaped_hosts),
            "volumes": Counter(volume["health"] for volume in shaped_volumes),
            "paths": sum(line.expected_paths for line in every),
            "working_paths": sum(line.working_paths for line in every),
        },
    }


def _volume(volume: Volume, state: str) -> dict[str, Any]:
    return {
        "name": volume.label,
        "id": volume.id,
        "wwn": volume.wwn,
        "size_bytes": volume.size_bytes,
        "backend": volume.backend,
        "controller": volume.controller,
        "shared": volume.shared,
        "health": state,
    }


def _host(host: Host, state: str) -> dict[str, Any]:
    told_it = host.state == told.TOLD
    return {
        "name": host.name,
        "state": host.state,
        "health": state if told_it else health.UNKNOWN,
        "problems": host.problems,
    }


def _worst(pairs: Iterable[tuple[Hashable, str]]) -> dict[Hashable, str]:
    """The worst health of each."""
    found: dict[Hashable, str] = {}
    for key, state in pairs:
        found[key] = health.worst((found.get(key, health.OK), state))
    return found


def _unclaimed(hosts: Iterable[Host]) -> Iterator[dict[str, Any]]:
    """What came to hosts and belongs to no volume."""
    for host in hosts:
        for item in host.unclaimed:
            yield {"where": host.name, "kind": item["kind"], "name": item["name"], "problem": item["problem"]}


def _strangers(controllers: Controllers) -> Iterator[dict[str, Any]]:
    """What is in a backend and was not made by it."""
    for name, results in controllers.items():
        for item in results["connections"].get("strangers", ()):
            found = f"{item['backend']}/{item['name']}"
            yield {"where": name, "kind": "stranger", "name": found, "problem": item["msg"]}
