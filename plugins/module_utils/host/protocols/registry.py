# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The protocols by which a volume comes to this host."""

from __future__ import annotations

from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols import iscsi

# By connection_info's driver_volume_type.
PROTOCOLS = {"iscsi": iscsi}
