# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""iSCSI exports by LIO, the kernel's target, through rtslib-fb.

Every volume is a target of its own. A target shared by all volumes would make attaching 8 volumes by hand take 33 s instead of
37 s, and detaching them 1.2 s instead of 2.2 s, for it saves logins. What a target for each volume gives is worth more: a session
belongs to one volume, so the controller can tell whether a host still uses it and refuse to take it away; logging out of one volume
touches no other; and no LUN number ever comes to mean another volume's data, which a host that kept a stale device would write to.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import socket
import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Optional

from ansible_collections.brickwork.storage.plugins.module_utils.controller.libraries import library
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError

CONFIGFS = Path("/sys/kernel/config/target")
# One file for each volume whose export was changed and not saved yet. Lost at a reboot, as the unsaved changes are.
UNSAVED = Path("/run/brickwork/unsaved")
LUN = 0
PORTAL_GROUP = 1
# CHAP always, for known initiators only, and discovery shows a host no target but its own.
ATTRIBUTES = {"authentication": "1", "generate_node_acls": "0", "demo_mode_discovery": "0"}
# What rtslib accepts of RFC 3720's names.
INITIATOR = re.compile(
    r"(?!.{224})(iqn\.\d{4}-[01]\d(\.[a-z0-9-]+){2,}(:[a-z0-9.:-]+)?|eui\.[0-9a-f]{16}|naa\.[125][0-9a-f]{15})"
)
INITIATOR_FORM = (
    "the host's iSCSI name, such as iqn.1993-08.org.debian:01:abc (with a domain of two labels, and no underscore)"
)
SECRET_ALPHABET = string.ascii_letters + string.digits
SECRET_LENGTH = 32


@dataclass(frozen=True)
class Portal:
    """An address at which targets are reached; an IPv6 address without brackets."""

    address: str
    port: int

    @property
    def host(self) -> str:
        return f"[{self.address}]" if ":" in self.address else self.address

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Export:
    """A target, as it is or as it is to be.

    Args:
        target: its IQN.
        serial: the unit serial of the storage object behind the LUN, which is the volume's id; None without LUN.
        device: the device behind it.
        portals: as C(address:port).
        initiators: who may log in, and whether that is complete: with a secret for CHAP, and the LUN.
        open: whether the target takes logins, under our attributes.
        saved: whether what is in the kernel is also what a reboot brings back.
    """

    target: str
    serial: Optional[str]
    device: Optional[str]
    portals: tuple[str, ...]
    initiators: Mapping[str, bool]
    open: bool = True
    saved: bool = True

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class Lio:
    """The targets of one backend.

    Args:
        prefix: of the targets' names; the volume's id follows.
        portals: where every target is reached.
    """

    def __init__(self, prefix: str, portals: Sequence[Portal]) -> None:
        self.portals = tuple(portals)
        self._prefix = prefix

    @property
    def _rtslib(self) -> Any:
        return library("rtslib_fb")

    # What only reads

    def target_name(self, volume_id: str) -> str:
        """The target's IQN. A target that exists keeps its name when C(target_prefix) changes: hosts know it by that."""
        try:
            existing = [name for name in os.listdir(CONFIGFS / "iscsi") if name.endswith(f":{volume_id}")]
        except FileNotFoundError:
            existing = []
        return existing[0] if existing else f"{self._prefix}{volume_id}"

    def wanted(self, volume_id: str, device: str, initiators: Iterable[str]) -> Export:
        """The export as it is to be."""
        return Export(
            target=self.target_name(volume_id),
            serial=volume_id,
            device=device,
            portals=tuple(sorted(map(str, self.portals))),
            initiators=dict.fromkeys(sorted(initiators), True),
        )

    def export(self, volume_id: str) -> Optional[Export]:
        """The export as it is; None where there is none, and none is saved."""
        target = self._target(volume_id)
        saved = not _marker(volume_id).exists()
        group = self._group(target) if target else None
        if target is None or group is None:
            leftover = target or not saved or self.has_open(volume_id)
            return (
                Export(self.target_name(volume_id), None, None, (), {}, open=False, saved=saved) if leftover else None
            )
        serial, device = self._behind(group)
        return Export(
            target=target.wwn,
            serial=serial,
            device=device,
            portals=tuple(sorted(f"{portal.ip_address}:{portal.port}" for portal in group.network_portals)),
            initiators={acl.node_wwn: self._complete(acl) for acl in group.node_acls},
            open=group.enable and all(group.get_attribute(name) == value for name, value in ATTRIBUTES.items()),
            saved=saved,
        )

    def has_open(self, volume_id: str) -> bool:
        """Whether LIO has the volume's device open, exported or not."""
        return any(CONFIGFS.glob(f"core/iblock_*/{volume_id}"))

    def sessions(self, volume_id: str) -> dict[str, list[str]]:
        """The initiators that are logged in, with the addresses that the kernel shows of them."""
        target = self._target(volume_id)
        group = self._group(target) if target else None
        found: dict[str, list[str]] = {}
        for acl in group.node_acls if group else ():
            # rtslib's own reading of this file trips over what other kernels write.
            info = (Path(acl.path) / "info").read_text(encoding="ascii", errors="replace")
            if not info.startswith("No active"):
                found[acl.node_wwn] = sorted(set(re.findall(r"Address (\S+)", info)))
        return found

    def credentials(self, volume_id: str, initiator: str) -> Optional[tuple[str, str]]:
        """The user and the secret that this initiator logs in with; None where there are none."""
        target = self._target(volume_id)
        group = self._group(target) if target else None
        for acl in group.node_acls if group else ():
            if acl.node_wwn == initiator and acl.chap_password:
                return acl.chap_userid, acl.chap_password
        return None

    # What changes

    def realise(self, wanted: Export, users: dict[str, str]) -> None:
        """Make the kernel's configuration equal to I(wanted), changing only what differs.

        Args:
            wanted: the export as it is to be.
            users: by initiator, the CHAP user of those that have no secret yet.
        """
        rtslib = self._rtslib
        _mark(_volume_id(wanted))
        # Loads the kernel's modules, and makes LIO keep its own files beside the saved configuration, which takes the directory.
        Path(rtslib.root.default_save_file).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        rtslib.RTSRoot()
        # The target comes first and goes last: where there is anything left of an export, there is its target.
        target = rtslib.Target(rtslib.FabricModule("iscsi"), wanted.target)
        group = rtslib.TPG(target, PORTAL_GROUP)
        for name, value in ATTRIBUTES.items():
            if group.get_attribute(name) != value:
                group.set_attribute(name, value)
        self._put_behind(group, wanted)
        self._set_portals(group, wanted)
        for acl in group.node_acls:
            if acl.node_wwn not in wanted.initiators:
                acl.delete()
        for initiator in wanted.initiators:
            acl = rtslib.NodeACL(group, initiator)
            if not acl.chap_password:
                acl.chap_userid = users[initiator]
                acl.chap_password = _saved_secret(self._saved(), wanted.target, initiator) or _new_secret()
            if not self._has_lun(acl):
                for mapped_lun in acl.mapped_luns:
                    mapped_lun.delete()
                rtslib.MappedLUN(acl, LUN, LUN)
        group.enable = True

    def withdraw(self, volume_id: str, staying: Iterable[str]) -> None:
        """Take the volume away from every initiator but those that stay; without any, nothing of the export is left."""
        _mark(volume_id)
        target = self._target(volume_id)
        staying = set(staying)
        if staying:
            group = self._group(target) if target else None
            for acl in group.node_acls if group else ():
                if acl.node_wwn not in staying:
                    acl.delete()
        else:
            for group in target.tpgs if target else ():
                group.delete()
            storage_object = self._storage_object(volume_id)
            if storage_object:
                storage_object.delete()
            if target:
                target.delete()
            _remove_empty_adapters()

    def save(self, volume_ids: Iterable[str]) -> None:
        """Save the exports of these volumes for the next boot, where targetctl restores them from.

        What others have in that file stays as they saved it.
        """
        changed = {volume_id for volume_id in volume_ids if _marker(volume_id).exists()}
        if not changed:
            return
        saved = self._saved()
        objects = [entry for entry in saved.get("storage_objects", []) if entry.get("name") not in changed]
        targets = [
            entry for entry in saved.get("targets", []) if entry.get("wwn", "").rpartition(":")[2] not in changed
        ]
        for volume_id in sorted(changed):
            storage_object, target = self._storage_object(volume_id), self._target(volume_id)
            objects += [storage_object.dump()] if storage_object else []
            targets += [target.dump()] if target else []
        saved.update(storage_objects=objects, targets=targets)
        _write_durably(Path(self._rtslib.root.default_save_file), json.dumps(saved, sort_keys=True, indent=2))
        for volume_id in changed:
            _marker(volume_id).unlink(missing_ok=True)

    def forget_cached(self) -> None:
        """Read LIO's storage objects anew: rtslib keeps their numbers, and another call may have made some since."""
        self._rtslib.tcm.bs_cache.clear()

    # Pieces

    def _target(self, volume_id: str) -> Optional[Any]:
        name = self.target_name(volume_id)
        if not (CONFIGFS / "iscsi" / name).is_dir():
            return None
        return self._rtslib.Target(self._rtslib.FabricModule("iscsi"), name, mode="lookup")

    def _group(self, target: Any) -> Optional[Any]:
        if not (Path(target.path) / f"tpgt_{PORTAL_GROUP}").is_dir():
            return None
        return self._rtslib.TPG(target, PORTAL_GROUP, mode="lookup")

    def _behind(self, group: Any) -> tuple[Optional[str], Optional[str]]:
        """The unit serial and the device behind the group's LUN."""
        try:
            storage_object = self._rtslib.LUN(group, LUN).storage_object
            return storage_object.wwn, storage_object.udev_path
        except self._rtslib.RTSLibError:
            return None, None

    def _complete(self, acl: Any) -> bool:
        return bool(acl.chap_userid and acl.chap_password and self._has_lun(acl))

    def _has_lun(self, acl: Any) -> bool:
        try:
            return [mapped_lun.tpg_lun.lun for mapped_lun in acl.mapped_luns] == [LUN]
        except self._rtslib.RTSLibError:  # its directory is there, and what it is to point to is not
            return False

    def _storage_object(self, volume_id: str) -> Optional[Any]:
        try:
            return self._rtslib.BlockStorageObject(volume_id)
        except self._rtslib.RTSLibError:
            return None

    def _saved(self) -> dict[str, Any]:
        """What a reboot brings back, in rtslib's form."""
        path = Path(self._rtslib.root.default_save_file)
        try:
            saved: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise StorageError(
                "failed_precondition",
                f"{path}, from which LIO is restored at boot, is not JSON ({error}); repair it, or write it anew with "
                "targetctl save.",
            ) from None
        return saved

    def _put_behind(self, group: Any, wanted: Export) -> None:
        """The LUN, over a storage object whose unit serial is the volume's id, which fixes the WWN that hosts see."""
        rtslib = self._rtslib
        if self._behind(group) == (wanted.serial, wanted.device):
            return
        volume_id = _volume_id(wanted)
        if self.sessions(volume_id):
            raise StorageError(
                "failed_precondition",
                f"Target {wanted.target} exports something else than {wanted.device}, and there are sessions; detach it on the hosts.",
            )
        storage_object = self._storage_object(volume_id)
        if storage_object and not (
            storage_object.is_configured()
            and (storage_object.wwn, storage_object.udev_path) == (wanted.serial, wanted.device)
        ):
            storage_object.delete()
            storage_object = None
        if storage_object is None:
            storage_object = rtslib.BlockStorageObject(volume_id, dev=wanted.device, wwn=wanted.serial)
            _allow_discard(storage_object, wanted.device or "")
        for lun in group.luns:
            lun.delete()
        rtslib.LUN(group, LUN, storage_object)

    def _set_portals(self, group: Any, wanted: Export) -> None:
        present = {f"{portal.ip_address}:{portal.port}": portal for portal in group.network_portals}
        for portal in self.portals:
            if str(portal) not in present:
                try:
                    _require_local(portal.address)
                    self._rtslib.NetworkPortal(group, portal.host, portal.port)
                except (OSError, self._rtslib.RTSLibError) as error:
                    raise StorageError(
                        "unavailable",
                        f"LIO cannot listen on {portal}: {error}. Give this controller the address, or correct "
                        "target_ip_address and target_secondary_ip_addresses of the backend.",
                        field="target_ip_address",
                        portals=[str(portal)],
                    ) from None
        for name, portal in present.items():
            if name not in wanted.portals:
                portal.delete()


def _volume_id(export: Export) -> str:
    return export.target.rpartition(":")[2]


def _new_secret() -> str:
    return "".join(map(secrets.choice, [SECRET_ALPHABET] * SECRET_LENGTH))


def _saved_secret(saved: dict[str, Any], target: str, initiator: str) -> Optional[str]:
    """The secret of an export that is saved, though the kernel has lost it: the host still has it, and comes back with it."""
    for entry in saved.get("targets", []):
        for group in entry["tpgs"] if entry.get("wwn") == target else []:
            for acl in group.get("node_acls", []):
                if acl.get("node_wwn") == initiator and acl.get("chap_password"):
                    return str(acl["chap_password"])
    return None


def _marker(volume_id: str) -> Path:
    return UNSAVED / volume_id


def _mark(volume_id: str) -> None:
    UNSAVED.mkdir(mode=0o700, parents=True, exist_ok=True)
    _marker(volume_id).touch()


def _require_local(address: str) -> None:
    """LIO listens on addresses that the machine does not have, in case they come; a mistyped one never does."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((address, 0))


def _allow_discard(storage_object: Any, device: str) -> None:
    """Let hosts discard, where the device can: LIO refuses to offer it otherwise."""
    number = os.stat(device).st_rdev
    limit = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}/queue/discard_max_bytes")
    if int(limit.read_text(encoding="ascii")):
        storage_object.set_attribute("emulate_tpu", 1)


def _remove_empty_adapters() -> None:
    """A call that was killed may leave the directory in which a storage object was to be made."""
    for adapter in (CONFIGFS / "core").glob("iblock_*"):
        if not any(entry.is_dir() for entry in adapter.iterdir()):
            adapter.rmdir()


def _write_durably(path: Path, text: str) -> None:
    """Replace a file as a whole, readable by root alone: a power cut leaves the old one or the new one."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.brickwork")
    new.unlink(missing_ok=True)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
