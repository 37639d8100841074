# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A section for one of Cinder's drivers that is not right, and the list of drivers that there are, by the real Cinder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ansible_collections.brickwork.storage.tests.integration.lab import CHECKOUT, Lab

CONFIG = "/etc/brickwork/test-cinder-options.conf"
LVM = "cinder.volume.drivers.lvm.LVMVolumeDriver"
MANUAL = CHECKOUT / "docs/docsite/rst/cinder_drivers.rst"
SETTINGS = "[DEFAULT]\nenabled_backends = lvm\n[lvm]\nvolume_group = vg0\nlvm_type = default\ntarget_helper = lioadm\n"

pytestmark = pytest.mark.full


@pytest.fixture(autouse=True)
def no_file_left(lab: Lab) -> Iterator[None]:
    yield
    lab.ssh("controller", f"rm -f {CONFIG}")


@pytest.mark.parametrize(
    ("driver", "line", "field", "wanted"),
    [
        (LVM, "iscsi_helper = lioadm", "iscsi_helper", "target_helper"),
        (LVM, "iscsi_protocol = iscsi", "iscsi_protocol", "target_protocol"),
        (LVM, "volume_cleer = none", "volume_cleer", "volume_clear"),
        (LVM, "volume_clear = perhaps", "volume_clear", "zero"),
        (LVM.replace("LVMVolume", "LVM"), "", "volume_driver", LVM),
        ("cinder.volume.drivers.solidfire.SolidFire", "", "volume_driver", "SolidFireDriver"),
    ],
)
def test_what_cinder_does_not_know_is_refused_with_what_may_be_meant(
    lab: Lab, driver: str, line: str, field: str, wanted: str
) -> None:
    lab.ssh("controller", f"printf '%s\\n' '{SETTINGS}volume_driver = {driver}' '{line}' > {CONFIG}")
    (backend,) = lab.succeed("controller", "volume_backend_info", config=CONFIG)["backends"]
    error = backend["error"]
    assert (backend["usable"], error["error_code"], error["field"]) == (False, "invalid_argument", field), error
    assert wanted in error["msg"]


def test_every_driver_is_listed_with_its_protocol_and_options(lab: Lab) -> None:
    told = lab.succeed("controller", "volume_backend_info", drivers=True)["drivers"]
    drivers = {driver["driver"]: driver for driver in told}
    assert len(drivers) > 80
    rbd = drivers["cinder.volume.drivers.rbd.RBDDriver"]
    assert (rbd["protocol"], rbd["error"], "rbd_pool" in rbd["options"]) == ("rbd", None, True)
    page = MANUAL.read_text(encoding="utf-8")
    loaded = [driver for driver in drivers.values() if driver["error"] is None]
    names = {driver["driver"].removeprefix("cinder.volume.drivers.") for driver in loaded}
    names.update(option for driver in loaded for option in driver["options"])
    missing = sorted(name for name in names if f"``{name}``" not in page)
    assert not missing, f"write docs/docsite/rst/cinder_drivers.rst anew with docs/cinder_drivers.py: {missing}"
