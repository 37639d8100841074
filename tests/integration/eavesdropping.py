# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a secret might be seen on a machine: scripts that look there."""

from __future__ import annotations

# Notes the arguments and the environment of every process until /run/test/stop is there.
SAMPLER = """
mkdir -p /run/test; rm -f /run/test/stop; : > /run/test/arguments
nohup sh -c 'while [ ! -e /run/test/stop ]; do cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr "\\0" "\\n" >> /run/test/arguments; done' \
    > /dev/null 2>&1 &
"""
# Looks for the lines of /root/.secret. Everything a user other than root may read, /proc and /sys apart, and what the journal holds.
READABLE = """
find / -xdev -type f -perm -o=r -size -20M -print0 2>/dev/null | xargs -0 grep -lF -f /root/.secret 2>/dev/null
journalctl -q --no-pager 2>/dev/null | grep -F -f /root/.secret
grep -F -f /root/.secret /run/test/arguments
true
"""
