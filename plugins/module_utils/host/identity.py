# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The names by which targets know this host."""

from __future__ import annotations

from ansible_collections.brickwork.storage.plugins.module_utils.host.fibre_channel_ports import ports_of
from ansible_collections.brickwork.storage.plugins.module_utils.host.sysfs import Sysfs


def own_names(view: Sysfs, key: str) -> frozenset[str]:
    """This host's own names.

    Args:
        view: the host.
        key: the connector's, C(initiator), C(nqn) or C(wwpns).

    Returns:
        One name, or for Fibre Channel one for each port; empty where the host has none.
    """
    if key == "wwpns":
        return frozenset(ports_of(view).local)
    name = {"initiator": view.initiator_name, "nqn": view.host_nqn}[key]()
    return frozenset([name] if name else [])
