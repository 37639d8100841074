# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The seed of a machine: the files that make it different from all others on the same image, as a tar archive."""

from __future__ import annotations

import io
import tarfile
import uuid
from collections.abc import Mapping
from pathlib import Path

from . import archive, plan

IQN_PREFIX = "iqn.2026-11.org.example"
VOLUME_GROUP = "vg0"

# Units that run on the controller alone: the volume group, and LIO's configuration restored from it.
_CONTROLLER_UNITS = (
    "/etc/systemd/system/lab-volume-group.service",
    "/usr/lib/systemd/system/rtslib-fb-targetctl.service",
)
_STARTED_AT_BOOT = "etc/systemd/system/multi-user.target.wants"


def files(machine: plan.Machine, keys: Mapping[str, str]) -> dict[str, str]:
    """Path to content. `keys`: `authorized`, `host` and `host_public`, the texts of the lab's ssh keys."""
    found = {
        "etc/hostname": f"{machine.name}\n",
        "etc/hosts": _hosts(),
        "etc/machine-id": f"{uuid.uuid4().hex}\n",
        "etc/lab/root-uuid": f"{uuid.uuid4()}\n",
        "etc/ssh/ssh_host_ed25519_key": keys["host"],
        "etc/ssh/ssh_host_ed25519_key.pub": keys["host_public"],
        "root/.ssh/authorized_keys": keys["authorized"],
    }
    for number, interface in enumerate(machine.interfaces):
        name = f"etc/systemd/network/{number + 1}0-{interface.name}"
        found[f"{name}.link"] = _section("Match", MACAddress=interface.mac) + _section("Link", Name=interface.name)
        found[f"{name}.network"] = _section("Match", MACAddress=interface.mac) + _section(
            "Network", Address=f"{interface.address}/24", LinkLocalAddressing="no", IPv6AcceptRA="no"
        )
    if machine.is_bare:
        return {**found, **archive.settings(machine.system)}
    host_id = uuid.uuid4()
    found["etc/iscsi/initiatorname.iscsi"] = f"InitiatorName={IQN_PREFIX}:{machine.name}\n"
    found["etc/nvme/hostid"] = f"{host_id}\n"
    found["etc/nvme/hostnqn"] = f"nqn.2014-08.org.nvmexpress:uuid:{host_id}\n"
    if machine.is_controller:
        found["etc/brickwork/backends.conf"] = backends(machine)
    return found


def backends(controller: plan.Machine) -> str:
    first, *others = (controller.on(network).address for network in plan.STORAGE_NETWORKS)
    return (
        "[DEFAULT]\n"
        "enabled_backends = lvm\n"
        "\n"
        "[lvm]\n"
        "volume_driver = lvm\n"
        f"volume_group = {VOLUME_GROUP}\n"
        "target_protocol = iscsi\n"
        f"target_ip_address = {first}\n"
        f"target_secondary_ip_addresses = {','.join(others)}\n"
    )


def write(path: Path, machine: plan.Machine, contents: Mapping[str, str]) -> None:
    temporary = path.with_name(f"{path.name}.new")
    with tarfile.open(temporary, "w") as archive:
        for name, text in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            member.mode = 0o600 if "ssh" in name or "iscsi" in name else 0o644
            archive.addfile(member, io.BytesIO(text.encode()))
        for unit in _CONTROLLER_UNITS if machine.is_controller else ():
            member = tarfile.TarInfo(f"{_STARTED_AT_BOOT}/{Path(unit).name}")
            member.type, member.linkname = tarfile.SYMTYPE, unit
            archive.addfile(member)
    temporary.chmod(0o600)
    temporary.rename(path)


def _hosts() -> str:
    """Every machine that this lab may ever have: hosts can be added later."""
    others = plan.machines([plan.DEBIAN13] * plan.MAXIMUM_HOSTS)
    return "127.0.0.1 localhost\n" + "".join(f"{other.address} {other.name}\n" for other in others)


def _section(name: str, **settings: str) -> str:
    return f"[{name}]\n" + "".join(f"{key}={value}\n" for key, value in settings.items()) + "\n"
