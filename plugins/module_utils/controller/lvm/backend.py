# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The built-in backend: logical volumes, exported by LIO.

The tags of a logical volume say who holds it, and LIO's configuration follows them: a tag is written before the export is opened
to its host, and removed only after the export is closed to it. Whatever moment a call is killed at, the tags still name every
host that may have access, and the same call again, or its opposite, finishes the work.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Callable, Optional

from ansible_collections.brickwork.storage.plugins.module_utils.controller import rules
from ansible_collections.brickwork.storage.plugins.module_utils.controller.backend import (
    Failures,
    Holder,
    Inventory,
    Item,
    Snapshot,
    Volume,
)
from ansible_collections.brickwork.storage.plugins.module_utils.controller.config import Section
from ansible_collections.brickwork.storage.plugins.module_utils.controller.libraries import library, require
from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm import lio, tags, usage
from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm.lvm2 import (
    LogicalVolume,
    VolumeGroup,
)
from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm.provisioning import (
    LogicalVolumes,
    Provisioning,
    new_id,
)
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError, invalid
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline, exclusive

DEFAULT_TARGET_PREFIX = "iqn.2026-11.org.brickwork:"
# To take back what could not be finished, whatever the time of the call.
UNDO_SECONDS = 30
# What only looks at a device, as udev does at a new one, has closed it by then.
SETTLE_SECONDS = 3
SETTLE_POLL_SECONDS = 0.2
SOMETHING = "something that has its device open"


@dataclass(frozen=True)
class Settings:
    """The options of a section of this backend."""

    volume_group: str
    portals: tuple[lio.Portal, ...]
    target_prefix: str
    provisioning: Provisioning


class LvmBackend(LogicalVolumes):
    """Logical volumes of one volume group, exported by LIO."""

    driver = "lvm"
    protocol = "iscsi"
    capabilities = frozenset({"clone", "grow", "shared", "snapshot"})

    def __init__(self, name: str, settings: Settings, deadline: Deadline) -> None:
        self.name = name
        self._settings = settings
        self._provisioning = settings.provisioning
        self._deadline = deadline
        self._group = VolumeGroup(settings.volume_group, deadline)
        self._lio = lio.Lio(settings.target_prefix, settings.portals)
        self._found: Mapping[str, LogicalVolume] = {}

    @classmethod
    def from_section(cls, section: Section, deadline: Deadline) -> LvmBackend:
        """The backend that a section of the configuration describes."""
        found = settings(section)
        require("rtslib_fb")
        return cls(section.name, found, deadline)

    @property
    def lock_name(self) -> str:
        # Not the section's name: that can be changed, and another file can have another one for the same volumes.
        return f"volume-group-{self._settings.volume_group}"

    def until(self, deadline: Deadline) -> LvmBackend:
        other = LvmBackend(self.name, self._settings, deadline)
        other._found = self._found
        return other

    # Reading

    def inventory(self) -> Inventory:
        found = self._group.logical_volumes()
        self._found = {entry.name: entry for entry in found}
        names: dict[Optional[str], list[str]] = {}
        for entry in found:
            names.setdefault(tags.identity(entry.tags), []).append(entry.name)
        ours: dict[str, LogicalVolume] = {}
        strangers: dict[str, str] = {}
        for item_id, alike in names.items():
            if item_id is None:
                strangers.update((name, self._stranger(self._found[name])) for name in alike)
            elif len(alike) > 1:
                strangers.update((name, self._ambiguous(item_id, alike)) for name in alike)
            else:
                ours[item_id] = self._found[alike[0]]
        volumes: dict[str, Volume] = {}
        snapshots: dict[str, Snapshot] = {}
        for item_id, entry in ours.items():
            volume_id = tags.value(tags.SNAPSHOT_OF, entry.tags)
            if volume_id is None:
                volumes[entry.name] = self._volume(entry, item_id)
            else:
                # Somebody may have removed the volume by hand; of a thin one that leaves the snapshot.
                name = ours[volume_id].name if volume_id in ours else volume_id
                snapshots[entry.name] = self._snapshot(entry, item_id, name, volume_id)
        return Inventory(volumes, snapshots, strangers)

    def _volume(self, entry: LogicalVolume, volume_id: str) -> Volume:
        return Volume(
            name=entry.name,
            id=volume_id,
            size_bytes=entry.size_bytes,
            backend=self.name,
            wwn=wwn(volume_id),
            holders=tags.holders(entry.tags),
            shared=tags.SHARED in entry.tags,
            deleting=tags.DELETING in entry.tags,
            source=tags.source_of(entry.tags),
            unfinished=tags.UNFINISHED in entry.tags,
        )

    def _snapshot(self, entry: LogicalVolume, snapshot_id: str, volume: str, volume_id: str) -> Snapshot:
        # A thick snapshot's own size is that of the room for changes. Its volume cannot grow, so that has the size it had.
        size_of = self._found.get(entry.origin, entry) if entry.copies_on_write else entry
        return Snapshot(
            name=entry.name,
            id=snapshot_id,
            volume=volume,
            volume_id=volume_id,
            size_bytes=size_of.size_bytes,
            backend=self.name,
            deleting=tags.DELETING in entry.tags,
        )

    def _stranger(self, entry: LogicalVolume) -> str:
        path = f"{self._settings.volume_group}/{entry.name}"
        if entry.is_pool:
            return f"The logical volume {path} is a thin pool, in which volumes are, and no volume."
        copied_to = tags.value(tags.COPIED_TO, entry.tags)
        if copied_to:
            return (
                f"The logical volume {path} is there as long as the volume with the id {copied_to} is being made from it; "
                "completing or deleting that volume removes it."
            )
        return (
            f"The logical volume {path} exists, but backend {self.name} did not make it, so it is never exported, grown or deleted. "
            f"To hand it over for good: lvchange --addtag {tags.ID}$(uuidgen) {path}"
        )

    def _ambiguous(self, volume_id: str, names: list[str]) -> str:
        return (
            f"The logical volumes {' and '.join(names)} of volume group {self._settings.volume_group} have the same tag "
            f"{tags.ID}{volume_id}; remove it from those that are not the volume (lvchange --deltag)."
        )

    # Volumes

    def rounded(self, size_bytes: int) -> int:
        extent = self._group.space().extent_bytes
        return -(-size_bytes // extent) * extent

    def check_name(self, name: str, field: str) -> None:
        complaint = self._group.name_complaint(name)
        if complaint:
            raise invalid(field, complaint, name)

    def create(self, name: str, size_bytes: int) -> None:
        self._allocate(name, size_bytes, [new_id()])

    def grow(self, volume: Volume, size_bytes: int) -> None:
        self._group.extend(volume.name, size_bytes)

    def users(self, item: Item) -> list[str]:
        entry = self._found[item.name]
        if not entry.active:
            return []
        with self._reading(item):
            found = usage.users(usage.device_number(entry.device))
        return found or ([SOMETHING] if self._stays_open(item) else [])

    def _stays_open(self, item: Item) -> bool:
        """Whether something else than this backend has the device open: a loop device, a virtual machine, another target."""
        # Whoever deletes or copies a volume has it open for as long as that takes; other calls wait for that.
        unfinished = isinstance(item, Volume) and item.unfinished
        if item.deleting or unfinished or self._lio.has_open(item.id):
            return False
        patience = self._deadline.within(SETTLE_SECONDS)
        opened = self._found[item.name].opened
        while opened and not patience.passed:
            time.sleep(SETTLE_POLL_SECONDS)
            opened = any(entry.opened for entry in self._group.logical_volumes() if entry.name == item.name)
        return opened

    def begin_deletion(self, items: Sequence[Item]) -> Failures:
        failures: Failures = {}
        for item in items:
            snapshots = self._snapshots_within(item)
            if snapshots:
                failures[item.name] = StorageError(
                    "failed_precondition",
                    f"The logical volume {item.name} has snapshots that backend {self.name} did not make, and that would go with it: "
                    f"{', '.join(snapshots)}. Remove them first.",
                    snapshots=snapshots,
                )
        going = [item for item in items if item.name not in failures]
        fresh = [item.name for item in going if not item.deleting]
        if fresh:
            self._group.tag(fresh, add=[tags.DELETING])
        for item in going:
            for entry in self._parts(item):
                # What a thick snapshot holds can be cleared only after nothing is copied into it any more.
                if entry.copies_on_write:
                    self._group.split(entry.name)
        self._activate([entry for item in going for entry in self._parts(item) if not entry.pool])
        return failures

    def delete(self, items: Sequence[Item]) -> Failures:
        if not items:
            return {}
        try:
            # First what would not be found again without its volume.
            copies = [entry.name for item in items for entry in self._parts(item)[:-1]]
            if copies:
                self._group.remove(copies)
            self._group.remove([item.name for item in items])
        except StorageError as error:
            # LVM removes what it can.
            self.inventory()
            return {item.name: error for item in items if item.name in self._found}
        return {}

    # Connections

    def holder(self, connector: Mapping[str, Any]) -> Holder:
        initiator = connector.get("initiator")
        if not isinstance(initiator, str) or not lio.INITIATOR.fullmatch(initiator.lower()):
            raise invalid("connector.initiator", lio.INITIATOR_FORM, initiator)
        # The kernel compares iSCSI names in lower case.
        return Holder(rules.connector_host(connector), initiator.lower(), rules.connector_multipath(connector))

    def export(self, volume: Volume) -> Optional[dict[str, Any]]:
        with self._reading(volume):
            export = self._lio.export(volume.id)
        return export.as_dict() if export else None

    def wanted_export(self, volume: Volume) -> Optional[dict[str, Any]]:
        return self._wanted(volume).as_dict() if volume.holders else None

    def _wanted(self, volume: Volume) -> lio.Export:
        device = self._found[volume.name].device
        return self._lio.wanted(volume.id, device, [holder.initiator for holder in volume.holders])

    def reduced_export(self, volume: Volume) -> Optional[dict[str, Any]]:
        if not volume.holders:
            return None
        staying = {holder.initiator for holder in volume.holders}
        with self._reading(volume):
            export = self._lio.export(volume.id)
        if export is None:
            return None
        initiators = {name: complete for name, complete in export.initiators.items() if name in staying}
        return replace(export, initiators=initiators, saved=True).as_dict()

    def sessions(self, volume: Volume) -> dict[str, list[str]]:
        with self._reading(volume):
            return self._lio.sessions(volume.id)

    def connect(self, changes: Sequence[tuple[Volume, Volume]]) -> Failures:
        volumes = [after for before, after in changes]
        try:
            self._retag(changes)
            self._activate(self._found[volume.name] for volume in volumes)
            refused, unsaved = self._change_lio(volumes, self._realise)
            failures, exported = {**unsaved, **refused}, True
        except (StorageError, OSError) as error:
            failures, exported = dict.fromkeys((volume.name for volume in volumes), _failure(error)), False
        # A connection that could not be made leaves nothing behind, or it would keep other hosts away.
        undone = [
            (after, before) for before, after in changes if after.name in failures and before.holders != after.holders
        ]
        return {**failures, **self.until(Deadline(UNDO_SECONDS))._undo(undone, exported, failures)}

    def _undo(self, changes: Sequence[tuple[Volume, Volume]], exported: bool, failures: Failures) -> Failures:
        """Take connections back that could not be made.

        Args:
            changes: each volume as it was to be, and as it was.
            exported: whether LIO was changed.
            failures: why the connections could not be made.

        Returns:
            The failures of the volumes that could not be given back either.
        """
        kept: Failures = {}
        try:
            if changes and exported:
                # What cannot be saved now was not saved before either, so no reboot brings it back.
                kept, _unsaved = self._change_lio([before for after, before in changes], self._withdraw)
            self._retag([change for change in changes if change[1].name not in kept])
        except (StorageError, OSError) as error:
            kept = dict.fromkeys((before.name for after, before in changes), _failure(error))
        return {
            name: StorageError(
                failures[name].code,
                f"{failures[name].message} The volume stays on record as connected, because that could not be taken back: "
                f"{error.message} Release it with state absent.",
                **failures[name].facts,
            )
            for name, error in kept.items()
        }

    def disconnect(self, changes: Sequence[tuple[Volume, Volume]]) -> Failures:
        refused, unsaved = self._change_lio([after for before, after in changes], self._withdraw)
        failures = {**unsaved, **refused}
        self._retag([change for change in changes if change[1].name not in failures])
        return failures

    def connection_info(self, volume: Volume, holder: Holder) -> dict[str, Any]:
        target = self._lio.target_name(volume.id)
        portals = [str(portal) for portal in self._settings.portals]
        with self._reading(volume):
            user, password = self._lio.credentials(volume.id, holder.initiator) or (holder.host, None)
        return {
            "driver_volume_type": "iscsi",
            "data": {
                "target_discovered": False,
                "target_portal": portals[0],
                "target_iqn": target,
                "target_lun": lio.LUN,
                "target_portals": portals,
                "target_iqns": [target] * len(portals),
                "target_luns": [lio.LUN] * len(portals),
                "volume_id": volume.id,
                "auth_method": "CHAP",
                "auth_username": user,
                "auth_password": password,
                "encrypted": False,
                "access_mode": "rw",
            },
        }

    # Edges

    def _realise(self, volume: Volume) -> None:
        self._lio.realise(self._wanted(volume), {holder.initiator: holder.host for holder in volume.holders})

    def _withdraw(self, volume: Volume) -> None:
        self._lio.withdraw(volume.id, [holder.initiator for holder in volume.holders])

    def _change_lio(self, volumes: Sequence[Volume], change: Callable[[Volume], None]) -> tuple[Failures, Failures]:
        """Change the exports of volumes, and save those that succeeded at once.

        A volume that failed stays marked as not saved, so that the next call for it does not take it for finished.

        Returns:
            The volumes that were not changed, and those that were, but not saved.

        Raises:
            StorageError, OSError: where nothing was changed at all.
        """
        refused: Failures = {}
        unsaved: Failures = {}
        # Other backends of this controller have their own lock, but the same LIO and the same file.
        with exclusive("lio", f"exports of backend {self.name}", self._deadline):
            self._lio.forget_cached()
            for volume in volumes:
                try:
                    change(volume)
                except StorageError as error:
                    refused[volume.name] = error
                except (OSError, self._rtslib_error) as error:
                    refused[volume.name] = StorageError(
                        "unavailable", f"LIO refused to change the export of volume {volume.name}: {error}."
                    )
            changed = [volume for volume in volumes if volume.name not in refused]
            try:
                self._lio.save([volume.id for volume in changed])
            except (StorageError, OSError, self._rtslib_error) as error:
                unsaved = dict.fromkeys((volume.name for volume in changed), _failure(error))
        return refused, unsaved

    def _retag(self, changes: Iterable[tuple[Volume, Volume]]) -> None:
        """Write down who holds the volumes, in one command for all that change in the same way."""
        alike: dict[tuple[frozenset[str], frozenset[str]], list[str]] = {}
        for before, after in changes:
            old, new = (
                tags.of_connections(before.holders, before.shared),
                tags.of_connections(after.holders, after.shared),
            )
            if old != new:
                alike.setdefault((frozenset(new - old), frozenset(old - new)), []).append(after.name)
        for (add, remove), names in alike.items():
            self._group.tag(names, sorted(add), sorted(remove))

    @contextlib.contextmanager
    def _reading(self, item: Item) -> Iterator[None]:
        """Without the lock, what is read may vanish meanwhile."""
        try:
            yield
        except (OSError, self._rtslib_error) as error:
            raise StorageError(
                "aborted",
                f"{item.name} could not be read, or changed meanwhile: {error}; repeat the call.",
            ) from None

    @property
    def _rtslib_error(self) -> type[Exception]:
        error: type[Exception] = library("rtslib_fb").RTSLibError
        return error


def _failure(error: Exception) -> StorageError:
    if isinstance(error, StorageError):
        return error
    return StorageError(
        "unavailable",
        f"The controller could not change or save its exports: {error}. Correct that, and repeat the call.",
    )


def wwn(volume_id: str) -> str:
    """The WWN under which hosts see a volume, as multipath shows it.

    LIO makes its NAA identifier from the unit serial: 6 (the format), 001405 (LIO's company id), then 25 hexadecimal digits of the
    serial. scsi_id puts a 3 in front, which says that it is an NAA identifier.
    """
    return "36001405" + volume_id.replace("-", "")[:25]


def settings(section: Section) -> Settings:
    """The section's options, checked."""
    values = section.options(
        lambda cfg: [
            cfg.StrOpt("volume_group", required=True),
            cfg.StrOpt("target_protocol", default="iscsi"),
            cfg.StrOpt("target_ip_address", required=True),
            cfg.ListOpt("target_secondary_ip_addresses", default=[]),
            cfg.PortOpt("target_port", default=3260, min=1),
            cfg.StrOpt("target_prefix", default=DEFAULT_TARGET_PREFIX),
            cfg.StrOpt("volume_clear", default="zero", choices=["zero", "none"]),
            cfg.StrOpt("lvm_type", default="default", choices=["default", "thin", "auto"]),
            cfg.IntOpt("lvm_mirrors", default=0),
            cfg.StrOpt("max_over_subscription_ratio", default="1.0"),
        ]
    )
    if values["lvm_type"] == "auto":
        raise section.error("lvm_type", "auto is not supported; say default (thick volumes) or thin")
    if values["lvm_mirrors"] != 0:
        raise section.error(
            "lvm_mirrors", "mirrors are not supported; leave it out, or make the volume group of devices that have them"
        )
    if values["target_protocol"] != "iscsi":
        raise StorageError(
            "unimplemented",
            f"{section.path}: [{section.name}] target_protocol is {values['target_protocol']!r}; driver lvm exports by iscsi only.",
            field="target_protocol",
        )
    prefix = values["target_prefix"]
    # LIO wants a domain after the date, and no underscore.
    if not re.fullmatch(r"iqn\.\d{4}-[01]\d\.[a-z0-9-]+(\.[a-z0-9-]+)+:([a-z0-9.:-]*:)?", prefix):
        raise section.error("target_prefix", f"{prefix!r} is not the beginning of an IQN that ends with a colon")
    addresses = {"target_ip_address": [values["target_ip_address"]]}
    addresses["target_secondary_ip_addresses"] = values["target_secondary_ip_addresses"]
    portals = [
        lio.Portal(_address(section, option, address), values["target_port"])
        for option, given in addresses.items()
        for address in given
    ]
    for name, options in section.others.items():
        if (options.get("volume_driver"), options.get("volume_group")) == (section.driver, values["volume_group"]):
            raise section.error(
                "volume_group",
                f"{values['volume_group']} is the volume group of backend {name} too; give each a volume group of its own, or take one "
                "of them out of enabled_backends",
            )
    return Settings(
        values["volume_group"],
        tuple(dict.fromkeys(portals)),
        prefix,
        Provisioning(
            thin=values["lvm_type"] == "thin",
            over_subscription=_ratio(section, values["max_over_subscription_ratio"]),
            volume_clear=values["volume_clear"],
        ),
    )


def _ratio(section: Section, text: str) -> float:
    if not re.fullmatch(r"\d+(\.\d+)?", text) or float(text) < 1:
        raise section.error("max_over_subscription_ratio", f"{text!r} is not a number of 1 or more")
    return float(text)


def _address(section: Section, option: str, text: str) -> str:
    try:
        address = ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        raise section.error(option, f"{text!r} is not an IP address") from None
    if address.is_unspecified or address.is_multicast:
        raise section.error(option, f"{text} is not an address that hosts can reach")
    return str(address)
