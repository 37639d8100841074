#!/usr/bin/python
# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: volume_connection_info
short_description: See the volumes of a storage controller, and who holds them
version_added: 0.1.0
author:
  - brickwork.storage contributors (@brickwork)
description:
  - Shows every volume of the backends of a storage controller, the hosts that it is connected to, how it is exported, and who uses
    it at this moment.
  - Says of each what is wrong with that, such as an export that does not fit the record, or an initiator that uses a volume and
    does not hold it, and what to do.
  - Names also what is in a backend and was not made by it, which this collection never exports, grows or deletes.
  - Shows no secret.
extends_documentation_fragment:
  - brickwork.storage.attributes
  - brickwork.storage.controller.configuration
attributes:
  check_mode:
    details: This module changes nothing, in check mode or out of it.
  diff_mode:
    support: N/A
    details: This module changes nothing.
options:
  volumes:
    description:
      - The volumes to show, by name.
      - Left out, all that there are.
    type: list
    elements: str
  backend:
    description:
      - The backend to look at, a section of O(config).
      - Left out, all that are enabled. One that cannot be read does not stop the others; the task fails with what it says, and returns
        the volumes of the others.
    type: str
seealso:
  - module: brickwork.storage.volume_connection
  - module: brickwork.storage.volume_backend_info
  - module: brickwork.storage.volume_attach_info
"""

EXAMPLES = r"""
- name: Look at all volumes of a controller
  brickwork.storage.volume_connection_info:
  register: seen

- name: Fail where something is wrong with one of them
  ansible.builtin.assert:
    that: seen.volumes | map(attribute="problems") | flatten | length == 0
    fail_msg: "{{ seen.volumes | map(attribute='problems') | flatten | join(' ') }}"

- name: See who holds two volumes
  brickwork.storage.volume_connection_info:
    volumes: [db-data, db-log]
  register: seen

- name: Show it
  ansible.builtin.debug:
    msg: "{{ item.name }}: {{ item.holders | map(attribute='host') | join(', ') | default('nobody', true) }}"
  loop: "{{ seen.volumes }}"
  loop_control:
    label: "{{ item.name }}"
"""

RETURN = r"""
volumes:
  description: The volumes, in the order given, or sorted by name. Those in C(errors) are left out.
  returned: unless the whole call failed
  type: list
  elements: dict
  contains:
    name:
      description: The volume's name.
      returned: always
      type: str
      sample: db-data
    id:
      description: The volume's id.
      returned: always
      type: str
      sample: 5f0c1c5e-4a3b-4d37-9d0a-0f7a5f1f6f3a
    size_bytes:
      description: The volume's size.
      returned: always
      type: int
      sample: 10737418240
    backend:
      description: The backend that holds it.
      returned: always
      type: str
      sample: lvm
    wwn:
      description: The WWN that hosts see it under; null where the backend cannot know.
      returned: always
      type: str
      sample: 360014055f0c1c5e4a3b4d379d0a0f7a5
    shared:
      description: Whether more than one host may hold it.
      returned: always
      type: bool
      sample: false
    deleting:
      description: Whether a deletion has begun that did not end.
      returned: always
      type: bool
      sample: false
    holders:
      description: The hosts that it is connected to, sorted by name.
      returned: always
      type: list
      elements: dict
      contains:
        host:
          description: The host's name.
          returned: always
          type: str
          sample: db1
        initiator:
          description: What it connects as, an IQN, an NQN, or WWPNs with C(+) between them.
          returned: always
          type: str
          sample: iqn.1993-08.org.debian:01:db1
        multipath:
          description: Whether it connects by all portals.
          returned: always
          type: bool
          sample: true
        sessions:
          description:
            - Addresses from which it uses the volume at this moment, none where it does not. Of several sessions LIO tells one over
              iSCSI and none over Fibre Channel; nvmet tells them where the kernel was built with C(CONFIG_NVME_TARGET_DEBUGFS).
          returned: always
          type: list
          elements: str
          sample: [192.0.2.21]
    export:
      description: How it is exported, in the words of the backend; null where it is not.
      returned: always
      type: dict
    problems:
      description: What is wrong, in sentences that say what to do.
      returned: always
      type: list
      elements: str
      sample: []
strangers:
  description: What bears a name in a backend and was not made by it.
  returned: unless the whole call failed
  type: list
  elements: dict
  contains:
    name:
      description: Its name.
      returned: always
      type: str
      sample: root
    backend:
      description: The backend that it is in.
      returned: always
      type: str
      sample: lvm
    msg:
      description: What it is, and how it could be handed over.
      returned: always
      type: str
error_code:
  description: What kind of failure it is; of several the worst one's.
  returned: failure
  type: str
  sample: not_found
errors:
  description: The failures, with C(msg), C(error_code), C(volume), and where a backend could not be read C(backend).
  returned: failure of a volume or of a backend
  type: list
  elements: dict
"""

from ansible_collections.brickwork.storage.plugins.module_utils.controller.connection_info import info
from ansible_collections.brickwork.storage.plugins.module_utils.module import StorageModule, run


def main() -> None:
    module = StorageModule(
        argument_spec={
            "volumes": {"type": "list", "elements": "str"},
            "backend": {"type": "str"},
            "config": {"type": "path", "default": "/etc/brickwork/backends.conf"},
        }
    )
    run(module, info)


if __name__ == "__main__":
    main()
