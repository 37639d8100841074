# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of the driver lvm: what a section of the configuration means."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable

from ansible_collections.brickwork.storage.plugins.module_utils.controller.config import Section
from ansible_collections.brickwork.storage.plugins.module_utils.controller.identity import normal_wwpn
from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm.exporter import Exporter, Portal
from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm.provisioning import Provisioning

if TYPE_CHECKING:
    from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm.fibre_channel import FibreChannel
    from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm.iscsi import Iscsi
    from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm.nvmet import Nvmet

# Each protocol's code is imported where it is used alone: Ansible's modules compile what they import anew in each call.


def _iscsi() -> type[Iscsi]:
    from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm.iscsi import Iscsi

    return Iscsi


def _nvmet() -> type[Nvmet]:
    from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm.nvmet import Nvmet

    return Nvmet


def _fibre_channel() -> type[FibreChannel]:
    from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm.fibre_channel import FibreChannel

    return FibreChannel


# By target_protocol.
EXPORTERS: dict[str, Callable[[], type[Exporter]]] = {
    "iscsi": _iscsi,
    "nvmet_tcp": _nvmet,
    "fibre_channel": _fibre_channel,
}


@dataclass(frozen=True)
class Settings:
    """The options of a section of this backend."""

    volume_group: str
    target_protocol: str
    portals: tuple[Portal, ...]
    target_prefix: str
    provisioning: Provisioning
    target_wwpns: tuple[str, ...] = ()

    def exporter(self) -> Exporter:
        """What exports the volumes."""
        if self.target_protocol == "fibre_channel":
            return _fibre_channel()(self.target_wwpns)
        return EXPORTERS[self.target_protocol]()(self.target_prefix, self.portals)


def settings_of(section: Section) -> Settings:
    """The section's options, checked."""
    values = section.options(
        lambda cfg: [
            cfg.StrOpt("volume_group", required=True),
            cfg.StrOpt("target_protocol", default="iscsi", choices=list(EXPORTERS)),
            cfg.StrOpt("target_ip_address"),
            cfg.ListOpt("target_secondary_ip_addresses", default=[]),
            cfg.PortOpt("target_port", min=1),
            cfg.StrOpt("target_prefix"),
            cfg.ListOpt("target_wwpns", default=[]),
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
    exporter = EXPORTERS[values["target_protocol"]]()
    portals, prefix = _portals(section, exporter, values) if exporter.has_portals else ([], "")
    for name, options in section.others.items():
        if (options.get("volume_driver"), options.get("volume_group")) == (section.driver, values["volume_group"]):
            raise section.error(
                "volume_group",
                f"{values['volume_group']} is the volume group of backend {name} too; give each a volume group of its own, or take one "
                "of them out of enabled_backends",
            )
    return Settings(
        volume_group=values["volume_group"],
        target_protocol=values["target_protocol"],
        portals=tuple(dict.fromkeys(portals)),
        target_prefix=prefix,
        provisioning=Provisioning(
            thin=values["lvm_type"] == "thin",
            over_subscription=_ratio(section, values["max_over_subscription_ratio"]),
            volume_clear=values["volume_clear"],
        ),
        target_wwpns=tuple(_wwpn(section, given) for given in values["target_wwpns"]),
    )


def _ratio(section: Section, text: str) -> float:
    if not re.fullmatch(r"\d+(\.\d+)?", text) or float(text) < 1:
        raise section.error("max_over_subscription_ratio", f"{text!r} is not a number of 1 or more")
    return float(text)


def _portals(section: Section, exporter: type[Exporter], values: Mapping[str, Any]) -> tuple[list[Portal], str]:
    """Where volumes are reached, and how the targets' names begin."""
    prefix = values["target_prefix"] or exporter.default_prefix
    if not re.fullmatch(exporter.prefix_form, prefix):
        raise section.error("target_prefix", f"{prefix!r} is not {exporter.prefix_meaning}")
    if not values["target_ip_address"]:
        raise section.error("target_ip_address", "is missing")
    addresses = {"target_ip_address": [values["target_ip_address"]]}
    addresses["target_secondary_ip_addresses"] = values["target_secondary_ip_addresses"]
    portals = [
        Portal(_address(section, option, address), values["target_port"] or exporter.default_port)
        for option, given in addresses.items()
        for address in given
    ]
    return portals, prefix


def _wwpn(section: Section, text: str) -> str:
    wwpn = normal_wwpn(text)
    if not wwpn:
        raise section.error("target_wwpns", f"{text!r} is not a WWPN, 16 hexadecimal digits as in 500a098280cba500")
    return wwpn


def _address(section: Section, option: str, text: str) -> str:
    try:
        address = ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        raise section.error(option, f"{text!r} is not an IP address") from None
    if address.is_unspecified or address.is_multicast:
        raise section.error(option, f"{text} is not an address that hosts can reach")
    return str(address)
