# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fibre Channel exports by LIO.

A target is a port of this controller, so all volumes share it: each is a LUN there, mapped to the ports of the hosts that hold it. A
host logs in once, for all of its volumes, and not again when a port has become a target or has come to know it. So targets, and the
hosts that they know, stay when the last volume goes; a host without a mapped LUN sees none.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

from ansible_collections.brickwork.storage.plugins.module_utils.controller import identity
from ansible_collections.brickwork.storage.plugins.module_utils.controller.backend import Holder, Volume
from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm import lio
from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm.saved import Entries
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError

SYSFS = Path("/sys")
# By rtslib's name of the fabric, its directory in configfs.
FABRICS = {"tcm_fc": "fc", "qla2xxx": "qla2xxx"}
PORT_GROUP = "tpgt_1"
# Some adapters look for no more than these, others for as many as two levels of addressing have.
FIRST_LUNS = 255
MOST_LUN = 16383


class FibreChannel(lio.Lio):
    """The LUNs of one backend.

    Args:
        wwpns: of the controller's ports that are targets; empty for all that it has.
    """

    protocol = "fibre_channel"
    has_portals = False

    def __init__(self, wwpns: Sequence[str]) -> None:
        super().__init__("", ())
        self._wwpns = tuple(wwpns)

    # What only reads

    def holder(self, connector: Mapping[str, Any]) -> Holder:
        return identity.holder("wwpns", connector)

    def knows(self, initiator: str) -> bool:
        return all(identity.WWPN.fullmatch(name) for name in initiator.split("+"))

    def export(self, volume_id: str) -> Optional[dict[str, Any]]:
        saved = not lio.is_marked(volume_id)
        ports = {
            _wwpn(group): [_wwpn(acl) for acl in _entries(group / "acls") if _number_in(acl, lun) is not None]
            for group, lun in self._luns(volume_id).items()
        }
        device = lio.device_of(volume_id)
        return _as_dict(device, ports, saved) if ports or device is not None or not saved else None

    def wanted(self, volume: Volume, device: str) -> dict[str, Any]:
        ports: dict[str, list[str]] = {}
        for holder in volume.holders:
            for port, initiators in self._pairs(holder).items():
                ports[port] = [*ports.get(port, []), *initiators]
        return _as_dict(device, ports, True)

    def reduced(self, volume: Volume) -> Optional[dict[str, Any]]:
        export = self.export(volume.id)
        if export is None:
            return None
        staying = {name for holder in volume.holders for name in holder.names}
        ports = {port: [name for name in names if name in staying] for port, names in export["ports"].items()}
        return _as_dict(export["device"], {port: names for port, names in ports.items() if names}, True)

    def sessions(self, volume_id: str) -> dict[str, list[str]]:
        """None that could be told: a host has one for all of its volumes, and keeps it."""
        return {}

    def connection_info(self, volume: Volume, holder: Holder) -> dict[str, Any]:
        pairs = self._pairs(holder)
        return {
            "driver_volume_type": self.protocol,
            "data": {
                "target_discovered": False,
                "target_wwn": sorted(pairs),
                "target_lun": self._number(volume, holder),
                "initiator_target_map": {
                    name: [port for port in sorted(pairs) if name in pairs[port]]
                    for name in sorted(holder.names)
                    if any(name in initiators for initiators in pairs.values())
                },
                "volume_id": volume.id,
                "encrypted": False,
                "access_mode": "rw",
            },
        }

    # What changes

    def realise(self, volume: Volume, device: str) -> None:
        wanted = self.wanted(volume, device)["ports"]
        present = self.export(volume.id)
        if present and any(present["ports"].values()) and present["device"] != device:
            raise StorageError(
                "failed_precondition",
                f"Volume {volume.name} is exported over Fibre Channel with something else than {device} behind it. Detach and release it "
                "on every host, and connect it anew.",
            )
        self._begin(volume.id)
        self._load()
        groups = {port: self._target(port) for port in wanted}
        _remove_unfinished()
        storage_object = self._storage_object_over(volume.id, device)
        self._unmap(volume.id, wanted)
        luns = self._luns(volume.id)
        at_targets = self._number_of_lun(volume.id)
        for group in set(groups.values()) - set(luns):
            luns[group] = at_targets
            _tie(group / "lun" / f"lun_{at_targets}", Path(storage_object.path))
        for holder in volume.holders:
            number = self._number(volume, holder)
            for port, names in self._pairs(holder).items():
                group = groups[port]
                for acl in (_acl(group, name) for name in names):
                    acl.mkdir(exist_ok=True)
                    if _number_in(acl, luns[group]) is None:
                        _tie(acl / f"lun_{number}", group / "lun" / f"lun_{luns[group]}")

    def withdraw(self, volume: Volume) -> None:
        self._begin(volume.id)
        _remove_unfinished()
        staying = sorted(name for holder in volume.holders for name in holder.names)
        self._unmap(volume.id, dict.fromkeys(map(_wwpn, _groups()), staying))
        if not volume.holders:
            self._delete_storage_object(volume.id)

    def _unmap(self, volume_id: str, staying: Mapping[str, list[str]]) -> None:
        """Take the volume away from the host ports that do not stay, and from the targets where none is left."""
        for group, lun in self._luns(volume_id).items():
            left = False
            for acl in _entries(group / "acls"):
                number = _number_in(acl, lun)
                if number is not None and _wwpn(acl) not in staying.get(_wwpn(group), []):
                    _untie(acl / f"lun_{number}")
                left = left or _number_in(acl, lun) is not None
            if not left:
                _untie(group / "lun" / f"lun_{lun}")

    def _targets_to_save(self, saved: Entries, changed: set[str]) -> Entries:
        rtslib = self._rtslib
        targets = {entry["wwn"]: entry for entry in saved.with_any(FABRICS) if entry.get("fabric") in FABRICS}
        for group in _groups():
            name = next(fabric for fabric, directory in FABRICS.items() if directory == group.parents[1].name)
            present = rtslib.Target(rtslib.FabricModule(name), f"naa.{_wwpn(group)}", mode="lookup").dump()
            old = targets.get(present["wwn"], {}).get("tpgs", [])
            present["tpgs"] = [
                _merged(old[index] if index < len(old) else {}, tpg, changed)
                for index, tpg in enumerate(present["tpgs"])
            ]
            targets[present["wwn"]] = present
        return saved.replaced(FABRICS, lambda entry: entry.get("fabric") in FABRICS, targets.values())

    # Pieces

    def _ports(self) -> dict[str, str]:
        """The controller's ports that are, or become, targets: by WWPN, the fabric."""
        there = _own_ports()
        missing = sorted(set(self._wwpns) - set(there))
        if missing or not there:
            raise StorageError(
                "unavailable",
                f"This controller has no Fibre Channel port {' or '.join(missing) or 'that can be a target'}; it has "
                f"{', '.join(sorted(there)) or 'none'}. Load the ports' driver, or correct target_wwpns of the backend.",
                field="target_wwpns",
                candidates=sorted(there),
            )
        return {wwpn: fabric for wwpn, fabric in sorted(there.items()) if wwpn in self._wwpns or not self._wwpns}

    def _pairs(self, holder: Holder) -> dict[str, list[str]]:
        """Which of the host's ports come by which of the controller's.

        Those that see each other, or were let in because they once did; where there are none yet, any may.
        """
        ports, names = self._ports(), sorted(holder.names)
        seen = _seen()
        known = {(_wwpn(group), _wwpn(acl)) for group in _groups() for acl in _entries(group / "acls")}
        pairs = {port: [name for name in names if (port, name) in seen | known] for port in ports}
        pairs = {port: found for port, found in pairs.items() if found}
        return pairs or dict.fromkeys(ports, names)

    def _target(self, wwpn: str) -> Path:
        """The target that a port is, made where it is not one yet."""
        rtslib = self._rtslib
        fabric = rtslib.FabricModule(self._ports()[wwpn])
        group = rtslib.TPG(rtslib.Target(fabric, f"naa.{wwpn}"), 1)
        self._refuse_demo_mode(Path(group.path))
        group.enable = True
        return Path(group.path)

    def _refuse_demo_mode(self, group: Path) -> None:
        """Whoever set it has to change it: hosts may depend on that."""

        def attribute(name: str) -> str:
            path = group / "attrib" / name
            return lio.text(path) if path.exists() else ""

        # By default qla2xxx lets everybody log in, and see nothing.
        if attribute("generate_node_acls") == "1" and attribute("demo_mode_login_only") != "1":
            raise StorageError(
                "failed_precondition",
                f"The Fibre Channel port {_wwpn(group)} of this controller gives every LUN to every host that sees it "
                "(generate_node_acls, without demo_mode_login_only). Set generate_node_acls to 0, for example with targetcli, or leave "
                "the port out of target_wwpns.",
                field="target_wwpns",
            )

    def _luns(self, volume_id: str) -> dict[Path, int]:
        """Where the volume is a LUN, by the target's group, and the number there."""
        found = ((group, _number_tied_to(group / "lun", volume_id)) for group in _groups())
        return {group: number for group, number in found if number is not None}

    def _number(self, volume: Volume, holder: Holder) -> int:
        """The LUN as the host sees it, or is to see it."""
        for group, lun in self._luns(volume.id).items():
            for name in sorted(holder.names):
                number = _number_in(_acl(group, name), lun)
                if number is not None:
                    return number
        return self._free_number(volume, holder)

    def _number_of_lun(self, volume_id: str) -> int:
        """The LUN at every target, which no host sees."""
        for number in self._luns(volume_id).values():
            return number
        taken: set[int] = {_number_at(lun) for group in _groups() for lun in _entries(group / "lun")}
        own: set[int] = set()
        for group in self._saved_groups():
            mine = _saved_luns(group, volume_id)
            own |= mine
            taken |= {lun["index"] for lun in group.get("luns", [])} - mine
        return min(own - taken or set(range(len(taken) + 1)) - taken)

    def _free_number(self, volume: Volume, holder: Holder) -> int:
        """A LUN that the host does not see yet.

        What is saved of the volume comes first: the host may know it by that number. Otherwise looking for one begins at another
        place for each volume: a number that was another volume's a moment ago would bring its data to where a stale device of that is.
        """
        acls = [_acl(group, name) for group in _groups() for name in holder.names]
        taken: set[int] = {_number_at(mapped) for acl in acls for mapped in _mapped(acl)}
        own: set[int] = set()
        for group in self._saved_groups():
            mine = _saved_luns(group, volume.id)
            for acl in group.get("node_acls", []):
                if acl["node_wwn"][len("naa.") :] in holder.names:
                    for mapped in acl.get("mapped_luns", []):
                        (own if mapped["tpg_lun"] in mine else taken).add(mapped["index"])
        first = int(volume.id.replace("-", ""), 16) % FIRST_LUNS
        near = [*sorted(own), *(1 + (first + step) % FIRST_LUNS for step in range(FIRST_LUNS))]
        free = set(range(1, MOST_LUN + 1)) - taken
        if free:
            return next((number for number in near if number in free), min(free))
        raise StorageError(
            "resource_exhausted",
            f"Host {holder.host} sees {len(taken)} volumes over Fibre Channel already, and has no free LUN for volume {volume.name}.",
        )

    def _saved_groups(self) -> Iterator[dict[str, Any]]:
        for target in self._saved().targets.with_any(FABRICS):
            if target.get("fabric") in FABRICS:
                yield from target.get("tpgs", [])


def _saved_luns(group: Mapping[str, Any], volume_id: str) -> set[int]:
    """The volume's LUNs at a target, as they are saved: one, or none."""
    return {lun["index"] for lun in group.get("luns", []) if lun["storage_object"].rpartition("/")[2] == volume_id}


def _merged(saved: Mapping[str, Any], present: Mapping[str, Any], changed: set[str]) -> dict[str, Any]:
    """A target's group with what the kernel has of the volumes that were changed, and what was saved of all others."""

    def luns(group: Mapping[str, Any], of_changed: bool) -> list[dict[str, Any]]:
        found = group.get("luns", [])
        return [lun for lun in found if (lun["storage_object"].rpartition("/")[2] in changed) == of_changed]

    parts = [(saved, luns(saved, False)), (present, luns(present, True))]
    acls: dict[str, dict[str, Any]] = {}
    for group in (saved, present):
        acls.update({acl["node_wwn"]: {**acl, "mapped_luns": []} for acl in group.get("node_acls", [])})
    for group, chosen in parts:
        numbers = {lun["index"] for lun in chosen}
        for acl in group.get("node_acls", []):
            acls[acl["node_wwn"]]["mapped_luns"] += [
                one for one in acl.get("mapped_luns", []) if one["tpg_lun"] in numbers
            ]
    return {**present, "luns": [lun for group, chosen in parts for lun in chosen], "node_acls": list(acls.values())}


def _as_dict(device: Optional[str], ports: Mapping[str, Iterable[str]], saved: bool) -> dict[str, Any]:
    return {"device": device, "ports": {port: sorted(ports[port]) for port in sorted(ports)}, "saved": saved}


def _own_ports() -> dict[str, str]:
    """The ports of this controller that can be targets: by WWPN, the fabric. They are told apart as rtslib does."""
    found = {}
    for host in _entries(SYSFS / "class/fc_host"):
        device = host.resolve().parents[2]
        kinds = {(device / "subsystem").resolve().name: "tcm_fc", (device / "driver").resolve().name: "qla2xxx"}
        fabric = kinds.get("fcoe") or kinds.get("qla2xxx")
        wwpn = identity.normal_wwpn(lio.text(host / "port_name"))
        if fabric and wwpn:
            found[wwpn] = fabric
    return found


def _seen() -> set[tuple[str, str]]:
    """Which of the controller's ports sees which other one at this moment."""
    found = set()
    for remote in _entries(SYSFS / "class/fc_remote_ports"):
        number = remote.name[len("rport-") :].partition(":")[0]
        try:
            own = (SYSFS / f"class/fc_host/host{number}/port_name").read_text(encoding="ascii")
            other = (remote / "port_name").read_text(encoding="ascii")
            if (remote / "port_state").read_text(encoding="ascii").strip() == "Online":
                found.add((str(identity.normal_wwpn(own.strip())), str(identity.normal_wwpn(other.strip()))))
        except OSError:  # it is on its way out
            continue
    return found


def _groups() -> list[Path]:
    """Every target of a Fibre Channel fabric."""
    return [group for name in FABRICS.values() for group in sorted((lio.CONFIGFS / name).glob(f"*/{PORT_GROUP}"))]


def _wwpn(path: Path) -> str:
    """Whose a target's group, or a host's entry in it, is."""
    name = path.parent.name if path.name == PORT_GROUP else path.name
    return name.replace(":", "").lower()


def _acl(group: Path, wwpn: str) -> Path:
    return group / "acls" / ":".join(re.findall("..", wwpn))


def _entries(directory: Path) -> list[Path]:
    try:
        with os.scandir(directory) as entries:
            return sorted(Path(entry.path) for entry in entries if not entry.is_file())
    except FileNotFoundError:
        return []


def _mapped(acl: Path) -> list[Path]:
    return [entry for entry in _entries(acl) if entry.name.startswith("lun_")]


def _number_at(lun: Path) -> int:
    return int(lun.name.rpartition("_")[2])


def _number_in(acl: Path, lun: int) -> Optional[int]:
    """The number by which a host's port sees a LUN of the target."""
    return _number_tied_to(acl, f"lun_{lun}")


def _number_tied_to(directory: Path, name: str) -> Optional[int]:
    """The LUN in a directory that is a link to this. There may be thousands, so nothing is made of the others."""
    try:
        luns = [entry for entry in os.listdir(directory) if entry.startswith("lun_")]
    except FileNotFoundError:
        return None
    return next((int(lun[len("lun_") :]) for lun in luns if _tied_to(f"{directory}/{lun}") == name), None)


def _tied_to(lun: Path | str) -> Optional[str]:
    """What a LUN is a link to, by its name."""
    link = lio.tied_to(lun)
    return os.path.basename(link) if link else None


def _tie(lun: Path, to: Path) -> None:
    lun.mkdir(exist_ok=True)
    os.symlink(to, lun / "brickwork")


def _untie(lun: Path) -> None:
    for entry in _entries(lun):
        if entry.is_symlink():
            entry.unlink()
    lun.rmdir()


def _remove_unfinished() -> None:
    """Take away the LUNs that calls which were killed had not made links, or unlinked already."""
    for group in _groups():
        mapped = [lun for acl in _entries(group / "acls") for lun in _mapped(acl)]
        for lun in (*mapped, *_entries(group / "lun")):
            if _tied_to(lun) is None:
                _untie(lun)
