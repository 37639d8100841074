# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""RBD images that the kernel has mapped: read-only, and without starting a program."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from ansible_collections.brickwork.storage.plugins.module_utils.host.files import entries, text
from ansible_collections.brickwork.storage.plugins.module_utils.host.sysfs import Sysfs

DEVICES = "bus/rbd/devices"
# How the kernel writes that a mapping is of the image itself.
NO_SNAPSHOT = "-"


@dataclass(frozen=True)
class Mapping:
    """An image that is a block device of this host.

    Args:
        number: the kernel's, the N of C(rbdN).
        pool: its name.
        namespace: in the pool; empty for the one without a name.
        image: its name, unique in the namespace only.
        snapshot: of the image; None for the image itself, empty where the kernel does not tell.
        identity: cluster and image as they call themselves, whatever their names; None where the kernel does not tell.
        monitors: the addresses without ports by which it was mapped; empty where the kernel does not tell.
        size_bytes: as the kernel sees it now.
    """

    number: int
    pool: str
    namespace: str
    image: str
    snapshot: Optional[str]
    identity: Optional[str]
    monitors: frozenset[str]
    size_bytes: int

    @property
    def device(self) -> str:
        return f"rbd{self.number}"

    @property
    def name(self) -> str:
        """The image as rbd writes it, C(pool/namespace/image@snapshot), without what is not there."""
        parts = "/".join(part for part in (self.pool, self.namespace, self.image) if part)
        return f"{parts}@{self.snapshot}" if self.snapshot else parts


def mappings(view: Sysfs) -> list[Mapping]:
    """Every mapping, in whichever cluster the image is; those of snapshots too."""
    found = []
    for entry in entries(Path(view.attribute_path(DEVICES))):
        pool, image, snapshot = text(entry / "pool"), text(entry / "name"), text(entry / "current_snap")
        size = view.size_bytes(f"rbd{entry.name}")
        if not (entry.name.isdigit() and pool and image) or size is None:
            continue  # on its way out
        cluster, image_id = text(entry / "cluster_fsid"), text(entry / "image_id")
        addresses = text(entry / "config_info").split(" ")[0].split(",")
        found.append(
            Mapping(
                int(entry.name),
                pool,
                text(entry / "pool_ns"),
                image,
                None if snapshot == NO_SNAPSHOT else snapshot,
                f"{cluster}.{image_id}" if cluster and image_id else None,
                frozenset(host_of(address) for address in addresses if address),
                size,
            )
        )
    return found


def mappings_of(view: Sysfs, pool: str, image: str) -> list[Mapping]:
    """Every mapping of an image of this name in a pool's namespace without a name; those of its snapshots are none."""
    wanted = (pool, "", image, None)
    return [
        mapping
        for mapping in view.once(mappings)
        if (mapping.pool, mapping.namespace, mapping.image, mapping.snapshot) == wanted
    ]


def removals(view: Sysfs, devices: list[str], force: bool) -> list[tuple[str, str]]:
    """The kernel attributes to write, path and text, so that the kernel lets go of devices.

    Args:
        view: the host.
        devices: kernel names, C(rbd0).
        force: whether even what still writes to them is to fail.
    """
    bus = Path(view.attribute_path("bus/rbd"))
    # The other one is there for programs that are older than device numbers which images share.
    attribute = next(
        (bus / name for name in ("remove_single_major", "remove") if (bus / name).exists()), bus / "remove"
    )
    return [(str(attribute), device[len("rbd") :] + (" force" if force else "")) for device in devices]


def host_of(address: str) -> str:
    """C(10.0.0.1:6789) and C([2001:db8::1]:6789) without port and brackets."""
    return address.rpartition(":")[0].strip("[]")
