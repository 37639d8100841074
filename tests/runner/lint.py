# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The linters. Each counts as one test."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from .command import BUILD, ROOT, VENV, environment, run, say
from .tally import PASSED, Tally, failed

LIMIT = 900
COLLECTION = Path(".tree/ansible_collections/brickwork/storage")


def lint() -> Tally:
    """Run every linter, each whatever the others found."""
    total = Tally()
    for name, check in _linters().items():
        say(f"--- {name}")
        began = time.monotonic()
        good = check()
        say(f"--- {name}: {'passed' if good else 'FAILED'} in {time.monotonic() - began:.0f} s")
        total += PASSED if good else failed(name)
    return total


def _linters() -> dict[str, Callable[[], bool]]:
    def tool(*argv: str) -> Callable[[], bool]:
        return functools.partial(_succeeds, argv)

    return {
        "ruff check": tool("ruff", "check", "."),
        "ruff format": tool("ruff", "format", "--check", "."),
        "mypy": mypy,
        "yamllint": tool("yamllint", "--strict", "."),
        "ansible-lint": tool("ansible-lint", "--offline", "--profile", "production", "--strict"),
        "antsibull-docs": tool(
            "antsibull-docs",
            "lint-collection-docs",
            "--plugin-docs",
            "--skip-rstcheck",
            "--validate-collection-refs=self",
            ".",
        ),
        "antsibull-changelog": tool("antsibull-changelog", "lint"),
        "galaxy-importer": galaxy_importer,
    }


def mypy() -> bool:
    """Check the collection and its tests under the name they are imported by."""
    parts = [str(COLLECTION / part) for part in ("plugins", "tests") if any((ROOT / part).rglob("*.py"))]
    return _succeeds(("mypy", *parts))


def galaxy_importer() -> bool:
    """Build the archive that users install, and import it as a Galaxy server would."""
    archives = BUILD / "archive"
    if not _succeeds(("ansible-galaxy", "collection", "build", "--force", "--output-path", str(archives))):
        return False
    archive = max(archives.glob("brickwork-storage-*.tar.gz"), key=lambda path: path.stat().st_mtime)
    outcome = run(
        (VENV / "python", "-m", "galaxy_importer.main", archive), limit=LIMIT, env=environment(), cwd=archives
    )
    return outcome.status == 0 and "ERROR: " not in outcome.output


def _succeeds(argv: Sequence[str], changes: dict[str, str] | None = None) -> bool:
    return run(argv, limit=LIMIT, env=environment(changes)).status == 0
