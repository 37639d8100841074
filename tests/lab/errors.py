# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one error that the lab shows to people."""

from __future__ import annotations


class LabError(Exception):
    """What went wrong, with what, and what to do about it."""
