# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a controller needs for its backends. The only place where that is decided; what it is called where is in the role's vars."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.brickwork.storage.plugins.module_utils.controller import config, registry
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.plugin_utils.setup.backends_conf import PATH, Sections, parse

CINDERS_LVM = f"{registry.CINDER}lvm."
# Without NVMe, whose target is the kernel's alone.
LIO_PROTOCOLS = ("iscsi", "fibre_channel")
# Of volume groups, as LVM takes them.
NAME = re.compile(r"[A-Za-z0-9+_.][A-Za-z0-9+_.-]*")


def backend_needs(text: str) -> dict[str, Any]:
    """The filter: see backend_needs.yml.

    Raises:
        AnsibleFilterError: where the text cannot be what the modules read.
    """
    try:
        sections = parse(text)
        names = config.enabled_names(sections, PATH)
        needs = {"oslo_config"}
        groups = set()
        for name in names:
            section = config.section_of(sections, PATH, name)
            found = set(_needs(section, sections))
            needs |= found
            group = _volume_group(section)
            if "lio" in found and NAME.fullmatch(group):
                groups.add(group)
    except StorageError as error:
        raise AnsibleFilterError(error.message) from None
    return {"needs": sorted(needs), "volume_groups": sorted(groups)}


def _needs(section: config.Section, sections: Sections) -> Iterator[str]:
    given = section.given
    if section.driver == "lvm":
        yield "lvm"
        if given.get("lvm_type") == "thin":
            yield "thin"
        if given.get("target_protocol", "iscsi") in LIO_PROTOCOLS:
            yield "lio"
    elif section.driver == "cinder_service":
        if given.get("auth_type") != "noauth":
            yield "keystone"
    elif section.driver.startswith(registry.CINDER):
        yield from _needs_of_cinder(section.driver, {**sections.get(config.SHARED_SECTION, {}), **given})
    else:
        raise registry.unknown_driver(section)


def _needs_of_cinder(driver: str, options: dict[str, str]) -> Iterator[str]:
    yield "cinder"
    if driver.startswith(CINDERS_LVM):
        yield "lvm"
        # Its default is thin volumes where that is possible.
        if options.get("lvm_type") != "default":
            yield "thin"
        helper = options.get("target_helper", "tgtadm")
        if helper == "lioadm":
            yield "lio"
        elif helper == "tgtadm":
            yield "tgt"
    elif driver.endswith(".RBDDriver"):
        yield "rbd"
    elif "nfs" in driver.lower() or options.get("netapp_storage_protocol") == "nfs":
        yield "nfs"


def _volume_group(section: config.Section) -> str:
    return section.given.get("volume_group", "cinder-volumes" if section.driver.startswith(CINDERS_LVM) else "")
