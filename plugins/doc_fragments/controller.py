# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """What the modules that run on the storage controller share: all of them C(configuration), those that change volumes the rest."""

    DOCUMENTATION = r"""
options:
  volumes:
    description:
      - Names of the volumes, as a list or as C(a,b).
      - One call handles them all; a volume that fails does not stop the others.
    type: list
    elements: str
    required: true
  backend:
    description:
      - The backend that holds the volumes, a section of O(config).
      - May be left out where only one backend is enabled.
    type: str
"""

    CONFIGURATION = r"""
options:
  config:
    description:
      - The controller's configuration, in the form and with the option names of C(cinder.conf). C(enabled_backends) of its section
        C(DEFAULT) lists the sections that are backends; C(volume_driver) of a backend's section names its driver.
      - Options of the driver C(lvm) are C(volume_group), one for each backend; C(target_protocol), which is C(iscsi) (the default),
        C(nvmet_tcp) or C(fibre_channel); and C(volume_clear), C(zero) (the default) or C(none).
      - For C(iscsi) and C(nvmet_tcp) it needs C(target_ip_address), and takes C(target_secondary_ip_addresses), more addresses, for
        multipath; C(target_port), by default 3260 for C(iscsi) and 4420 for C(nvmet_tcp); and C(target_prefix), how the targets' names
        begin, by default C(iqn.2026-11.org.brickwork:) or C(nqn.2026-11.org.brickwork:).
      - For C(fibre_channel) it takes C(target_wwpns), the controller's ports by which volumes are reached, by default all.
      - With C(lvm_type = thin) the driver C(lvm) makes volumes in a thin pool of the volume group, which has the group's name and
        C(-pool), as in Cinder (C(vg0-pool)), and which you create; with C(default), which is the default here, it makes thick
        ones. C(auto) is refused.
      - C(max_over_subscription_ratio), by default C(1.0), is how many bytes of thin volumes and snapshots a byte of the pool may
        stand for. Each counts with its whole size, so at C(1.0) the pool cannot overflow. With more you have to watch it
        (M(brickwork.storage.volume_backend_info)) and extend it in time; writing to a volume whose pool is full fails.
      - Any of Cinder's drivers is named as in C(cinder.conf) (C(volume_driver = cinder.volume.drivers...)), with the options that it has
        there. Their volumes have whole GiB.
        See R(Any storage by Cinder's drivers,ansible_collections.brickwork.storage.docsite.cinder).
      - With C(volume_driver = cinder_service) the volumes are those of a Cinder service.
        See R(A Cinder service as a backend,ansible_collections.brickwork.storage.docsite.cinder_service).
    type: path
    default: /etc/brickwork/backends.conf
requirements:
  - "On the controller: Python's C(oslo.config), and what the backend needs, which for the built-in backend C(lvm) is LVM2 and Python's
    C(rtslib-fb) (Debian's packages C(python3-oslo.config), C(lvm2) and C(python3-rtslib-fb)); for Cinder's drivers it is Cinder 29 in
    C(/opt/brickwork/cinder), and for a Cinder service with keystone Python's C(keystoneauth1)."
  - "Root on the controller (C(become))."
notes:
  - A failure carries RV(error_code), and where it helps C(field), C(holders) and C(candidates). The codes are C(aborted),
    C(already_exists), C(data_loss), C(deadline_exceeded), C(failed_precondition), C(internal), C(invalid_argument), C(not_found),
    C(permission_denied), C(resource_exhausted), C(unavailable) and C(unimplemented).
"""
