# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where this computer's own apt gets Debian from, and how."""

from __future__ import annotations

from .commands import run
from .errors import LabError


def uri() -> str:
    done = run("apt-get", "indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(REPO_URI)", "Created-By: Packages")
    for line in done.splitlines():
        origin, label, found = line.split("|")
        if (origin, label) == ("Debian", "Debian"):
            return found
    raise LabError("apt knows no Debian mirror: configure one in /etc/apt and run `apt-get update`")


def apt_settings() -> str:
    """This machine's ways to reach the mirror (proxies, certificates, checks), as an apt.conf."""
    others = ("Acquire::IndexTargets", "Acquire::Changelogs")
    lines = run("apt-config", "dump", "Acquire").splitlines()
    return "".join(f"{line}\n" for line in lines if not line.startswith(others))
