# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host keeps so that it connects NVMe volumes when it boots."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from ansible_collections.brickwork.storage.plugins.module_utils.commands import Finished
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.host import nvme_boot
from ansible_collections.brickwork.storage.plugins.module_utils.host.nvme_boot import (
    DIRECTORY,
    ENABLED,
    SCRIPT,
    UNIT,
    UNIT_FILE,
    NvmeBoot,
)
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline

LINES = [
    ["nqn=a,transport=tcp,traddr=192.0.2.1,trsvcid=4420,hostnqn=h"],
    ["nqn=a,transport=tcp,traddr=192.0.2.2,trsvcid=4420,hostnqn=h"],
]


class Systemctl:
    """In the place of the program: does what it does to files."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ran: list[str] = []
        self.status = 0

    def __call__(self, argv: list[str], deadline: Deadline) -> Finished:
        self.ran.append(" ".join(argv[2:]))
        enabled = self.root / ENABLED
        if argv[2] == "enable" and not self.status:
            enabled.parent.mkdir(exist_ok=True)
            enabled.symlink_to(f"/{UNIT_FILE}")
        if argv[2] == "disable":
            enabled.unlink(missing_ok=True)
        return Finished(tuple(argv), self.status, "", "no")


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Systemctl:
    (tmp_path / UNIT_FILE).parent.mkdir(parents=True)
    found = Systemctl(tmp_path)
    monkeypatch.setattr(nvme_boot, "run", found)
    return found


def boot(systemctl: Systemctl) -> NvmeBoot:
    return NvmeBoot(Deadline(5), systemctl.root)


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir())


def test_unit_comes_with_the_first_volume_and_goes_with_the_last(systemctl: Systemctl) -> None:
    boot(systemctl).remember("one", LINES)
    boot(systemctl).remember("two/.", LINES)
    assert systemctl.ran == [f"enable {UNIT}"]
    volumes = [f"{DIRECTORY}/volume-one", f"{DIRECTORY}/volume-two%2F."]
    assert files(systemctl.root) == sorted([str(UNIT_FILE), str(ENABLED), str(SCRIPT), *volumes])
    boot(systemctl).forget("one")
    assert systemctl.ran == [f"enable {UNIT}"]
    boot(systemctl).forget("two/.")
    assert systemctl.ran == [f"enable {UNIT}", f"disable --now {UNIT}", "daemon-reload"]
    assert files(systemctl.root) == []


def test_again_changes_nothing(systemctl: Systemctl) -> None:
    boot(systemctl).forget("one")
    boot(systemctl).remember("one", LINES)
    boot(systemctl).remember("one", LINES)
    assert systemctl.ran == [f"enable {UNIT}"]


def test_only_root_reads_what_may_hold_secrets(systemctl: Systemctl) -> None:
    os.umask(0o022)
    boot(systemctl).remember("one", LINES)
    file = systemctl.root / DIRECTORY / "volume-one"
    assert [path.stat().st_mode & 0o777 for path in (file.parent, file)] == [0o700, 0o600]
    assert file.read_text(encoding="utf-8") == "\n".join(line for (line,) in LINES) + "\n"


def test_killed_before_the_unit_was_enabled(systemctl: Systemctl) -> None:
    boot(systemctl).remember("one", LINES)
    (systemctl.root / ENABLED).unlink()
    boot(systemctl).remember("one", LINES)
    assert systemctl.ran == [f"enable {UNIT}"] * 2


def test_killed_before_the_unit_was_gone(systemctl: Systemctl) -> None:
    boot(systemctl).remember("one", LINES)
    (systemctl.root / DIRECTORY / "volume-one").unlink()
    boot(systemctl).forget("one")
    assert files(systemctl.root) == []


@pytest.mark.parametrize("written", [1, 2, 3])
def test_killed_before_a_file_is_in_place(systemctl: Systemctl, monkeypatch: pytest.MonkeyPatch, written: int) -> None:
    moments = iter(range(1, 4))
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", lambda new, old: killed_at(written, next(moments), new, old))
        with pytest.raises(KeyboardInterrupt):
            boot(systemctl).remember("one", LINES)
    boot(systemctl).forget("one")
    assert files(systemctl.root) == []


def killed_at(last: int, moment: int, new: Path, old: Path) -> None:
    if moment == last:
        raise KeyboardInterrupt
    new.rename(old)


def test_systemd_does_not_take_it(systemctl: Systemctl) -> None:
    systemctl.status = 1
    with pytest.raises(StorageError) as caught:
        boot(systemctl).remember("one", LINES)
    assert caught.value.code == "failed_precondition"


BEFORE = "nqn=a,transport=tcp,traddr=192.0.2.1,trsvcid=4420"


@pytest.fixture
def script(tmp_path: Path) -> str:
    """What runs at boot, on a host of files, where the writer notes what it is given and a portal called .9 is down."""
    (tmp_path / "dd").write_text(
        f'#!/bin/sh\nread -r line\ncase $line in *.9,*) exit 1;; esac\necho "$line" >>{tmp_path}/wrote\n',
        encoding="utf-8",
    )
    for name in ("modprobe", "sleep"):
        (tmp_path / name).write_text("#!/bin/sh\n", encoding="utf-8")
    for name in ("dd", "modprobe", "sleep"):
        (tmp_path / name).chmod(0o755)
    (tmp_path / "volumes").mkdir()
    controller = tmp_path / "nvme/nvme3"
    controller.mkdir(parents=True)
    (controller / "subsysnqn").write_text("a\n", encoding="utf-8")
    (controller / "address").write_text("traddr=192.0.2.1,trsvcid=4420,src_addr=192.0.2.7\n", encoding="utf-8")
    text = nvme_boot.SCRIPT_TEXT.replace(f"/{DIRECTORY}", f"{tmp_path}/volumes").replace(
        "/sys/class/nvme", f"{tmp_path}/nvme"
    )
    return text.replace("seconds=30", "seconds=0")


@pytest.mark.parametrize(
    ("volume", "wrote", "status"),
    [
        ([f"{BEFORE},hostnqn=h"], [], 0),  # it is there
        ([f"{BEFORE}1,hostnqn=h"], [f"{BEFORE}1,hostnqn=h"], 0),  # port 44201 is another portal
        (["n.2,hostnqn=h", "n.3,hostnqn=h"], ["n.2,hostnqn=h", "n.3,hostnqn=h"], 0),
        (["n.2,hostnqn=h n.3,hostnqn=h"], ["n.2,hostnqn=h"], 0),  # one of them is enough
        (["n.9,hostnqn=h n.3,hostnqn=h"], ["n.3,hostnqn=h"], 0),
        ([f"n.3,hostnqn=h {BEFORE},hostnqn=h"], [], 0),
        (["n.9,hostnqn=h,dhchap_secret=x", "n.3,hostnqn=h"], ["n.3,hostnqn=h"], 1),
    ],
)
def test_what_the_boot_writes(script: str, tmp_path: Path, volume: list[str], wrote: list[str], status: int) -> None:
    (tmp_path / "volumes/volume-one").write_text("".join(f"{line}\n" for line in volume), encoding="utf-8")
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["sh", "-c", script], env=environment, capture_output=True, text=True, check=False, timeout=30
    )
    notes = tmp_path / "wrote"
    assert (notes.read_text(encoding="utf-8").splitlines() if notes.exists() else []) == wrote
    assert done.returncode == status, done.stderr
    assert ("cannot connect: n.9\n" in done.stderr) == any("n.9" in line for line in volume)
    assert "dhchap" not in done.stderr
