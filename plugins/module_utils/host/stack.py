# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands on a volume: partitions, LVM, encryption, file systems, and where they are mounted. It only reads."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.brickwork.storage.plugins.module_utils.host import mounts, udev
from ansible_collections.brickwork.storage.plugins.module_utils.host.found import Found
from ansible_collections.brickwork.storage.plugins.module_utils.host.mounts import Mount
from ansible_collections.brickwork.storage.plugins.module_utils.host.sysfs import MPATH_UUID_PREFIX, Sysfs
from ansible_collections.brickwork.storage.plugins.module_utils.host.udev import Content

# What the beginning of a device-mapper UUID says.
KINDS = {"LVM-": "lvm", "CRYPT-LUKS": "luks", "CRYPT-": "crypt", MPATH_UUID_PREFIX: "multipath"}


@dataclass(frozen=True)
class Layer:
    """A block device of the stack, or the file in the place of one.

    Args:
        device: its path, C(/dev/dm-2).
        kind: C(volume) for the volume itself, C(path) for one of its paths that is used beside it, C(partition), C(lvm), C(luks),
            C(crypt), C(raid), C(loop), C(multipath), else C(device).
        name: for people: the alias of a map, C(group/volume) of LVM, the name of a mapping; None where the device has none.
        on: the paths of the devices that it stands on; for a file the source of the mount that it is in.
        size_bytes: as the kernel sees it.
        suspended: whether device-mapper holds back what is written to it.
        content: what udev has found on it.
        mounts: where it is mounted.
        swap: whether it is swapped to.
    """

    device: str
    kind: str
    name: Optional[str]
    on: tuple[str, ...]
    size_bytes: Optional[int]
    suspended: bool = False
    content: Content = field(default_factory=Content)
    mounts: tuple[Mount, ...] = ()
    swap: bool = False

    @property
    def mount_points(self) -> list[str]:
        return sorted({mount.point for mount in self.mounts})

    @property
    def is_used(self) -> bool:
        return bool(self.mounts or self.swap)

    def as_dict(self) -> dict[str, Any]:
        """The layer as the module returns it."""
        return {
            "device": self.device,
            "kind": self.kind,
            "name": self.name,
            "on": list(self.on),
            "size_bytes": self.size_bytes,
            # What is mounted is known even where there is no udev.
            "fstype": self.content.fstype or next((mount.fstype for mount in self.mounts), None),
            "uuid": self.content.uuid,
            "label": self.content.label,
            "mount_points": self.mount_points,
            "swap": self.swap,
        }


class Stacks:
    """The stacks of a host, which share what is read once: its mounts and its swap.

    Args:
        view: the host.
    """

    def __init__(self, view: Sysfs) -> None:
        self._view = view

    @functools.cached_property
    def _mounts(self) -> dict[str, list[Mount]]:
        return mounts.by_device(self._view)

    @functools.cached_property
    def _swap(self) -> set[str]:
        return self._view.swap_devices()

    def over(self, found: Found) -> list[Layer]:
        """What stands on a volume, from below: the volume first, and each layer after those that it stands on.

        Its paths follow where something uses them beside it.
        """
        if found.file:
            mount = mounts.around(self._view, found.file)
            layers = [Layer(found.file, "volume", None, (mount.source,) if mount else (), found.size_bytes)]
            for name in self._view.loops_over(found.file):
                layers += self._from(name, "loop", (found.file,), set())
            return layers
        if found.device is None:
            return []
        known = {found.device}
        layers = self._from(found.device, "volume", (), set())
        for path in found.paths:
            if path.device not in known:
                beside = self._from(path.device, "path", (), known)
                layers += beside if len(beside) > 1 or beside[0].is_used else []
        return layers

    def _from(self, bottom: str, kind: str, on: tuple[str, ...], known: set[str]) -> list[Layer]:
        """A device and all that stands on it, but for what is known already."""
        names = self._above(bottom, known)
        layers = [self._layer(bottom, kind, on)]
        for name in names[1:]:
            below = self._view.members(name) or [one for one in names if name in self._view.partitions(one)]
            layers.append(self._layer(name, self._kind(name), tuple(f"/dev/{one}" for one in below)))
        return layers

    def _above(self, bottom: str, known: set[str]) -> list[str]:
        """A device and what stands on it, each after all that it stands on."""
        ordered: list[str] = []

        def visit(name: str) -> None:
            if name not in ordered and name not in known:
                for above in sorted([*self._view.partitions(name), *self._view.holders(name)], reverse=True):
                    visit(above)
                ordered.append(name)

        visit(bottom)
        return ordered[::-1]

    def _layer(self, name: str, kind: str, on: tuple[str, ...]) -> Layer:
        view = self._view
        return Layer(
            f"/dev/{name}",
            kind,
            self._name(name),
            on,
            view.size_bytes(name),
            view.is_suspended(name),
            udev.content(view, name),
            tuple(self._mounts.get(name, ())),
            name in self._swap,
        )

    def _kind(self, name: str) -> str:
        view = self._view
        uuid = view.dm(name, "uuid")
        if view.is_partition(name) or re.match(r"part\d+-", uuid):
            return "partition"
        if view.is_raid(name):
            return "raid"
        return next((kind for prefix, kind in KINDS.items() if uuid.startswith(prefix)), "device")

    def _name(self, name: str) -> Optional[str]:
        dm_name = self._view.dm(name, "name")
        if not dm_name:
            return None
        if self._view.dm(name, "uuid").startswith("LVM-"):
            return lvm_name(dm_name)
        return dm_name


def lvm_name(dm_name: str) -> str:
    """A logical volume as LVM names it, C(group/volume), of its device-mapper name."""
    # device-mapper joins group and volume with one hyphen and doubles those inside the names.
    group = re.findall(r"(?:[^-]|--)*", dm_name)[0]
    return "/".join(part.replace("--", "-") for part in (group, dm_name[len(group) + 1 :]) if part)
