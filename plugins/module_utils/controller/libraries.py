# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Libraries that only a controller has, imported when they are needed."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any, NoReturn

from ansible.module_utils.common import respawn

from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError

# Where distributions put the libraries that they package, if Ansible runs the module with another Python.
SYSTEM_INTERPRETERS = ("/usr/libexec/platform-python", "/usr/bin/python3")
DEBIAN_PACKAGES = {
    "keystoneauth1": "python3-keystoneauth1",
    "oslo_config": "python3-oslo.config",
    "rtslib_fb": "python3-rtslib-fb",
}


def library(name: str) -> Any:
    """The library; where this interpreter lacks it and the system's has it, the module starts again there.

    Raises:
        StorageError: C(failed_precondition), saying what to install.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        _begin_elsewhere(name)


def require(name: str) -> None:
    """Do now what library() does where the library is missing: once locks are held it would be too late.

    The module that starts again would wait for what this process holds. Only looking for the library takes no time on a repeat.
    """
    if importlib.util.find_spec(name) is None:
        _begin_elsewhere(name)


def _begin_elsewhere(name: str) -> NoReturn:
    if not respawn.has_respawned():
        interpreter = respawn.probe_interpreters_for_module(SYSTEM_INTERPRETERS, name)
        if interpreter:
            respawn.respawn_module(interpreter)
    raise StorageError(
        "failed_precondition",
        f"The Python library {name.split('.')[0]} is not installed on this controller; install it (Debian's package is "
        f"{DEBIAN_PACKAGES[name.split('.')[0]]}).",
    )
