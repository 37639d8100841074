# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How much a snapshot needs, and how much a thin pool has left."""

from __future__ import annotations

from collections.abc import Iterable

from ansible_collections.brickwork.storage.plugins.module_utils.controller.backend import Capacity
from ansible_collections.brickwork.storage.plugins.module_utils.controller.lvm.lvm2 import LogicalVolume, Pool

# How a thick snapshot keeps what it copied (the kernel's Documentation/admin-guide/device-mapper/snapshot.rst, and LVM's defaults).
CHUNK_BYTES = 4096
RECORDS_PER_CHUNK = CHUNK_BYTES // 16


def of_thick_snapshot(size_bytes: int, extent_bytes: int) -> int:
    """What a thick snapshot takes that can hold all of its origin: the data, a record for each chunk of it, and a header."""
    chunks = -(-size_bytes // CHUNK_BYTES)
    records = -(-chunks // RECORDS_PER_CHUNK)
    return -(-(chunks + records + 2) * CHUNK_BYTES // extent_bytes) * extent_bytes


def in_pool(pool: Pool, name: str, entries: Iterable[LogicalVolume], ratio: float) -> Capacity:
    """What a thin pool has.

    Volumes and snapshots count with their whole size, because they may come to need it; so with a ratio of 1 the pool cannot
    overflow, whatever is written.

    Args:
        pool: of the backend.
        name: of the pool.
        entries: every logical volume of its group.
        ratio: how many bytes of volumes a byte of the pool may stand for.
    """
    promised = sum(entry.size_bytes for entry in entries if entry.pool == name)
    total = int(pool.size_bytes * ratio)
    unused = int((pool.size_bytes - pool.used_bytes) * ratio)
    return Capacity(total, max(0, min(total - promised, unused)))
