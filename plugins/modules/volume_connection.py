#!/usr/bin/python
# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: volume_connection
short_description: Connect volumes of a storage controller to a host
version_added: 0.1.0
author:
  - brickwork.storage contributors (@brickwork)
description:
  - The second of the three steps that make a volume usable on a host. It exports volumes to one host, on the machine that runs the
    module, which is the storage controller, and returns what M(brickwork.storage.volume_attach) needs on that host.
  - Who holds a volume is recorded by the backend, so a repeat changes nothing, and a volume that another host holds is refused.
  - The name of a host and what it connects as belong to one host in all of a backend; another one that has either of them is refused.
  - The built-in backend C(lvm) exports every volume as an iSCSI target of its own, at all addresses of the backend, to the
    initiators of its hosts alone, each with a CHAP secret of its own. Exports survive a reboot of the controller.
options:
  connector:
    description:
      - The host, as M(brickwork.storage.volume_connector_facts) describes it.
      - Needed to connect. C(host), and for iSCSI C(initiator), must be in it; C(multipath) says whether the host uses all addresses.
    type: dict
  host:
    description:
      - The host to release, where its O(connector) is not at hand.
    type: str
  shared:
    description:
      - Whether other hosts may hold the volumes at the same time.
      - Only for what can deal with that, such as a cluster's file system. Two hosts that mount the same ordinary file system destroy it.
      - It may be set for a volume that is connected already, and taken back as soon as only one host holds it.
    type: bool
    default: false
  all_hosts:
    description:
      - Release every host that holds the volumes.
    type: bool
    default: false
  fenced:
    description:
      - Release a host although it has a live session, because it is certainly dead, or certainly cannot write any more.
      - If that is wrong, the host loses the volume while it is writing to it.
    type: bool
    default: false
  state:
    description:
      - V(present) connects the volumes to the host of the O(connector).
      - V(absent) releases the O(host), which has to have detached them. A host that still has a session to a volume is not released.
    type: str
    choices: [present, absent]
    default: present
  timeout:
    description:
      - Seconds after which the whole call gives up, waiting for other calls on the same backend included.
      - Calls on the same backend change it one after another, in turn. One whose turn does not come in time fails with C(aborted), and
        has changed nothing; one whose turn comes late has as many seconds for its own work, or 30 if that is less.
    type: int
    default: 300
extends_documentation_fragment:
  - brickwork.storage.attributes
  - brickwork.storage.controller
  - brickwork.storage.controller.configuration
notes:
  - The result holds the CHAP secret, because the host needs it. Set C(no_log) on tasks that would show it.
  - In check mode, RV(connections[].connection_info) of a connection that does not exist yet has all but the secret, which is null.
seealso:
  - module: brickwork.storage.volume
  - module: brickwork.storage.volume_attach
  - module: brickwork.storage.volume_connector_facts
"""

EXAMPLES = r"""
- name: Connect two volumes to a host, on the controller
  brickwork.storage.volume_connection:
    volumes: [db-data, db-log]
    connector: "{{ hostvars['db1'].ansible_facts.volume_connector }}"
  delegate_to: stor1
  register: connected
  no_log: true

- name: Connect a volume to a second host of a cluster
  brickwork.storage.volume_connection:
    volumes: cluster-data
    connector: "{{ hostvars['db2'].ansible_facts.volume_connector }}"
    shared: true
  delegate_to: stor1
  no_log: true

- name: Release a volume that the host has detached
  brickwork.storage.volume_connection:
    volumes: db-data
    host: db1
    state: absent
  delegate_to: stor1

- name: Release a volume from a host that was fenced
  brickwork.storage.volume_connection:
    volumes: db-data
    host: db1
    fenced: true
    state: absent
  delegate_to: stor1
"""

RETURN = r"""
connections:
  description: The connections of the volumes that did not fail, in the order given.
  returned: unless the whole call failed
  type: list
  elements: dict
  contains:
    volume:
      description: The volume, as M(brickwork.storage.volume) returns it.
      returned: always
      type: dict
      sample:
        name: db-data
        id: 5f0c1c5e-4a3b-4d37-9d0a-0f7a5f1f6f3a
        size_bytes: 10737418240
        backend: lvm
        wwn: 360014055f0c1c5e4a3b4d379d0a0f7a5
    host:
      description: The host; null with O(all_hosts=true).
      returned: always
      type: str
      sample: db1
    connector:
      description: The O(connector), as given.
      returned: always
      type: dict
    connection_info:
      description:
        - What the host connects with, in os-brick's form; null for a volume that was released.
        - In check mode its C(data) is null where only the storage's driver will know it.
      returned: always
      type: dict
      sample:
        driver_volume_type: iscsi
        data:
          target_portals: ["192.0.2.10:3260", "198.51.100.10:3260"]
          target_luns: [0, 0]
    connected:
      description: Whether the host holds the volume; false in check mode where it would only get it.
      returned: always
      type: bool
    released:
      description: The hosts that this call released.
      returned: with O(state=absent)
      type: list
      elements: str
changed_volumes:
  description: The names of the volumes whose connections this call changed.
  returned: unless the whole call failed
  type: list
  elements: str
newly_connected:
  description: The names of the volumes that the host did not hold before this call.
  returned: for O(state=present)
  type: list
  elements: str
error_code:
  description: What kind of failure it is; of several volumes the worst one's.
  returned: failure
  type: str
  sample: failed_precondition
errors:
  description:
    - The failures, one for each volume that failed, with its C(msg), C(error_code) and C(volume), and where they matter C(holders),
      the hosts that hold it.
  returned: failure of a volume
  type: list
  elements: dict
"""

from ansible_collections.brickwork.storage.plugins.module_utils.controller.connections import work
from ansible_collections.brickwork.storage.plugins.module_utils.module import StorageModule, run


def main() -> None:
    module = StorageModule(
        argument_spec={
            "volumes": {"type": "list", "elements": "str", "required": True},
            "connector": {"type": "dict"},
            "host": {"type": "str"},
            "backend": {"type": "str"},
            "shared": {"type": "bool", "default": False},
            "all_hosts": {"type": "bool", "default": False},
            "fenced": {"type": "bool", "default": False},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "timeout": {"type": "int", "default": 300},
            "config": {"type": "path", "default": "/etc/brickwork/backends.conf"},
        },
        required_if=[("state", "present", ["connector"])],
    )
    run(module, work)


if __name__ == "__main__":
    main()
