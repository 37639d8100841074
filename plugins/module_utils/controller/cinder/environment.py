# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where Cinder is on the controller: in an environment of its own, whose Python runs its drivers."""

from __future__ import annotations

import importlib.util
import os
import sys

from ansible_collections.brickwork.storage.plugins.module_utils import errors

# The virtual environment with Cinder, as the role controller_setup makes it.
ENVIRONMENT = "/opt/brickwork/cinder"
# From Cinder's requirements on.
OLDEST_PYTHON = (3, 11)


def interpreter() -> str:
    """The Python that has Cinder; nothing is imported to find it.

    Raises:
        StorageError: C(failed_precondition) where there is none.
    """
    own = os.path.join(ENVIRONMENT, "bin", "python")
    if os.access(own, os.X_OK):
        return own
    if sys.version_info >= OLDEST_PYTHON and importlib.util.find_spec("cinder") is not None:
        return sys.executable
    raise errors.StorageError(
        "failed_precondition",
        f"Cinder, whose drivers this backend needs, is not installed on this controller; the role controller_setup installs it in "
        f"{ENVIRONMENT}.",
    )


def collection_root() -> str:
    """What has to be on the path of that Python for this collection to be found: often the archive that Ansible sent."""
    return os.path.abspath(errors.__file__).partition(f"{os.sep}ansible_collections{os.sep}")[0]
