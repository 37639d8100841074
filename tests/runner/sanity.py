# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ansible-test sanity, which insists on a folder named ansible_collections/NAMESPACE/NAME outside any link.

It runs in a copy of the checkout's files in the cache, where its virtual environments stay between runs. Its home is
there too, so that it neither finds nor leaves anything in the caller's.
"""

from __future__ import annotations

import configparser
import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .command import CACHE, ROOT, VENV, environment, run, say
from .tally import Case, Tally, read_junit

LIMIT = 1800
HOME = CACHE / "sanity-home"
COPY = CACHE / "sanity" / "ansible_collections" / "brickwork" / "storage"
RESULTS = COPY / "tests" / "output"

# The versions that ansible-core 2.19 runs modules on and the collection supports (tests/config.yml).
PYTHONS = ("3.9", "3.10", "3.11", "3.12", "3.13")
# ansible-test may succeed while saying these, having tested nothing.
FALSE_PASSES = ("All targets skipped", "No tests applicable", "Required program")
# Without these a success says little.
INDISPENSABLE = ("validate-modules", "pylint", "ansible-doc")
NOT_APPLICABLE = "No tests applicable."


def sanity() -> Tally:
    """Run every sanity test on every Python that this machine has."""
    with _alone():
        pythons = find_pythons()
        missing = [version for version in PYTHONS if version not in pythons]
        if missing:
            say(f"not on this machine, so nothing is tested on it: Python {', '.join(missing)}")
        _copy_checkout()
        _make_home()
        env = environment(
            {
                "HOME": str(HOME),
                "PATH": os.pathsep.join(
                    [str(VENV), *dict.fromkeys(str(path.parent) for path in pythons.values()), os.environ["PATH"]]
                ),
                "ANSIBLE_CONFIG": os.devnull,
            }
        )
        # ansible-test looks at the folder it is called in, and takes its link for the truth.
        env.pop("ANSIBLE_COLLECTIONS_PATH")
        outcome = run(("ansible-test", "sanity", "--venv", "--junit", "--color", "no"), limit=LIMIT, env=env, cwd=COPY)
        cases = [
            case
            for report in sorted((RESULTS / "junit").glob("*.xml"))
            for case in read_junit(report)
            if case.skipped != NOT_APPLICABLE
        ]
    return judge(outcome.status, outcome.output, cases)


def judge(status: int, output: str, cases: list[Case]) -> Tally:
    """Return the tests' count; success without the tests that matter, or without any, counts as a failure."""
    tally = sum((case.tally for case in cases), Tally())
    passed = {case.name for case in cases if case.tally.passed}
    doubts = [f"ansible-test said: {phrase}" for phrase in FALSE_PASSES if phrase in output]
    if not tally.failed:
        doubts += [f"{name} did not run" for name in INDISPENSABLE if name not in passed]
        if status:
            doubts.append(f"ansible-test ended with status {status}")
    return tally + Tally(failed=1, reasons=tuple(doubts)) if doubts else tally


def find_pythons() -> dict[str, Path]:
    """Return the interpreter of each of PYTHONS that this machine has, past the shims of version managers."""
    found = {}
    roots = [Path("/usr/bin"), *map(Path, os.environ.get("PATH", os.defpath).split(os.pathsep))]
    managed = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    for version in PYTHONS:
        candidates = [root / f"python{version}" for root in roots]
        candidates += sorted(managed.glob(f"{version}.*/bin/python{version}"))
        real = next(filter(None, (_real_python(path) for path in candidates if path.exists())), None)
        if real:
            found[version] = real
    return found


def _real_python(path: Path) -> Path | None:
    """Return the interpreter behind a command, None where the command does not work or is a virtual environment."""
    question = "import sys; print(sys.executable if sys.prefix == sys.base_prefix else '')"
    answer = subprocess.run([path, "-c", question], capture_output=True, text=True, check=False)
    name = answer.stdout.strip()
    # The file must be found by the version's name in its own folder, as ansible-test looks for it.
    real = Path(name).parent / path.name
    return real if answer.returncode == 0 and name and real.exists() else None


@contextmanager
def _alone() -> Iterator[None]:
    """Wait until no other checkout uses the copy."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "sanity.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _copy_checkout() -> None:
    """Make the copy hold the files that git tracks or would track, and of the last run only its environments."""
    kept = RESULTS / ".tmp"
    aside = CACHE / "sanity-environments"
    if kept.exists():
        kept.rename(aside)
    shutil.rmtree(COPY, ignore_errors=True)
    RESULTS.mkdir(parents=True)
    if aside.exists():
        aside.rename(kept)
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, listing.split("\0")):
        source, target = ROOT / name, COPY / name
        if source.exists():  # a file deleted but not yet committed is still listed
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)


def _make_home() -> None:
    HOME.mkdir(parents=True, exist_ok=True)
    _write_pip_settings(HOME / ".config" / "pip" / "pip.conf")
    _provide_pip(HOME / ".ansible" / "test" / "cache")


def _write_pip_settings(path: Path) -> None:
    """Keep the caller's settings of pip, which ansible-test loses with the home and the environment."""
    settings = configparser.RawConfigParser()
    config_home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    settings.read([Path.home() / ".pip" / "pip.conf", config_home / "pip" / "pip.conf"])
    if not settings.has_section("global"):
        settings.add_section("global")
    for name, value in os.environ.items():
        if name.startswith("PIP_") and name != "PIP_CONFIG_FILE":
            settings.set("global", name[4:].lower().replace("_", "-"), value)
    settings.set("global", "quiet", "2")  # errors alone
    path.parent.mkdir(parents=True, exist_ok=True)
    # They may hold a password.
    path.touch(mode=0o600)
    with path.open("w") as file:
        settings.write(file)


def _provide_pip(cache: Path) -> None:
    """Put a stand-in where ansible-test would keep the get-pip script that it downloads otherwise.

    The stand-in installs the wheel of the pip that ansible-test wants, which pip itself can fetch.
    """
    source = next(VENV.parent.glob("lib/python3*/site-packages/ansible_test/_internal/python_requirements.py"))
    wanted = re.search(r"pip='([0-9.]+)'", source.read_text())
    if not wanted:
        raise RuntimeError(f"{source.name} of ansible-test does not say which pip it wants")
    version = wanted[1]
    cache.mkdir(parents=True, exist_ok=True)
    wheel = cache / f"pip-{version}-py3-none-any.whl"
    if not wheel.exists():
        download = (VENV / "python", "-m", "pip", "-qq", "download", "--no-deps", "--dest", cache, f"pip=={version}")
        if run(download, limit=300).status:
            raise RuntimeError(f"pip {version}, which ansible-test needs, cannot be downloaded")
    script = cache / f"get_pip_{version.replace('.', '_')}.py"
    script.write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(wheel)!r})\n"
        "from pip._internal.cli.main import main\n"
        f"sys.exit(main(['install', '--no-index', '--force-reinstall', {str(wheel)!r}]))\n"
    )
