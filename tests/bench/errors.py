# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one error that the benchmarks show to people."""

from __future__ import annotations


class BenchmarkError(Exception):
    """What came out wrong, and with what."""
