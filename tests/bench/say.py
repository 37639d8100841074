# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Progress for people, on standard error: standard output is the tables' alone."""

from __future__ import annotations

import sys


def say(message: str) -> None:
    print(f"bench: {message}", file=sys.stderr, flush=True)
