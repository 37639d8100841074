#!/usr/bin/python
# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: volume_attach
short_description: Attach volumes to a host, and detach them
version_added: 0.1.0
author:
  - brickwork.storage contributors (@brickwork)
description:
  - Makes the device of a connected volume appear on the host, verified to be that volume, and takes it away again without losing data.
  - This is the third of three steps, after M(brickwork.storage.volume_connector_facts) and M(brickwork.storage.volume_connection).
  - To release a volume go backwards. Detach it here first; once this module has verified that the device is gone,
    disconnect it on the controller.
  - Any number of volumes are attached or detached in one call, and faster than one after another. Where some fail, the others
    are kept, and a second run completes them.
extends_documentation_fragment:
  - brickwork.storage.attributes
requirements:
  - open-iscsi, for iSCSI
  - the kernel's module C(nvme_tcp) and an NQN in C(/etc/nvme/hostnqn), for NVMe over TCP
  - multipath-tools, for O(multipath=true), except where the kernel itself joins the paths of NVMe volumes
  - cryptsetup, for O(encryption)
  - os-brick and ceph-common, for RBD
  - nfs-common (nfs-utils), for NFS
options:
  state:
    description:
      - V(present) attaches, V(absent) detaches.
    type: str
    choices: [present, absent]
    default: present
  connections:
    description:
      - The connections, exactly as M(brickwork.storage.volume_connection) returned them for this host.
      - Needed for O(state=present). For O(state=absent) the names in O(volumes) suffice.
      - They hold a secret. It is kept out of the logs of the host, but the task itself should set C(no_log).
    type: list
    elements: dict
  volumes:
    description:
      - For O(state=absent), the names of the volumes, or the id of one whose name another one has, too. The host keeps a record of its
        attachments.
    type: list
    elements: str
  backend:
    description:
      - The backend of the volumes in O(volumes), where volumes of several backends have the same name.
    type: str
  multipath:
    description:
      - Whether to log in to all portals and to attach the multipath map over them.
      - Without it the first portal that answers is used. Where C(multipathd) takes the single path all the same, the map is what is returned.
    type: bool
    default: false
  enforce_multipath:
    description:
      - With O(multipath=true), fail where C(multipathd) does not run, instead of attaching without a map.
    type: bool
    default: false
  min_paths:
    description:
      - With O(multipath=true), how many paths must work. With fewer the volume is not attached, and nothing is left of the attempt.
      - A repeat tries missing paths again only where fewer than these work.
    type: int
    default: 1
  persistent:
    description:
      - Whether the volume comes back, under the same path and before remote file systems are mounted, when the host boots.
      - For iSCSI this is open-iscsi's own start. For NVMe the unit C(brickwork-nvme.service) is made with the first such volume, and
        taken away with the last.
      - Not for RBD, NFS, local devices and what passes through os-brick; their volumes are attached again after a boot.
      - A volume over Fibre Channel comes back at boot as long as it is exported to the host, whatever this says.
      - An encrypted volume comes back closed, because its passphrase is stored nowhere on the host. Repeat the call to open it.
    type: bool
    default: false
  force:
    description:
      - For O(state=absent), go on where what was written to the volume can no longer be saved, because all its paths are dead or a flush fails.
        B(This loses data.) A warning says of which volume.
      - A device in use is never taken away, whatever this says.
    type: bool
    default: false
  encryption:
    description:
      - Have the volumes encrypted with LUKS. After a volume is attached its LUKS volume is opened, and the attachment's C(path) is the
        opened device. LUKS1 is opened too, but only LUKS2 is made.
      - Left out, volumes are attached as they are. All volumes of a call are encrypted, or none; a volume that is attached the other
        way is refused with C(already_exists).
      - One passphrase for all volumes of a call is usual and what a survey can ask for. Volumes with a passphrase of their own, as a key manager
        hands them out, have it by name.
      - For O(state=absent) it is not needed. What this module has opened it closes.
    type: dict
    suboptions:
      passphrase:
        description:
          - The passphrase of the volumes that O(encryption.passphrases) does not name.
          - Text of one line, at most 512 bytes, so that it can also be typed where cryptsetup asks for it. It reaches cryptsetup by its standard input.
        type: str
      passphrases:
        description:
          - Passphrases by the name of the volume. Names of other volumes are allowed.
        type: dict
      format:
        description:
          - Whether a volume on which nothing is found is made a LUKS2 volume. Without it such a volume is refused.
          - A volume that holds LUKS is opened and never formatted. One that holds anything else that C(wipefs) knows, such as a file system,
            a partition table or a physical volume of LVM, is refused, whatever this says. So is one that something uses, and one whose LUKS header
            was there before on this host and is gone.
          - Hosts do not know of each other. Format a volume that is to be shared on one host, alone. The role refuses to do it otherwise.
          - B(Data that nobody can recognize, such as that of a database without a file system, looks like nothing.)
          - It may stay true in a playbook. A format that was interrupted is completed by repeating the call, or taken back by O(state=absent).
        type: bool
        default: false
      pbkdf:
        description:
          - How formatting makes a key of the passphrase. V(argon2id) is the stronger.
          - V(pbkdf2) is for hosts in FIPS mode, and for those that have no memory to spare; cryptsetup takes up to 1 GiB for V(argon2id),
            at each opening.
        type: str
        choices: [argon2id, pbkdf2]
        default: argon2id
  timeout:
    description:
      - How long the whole call may take, in seconds.
      - A failed attach may take up to a minute more to leave nothing behind.
    type: int
    default: 180
notes:
  - What it runs on the host, it runs in a way that lets no hanging program hold it up. That is why C(ansible.module_utils) does not run them.
seealso:
  - module: brickwork.storage.volume_connection
  - module: brickwork.storage.volume_connector_facts
"""

EXAMPLES = r"""
- name: Attach what was connected
  brickwork.storage.volume_attach:
    connections: "{{ connected.connections }}"
    multipath: true
  no_log: true
  register: attached

- name: Make a file system on it
  community.general.filesystem:
    dev: "{{ attached.attachments[0].path }}"
    fstype: ext4

- name: Attach only where two paths work
  brickwork.storage.volume_attach:
    connections: "{{ connected.connections }}"
    multipath: true
    enforce_multipath: true
    min_paths: 2
  no_log: true

- name: Attach them encrypted, and make LUKS volumes of those that are blank
  brickwork.storage.volume_attach:
    connections: "{{ connected.connections }}"
    multipath: true
    encryption:
      passphrase: "{{ vault_volume_passphrase }}"
      format: true
  no_log: true
  register: attached

- name: Attach them encrypted, one with a passphrase of its own
  brickwork.storage.volume_attach:
    connections: "{{ connected.connections }}"
    encryption:
      passphrase: "{{ vault_volume_passphrase }}"
      passphrases:
        db-log: "{{ vault_log_passphrase }}"
  no_log: true

- name: Detach by name
  brickwork.storage.volume_attach:
    volumes: [db-data, db-log]
    state: absent
"""

RETURN = r"""
attachments:
  description: The attachments, in the order given. Those of volumes that failed are left out.
  returned: always
  type: list
  elements: dict
  contains:
    volume:
      description: The volume, as the connection tells it.
      type: dict
      returned: always
      sample: {name: db-data, id: 5f0c6a3e-3b0f-4a53-9d57-9b3b8a1f6a10, size_bytes: 1073741824, backend: lvm,
        wwn: 360014055f0c6a3e3b0f4a539d579b3b8}
    host:
      description: This host's name; for O(state=absent) the one that it had when the volume was attached.
      type: str
      returned: always
      sample: db1
    attached:
      description: Whether the volume is attached now. False also for what check mode predicts.
      type: bool
      returned: always
      sample: true
    path:
      description:
        - The path to use, the same after a reboot of the host.
        - Of an encrypted volume the opened device, C(/dev/mapper/brickwork-) followed by the volume's id, which is there only while it is open.
      type: str
      returned: when attached, or known beforehand
      sample: /dev/disk/by-id/dm-uuid-mpath-360014055f0c6a3e3b0f4a539d579b3b8
    device:
      description: The kernel's name for it at present; for a file on NFS the file.
      type: str
      returned: when attached
      sample: /dev/dm-0
    wwn:
      description: The WWN of the device found; for RBD the ids of cluster and image. None for a file on NFS.
      type: str
      returned: when attached, or known beforehand
      sample: 360014055f0c6a3e3b0f4a539d579b3b8
    multipath:
      description: Whether one device, a multipath map or an NVMe namespace, stands for several paths.
      type: bool
      returned: always
      sample: true
    paths:
      description: The paths, by device.
      type: list
      elements: dict
      returned: always
      contains:
        device:
          description: The path's own device. For a path that the kernel has joined with others, its name there, C(nvme0c1n1).
          type: str
          returned: always
          sample: /dev/sda
        portal:
          description: The portal it came by; for Fibre Channel the WWPNs of the host's port and of the target's, as in C(2100001b32a0b1c2->500a098280cba500).
          type: str
          returned: always
          sample: 192.0.2.10:3260
        state:
          description:
            - V(running) for a path that works. Else C(failed), where the map has given it up, or what SCSI says.
          type: str
          returned: always
          sample: running
    missing_paths:
      description: With multipath, the portals by which no working path came.
      type: list
      elements: str
      returned: always
      sample: []
    size_bytes:
      description: The size of the device, in bytes. An opened LUKS volume is smaller than the volume by its header.
      type: int
      returned: when attached, or known beforehand
      sample: 1073741824
    encrypted:
      description: Whether C(path) and C(device) are an opened LUKS volume.
      type: bool
      returned: always
      sample: false
    underlying_path:
      description: Of an encrypted volume the path of the device beneath, which holds the LUKS header. Adding a passphrase or saving the header needs it.
      type: str
      returned: for an encrypted volume
      sample: /dev/disk/by-id/dm-uuid-mpath-360014055f0c6a3e3b0f4a539d579b3b8
    attach_info:
      description: The device, in the form in which os-brick's C(connect_volume) returns it.
      type: dict
      returned: when attached
      sample: {type: block, scsi_wwn: 360014055f0c6a3e3b0f4a539d579b3b8, path: /dev/dm-0, multipath_id: 360014055f0c6a3e3b0f4a539d579b3b8}
changed_volumes:
  description: The names of the volumes that this call attached, detached or otherwise changed.
  returned: always
  type: list
  elements: str
  sample: [db-data]
errors:
  description: What failed, with C(volume), C(msg), C(error_code) and what a play needs to act on it.
  returned: on failure
  type: list
  elements: dict
error_code:
  description: The worst code among the failures.
  returned: on failure
  type: str
  sample: failed_precondition
"""

from typing import Any

from ansible_collections.brickwork.storage.plugins.module_utils.errors import invalid
from ansible_collections.brickwork.storage.plugins.module_utils.host.records import Records
from ansible_collections.brickwork.storage.plugins.module_utils.host.sysfs import Sysfs
from ansible_collections.brickwork.storage.plugins.module_utils.module import StorageModule, run


def main() -> None:
    """Run the module."""
    module = StorageModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "connections": {"type": "list", "elements": "dict"},
            "volumes": {"type": "list", "elements": "str"},
            "backend": {"type": "str"},
            "multipath": {"type": "bool", "default": False},
            "enforce_multipath": {"type": "bool", "default": False},
            "min_paths": {"type": "int", "default": 1},
            "persistent": {"type": "bool", "default": False},
            "force": {"type": "bool", "default": False},
            "encryption": {
                "type": "dict",
                "options": {
                    "passphrase": {"type": "str", "no_log": True},
                    "passphrases": {"type": "dict", "no_log": True},
                    "format": {"type": "bool", "default": False},
                    "pbkdf": {"type": "str", "choices": ["argon2id", "pbkdf2"], "default": "argon2id"},
                },
            },
            "timeout": {"type": "int", "default": 180},
        },
        mutually_exclusive=[("connections", "volumes")],
        required_one_of=[("connections", "volumes")],
        required_if=[("state", "present", ("connections",))],
    )
    run(module, work)


def work(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Attach or detach."""
    if params["timeout"] <= 0:
        raise invalid("timeout", "a number of seconds above 0", params["timeout"])
    # Imports take longer than all else where there is nothing to do.
    if params["state"] == "present":
        from ansible_collections.brickwork.storage.plugins.module_utils.host.attach import present

        return present(params, check_mode, Sysfs(), Records())
    from ansible_collections.brickwork.storage.plugins.module_utils.host.detach import absent

    return absent(params, check_mode, Sysfs(), Records())


if __name__ == "__main__":
    main()
