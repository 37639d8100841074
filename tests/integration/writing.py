# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes that are known again, and a program that writes without pause."""

from __future__ import annotations

import time

from ansible_collections.brickwork.storage.tests.integration.lab import Lab

MIB = 1024**2
DIRECTORY = "/run/test/writer"


def write(lab: Lab, machine: str, path: str, seed: str, mib: int) -> str:
    """Fill the beginning of a device or file with bytes that a seed decides, past every cache; returns their checksum."""
    return lab.ssh(
        machine,
        f"openssl enc -aes-128-ctr -nosalt -pass pass:{seed} -in /dev/zero 2>/dev/null | head -c {mib * MIB} > /run/written\n"
        f"dd if=/run/written of={path} bs=1M oflag=direct conv=fsync,notrunc status=none\n"
        "sha256sum < /run/written; rm /run/written",
    )


def read(lab: Lab, machine: str, path: str, mib: int) -> str:
    """The checksum of the beginning of a device or file."""
    return lab.ssh(machine, f"dd if={path} bs=1M count={mib} iflag=direct status=none | sha256sum")


class Writer:
    """A program on a machine that writes to the beginning of a device again and again, until it is stopped."""

    def __init__(self, lab: Lab, machine: str, path: str) -> None:
        self._lab = lab
        self._machine = machine
        lab.ssh(
            machine,
            f"""
            rm -rf {DIRECTORY}; mkdir -p {DIRECTORY}; : > {DIRECTORY}/written; : > {DIRECTORY}/failed
            cat > {DIRECTORY}/program <<'PROGRAM'
            while [ ! -e {DIRECTORY}/stop ]; do
                dd if=/dev/zero of={path} bs=4096 count=1 oflag=direct conv=notrunc status=none || echo failed >> {DIRECTORY}/failed
                echo >> {DIRECTORY}/written
            done
            : > {DIRECTORY}/stopped
PROGRAM
            nohup sh {DIRECTORY}/program > /dev/null 2>&1 &
            """,
        )

    def prove(self) -> None:
        """That it still writes, and that no write has failed since it began."""
        before = self._count()
        time.sleep(2)
        assert self._count() > before > 0
        assert self._lab.ssh(self._machine, f"cat {DIRECTORY}/failed") == ""

    def stop(self) -> None:
        """End it, so that the device is not in use."""
        self._lab.ssh(
            self._machine,
            f": > {DIRECTORY}/stop; for _ in $(seq 50); do [ ! -e {DIRECTORY}/stopped ] || exit 0; sleep 0.1; done; exit 1",
        )

    def _count(self) -> int:
        return int(self._lab.ssh(self._machine, f"wc -l < {DIRECTORY}/written"))
