# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A section's options and its driver, against those that Cinder has: what is not known is refused with what may have been meant."""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError

# Options of earlier releases that Cinder takes no more, and what they are called now.
RENAMED = {
    "iscsi_helper": "target_helper",
    "iscsi_ip_address": "target_ip_address",
    "iscsi_port": "target_port",
    "iscsi_protocol": "target_protocol",
    "iscsi_target_prefix": "target_prefix",
    "num_iscsi_scan_tries": "num_volume_device_scan_tries",
}
# What a section of cinder.conf may have for the service that runs the driver, which here is nobody's.
OF_THE_SERVICE = frozenset(
    {
        "backend_availability_zone",
        "backend_host",
        "backend_native_threads_pool_size",
        "backend_stats_polling_interval",
        "extra_capabilities",
        "suppress_requests_ssl_warnings",
        "volume_driver",
    }
)
MOST_CANDIDATES = 3
_DRIVER = re.compile(r"^@interface\.volumedriver\s*\n(?:@.*\n)*class\s+(\w+)", re.MULTILINE)


def refuse_unknown(
    path: str, section: str, driver: str, given: Iterable[str], known: Mapping[str, Iterable[str]]
) -> None:
    """Refuse options that nobody reads.

    Args:
        path: of the configuration.
        section: its name.
        driver: its volume_driver.
        given: the options that are set in it.
        known: the options of the driver, each with its former names, which Cinder still takes.

    Raises:
        StorageError: C(invalid_argument) with C(field) and C(candidates).
    """
    accepted = {*known, *OF_THE_SERVICE, *(former for names in known.values() for former in names)}
    for name in sorted(set(given) - accepted):
        candidates = _meant(name, known)
        if name in RENAMED:
            hint = f"is called {RENAMED[name]} by now"
        else:
            hint = f"is no option of {driver}" + (f"; did you mean {' or '.join(candidates)}?" if candidates else "")
        raise error(path, section, name, f"{name} {hint}", candidates)


def unknown_driver(path: str, section: str, driver: str, package: Path) -> StorageError:
    """The failure where Cinder has no such driver, with those that may have been meant.

    Args:
        path: of the configuration.
        section: its name.
        driver: its volume_driver.
        package: the directory of the package C(cinder).
    """
    moved = moved_drivers(package).get(driver)
    candidates = [moved] if moved else near_drivers(driver, installed_drivers(package))
    hint = f"; did you mean {' or '.join(candidates)}?" if candidates else ""
    return error(path, section, "volume_driver", f"Cinder has no driver {driver}{hint}", candidates)


def error(path: str, section: str, option: str, message: str, candidates: Iterable[str] = ()) -> StorageError:
    """A failure over an option."""
    return StorageError(
        "invalid_argument", f"{path}: [{section}] {option}: {message}", field=option, candidates=list(candidates)
    )


def near_drivers(driver: str, drivers: Iterable[str]) -> list[str]:
    """The drivers that I(driver) may have been meant to be: of the same class, of the same module, or with a name that is nearly the same."""
    drivers = sorted(drivers)
    module, _dot, class_name = driver.rpartition(".")
    same = [one for one in drivers if one.rpartition(".")[2].lower() == class_name.lower()]
    # Without its class, too.
    same = same or [one for one in drivers if one.rpartition(".")[0] in (module, driver)]
    if same:
        return same[:MOST_CANDIDATES]
    # All begin alike, which must not count.
    tails = {one.partition("drivers.")[2]: one for one in drivers}
    return [
        tails[tail] for tail in difflib.get_close_matches(driver.partition("drivers.")[2], tails, n=MOST_CANDIDATES)
    ]


def installed_drivers(package: Path) -> list[str]:
    """The volume drivers in Cinder's own package, read from the sources: importing them all would take a minute.

    Args:
        package: the directory of the package C(cinder).
    """
    found = []
    for file in sorted((package / "volume" / "drivers").rglob("*.py")):
        module = ".".join(["cinder", *file.relative_to(package).with_suffix("").parts]).removesuffix(".__init__")
        found += [f"{module}.{name}" for name in _DRIVER.findall(file.read_text(encoding="utf-8", errors="replace"))]
    return found


def moved_drivers(package: Path) -> dict[str, str]:
    """The names that drivers had in earlier releases, as Cinder's manager knows them, with those that they have now."""
    source = (package / "volume" / "manager.py").read_text(encoding="utf-8")
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and [getattr(target, "id", None) for target in node.targets] == ["MAPPING"]:
            return dict(ast.literal_eval(node.value))
    return {}


def missing_libraries(source: str, found: Mapping[str, object]) -> list[str]:
    """The libraries that a driver does without until it needs them: it imports them if it can, and is set up in vain.

    Args:
        source: of the driver's module.
        found: what the module has by name; such a library is None.
    """
    tried = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Try)]
    needed = {
        library
        for attempt in tried
        for node in attempt.body
        for name, library in _imported(node)
        if name in found and found[name] is None
    }
    return sorted(needed)


def _imported(node: ast.stmt) -> Iterator[tuple[str, str]]:
    """The names that a statement imports, each with the library that it is of."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield alias.asname or alias.name.partition(".")[0], alias.name.partition(".")[0]
    elif isinstance(node, ast.ImportFrom):
        for alias in node.names:
            yield alias.asname or alias.name, str(node.module or alias.name).partition(".")[0]


def _meant(name: str, known: Mapping[str, Iterable[str]]) -> list[str]:
    if name in RENAMED:
        return [RENAMED[name]]
    return difflib.get_close_matches(name, list(known), n=MOST_CANDIDATES)
