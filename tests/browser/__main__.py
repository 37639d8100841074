# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`python tests/browser`: draw the pictures of the report that are in the manual, from a made-up fleet."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

# Python puts this directory on its path, but the packages are found in these.
CHECKOUT = Path(__file__).resolve().parent.parent.parent
sys.path[:1] = [str(CHECKOUT / "tests"), str(CHECKOUT / ".tree")]
sys.exit(importlib.import_module("browser.pictures").main())
