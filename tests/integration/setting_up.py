# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looking at the roles that set machines up."""

from __future__ import annotations

import re

from ansible_collections.brickwork.storage.tests.integration.lab import Play

# A machine takes minutes to install what a role needs.
LIMIT = 1800
# What a run in check mode must leave alone.
STATE = """
dpkg-query -W
find /etc /opt /usr/local /var/lib/brickwork /var/lib/apt/lists -not -type d -printf '%p %s %m %T@\\n' 2>/dev/null | sort
systemctl list-unit-files --no-legend
"""


def changed(play: Play, host: str) -> list[str]:
    """The names of the tasks that changed something on a host."""
    found, task = [], ""
    for line in play.output.splitlines():
        if named := re.match(r"TASK \[(?:.* : )?(.*)\] \**$", line):
            task = named[1]
        elif line.startswith(f"changed: [{host}]") and task not in found:
            found.append(task)
    return found
