# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Load Cinder's driver for LVM and have it look at its storage, and nothing else. Run by Cinder's Python; argument: the configuration."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace


def main() -> None:
    # The driver starts programs of its environment.
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    from cinder import coordination, objects
    from cinder.common import config  # noqa: F401 - registers what the others read
    from cinder.volume import configuration, driver
    from oslo_concurrency import lockutils
    from oslo_config import cfg

    # The driver's module names the classes that this makes known.
    objects.register_all()
    from cinder.volume.drivers import lvm

    locks = "/run/brickwork/cinder"
    lockutils.set_defaults(locks)
    cfg.CONF([], project="cinder", version="bench", default_config_files=[sys.argv[1]], default_config_dirs=[])
    cfg.CONF.set_default("backend_url", f"file://{locks}", group="coordination")
    coordination.COORDINATOR.start()
    import cinder.privsep
    import os_brick.privileged

    for context in (cinder.privsep.sys_admin_pctxt, os_brick.privileged.default):
        context.set_client_mode(False)
    settings = configuration.Configuration(driver.volume_opts, config_group="lvm")
    loaded = lvm.LVMVolumeDriver(configuration=settings, host="bench@lvm", db=SimpleNamespace())
    loaded.do_setup(None)
    loaded.check_for_setup_error()


if __name__ == "__main__":
    main()
