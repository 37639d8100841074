#!/usr/bin/python
# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: volume_connector_facts
short_description: Gather what a host connects to volumes with
version_added: 0.1.0
author:
  - brickwork.storage contributors (@brickwork)
description:
  - Gathers the names by which a storage controller lets this host in, its iSCSI initiator name, NVMe host NQN,
    Fibre Channel WWPNs and the like, as os-brick tells them.
  - This is the first of three steps. The second, M(brickwork.storage.volume_connection), takes the result as its
    O(brickwork.storage.volume_connection#module:connector). The third, M(brickwork.storage.volume_attach), makes the device appear.
  - Changes nothing. In particular it does not make C(/etc/nvme/hostnqn) and C(/etc/nvme/hostid), as os-brick by itself would;
    M(brickwork.storage.host_identity) does.
extends_documentation_fragment:
  - brickwork.storage.attributes.facts
requirements:
  - os-brick on the host, as the distribution packages it or in an environment of its own
options:
  ip:
    description:
      - The address of this host.
      - Left out, the address it reaches other hosts from, or else its first global address.
    type: str
  multipath:
    description:
      - Whether volumes are to be attached over several paths.
      - Some storage systems need to know it when they export a volume.
    type: bool
    default: false
  enforce_multipath:
    description:
      - With O(multipath=true), fail where C(multipathd) does not run, instead of attaching over a single path later.
    type: bool
    default: false
notes:
  - os-brick runs programs of its own, such as C(dmidecode) and C(nvme); they do not pass through Ansible's logging.
seealso:
  - module: brickwork.storage.host_identity
  - module: brickwork.storage.volume_connection
  - module: brickwork.storage.volume_attach
"""

EXAMPLES = r"""
- name: Gather what the host connects with
  brickwork.storage.volume_connector_facts:
    multipath: true

- name: Show by which name the storage controller will know the host
  ansible.builtin.debug:
    var: ansible_facts.volume_connector.initiator
"""

RETURN = r"""
ansible_facts:
  description: Facts to add to the host's.
  returned: success
  type: dict
  contains:
    volume_connector:
      description:
        - What os-brick's C(get_connector_properties) returns. The keys depend on the host; these are common.
      returned: success
      type: dict
      contains:
        host:
          description: The host's name, by which its connections are known.
          type: str
          returned: always
          sample: db1
        ip:
          description: The host's address.
          type: str
          returned: always
          sample: 192.0.2.21
        initiator:
          description: Its iSCSI initiator name.
          type: str
          returned: where open-iscsi is set up
          sample: iqn.2026-11.org.example:db1
        nqn:
          description: Its NVMe host NQN.
          type: str
          returned: where the host has one
          sample: nqn.2014-08.org.nvmexpress:uuid:5f0c6a3e-3b0f-4a53-9d57-9b3b8a1f6a10
        multipath:
          description: Whether volumes are to be attached over several paths.
          type: bool
          returned: always
"""

from typing import Any

from ansible_collections.brickwork.storage.plugins.module_utils.host import brick
from ansible_collections.brickwork.storage.plugins.module_utils.module import StorageModule, run


def main() -> None:
    """Run the module."""
    module = StorageModule(
        argument_spec={
            "ip": {"type": "str"},
            "multipath": {"type": "bool", "default": False},
            "enforce_multipath": {"type": "bool", "default": False},
        },
    )
    run(module, gather)


def gather(params: dict[str, Any], _check_mode: bool) -> dict[str, Any]:
    """The facts, by an interpreter that has os-brick."""
    connector = brick.connector(params["ip"], params["multipath"], params["enforce_multipath"])
    return {"changed": False, "ansible_facts": {"volume_connector": connector}}


if __name__ == "__main__":
    main()
