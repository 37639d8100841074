# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is on record of Cinder's drivers, as a part of what a storage has."""

from __future__ import annotations

LOOK = """
python3 - <<'RECORDS'
import os, sqlite3
path = "/var/lib/brickwork/cinder.sqlite"
for statement in (
    "SELECT backend, 'volume', name, size_gib, state, export, growing_gib, shared FROM volumes",
    "SELECT backend, 'snapshot', name, size_gib, state FROM snapshots",
    "SELECT host, 'holds', volume_id, state FROM attachments",
):
    for row in sqlite3.connect(path).execute(statement) if os.path.exists(path) else ():
        print(*row)
RECORDS
"""
