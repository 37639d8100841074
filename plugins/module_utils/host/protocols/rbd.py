# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""RBD: what a connection_info must hold, and where the image is found on this host. It is attached as a block device."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.brickwork.storage.plugins.module_utils.errors import invalid
from ansible_collections.brickwork.storage.plugins.module_utils.host import rbd_mappings
from ansible_collections.brickwork.storage.plugins.module_utils.host.found import Found, FoundPath
from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols.export import BrickExport, Portal
from ansible_collections.brickwork.storage.plugins.module_utils.host.rbd_mappings import Mapping
from ansible_collections.brickwork.storage.plugins.module_utils.host.sysfs import Sysfs

# udev writes names of this kind into its link as they are, and rbd takes none of them for an option.
NAME = r"[A-Za-z0-9_.][A-Za-z0-9_.+:=#-]*"
SECRET = re.compile(r"^\s*key\s*=\s*\S+\s*$", re.MULTILINE)


@dataclass(frozen=True)
class RbdExport(BrickExport):
    """An image of a pool. Its one path stands for all monitors: the kernel speaks with the whole cluster."""

    pool: str = ""
    image: str = ""
    monitors: tuple[Portal, ...] = ()

    engine = "rbd"
    several_paths = False

    @property
    def link(self) -> str:
        """The link that ceph-common's udev rule makes."""
        return f"/dev/rbd/{self.pool}/{self.image}"

    def find(self, view: Sysfs, wwn: Optional[str]) -> Found:
        there = rbd_mappings.mappings_of(view, self.pool, self.image)
        if wwn is None:
            there = [mapping for mapping in there if not self.is_elsewhere(mapping)]
        elif any(mapping.identity == wwn for mapping in there):
            there = [mapping for mapping in there if mapping.identity == wwn]
        return Found(
            paths=tuple(
                FoundPath(
                    mapping.device, self.portals[0].address, "running", mapping.identity, mapping.size_bytes, False
                )
                for mapping in there
            )
        )

    def is_elsewhere(self, mapping: Mapping) -> bool:
        """Whether a mapping goes to another cluster, as far as addresses can tell: one with the same names of pool and image."""
        own = {monitor.host_and_port[0] for monitor in self.monitors}
        comparable = mapping.monitors and all(_is_address(host) for host in own)
        return bool(comparable) and not own & mapping.monitors

    def links(self, wwid: Optional[str], multipath: bool) -> list[str]:
        return [self.link]

    def attach_info(self, found: Found) -> dict[str, Any]:
        return {"type": "block", "path": self.link}

    def rescans(self, view: Sysfs, found: Found) -> list[tuple[str, str]]:
        directory = view.attribute_path(rbd_mappings.DEVICES)
        return [(f"{directory}/{path.device[len('rbd') :]}/refresh", "1") for path in found.paths]


def validate(data: dict[str, Any], where: str, secret_needed: bool) -> RbdExport:
    """Check the C(data) of an RBD connection_info.

    Args:
        data: in os-brick's form, numbers possibly as strings.
        where: the field's name in messages, C(connections[0].connection_info.data).
        secret_needed: not used: without C(keyring) the host's own keyring is.

    Raises:
        StorageError: C(invalid_argument), naming the field.
    """
    named = data.get("name")
    matched = re.fullmatch(f"({NAME})/({NAME})", named) if isinstance(named, str) else None
    if not isinstance(named, str) or not matched:
        raise invalid(f"{where}.name", "the names of pool and image, as in volumes/db-data", named)
    monitors = _monitors(data, where, named)
    user = data.get("auth_username")
    if user is not None and (not isinstance(user, str) or not re.fullmatch(NAME, user)):
        raise invalid(f"{where}.auth_username", "the name of a Ceph user without client., or null", user)
    cluster = data.get("cluster_name") or "ceph"
    if not isinstance(cluster, str) or not re.fullmatch(NAME, cluster):
        raise invalid(f"{where}.cluster_name", "the name of the cluster", cluster)
    keyring = data.get("keyring")
    if keyring and not (user and isinstance(keyring, str) and f"[client.{user}]" in keyring and SECRET.search(keyring)):
        # The value is a secret: the message must not repeat it.
        expected = "a keyring as Ceph writes it, with a key for the user that auth_username names"
        raise invalid(f"{where}.keyring", expected, "***")
    return RbdExport(
        portals=(Portal(",".join(monitor.address for monitor in monitors), named),),
        data={
            "name": named,
            "hosts": [monitor.host_and_port[0] for monitor in monitors],
            "ports": [str(monitor.host_and_port[1]) for monitor in monitors],
            "cluster_name": cluster,
            "auth_enabled": user is not None,
            "auth_username": user,
            "keyring": keyring,
        },
        connector="RBD",
        settings={"do_local_attach": True},
        pool=matched[1],
        image=matched[2],
        monitors=monitors,
    )


def _monitors(data: dict[str, Any], where: str, name: str) -> tuple[Portal, ...]:
    hosts, ports = data.get("hosts"), data.get("ports")
    if not isinstance(hosts, list) or not hosts:
        raise invalid(f"{where}.hosts", "a list with the address of each monitor", hosts)
    if not isinstance(ports, list) or len(ports) != len(hosts):
        raise invalid(f"{where}.ports", f"a list with a port for each of the {len(hosts)} hosts", ports)
    monitors = []
    for index, (host, port) in enumerate(zip(hosts, ports)):
        bare = host.strip("[]") if isinstance(host, str) else ""
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:%-]*|::[A-Za-z0-9:]+", bare):
            raise invalid(f"{where}.hosts[{index}]", "the address of a monitor", host)
        if isinstance(port, bool) or not re.fullmatch(r"\d{1,5}", str(port)) or not 0 < int(port) < 65536:
            raise invalid(f"{where}.ports[{index}]", "the port of a monitor", port)
        monitors.append(Portal(f"[{bare}]:{int(port)}" if ":" in bare else f"{bare}:{int(port)}", name))
    return tuple(monitors)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
