# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where Cinder is on the controller: in an environment of its own, in which a module begins again to change something."""

from __future__ import annotations

import importlib.util
import os
import sys

from ansible.module_utils.common.respawn import has_respawned

from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.module import AnotherInterpreterError

# The virtual environment with Cinder, as the role controller_setup makes it.
ENVIRONMENT = "/opt/brickwork/cinder"


def require() -> None:
    """See that Cinder can be imported, before anything is begun; it is not imported for that.

    Raises:
        AnotherInterpreterError: where Cinder is in the environment, and this is another interpreter.
        StorageError: C(failed_precondition) where it is nowhere.
    """
    interpreter = os.path.join(ENVIRONMENT, "bin", "python")
    if sys.prefix != ENVIRONMENT and not has_respawned() and os.access(interpreter, os.X_OK):
        raise AnotherInterpreterError(interpreter)
    # Only what is installed counts: modules of this collection have a package of the same name, at another place.
    if importlib.util.find_spec("cinder") is None:
        raise StorageError(
            "failed_precondition",
            f"Cinder is not installed on this controller. The role controller_setup installs it in {ENVIRONMENT}, where Cinder's "
            "drivers run.",
        )
