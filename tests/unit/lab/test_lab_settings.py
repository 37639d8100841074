# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the lab that is there is good for what is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.brickwork.storage.tests.lab import settings
from ansible_collections.brickwork.storage.tests.lab.errors import LabError
from ansible_collections.brickwork.storage.tests.lab.settings import Settings, Wanted


def serves(
    under: str,
    *,
    hypervisor: str = "auto",
    needs: tuple[str, ...] = (),
    replace: bool = False,
    alive: bool = True,
    current: bool = True,
    new: str = "uml",
) -> bool:
    wanted = Wanted(hosts=2, debian12=0, bare=False, hypervisor=hypervisor, needs=frozenset(needs), replace=replace)
    found = Settings(under, ["debian13"], {"debian13": "/cache/key"})
    return settings.serves(found, wanted, alive=alive, current=current, new=lambda: new)


def test_a_lab_that_is_up_is_kept() -> None:
    assert serves("uml")
    assert serves("uml", current=False)
    # More than is needed is good, too.
    assert serves("qemu")
    assert serves("qemu", needs=("nvme", "fc"))


def test_a_lab_that_is_off_is_kept_with_its_disks_unless_its_image_is_old() -> None:
    assert serves("uml", alive=False)
    assert not serves("uml", alive=False, current=False)
    assert not serves("uml", alive=False, needs=("nvme",))


def test_another_lab_that_is_up_is_nobody_s_to_take_away_unasked() -> None:
    with pytest.raises(LabError, match=r"up already, under uml, which has no fc and no nvme; .*`down`.*`up --replace`"):
        serves("uml", needs=("nvme", "fc"))
    with pytest.raises(LabError, match="under uml, and not under qemu"):
        serves("uml", hypervisor="qemu")


def test_replace_leaves_only_what_a_new_lab_would_be() -> None:
    assert serves("uml", replace=True)
    assert not serves("uml", replace=True, needs=("nvme",), new="qemu")
    # The slower one stays where it is needed only.
    assert serves("qemu", replace=True, needs=("nvme",), new="qemu")
    assert not serves("qemu", replace=True)
    assert not serves("uml", replace=True, current=False)
    # One lab serves all where KVM works.
    assert serves("kvm", replace=True, new="kvm")
    assert serves("kvm", replace=True, needs=("nvme", "fc"), new="kvm")


def test_settings_are_read_as_they_were_written(tmp_path: Path) -> None:
    written = Settings("uml", ["debian13", "debian12"], {"debian13": "/a", "debian12": "/b"})
    assert settings.read(tmp_path / "lab.json") is None
    written.write(tmp_path / "lab.json")
    assert settings.read(tmp_path / "lab.json") == written


@pytest.mark.parametrize("text", ["", "{}", '{"hypervisor": "uml", "hosts": 2, "needs": [], "image": "/a"}'])
def test_settings_of_another_version(tmp_path: Path, text: str) -> None:
    (tmp_path / "lab.json").write_text(text)
    with pytest.raises(LabError, match="another version"):
        settings.read(tmp_path / "lab.json")
