# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host connects as, by the field of its connector that the storage knows it by. All of it pure.

This takes what any storage may take. A target that takes less, as the kernel's do, says so itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Optional

from ansible_collections.brickwork.storage.plugins.module_utils.controller import rules
from ansible_collections.brickwork.storage.plugins.module_utils.controller.backend import Holder
from ansible_collections.brickwork.storage.plugins.module_utils.errors import invalid

# RFC 3720 and the NVMe specification allow no more than 223 bytes. The + stands between the names of a host.
NAMES = {"initiator": re.compile(r"(?!.{224})(iqn|eui|naa)\.[^\s+]+"), "nqn": re.compile(r"(?!.{224})nqn\.[^\s+]+")}
MEANINGS = {
    "initiator": "the host's iSCSI name, such as iqn.1993-08.org.debian:01:abc",
    "nqn": "the host's NQN, as /etc/nvme/hostnqn has it, such as nqn.2014-08.org.nvmexpress:uuid:5f0c1c5e-…",
}
WWPN = re.compile(r"[0-9a-f]{16}")
WWPNS_FORM = "the WWPNs of the host's Fibre Channel ports, 16 hexadecimal digits each, as in 500a098280cba500"


def holder(known_by: str, connector: Mapping[str, Any]) -> Holder:
    """The host that a connector describes.

    Args:
        known_by: C(initiator), C(nqn), C(wwpns), or C(host) where whoever has the key of a storage may use it.
        connector: as step 1 returns it.

    Raises:
        StorageError: C(invalid_argument), where the connector lacks that.
    """
    host, multipath = rules.connector_host(connector), rules.connector_multipath(connector)
    return Holder(host, host if known_by == "host" else _names(known_by, connector), multipath, known_by)


def normal_wwpn(text: Any) -> Optional[str]:
    """A WWPN in lower case without separators; None for what is none."""
    digits = re.sub("^0x|:", "", text.strip().lower()) if isinstance(text, str) else ""
    return digits if WWPN.fullmatch(digits) else None


def _names(known_by: str, connector: Mapping[str, Any]) -> str:
    given = connector.get(known_by)
    if known_by == "wwpns":
        wwpns = [normal_wwpn(one) for one in given] if isinstance(given, list) else []
        if not wwpns or not all(wwpns):
            raise invalid("connector.wwpns", WWPNS_FORM, given)
        return "+".join(sorted({str(wwpn) for wwpn in wwpns}))
    # iSCSI names are compared in lower case.
    name = given.lower() if isinstance(given, str) and known_by == "initiator" else given
    if not isinstance(name, str) or not NAMES[known_by].fullmatch(name):
        raise invalid(f"connector.{known_by}", MEANINGS[known_by], given)
    return name
