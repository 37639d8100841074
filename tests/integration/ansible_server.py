# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program that runs ad-hoc commands in copies of itself, which have Ansible imported and the modules packed.

Each line of the standard input is a command: its arguments, and the files for what it prints, as a list of JSON. Its
status is the answer.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from typing import NoReturn

# What the command would import before it can connect.
AHEAD = (
    "ansible.cli.adhoc",
    "ansible.executor.module_common",
    "ansible.executor.task_executor",
    "ansible.plugins.action.normal",
    "ansible.plugins.callback.minimal",
    "ansible.plugins.connection.ssh",
    "ansible.plugins.shell.sh",
)


def serve() -> None:
    """Run commands until there are no more."""
    for line in sys.stdin:
        arguments, output, errors = json.loads(line)
        child = os.fork()
        if child == 0:
            _run(arguments, output, errors)
        _child, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _run(arguments: list[str], output: str, errors: str) -> NoReturn:
    for number, path, flags in ((0, os.devnull, os.O_RDONLY), (1, output, os.O_WRONLY), (2, errors, os.O_WRONLY)):
        os.dup2(os.open(path, flags), number)
    status: object = 1
    try:
        import_module("ansible.cli.adhoc").main(["ansible", *arguments])
    except SystemExit as ended:
        status = ended.code
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        # Ansible's own end would remove what it has packed, which is for all copies.
        os._exit(status if isinstance(status, int) else 1)


if __name__ == "__main__":
    for name in AHEAD:
        import_module(name)
    serve()
