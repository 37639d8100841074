# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NVMe/TCP exports by nvmet, the kernel's target, in configfs: no library for it is packaged.

Every host that holds a volume has a subsystem of its own, which lets in nobody else. The kernel does not end the controllers of a
host that is taken off a subsystem's list, so with a subsystem for several hosts one that is fenced would go on writing. What it can
do is to end all of a subsystem.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Optional

from ansible_collections.brickwork.storage.plugins.module_utils import commands
from ansible_collections.brickwork.storage.plugins.module_utils.controller import rules
from ansible_collections.brickwork.storage.plugins.module_utils.controller.backend import Holder, Volume
from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm.exporter import Exporter, Portal
from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm.nvmet_boot import NvmetBoot
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError, invalid
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline

CONFIGFS = Path("/sys/kernel/config/nvmet")
# Only kernels from 6.11 that were built so tell who is connected.
DEBUGFS = Path("/sys/kernel/debug/nvmet")
NAMESPACE = "1"
LAST_PORT = 65535
SERIAL_LENGTH = 20
MOST_NQN_BYTES = 223
# In characters that LVM allows in tags, without those that tell the names of one host apart there.
NQN = re.compile(r"(?!.{224})nqn\.\d{4}-\d{2}\.[A-Za-z0-9.:_=!&#-]+")
NQN_FORM = "the host's NQN, as /etc/nvme/hostnqn has it, such as nqn.2014-08.org.nvmexpress:uuid:5f0c1c5e-…"
# What nvmet shows of text that was never set.
UNSET = ("", "(null)")
MODPROBE_SECONDS = 30


@dataclass(frozen=True)
class Subsystem:
    """A volume as one host reaches it, as it is or as it is to be.

    Args:
        nqn: its name.
        hosts: the NQNs that it lets in: one.
        device: the device behind the namespace; None without one.
        uuid: of the namespace, which is the volume's id; None without one.
        portals: as C(address:port).
        open: whether the namespace is there for those hosts, and for nobody else.
    """

    nqn: str
    hosts: tuple[str, ...]
    device: Optional[str]
    uuid: Optional[str]
    portals: tuple[str, ...]
    open: bool = True

    @property
    def complete(self) -> bool:
        return bool(self.open and len(self.hosts) == 1 and self.device and self.uuid and self.portals)


class Nvmet(Exporter):
    """The subsystems of one backend: one for each volume and holder, called PREFIX VOLUME-ID : HOST."""

    lock_name = "nvmet"
    protocol = "nvmeof"
    target = "nvmet"
    is_told_of_growth = True
    default_port = 4420
    default_prefix = "nqn.2026-11.org.brickwork:"
    prefix_form = r"nqn\.\d{4}-[01]\d\.[a-z0-9-]+(\.[a-z0-9-]+)*:([A-Za-z0-9.:-]*:)?"
    prefix_meaning = "the beginning of an NQN that ends with a colon"

    # What only reads

    def wwn(self, volume_id: str) -> str:
        return f"uuid.{volume_id}"

    def holder(self, connector: Mapping[str, Any]) -> Holder:
        host, nqn = rules.connector_host(connector), connector.get("nqn")
        if not isinstance(nqn, str) or not self.knows(nqn):
            raise invalid("connector.nqn", NQN_FORM, nqn)
        most = MOST_NQN_BYTES - len(f"{self._prefix}{'0' * 36}:")
        if len(host) > most:
            raise invalid(
                "connector.host", f"a name of {most} characters at most, since the NQNs that it gets hold it", host
            )
        return Holder(host, nqn, rules.connector_multipath(connector), known_by="nqn")

    def knows(self, initiator: str) -> bool:
        return NQN.fullmatch(initiator) is not None

    def export(self, volume_id: str) -> Optional[dict[str, Any]]:
        present = self._present(volume_id)
        saved = self._boot.saved(volume_id) == self._to_save(present)
        return _as_dict(present, saved) if present or not saved else None

    def devices(self, export: Mapping[str, Any]) -> set[str]:
        return {subsystem["device"] for subsystem in export["subsystems"].values() if subsystem["device"]}

    def wanted(self, volume: Volume, device: str) -> dict[str, Any]:
        return _as_dict({holder.host: self._wanted(volume, device, holder) for holder in volume.holders}, True)

    def reduced(self, volume: Volume) -> Optional[dict[str, Any]]:
        present = self._present(volume.id)
        if not present and self._boot.saved(volume.id) == "":
            return None
        staying = {host: subsystem for host, subsystem in present.items() if volume.holder(host)}
        return _as_dict(staying, True) if staying else None

    def sessions(self, volume_id: str) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for path in self._subsystems(volume_id).values():
            for controller in (DEBUGFS / path.name).glob("ctrl*"):
                addresses = found.setdefault(_text(controller / "hostnqn"), [])
                addresses.append(_text(controller / "host_traddr"))
        return {nqn: sorted(set(addresses)) for nqn, addresses in found.items()}

    def has_open(self, volume_id: str) -> bool:
        paths = self._subsystems(volume_id).values()
        return any(_text(path / "namespaces" / NAMESPACE / "enable") == "1" for path in paths)

    def connection_info(self, volume: Volume, holder: Holder) -> dict[str, Any]:
        return {
            "driver_volume_type": self.protocol,
            "data": {
                "target_nqn": self._nqn(volume.id, holder.host),
                "vol_uuid": volume.id,
                # os-brick fails over a number.
                "ns_id": NAMESPACE,
                "portals": [[portal.address, portal.port, "tcp"] for portal in self.portals],
            },
        }

    # What changes

    def realise(self, volume: Volume, device: str) -> None:
        if not CONFIGFS.is_dir():
            _load()
        self._remove_others(volume)
        for holder in volume.holders:
            self._realise_subsystem(self._wanted(volume, device, holder))

    def withdraw(self, volume: Volume) -> None:
        self._remove_others(volume)

    def save(self, volume_ids: Iterable[str]) -> None:
        self._boot.save({volume_id: self._to_save(self._present(volume_id)) for volume_id in volume_ids})

    def grown(self, volume_id: str) -> None:
        for path in self._subsystems(volume_id).values():
            namespace = path / "namespaces" / NAMESPACE
            if _text(namespace / "enable") == "1":
                (namespace / "revalidate_size").write_text("1", encoding="ascii")

    # Pieces

    @property
    def _boot(self) -> NvmetBoot:
        return NvmetBoot()

    def _subsystems(self, volume_id: str) -> dict[str, Path]:
        """The volume's subsystems in the kernel, by host."""
        names = (entry.name for entry in _entries(CONFIGFS / "subsystems"))
        parts = ((name, name.partition(f":{volume_id}:")) for name in names)
        return {host: CONFIGFS / "subsystems" / name for name, (_prefix, found, host) in parts if found}

    def _nqn(self, volume_id: str, host: str) -> str:
        """A subsystem that exists keeps its name when C(target_prefix) changes: the host knows it by that."""
        existing = self._subsystems(volume_id).get(host)
        return existing.name if existing else f"{self._prefix}{volume_id}:{host}"

    def _wanted(self, volume: Volume, device: str, holder: Holder) -> Subsystem:
        portals = tuple(sorted(map(str, self.portals)))
        return Subsystem(self._nqn(volume.id, holder.host), (holder.initiator,), device, volume.id, portals)

    def _present(self, volume_id: str) -> dict[str, Subsystem]:
        paths = self._subsystems(volume_id)
        # Only where there is one: reading every port costs something.
        ports = [(port, str(_portal_of(port))) for port in _entries(CONFIGFS / "ports")] if paths else []
        return {
            host: _read(path, [where for port, where in ports if (port / "subsystems" / path.name).is_symlink()])
            for host, path in sorted(paths.items())
        }

    def _to_save(self, present: Mapping[str, Subsystem]) -> str:
        """What restores these subsystems at boot, a line for each; see nvmet_boot.py."""
        return "".join(
            " ".join([one.nqn, *one.hosts, str(one.uuid), str(one.device), *map(_words, one.portals)]) + "\n"
            for one in present.values()
            if one.complete
        )

    def _remove_others(self, volume: Volume) -> None:
        """Take the volume away from whoever does not hold it."""
        for host, path in self._subsystems(volume.id).items():
            if not volume.holder(host):
                self._remove_subsystem(path)

    def _realise_subsystem(self, wanted: Subsystem) -> None:
        # The subsystem comes first and goes last: where there is anything left of an export, there is its subsystem.
        path = CONFIGFS / "subsystems" / wanted.nqn
        if path.is_dir() and not _leads_to(path, wanted):
            self._refuse_sessions(path, wanted)
            self._remove_subsystem(path)
        if not path.is_dir():
            _make(path)
        _set(path / "attr_allow_any_host", "0")
        _set(path / "attr_serial", str(wanted.uuid).replace("-", "")[:SERIAL_LENGTH])
        (host_nqn,) = wanted.hosts
        _make(CONFIGFS / "hosts" / host_nqn)
        _link(path / "allowed_hosts" / host_nqn, CONFIGFS / "hosts" / host_nqn)
        namespace = path / "namespaces" / NAMESPACE
        _make(namespace)
        if _text(namespace / "enable") != "1":
            _set(namespace / "device_path", str(wanted.device))
            _set(namespace / "device_uuid", str(wanted.uuid))
            _set(namespace / "device_nguid", str(wanted.uuid))
            _set(namespace / "enable", "1")
        self._open(path, wanted)

    def _refuse_sessions(self, path: Path, wanted: Subsystem) -> None:
        if any((DEBUGFS / path.name).glob("ctrl*")):
            raise StorageError(
                "failed_precondition",
                f"Subsystem {path.name} exports something else than {wanted.device} to {wanted.hosts[0]}, and there are sessions; "
                "detach it on the hosts.",
            )

    def _open(self, path: Path, wanted: Subsystem) -> None:
        """Have the subsystem reached at the backend's portals, and at no others."""
        for portal in self.portals:
            try:
                _link(self._port(portal) / "subsystems" / path.name, path)
            except OSError as error:
                self._remove_empty_ports()
                raise portal.refused(self.target, error) from None
        for port in _entries(CONFIGFS / "ports"):
            if _portal_of(port) not in wanted.portals:
                _unlink(port / "subsystems" / path.name)

    def _port(self, portal: Portal) -> Path:
        """The port at this portal, which all subsystems share."""
        ports = list(_entries(CONFIGFS / "ports"))
        for port in ports:
            if _portal_of(port) == str(portal):
                return port
        taken = {port.name for port in ports}
        path = CONFIGFS / "ports" / next(str(n) for n in range(1, LAST_PORT) if str(n) not in taken)
        _make(path)
        _set(path / "addr_adrfam", _family(portal.address))
        _set(path / "addr_trtype", "tcp")
        _set(path / "addr_trsvcid", str(portal.port))
        # Last: a port that has one is whole.
        _set(path / "addr_traddr", portal.address)
        return path

    def _remove_subsystem(self, path: Path) -> None:
        # With its last link to a port, the kernel ends the controllers that came by that port.
        for port in _entries(CONFIGFS / "ports"):
            _unlink(port / "subsystems" / path.name)
        self._remove_empty_ports()
        for allowed in _entries(path / "allowed_hosts"):
            _unlink(allowed)
        _remove_unused_hosts()
        for namespace in _entries(path / "namespaces"):
            _set(namespace / "enable", "0")
            _remove(namespace)
        _remove(path)

    def _remove_empty_ports(self) -> None:
        """Those of this backend that nothing is reached at, and those that a call that was killed left without address."""
        ours = {*map(str, self.portals), None}
        for port in _entries(CONFIGFS / "ports"):
            if _portal_of(port) in ours and not any(_entries(port / "subsystems")):
                _remove(port)


def _read(path: Path, portals: list[str]) -> Subsystem:
    namespace = path / "namespaces" / NAMESPACE
    there = namespace.is_dir()
    device = _text(namespace / "device_path") if there else ""
    return Subsystem(
        nqn=path.name,
        hosts=tuple(sorted(entry.name for entry in _entries(path / "allowed_hosts"))),
        device=None if device in UNSET else device,
        uuid=_text(namespace / "device_uuid") if there else None,
        portals=tuple(sorted(portals)),
        open=there and _text(namespace / "enable") == "1" and _text(path / "attr_allow_any_host") == "0",
    )


def _leads_to(path: Path, wanted: Subsystem) -> bool:
    """Whether a subsystem can become the one that is wanted without taking anything away from a host."""
    present = _read(path, [])
    opened = _text(path / "namespaces" / NAMESPACE / "enable") == "1" if present.uuid else False
    behind = not opened or (present.device, present.uuid) == (wanted.device, wanted.uuid)
    known = set(present.hosts) <= set(wanted.hosts) and _text(path / "attr_allow_any_host") == "0"
    return behind and known


def _as_dict(subsystems: Mapping[str, Subsystem], saved: bool) -> dict[str, Any]:
    return {"subsystems": {host: asdict(subsystem) for host, subsystem in subsystems.items()}, "saved": saved}


def _portal_of(port: Path) -> Optional[str]:
    """Where a port is reached; None where it has no address (yet)."""
    address, number, transport = (_text(port / f"addr_{name}") for name in ("traddr", "trsvcid", "trtype"))
    if not address:
        return None
    if transport != "tcp":
        return f"{transport} {address}"
    with contextlib.suppress(ValueError):
        return str(Portal(str(ipaddress.ip_address(address)), int(number)))
    return address


def _words(portal: str) -> str:
    """A portal as the script that restores it takes it: C(ipv4,192.0.2.1,4420)."""
    host, _colon, port = portal.rpartition(":")
    address = host.strip("[]")
    return f"{_family(address)},{address},{port}"


def _family(address: str) -> str:
    return "ipv6" if ":" in address else "ipv4"


def _remove_unused_hosts() -> None:
    """Hosts that no subsystem lets in, unless they have a secret: without one there is nothing in their entries."""
    for host in _entries(CONFIGFS / "hosts"):
        key = host / "dhchap_key"
        if not key.exists() or _text(key) in UNSET:
            try:
                _remove(host)
            except OSError as error:
                if error.errno != errno.EBUSY:  # some subsystem lets it in
                    raise


def _load() -> None:
    finished = commands.run(["modprobe", "nvmet"], Deadline(MODPROBE_SECONDS))
    if not (finished.succeeded and CONFIGFS.is_dir()):
        raise StorageError(
            "failed_precondition",
            f"This controller's kernel has no NVMe target ({finished.complaint if not finished.succeeded else CONFIGFS}); install a "
            "kernel with nvmet and nvmet-tcp, or choose another target_protocol.",
            field="target_protocol",
        )


def _entries(directory: Path) -> Iterator[Path]:
    with contextlib.suppress(FileNotFoundError):
        yield from sorted(directory.iterdir())


def _text(path: Path) -> str:
    """An attribute; empty where it, or what it belongs to, is not there."""
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except FileNotFoundError:
        return ""


def _set(path: Path, value: str) -> None:
    """Write an attribute that differs: some are refused once a host has seen them."""
    if _text(path) != value:
        path.write_text(value, encoding="ascii")


def _make(path: Path) -> None:
    path.mkdir(exist_ok=True)


def _remove(path: Path) -> None:
    path.rmdir()


def _link(path: Path, target: Path) -> None:
    if not path.is_symlink():
        os.symlink(target, path)


def _unlink(path: Path) -> None:
    path.unlink(missing_ok=True)
