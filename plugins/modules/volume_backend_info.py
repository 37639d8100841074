#!/usr/bin/python
# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: volume_backend_info
short_description: See the backends of a storage controller, what they can do and how full they are
version_added: 0.1.0
author:
  - brickwork.storage contributors (@brickwork)
description:
  - Shows the backends that a controller's configuration enables, with the driver, the protocol, what they can do, and how many bytes
    are left.
  - A backend that cannot be used is shown with the reason. It neither hides the others nor fails the task.
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
  backend:
    description:
      - The backend to look at, a section of O(config).
      - Left out, all that are enabled.
    type: str
  drivers:
    description:
      - Show the drivers of Cinder that are installed on this controller, in place of the backends. No configuration is needed for that.
    type: bool
    default: false
seealso:
  - module: brickwork.storage.volume_connection_info
"""

EXAMPLES = r"""
- name: Look at the backends of a controller
  brickwork.storage.volume_backend_info:
  register: seen

- name: Fail where one of them cannot be used, or is nearly full
  ansible.builtin.assert:
    that:
      - item.usable
      - item.free_bytes > 0.1 * item.total_bytes
    fail_msg: "{{ item.name }}: {{ item.error.msg | default('less than a tenth is free') }}"
  loop: "{{ seen.backends }}"
  loop_control:
    label: "{{ item.name }}"

- name: Look which of Cinder's drivers could be used
  brickwork.storage.volume_backend_info:
    drivers: true
  register: catalogue
"""

RETURN = r"""
backends:
  description: The backends, in the order of the configuration.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The backend's name, a section of the configuration.
      returned: always
      type: str
      sample: lvm
    usable:
      description: Whether it can be used.
      returned: always
      type: bool
      sample: true
    driver:
      description: Its C(volume_driver); null where it cannot be used.
      returned: always
      type: str
      sample: lvm
    protocol:
      description: The C(driver_volume_type) of its connections; null where it cannot be used.
      returned: always
      type: str
      sample: iscsi
    capabilities:
      description:
        - What it can do beside creating, connecting, releasing and deleting volumes. V(grow); V(share), to connect a volume to more than
          one host; V(snapshot); and V(clone), to make a volume from a snapshot or another volume.
      returned: always
      type: list
      elements: str
      sample: [clone, grow, share, snapshot]
    total_bytes:
      description: How large it is; null where it cannot be used.
      returned: always
      type: int
      sample: 1099507433472
    free_bytes:
      description: What is left for new volumes; null where it cannot be used.
      returned: always
      type: int
      sample: 549753716736
    volumes:
      description: How many volumes it has; null where it cannot be used.
      returned: always
      type: int
      sample: 12
    error:
      description: Why it cannot be used, with C(msg) and C(error_code); null where it can.
      returned: always
      type: dict
drivers:
  description: The drivers of Cinder, in the order of their names.
  returned: with O(drivers=true)
  type: list
  elements: dict
  contains:
    driver:
      description: The driver, as C(volume_driver) names it.
      returned: always
      type: str
      sample: cinder.volume.drivers.rbd.RBDDriver
    protocol:
      description: The C(driver_volume_type) of its connections; null where that depends on its options, or it does not load.
      returned: always
      type: str
      sample: rbd
    options:
      description: The names of its own options, beside those that Cinder has for all drivers.
      returned: always
      type: list
      elements: str
      sample: [rbd_ceph_conf, rbd_cluster_name, rbd_pool, rbd_user]
    maintained:
      description:
        - Whether somebody still maintains it, as Cinder says. Others are refused unless C(enable_unsupported_driver) is set in the
          backend's section.
      returned: always
      type: bool
      sample: true
    error:
      description: Why it does not load; null where it does.
      returned: always
      type: str
error_code:
  description: What kind of failure it is.
  returned: failure
  type: str
  sample: not_found
"""

from ansible_collections.brickwork.storage.plugins.module_utils.controller.backend_info import info
from ansible_collections.brickwork.storage.plugins.module_utils.module import StorageModule, run


def main() -> None:
    module = StorageModule(
        argument_spec={
            "backend": {"type": "str"},
            "drivers": {"type": "bool", "default": False},
            "config": {"type": "path", "default": "/etc/brickwork/backends.conf"},
        }
    )
    run(module, info)


if __name__ == "__main__":
    main()
