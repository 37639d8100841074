#!/usr/bin/python
# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_identity
short_description: Give a host names of its own
version_added: 0.1.0
author:
  - brickwork.storage contributors (@brickwork)
description:
  - Sees that a host has an iSCSI initiator name, an NVMe host NQN and an NVMe host identifier, and that they are its own. Storage systems
    tell hosts from each other by them and by nothing else; two hosts with one name write to each other's volumes.
  - Makes a name where there is none, and keeps one that is there.
  - Records in C(/var/lib/brickwork/names.json) which machine the names were given to, by the UUID of its firmware or, where that says
    nothing, by its C(/etc/machine-id). Where the record tells of another machine, the host is a copy of that one; names that are still those
    of the record are made anew, with a warning. Without a record the names are taken for the host's own and recorded.
  - No name changes while it is in use, by an iSCSI session, an NVMe controller or a volume that M(brickwork.storage.volume_attach) attached.
  - C(iscsid) reads its name when it starts. Restart it where RV(changed_names) has C(initiator); the role
    P(brickwork.storage.host_setup#role) does.
extends_documentation_fragment:
  - brickwork.storage.attributes
attributes:
  idempotent:
    support: partial
    details: With O(renew) names are made anew each time.
options:
  initiator_name:
    description:
      - The iSCSI initiator name that the host is to have.
      - Left out, the host keeps its own, or gets one.
    type: str
  renew:
    description:
      - Names that are to be made anew, whatever they are, such as those that another host has, too.
    type: list
    elements: str
    choices: [initiator, nqn, hostid]
    default: []
seealso:
  - module: brickwork.storage.volume_connector_facts
"""

EXAMPLES = r"""
- name: See that the host has names of its own
  brickwork.storage.host_identity:

- name: Give it a name of your choice
  brickwork.storage.host_identity:
    initiator_name: iqn.2026-11.org.example:db1
  register: identity

- name: Have iscsid take it
  ansible.builtin.systemd_service:
    name: iscsid
    state: restarted
  when: "'initiator' in identity.changed_names"

- name: Give other names to a copy that was made before the names were recorded
  brickwork.storage.host_identity:
    renew: [initiator, nqn, hostid]
"""

RETURN = r"""
names:
  description: The host's names. In check mode one that would be made up is none.
  returned: success
  type: dict
  contains:
    initiator:
      description: The iSCSI initiator name.
      type: str
      returned: always
      sample: iqn.2026-11.org.brickwork:host:5f0c6a3e3b0f4a539d579b3b8a1f6a10
    nqn:
      description: The NVMe host NQN.
      type: str
      returned: always
      sample: nqn.2014-08.org.nvmexpress:uuid:5f0c6a3e-3b0f-4a53-9d57-9b3b8a1f6a10
    hostid:
      description: The NVMe host identifier.
      type: str
      returned: always
      sample: 5f0c6a3e-3b0f-4a53-9d57-9b3b8a1f6a10
changed_names:
  description: Those of them that are others than before, C(initiator), C(nqn), C(hostid).
  returned: success
  type: list
  elements: str
  sample: [initiator]
users:
  description: For each of them what uses it now; on failure what uses the one that cannot change.
  returned: success, or on failure for what is in use
  type: raw
  sample: {initiator: ["the iSCSI session to iqn.2026-11.org.example:db-data at 192.0.2.10:3260"], nqn: [], hostid: []}
explicit:
  description: Whether the iSCSI initiator name is the one that O(initiator_name) gave.
  returned: success
  type: bool
  sample: false
boot:
  description: What tells the machine, as it runs now, from all others that run; the same for two names of one machine in an inventory.
  returned: success
  type: str
  sample: 0c4f6f8e-2a86-4f6e-9d6e-6d8c7f6b1f7e
error_code:
  description: Why it failed, C(aborted), C(failed_precondition), C(internal), C(invalid_argument) or C(permission_denied).
  returned: on failure
  type: str
  sample: failed_precondition
field:
  description: The option that is wrong.
  returned: where one is
  type: str
  sample: initiator_name
"""

from typing import Any

from ansible_collections.brickwork.storage.plugins.module_utils.host.naming import give
from ansible_collections.brickwork.storage.plugins.module_utils.host.records import Records
from ansible_collections.brickwork.storage.plugins.module_utils.host.sysfs import Sysfs
from ansible_collections.brickwork.storage.plugins.module_utils.module import StorageModule, run


def main() -> None:
    """Run the module."""
    module = StorageModule(
        argument_spec={
            "initiator_name": {"type": "str"},
            "renew": {"type": "list", "elements": "str", "choices": ["initiator", "nqn", "hostid"], "default": []},
        },
    )
    run(module, work)


def work(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """See that the host has names of its own."""
    return give(params, check_mode, Sysfs(), Records())


if __name__ == "__main__":
    main()
