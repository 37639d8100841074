# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names that several hosts have, and what is to be done about them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.brickwork.storage.plugins.module_utils.host.unique_names import KINDS, LABELS

Hosts = Mapping[str, Mapping[str, Any]]


def shared_names(hosts: Hosts) -> dict[str, dict[str, Any]]:
    """The filter: see shared_names.yml."""
    found: dict[str, dict[str, Any]] = {}
    for kind in KINDS:
        for name in sorted({host["names"][kind] for host in hosts.values() if host["names"][kind]}):
            sharing = {key: host for key, host in hosts.items() if host["names"][kind] == name}
            # A machine may stand in an inventory twice.
            if len({host["boot"] for host in sharing.values()}) > 1:
                _decide(kind, name, sharing, found)
    return found


def _decide(kind: str, name: str, sharing: Hosts, found: dict[str, dict[str, Any]]) -> None:
    reasons = {host: list(result["users"][kind]) for host, result in sharing.items()}
    if kind == "initiator":
        for host, result in sharing.items():
            reasons[host] += ["host_setup_initiator_name"] if result["explicit"] else []
    keeping = {sharing[host]["boot"] for host, its in reasons.items() if its}
    if len(keeping) > 1:
        told = "; ".join(f"{host} by {', '.join(its)}" for host, its in sorted(reasons.items()) if its)
        sentence = (
            f"{', '.join(sorted(sharing))} have one {LABELS[kind]}, {name}, so a storage system takes them for one host, and more than one "
            f"of them has to keep it: {told}. Detach the volumes of all but one of them, or set another name, and repeat this."
        )
        for host in sharing:
            _of(host, found)["refused"].append(sentence)
        return
    for host, result in sharing.items():
        if result["boot"] not in keeping:
            _of(host, found)["renew"].append(kind)


def _of(host: str, found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return found.setdefault(host, {"renew": [], "refused": []})
