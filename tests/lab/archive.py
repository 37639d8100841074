# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What bare machines install from, as they have no way out: Debian's packages, a folder for each release, and a folder of wheels.

The lab serves it to them by HTTP. It is kept in the cache, as the images are.
"""

from __future__ import annotations

import hashlib
import lzma
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from . import cache, mirror, plan
from .commands import run
from .environment import PIP
from .errors import LabError
from .system import BARE12, BARE13, System, lines

KIND = "archive"
PORT = 8077
ADDRESS = f"http://{plan.gateway()}:{PORT}"
WHEELS = "wheels"

_HERE = Path(__file__).resolve().parent
# What machines may be asked to install, beside what these packages need in turn.
_PACKAGES = _HERE / "archive-packages.txt"
_REQUIREMENTS = (_HERE / "rootfs-cinder-29.txt", _HERE / "rootfs-os-brick-7.1.txt")
_SYSTEMS = (BARE13, BARE12)
_RECIPE = Path(__file__)


def name() -> str:
    return f"{KIND}-{key()}"


def key() -> str:
    """A hash of everything that decides what is in it."""
    parts = [hashlib.sha256(_RECIPE.read_bytes()).hexdigest(), *lines(_PACKAGES)]
    parts += [line for path in _REQUIREMENTS for line in lines(path)]
    parts += [f"{system.suite} {system.python}" for system in _SYSTEMS]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def get() -> Path:
    """Its directory, made now if it is not in the cache."""
    return cache.get(KIND, key(), "the archive that bare machines install from,", _build)


def server(directory: Path) -> list[str]:
    """The command line of what serves it; the directory is its mark."""
    options = ["--bind", plan.gateway(), "--directory", str(directory)]
    return [sys.executable, "-m", "http.server", *options, str(PORT)]


def settings(system: str) -> dict[str, str]:
    """The files with which a machine installs from it."""
    suite = next(each.suite for each in _SYSTEMS if each.name == system)
    return {
        "etc/apt/sources.list": f"deb [trusted=yes] {ADDRESS}/{suite} ./\n",
        "etc/pip.conf": f"[global]\nno-index = true\nfind-links = {ADDRESS}/{WHEELS}/\ntrusted-host = {plan.gateway()}\n",
    }


def _build(directory: Path) -> None:
    directory.mkdir()
    for system in _SYSTEMS:
        _add_packages(directory / system.suite, system)
        for requirements in _REQUIREMENTS:
            run(
                *PIP, "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:",
                f"--python-version={system.python}", f"--dest={directory / WHEELS}", f"--requirement={requirements}",
            )  # fmt: skip


def _add_packages(directory: Path, system: System) -> None:
    """Download the packages and all that they need, as apt would for a machine that has nothing, and write their index."""
    apt = directory / "apt"
    cached = apt / "cache"
    (apt / "lists/partial").mkdir(parents=True)
    (cached / "archives/partial").mkdir(parents=True)
    (apt / "status").touch()
    keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
    (apt / "sources.list").write_text(f"deb [signed-by={keyring}] {mirror.uri()} {system.suite} main\n")
    configuration = apt / "apt.conf"
    places = {
        "Dir::Etc::SourceList": apt / "sources.list",
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::Etc::Preferences": "/dev/null",
        "Dir::Etc::PreferencesParts": "/dev/null",
        "Dir::State": apt,
        "Dir::State::Lists": apt / "lists",
        "Dir::State::Status": apt / "status",
        "Dir::Cache": cached,
        "APT::Sandbox::User": "root",
        "APT::Install-Recommends": "false",
    }
    configuration.write_text(mirror.apt_settings() + "".join(f'{name} "{value}";\n' for name, value in places.items()))
    for command in (["update"], ["--yes", "--download-only", "install", *lines(_PACKAGES)]):
        _apt(configuration, command)
    for package in (cached / "archives").glob("*.deb"):
        # A colon, as %3a, is too much for some readers of an index.
        package.rename(directory / package.name.replace("%3a", "."))
    shutil.rmtree(apt)
    entries = [_entry(package) for package in sorted(directory.glob("*.deb"))]
    # The form that apt asks for first.
    (directory / "Packages.xz").write_bytes(lzma.compress("\n".join(entries).encode()))


def _apt(configuration: Path, command: Sequence[str]) -> None:
    done = subprocess.run(
        ["apt-get", "--quiet", *command],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "APT_CONFIG": str(configuration)},
        check=False,
    )
    if done.returncode:
        raise LabError(f"`apt-get {' '.join(command)}` failed: {done.stderr.strip()}")


def _entry(package: Path) -> str:
    """A package in the index of its folder."""
    digest = hashlib.sha256(package.read_bytes()).hexdigest()
    fields = f"Filename: ./{package.name}\nSize: {package.stat().st_size}\nSHA256: {digest}\n"
    return run("dpkg-deb", "--field", package) + fields
