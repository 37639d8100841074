#!/usr/bin/python
# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: volume_snapshot
short_description: Create and delete snapshots of a storage controller's volumes
version_added: 0.1.0
author:
  - brickwork.storage contributors (@brickwork)
description:
  - Creates and deletes snapshots on the machine that runs the module, which is the storage controller. M(brickwork.storage.volume) makes
    volumes from them.
  - The snapshot of a volume that a host is writing to is what the host would find after a power cut. File systems with a journal and
    databases recover from that. What an application or the host's cache has not written yet is missing, so flush it first, for example
    with C(fsfreeze) or C(sync) on the host, if it has to be there.
  - Each volume is caught at a moment of its own. To catch several at the same moment, have nobody write to them.
  - A thick snapshot of the backend C(lvm) takes as much room as its volume and a little more, so that it never overflows, whatever is
    written to the volume. As long as it exists, the first write to each place of the volume is slower, and the volume cannot grow.
options:
  snapshots:
    description:
      - Names of the snapshots, as a list or as C(a,b). No volume of the backend has the same name.
      - One call handles them all; one that fails does not stop the others.
    type: list
    elements: str
    required: true
  volume:
    description:
      - The name of the volume that the snapshots are of. Needed with O(state=present).
      - A snapshot that exists and is of another volume is refused, with O(state=absent) too.
    type: str
  backend:
    description:
      - The backend that holds the volume, a section of O(config).
      - May be left out where only one backend is enabled.
    type: str
  state:
    description:
      - V(present) takes the snapshots, unless they exist. One that exists keeps what it has; to renew it, delete it first.
      - V(absent) deletes the snapshots. Volumes that were made from them stay, and one that is being copied from a snapshot keeps it from
        being deleted. What the backend C(lvm) kept for a thick snapshot is overwritten with zeros before the space is given back,
        unless C(volume_clear) is C(none).
    type: str
    choices: [present, absent]
    default: present
extends_documentation_fragment:
  - brickwork.storage.attributes
  - brickwork.storage.controller.configuration
seealso:
  - module: brickwork.storage.volume
"""

EXAMPLES = r"""
- name: Keep what a volume has before an upgrade
  brickwork.storage.volume_snapshot:
    snapshots: db-before-upgrade
    volume: db-data

- name: Make a volume from that
  brickwork.storage.volume:
    volumes: db-restored
    snapshot: db-before-upgrade

- name: Delete the snapshot
  brickwork.storage.volume_snapshot:
    snapshots: db-before-upgrade
    state: absent
"""

RETURN = r"""
snapshots:
  description: The snapshots that did not fail, in the order given.
  returned: unless the whole call failed
  type: list
  elements: dict
  contains:
    name:
      description: The snapshot's name.
      returned: always
      type: str
      sample: db-before-upgrade
    id:
      description: The snapshot's id; null where there is no such snapshot, or not any more or not yet.
      returned: always
      type: str
      sample: 0b1f6f3a-5f0c-4d37-9d0a-1c5e4a3b0f7a
    volume:
      description: The name of its volume; null where there is no such snapshot and O(volume) was left out.
      returned: always
      type: str
      sample: db-data
    volume_id:
      description: The id of its volume; null where there is no such snapshot, or not any more.
      returned: always
      type: str
      sample: 5f0c1c5e-4a3b-4d37-9d0a-0f7a5f1f6f3a
    size_bytes:
      description: The size of the volume at that moment; null where there is no such snapshot, or not any more.
      returned: always
      type: int
      sample: 10737418240
    backend:
      description: The backend that holds it.
      returned: always
      type: str
      sample: lvm
changed_snapshots:
  description: The names of the snapshots that this call changed.
  returned: unless the whole call failed
  type: list
  elements: str
error_code:
  description: What kind of failure it is; of several snapshots the worst one's.
  returned: failure
  type: str
  sample: resource_exhausted
errors:
  description: The failures, one for each snapshot that failed, with its C(msg), C(error_code) and C(snapshot).
  returned: failure of a snapshot
  type: list
  elements: dict
"""

from ansible_collections.brickwork.storage.plugins.module_utils.controller.snapshots import work
from ansible_collections.brickwork.storage.plugins.module_utils.module import StorageModule, run


def main() -> None:
    module = StorageModule(
        argument_spec={
            "snapshots": {"type": "list", "elements": "str", "required": True},
            "volume": {"type": "str"},
            "backend": {"type": "str"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "config": {"type": "path", "default": "/etc/brickwork/backends.conf"},
        },
        required_if=[("state", "present", ["volume"])],
    )
    run(module, work)


if __name__ == "__main__":
    main()
