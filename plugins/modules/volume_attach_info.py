#!/usr/bin/python
# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: volume_attach_info
short_description: See the volumes that are attached to a host, and whether they are well
version_added: 0.1.0
author:
  - brickwork.storage contributors (@brickwork)
description:
  - Shows every volume on a host from below to above. The iSCSI sessions, NVMe controllers or Fibre Channel ports it came by, its
    paths with their state, the multipath map over them, and the partitions, logical volumes, encryption and file systems that
    stand on it, with their mount points.
  - Says of each whether it is well, and if not, what is wrong and what to do. Shows also what came to the host and belongs to no
    volume, such as a session without a LUN or a map without a path.
  - Shows the volumes that M(brickwork.storage.volume_attach) attached by their names, and those that something else attached
    over iSCSI, NVMe over a network, Fibre Channel or as a RADOS block device by what the device tells of itself, its WWN.
    A volume that is a file on NFS and one that is a device of the host itself are shown where M(brickwork.storage.volume_attach)
    attached them.
  - Changes nothing. It starts no program, needs no os-brick and opens no device, so that a volume whose paths are all dead does not
    hold it up.
extends_documentation_fragment:
  - brickwork.storage.attributes
attributes:
  check_mode:
    details: This module changes nothing, in check mode or out of it.
  diff_mode:
    support: N/A
    details: This module changes nothing.
options:
  volumes:
    description:
      - The volumes to show, by name, or by WWN.
      - Left out, all that are on the host.
    type: list
    elements: str
  backend:
    description:
      - Only volumes of this backend, also where volumes of several backends have the same name.
      - Volumes that M(brickwork.storage.volume_attach) did not attach are of no backend that the host knows.
    type: str
notes:
  - File systems are known by what C(udev) has found on the devices. Where the host has no C(udev), those that are mounted are known by
    their type alone.
seealso:
  - module: brickwork.storage.volume_attach
"""

EXAMPLES = r"""
- name: Look at all volumes of a host
  brickwork.storage.volume_attach_info:
  register: seen

- name: Fail where one of them is not well
  ansible.builtin.assert:
    that: seen.attachments | rejectattr("health.state", "eq", "ok") | length == 0
    fail_msg: "{{ seen.attachments | map(attribute='health.problems') | flatten | join(' ') }}"

- name: See where two volumes are mounted
  brickwork.storage.volume_attach_info:
    volumes: [db-data, db-log]
  register: seen

- name: Show it
  ansible.builtin.debug:
    msg: "{{ item.volume.name }}: {{ item.stack | map(attribute='mount_points') | flatten | join(', ') }}"
  loop: "{{ seen.attachments }}"
  loop_control:
    label: "{{ item.volume.name }}"

- name: See the volume behind a WWN that a storage system names
  brickwork.storage.volume_attach_info:
    volumes: 360014055f0c6a3e3b0f4a539d579b3b8
"""

RETURN = r"""
attachments:
  description:
    - The volumes in the order given, or sorted by name with those of no name last. Those in C(errors) are left out.
    - What M(brickwork.storage.volume_attach) returns of an attachment, and more.
  returned: always
  type: list
  elements: dict
  contains:
    volume:
      description: The volume, as its connection tells it. Of a volume without a record only C(wwn) and C(size_bytes) are known.
      type: dict
      returned: always
      sample: {name: db-data, id: 5f0c6a3e-3b0f-4a53-9d57-9b3b8a1f6a10, size_bytes: 1073741824, backend: lvm,
        wwn: 360014055f0c6a3e3b0f4a539d579b3b8}
    host:
      description: This host's name.
      type: str
      returned: always
      sample: db1
    recorded:
      description: Whether M(brickwork.storage.volume_attach) attached it, and the host has a record of that.
      type: bool
      returned: always
      sample: true
    attached:
      description: Whether the volume is on the host now. False for one that is recorded as attached and is not there.
      type: bool
      returned: always
      sample: true
    protocol:
      description: How it came, as C(driver_volume_type) says in a connection. None for a map over disks of an unknown kind.
      type: str
      returned: always
      sample: iscsi
    path:
      description:
        - The path to use, the same after a reboot of the host.
        - Of a volume that was attached with encryption the opened device, as C(device) and C(size_bytes) are too.
      type: str
      returned: when there is one
      sample: /dev/disk/by-id/dm-uuid-mpath-360014055f0c6a3e3b0f4a539d579b3b8
    device:
      description: The kernel's name for it at present.
      type: str
      returned: when attached
      sample: /dev/dm-0
    wwn:
      description: The WWN of the device found.
      type: str
      returned: when attached, or known beforehand
      sample: 360014055f0c6a3e3b0f4a539d579b3b8
    multipath:
      description: Whether one device, a multipath map or an NVMe namespace, stands for several paths.
      type: bool
      returned: always
      sample: true
    sessions:
      description: Its iSCSI sessions.
      type: list
      elements: dict
      returned: always
      contains:
        name:
          description: The kernel's name for it.
          type: str
          returned: always
          sample: session1
        target:
          description: The target's IQN.
          type: str
          returned: always
          sample: iqn.2026-11.org.example:db-data
        portal:
          description: The portal.
          type: str
          returned: always
          sample: 192.0.2.10:3260
        state:
          description: What the kernel says of it, C(LOGGED_IN) when it works.
          type: str
          returned: always
          sample: LOGGED_IN
    controllers:
      description: Its NVMe controllers.
      type: list
      elements: dict
      returned: always
      contains:
        name:
          description: The kernel's name for it.
          type: str
          returned: always
          sample: nvme0
        subsystem:
          description: The NQN of the subsystem.
          type: str
          returned: always
          sample: nqn.2026-11.org.example:db-data
        portal:
          description: The portal.
          type: str
          returned: always
          sample: 192.0.2.10:4420
        state:
          description: What the kernel says of it, C(live) when it works.
          type: str
          returned: always
          sample: live
    remote_ports:
      description: The Fibre Channel ports of the storage system that it came by.
      type: list
      elements: dict
      returned: always
      contains:
        name:
          description: The kernel's name for it.
          type: str
          returned: always
          sample: rport-0:0-1
        wwpn:
          description: The port's WWPN.
          type: str
          returned: always
          sample: "2000525400000a01"
        state:
          description: What the kernel says of it, C(Online) when it works.
          type: str
          returned: always
          sample: Online
    paths:
      description: The paths, by device.
      type: list
      elements: dict
      returned: always
      contains:
        device:
          description: The path's own device.
          type: str
          returned: always
          sample: /dev/sda
        portal:
          description: The portal, the WWPN of the port, or the image it came by.
          type: str
          returned: always
          sample: 192.0.2.10:3260
        state:
          description:
            - V(running) for a path that works. Else C(failed), where the map has given it up, or what SCSI or the NVMe controller says.
          type: str
          returned: always
          sample: running
    missing_paths:
      description: With a record of an attach over all portals, those by which no working path came.
      type: list
      elements: str
      returned: always
      sample: []
    map:
      description: What makes one device of the paths. None where nothing does.
      type: dict
      returned: always
      contains:
        device:
          description: Its path.
          type: str
          returned: always
          sample: /dev/dm-0
        kind:
          description: V(multipath) for a map of C(multipathd), V(nvme) for a namespace that the kernel put together.
          type: str
          returned: always
          sample: multipath
        name:
          description: Its name, the alias of a map. It may be another after a reboot.
          type: str
          returned: always
          sample: mpatha
        wwn:
          description: The WWN.
          type: str
          returned: always
          sample: 360014055f0c6a3e3b0f4a539d579b3b8
        size_bytes:
          description: Its size, in bytes.
          type: int
          returned: always
          sample: 1073741824
        read_only:
          description: Whether the kernel refuses writes to it.
          type: bool
          returned: always
          sample: false
    size_bytes:
      description: The size of the device, in bytes.
      type: int
      returned: when attached
      sample: 1073741824
    stack:
      description:
        - What stands on the volume. The volume itself is first, and everything comes after what it stands on. At the end come paths
          that are used by themselves beside the map.
      type: list
      elements: dict
      returned: always
      contains:
        device:
          description: The path of the device.
          type: str
          returned: always
          sample: /dev/dm-2
        kind:
          description:
            - V(volume) for the volume itself, V(partition), V(lvm) for a logical volume, V(luks) for an encrypted device that is
              open and V(crypt) for one without LUKS, V(raid), V(loop), V(multipath), V(path) for a path used beside the map, and V(device) for anything else.
          type: str
          returned: always
          sample: lvm
        name:
          description: The name that people know it by, such as group and volume of LVM, where it has one.
          type: str
          returned: always
          sample: data/log
        "on":
          description: The devices that it stands on. Of a file, the source of the mount that it is in, such as a share on NFS.
          type: list
          elements: str
          returned: always
          sample: [/dev/dm-0]
        size_bytes:
          description: Its size, in bytes.
          type: int
          returned: always
          sample: 1069547520
        fstype:
          description: What is on it, as C(udev) found it. A file system, C(LVM2_member), C(crypto_LUKS), C(swap) and so on.
          type: str
          returned: always
          sample: ext4
        uuid:
          description: The UUID of that.
          type: str
          returned: always
          sample: 0f2c1a3e-6a41-4f05-9d0c-0d6f6a0e7c11
        label:
          description: The label of that.
          type: str
          returned: always
          sample: log
        mount_points:
          description: Where it is mounted, in any mount namespace.
          type: list
          elements: str
          returned: always
          sample: [/var/log/db]
        swap:
          description: Whether it is swapped to.
          type: bool
          returned: always
          sample: false
    health:
      description: Whether it is well.
      type: dict
      returned: always
      contains:
        state:
          description:
            - V(ok), V(degraded) where it works but not as it should, or V(failed) where data cannot be read and written, or may be
              another volume's.
          type: str
          returned: always
          sample: degraded
        problems:
          description: What is wrong, a sentence each.
          type: list
          elements: str
          returned: always
          sample: ["1 of 2 paths work.", "/dev/sdb by 192.0.3.10:3260 does not work (transport-offline). Check that portal and the network to it."]
    encrypted:
      description: Whether it was attached with encryption.
      type: bool
      returned: always
      sample: false
    underlying_path:
      description: Of such a volume the path of the device beneath, which holds the LUKS header.
      type: str
      returned: for an encrypted volume
      sample: /dev/disk/by-id/dm-uuid-mpath-360014055f0c6a3e3b0f4a539d579b3b8
    attach_info:
      description: What the first attach returned of the device, in os-brick's form. Empty for a volume without a record.
      type: dict
      returned: always
      sample: {type: block, scsi_wwn: 360014055f0c6a3e3b0f4a539d579b3b8, path: /dev/dm-0, multipath_id: 360014055f0c6a3e3b0f4a539d579b3b8}
unclaimed:
  description: What came to the host and belongs to no volume, of the whole host, whatever O(volumes) says.
  returned: always
  type: list
  elements: dict
  contains:
    kind:
      description:
        - V(iscsi_session) without a LUN, V(nvme_controller) without a namespace, V(fc_remote_port) without a LUN, V(multipath_map)
          without a path.
      type: str
      returned: always
      sample: iscsi_session
    name:
      description: The kernel's name for it.
      type: str
      returned: always
      sample: session3
    problem:
      description: What is wrong, and what to do, in a sentence or two.
      type: str
      returned: always
      sample: "The iSCSI session with iqn.2026-11.org.example:old by 192.0.2.10:3260 has no LUN (LOGGED_IN).
        Where nobody needs it, end it: iscsiadm -m session -r 3 -u."
    portal:
      description: The portal or the port's WWPN. None for a map.
      type: str
      returned: always
      sample: 192.0.2.10:3260
    target:
      description: The target's IQN or the subsystem's NQN. None for a map and for Fibre Channel.
      type: str
      returned: always
      sample: iqn.2026-11.org.example:old
    wwn:
      description: The WWN of a map. None for anything else.
      type: str
      returned: always
      sample: null
errors:
  description: The volumes that this host does not know, with C(volume), C(msg), C(error_code) and the near names as C(candidates).
  returned: on failure
  type: list
  elements: dict
error_code:
  description: The worst code among the failures.
  returned: on failure
  type: str
  sample: not_found
"""

from typing import Any

from ansible_collections.brickwork.storage.plugins.module_utils.host.info import info
from ansible_collections.brickwork.storage.plugins.module_utils.host.records import Records
from ansible_collections.brickwork.storage.plugins.module_utils.host.sysfs import Sysfs
from ansible_collections.brickwork.storage.plugins.module_utils.module import StorageModule, run


def main() -> None:
    """Run the module."""
    module = StorageModule(
        argument_spec={
            "volumes": {"type": "list", "elements": "str"},
            "backend": {"type": "str"},
        },
    )
    run(module, look)


def look(params: dict[str, Any], _check_mode: bool) -> dict[str, Any]:
    """Look at the host."""
    return info(params, Sysfs(), Records())


if __name__ == "__main__":
    main()
