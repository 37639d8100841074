# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`python tests/bench/crowd`."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

# Python puts this directory on its path, but the package is found above.
sys.path[0] = str(Path(__file__).resolve().parents[2])
sys.exit(importlib.import_module("bench.crowd.cli").main(sys.argv[1:]))
