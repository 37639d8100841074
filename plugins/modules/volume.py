#!/usr/bin/python
# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: volume
short_description: Create, grow and delete volumes of a storage controller
version_added: 0.1.0
author:
  - brickwork.storage contributors (@brickwork)
description:
  - Creates, grows and deletes volumes on the machine that runs the module, which is the storage controller.
  - The built-in backend C(lvm) makes every volume a logical volume, named like it and tagged as its own. Logical volumes without that
    tag are never exported, grown or deleted.
  - A volume can be made from a snapshot or from another volume. It is then on its own, and either can be deleted. The backend C(lvm)
    makes a thin one at once, and copies what is thick, which takes as long as reading and writing it, and while a volume is copied as
    much room again. Nobody can use the new volume before it is whole. Repeat a call that was cut short, or delete the volume.
options:
  size:
    description:
      - The size of the volumes, in bytes or as a whole number of C(KiB), C(MiB), C(GiB), C(TiB) or C(PiB), such as V(10GiB).
        The backend may round it up.
      - A smaller volume grows to it. A volume never shrinks.
      - Needed to create empty volumes. If left out, volumes that exist keep their size, and one that is made from a snapshot or from
        another volume gets the size of that, which is the least it can have.
      - A thick volume of the backend C(lvm) cannot grow as long as it has snapshots.
    type: str
  snapshot:
    description:
      - A snapshot of the same backend, whose data new volumes get.
      - A volume that exists must have been made from a snapshot of this name, and keeps its data.
      - Only with O(state=present).
    type: str
  source_volume:
    description:
      - A volume of the same backend, whose data new volumes get.
      - A host may be writing to it; the new volume then has what the other had at one moment, as after a power cut. Flush or unmount
        its file systems first if they need that.
      - A volume that exists must have been made from a volume of this name, and keeps its data.
      - Only with O(state=present).
    type: str
  state:
    description:
      - V(present) creates the volumes, or grows them to O(size). The hosts that a volume is attached to see its new size after they
        have rescanned it.
      - V(absent) deletes the volumes. A volume that is connected to a host, or that has snapshots, is not deleted. Before the space is given back, it
        is overwritten with zeros, unless the backend's option C(volume_clear) is C(none). A thin pool needs no such thing.
    type: str
    choices: [present, absent]
    default: present
extends_documentation_fragment:
  - brickwork.storage.attributes
  - brickwork.storage.controller
  - brickwork.storage.controller.configuration
seealso:
  - module: brickwork.storage.volume_connection
  - module: brickwork.storage.volume_snapshot
"""

EXAMPLES = r"""
- name: Create a volume
  brickwork.storage.volume:
    volumes: db-data
    size: 10GiB

- name: Create two volumes of a named backend, or grow them
  brickwork.storage.volume:
    volumes: [db-data, db-log]
    size: 20GiB
    backend: lvm

- name: Make a volume from a snapshot, and larger
  brickwork.storage.volume:
    volumes: db-restored
    snapshot: db-before-upgrade
    size: 30GiB

- name: Make a copy of a volume for tests
  brickwork.storage.volume:
    volumes: db-test
    source_volume: db-data

- name: Delete a volume
  brickwork.storage.volume:
    volumes: db-data
    state: absent
"""

RETURN = r"""
volumes:
  description: The volumes that did not fail, in the order given.
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
      description: The volume's id; null where there is no such volume, or not any more or not yet.
      returned: always
      type: str
      sample: 5f0c1c5e-4a3b-4d37-9d0a-0f7a5f1f6f3a
    size_bytes:
      description: The volume's size; null where there is no such volume, or not any more.
      returned: always
      type: int
      sample: 10737418240
    backend:
      description: The backend that holds it.
      returned: always
      type: str
      sample: lvm
    wwn:
      description: The WWN that hosts see it under; null where there is no such volume, or the backend cannot know.
      returned: always
      type: str
      sample: 360014055f0c1c5e4a3b4d379d0a0f7a5
changed_volumes:
  description: The names of the volumes that this call changed.
  returned: unless the whole call failed
  type: list
  elements: str
error_code:
  description: What kind of failure it is; of several volumes the worst one's.
  returned: failure
  type: str
  sample: resource_exhausted
errors:
  description: The failures, one for each volume that failed, with its C(msg), C(error_code) and C(volume).
  returned: failure of a volume
  type: list
  elements: dict
"""

from ansible_collections.brickwork.storage.plugins.module_utils.controller.volumes import work
from ansible_collections.brickwork.storage.plugins.module_utils.module import StorageModule, run


def main() -> None:
    module = StorageModule(
        argument_spec={
            "volumes": {"type": "list", "elements": "str", "required": True},
            "size": {"type": "str"},
            "snapshot": {"type": "str"},
            "source_volume": {"type": "str"},
            "backend": {"type": "str"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "config": {"type": "path", "default": "/etc/brickwork/backends.conf"},
        },
        mutually_exclusive=[("snapshot", "source_volume")],
    )
    run(module, work)


if __name__ == "__main__":
    main()
