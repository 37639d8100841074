# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role controller_setup on machines that have nothing of storage: Debian 13 and 12, which install from the lab's archive."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from ansible_collections.brickwork.storage.tests.integration import setting_up
from ansible_collections.brickwork.storage.tests.integration.lab import CHECKOUT, LAB, Lab, Play
from ansible_collections.brickwork.storage.tests.integration.setting_up import LIMIT, STATE

pytestmark = pytest.mark.full

PLAYBOOK = str(CHECKOUT / "tests/integration/playbooks/controller_setup.yml")
PASSWORD = "a-password-that-nobody-else-has"
CONFIG = "/etc/brickwork/backends.conf"
GROUPS = ("vg0", "vg-cinder")
BACKENDS = """\
[DEFAULT]
enabled_backends = lvm, cinder

[lvm]
volume_driver = lvm
volume_group = vg0
target_ip_address = {a}
target_secondary_ip_addresses = {b}

[cinder]
volume_driver = cinder.volume.drivers.lvm.LVMVolumeDriver
volume_group = vg-cinder
target_helper = lioadm
target_ip_address = {a}
chap_password = {password}
"""
# Volume groups on loop files, which a boot brings back later than everything else.
MAKE_GROUPS = f"""
mkdir -p /var/lib/lab
cat > /var/lib/lab/attach <<'SCRIPT'
#!/bin/sh
for group in {" ".join(GROUPS)}; do losetup --find --show /var/lib/lab/$group.img; done
SCRIPT
cat > /etc/systemd/system/test-late.service <<'UNIT'
[Service]
Type=oneshot
ExecStartPre=/bin/sleep 5
ExecStart=/bin/sh /var/lib/lab/attach
[Install]
WantedBy=multi-user.target
UNIT
systemctl enable --quiet test-late
for group in {" ".join(GROUPS)}; do truncate -s 2G /var/lib/lab/$group.img; done
set -- {" ".join(GROUPS)}
for device in $(sh /var/lib/lab/attach); do vgcreate --quiet $1 $device; shift; done
"""
EXPORTED = "ls -d /sys/kernel/config/target/iscsi/iqn.*/tpgt_1/lun/lun_*/*/wwn 2>/dev/null | wc -l"


@dataclass(frozen=True)
class Controller:
    """A machine that the role makes a controller of."""

    lab: Lab
    name: str
    backends: str

    def set_up(self, *options: str, backends: str = "", packages: tuple[str, ...] = ()) -> Play:
        variables: dict[str, Any] = {"controller_setup_backends": backends or self.backends}
        if packages:
            variables["controller_setup_cinder_packages"] = list(packages)
        return self.lab.playbook(PLAYBOOK, "--limit", self.name, "--diff", *options, variables=variables, limit=LIMIT)

    def changed(self, play: Play) -> list[str]:
        return setting_up.changed(play, self.name)

    def refuse(self, *options: str, backends: str) -> str:
        """A configuration that the role must not put in place; returns what it says."""
        before = self.ssh(f"stat -c '%Y %Z %a' {CONFIG}; cat {CONFIG}")
        done = self.set_up(*options, backends=backends)
        assert done.recap[self.name]["failed"] == 1, done.output
        assert self.ssh(f"stat -c '%Y %Z %a' {CONFIG}; cat {CONFIG}") == before
        assert self.ssh("ls /tmp/backends.* 2>/dev/null; true") == ""
        return " ".join(done.output.split())

    def ssh(self, script: str) -> str:
        return self.lab.ssh(self.name, script)

    def succeed(self, module: str, **arguments: Any) -> dict[str, Any]:
        return self.lab.succeed(self.name, module, **arguments)


@pytest.fixture(scope="module", params=["bare13", "bare12"])
def controller(lab: Lab, request: pytest.FixtureRequest) -> Controller:
    inventory = yaml.safe_load((LAB / "inventory.yml").read_text(encoding="utf-8"))
    machine = inventory["all"]["children"]["bare"]["hosts"][request.param]
    if lab.ssh(request.param, "dpkg-query -W lvm2 open-iscsi 2>/dev/null; ls -d /etc/brickwork 2>/dev/null; true"):
        lab.control("renew", request.param)
    addresses = {network: machine[f"lab_address_{network}"] for network in ("a", "b")}
    return Controller(lab, request.param, BACKENDS.format(**addresses, password=PASSWORD))


@pytest.fixture(scope="module")
def predicted(controller: Controller) -> Play:
    """What check mode says of the machine while it is bare; it changes nothing."""
    before = controller.ssh(STATE)
    play = controller.set_up("--check", "-vvv")
    assert play.status == 0, play.output
    assert controller.ssh(STATE) == before
    return play


@pytest.fixture(scope="module")
def made(controller: Controller, predicted: Play) -> Play:
    play = controller.set_up("-vvv")
    assert play.status == 0, play.output
    return play


@pytest.fixture(scope="module")
def ready(controller: Controller, made: Play) -> Controller:
    """The controller with volume groups."""
    controller.ssh(MAKE_GROUPS)
    return controller


def test_check_mode_predicts_what_a_run_changes(controller: Controller, predicted: Play, made: Play) -> None:
    assert controller.changed(predicted) == controller.changed(made) != []


def test_a_second_run_changes_nothing(controller: Controller, made: Play) -> None:
    for options in ([], ["--check"]):
        again = controller.set_up(*options)
        assert (again.status, controller.changed(again)) == (0, []), again.output


def test_passwords_are_shown_nowhere(controller: Controller, predicted: Play, made: Play) -> None:
    for play in (predicted, made):
        # As an extra variable it is Ansible's to show, and the plays were started with -vvv.
        assert PASSWORD not in "\n".join(line for line in play.output.splitlines() if "extra_vars" not in line)
    assert controller.ssh(f"stat -c '%U %a' {CONFIG}").split() == ["root", "600"]
    assert PASSWORD in controller.ssh(f"cat {CONFIG}")
    # In two parts, as the search is in the journal, too.
    search = f"journalctl --no-pager | grep -c '{PASSWORD[:9]}''{PASSWORD[9:]}'; grep -rl '{PASSWORD}' /tmp /root /var/log; true"
    assert controller.ssh(search).split() == ["0"]


def test_only_what_the_backends_need_is_installed(controller: Controller, made: Play) -> None:
    there = controller.ssh("dpkg-query -Wf '${Package}\\n'").split()
    assert {"lvm2", "python3-rtslib-fb", "thin-provisioning-tools", "python3-oslo.config"} <= set(there)
    assert not {"ceph-common", "nfs-common", "tgt", "python3-keystoneauth1", "open-iscsi"} & set(there)
    # Of rtslib-fb there is the system's alone: what it saves is restored at boot.
    assert controller.ssh("ls -d /opt/brickwork/cinder/lib/python3*/site-packages/rtslib* 2>/dev/null; true") == ""


def test_the_machine_is_well(controller: Controller, made: Play) -> None:
    assert controller.ssh("systemctl --failed --no-legend") == ""


def test_what_is_not_there_yet_is_told(made: Play) -> None:
    assert "vg0" in " ".join(made.output.partition("Tell which backends cannot be used yet")[2].split())


@pytest.mark.parametrize("backend", ["lvm", "cinder"])
def test_volumes_of_both_backends_reach_a_host(ready: Controller, backend: str) -> None:
    lab, name = ready.lab, f"{backend}-data"
    ready.succeed("volume", volumes=[name], size="1GiB", backend=backend)
    connector = lab.connector("host1", multipath=False)
    connections = ready.succeed("volume_connection", volumes=[name], connector=connector, backend=backend)[
        "connections"
    ]
    path = lab.attach("host1", connections, multipath=False)["attachments"][0]["path"]
    lab.ssh("host1", f"echo kept | dd of={path} conv=fsync,notrunc status=none")
    lab.detach("host1", name)
    assert lab.leftovers("host1") == ""
    path = lab.attach("host1", connections, multipath=False)["attachments"][0]["path"]
    assert lab.ssh("host1", f"head -c 4 {path}") == "kept"
    lab.detach("host1", name)
    # The exports stay, for the boot.


def test_exports_come_back_after_their_volume_groups(ready: Controller) -> None:
    exported = ready.ssh(EXPORTED)
    assert int(exported) == 2
    ready.lab.control("reboot", ready.name)
    ready.ssh("systemctl is-system-running --wait; true")
    assert ready.ssh(EXPORTED) == exported
    assert ready.ssh("systemctl --failed --no-legend") == ""


def test_volumes_go(ready: Controller) -> None:
    for backend in ("lvm", "cinder"):
        name = f"{backend}-data"
        ready.succeed("volume_connection", volumes=[name], host="host1", backend=backend, state="absent")
        ready.succeed("volume", volumes=[name], backend=backend, state="absent")
    assert int(ready.ssh(EXPORTED)) == 0


CINDERS_LVM = "volume_driver = cinder.volume.drivers.lvm.LVMVolumeDriver\nvolume_group = vg-cinder"
MISSPELT = (
    "volume_group = vg0",
    "volume_grup = vg0",
    "[lvm] volume_grup: driver lvm has no such option; did you mean volume_group",
)


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        pytest.param(*MISSPELT, id="option"),
        pytest.param("target_helper", "target_helpr", "[cinder] target_helpr: target_helpr is no option of", id="option of Cinder's"),
        pytest.param(".LVMVolumeDriver", ".LVMDriver", "Cinder has no driver cinder.volume.drivers.lvm.LVMDriver", id="driver of Cinder's"),
        pytest.param(
            CINDERS_LVM,
            "volume_driver = cinder.volume.drivers.pure.PureISCSIDriver\nsan_ip = 192.0.2.1\npure_api_token = token",
            "needs Python's pypureclient",
            id="library",
        ),
        pytest.param("= lvm\nvolume_group", "= lwm\nvolume_group", "there is no driver 'lwm'; there is cinder_service, lvm", id="driver"),
        pytest.param("chap_password = ", "chap_password ", f"{CONFIG}: line 15 is not in the form option = value", id="form"),
    ],
)  # fmt: skip
def test_a_wrong_configuration_is_refused(ready: Controller, right: str, wrong: str, told: str) -> None:
    said = ready.refuse(backends=ready.backends.replace(right, wrong))
    assert told in said
    assert PASSWORD not in said


def test_check_mode_refuses_it_too(ready: Controller) -> None:
    right, wrong, told = MISSPELT
    assert told in ready.refuse("--check", backends=ready.backends.replace(right, wrong))


def test_a_right_configuration_takes_the_place_of_another(ready: Controller) -> None:
    other = ready.backends.replace("enabled_backends = lvm, cinder", "enabled_backends = lvm")
    expected = ["Put it in place", "Have LIO's service wait for the volume groups"]
    assert ready.changed(ready.set_up("--check", backends=other)) == expected
    assert ready.changed(ready.set_up(backends=other)) == expected
    assert ready.ssh(f"cat {CONFIG}") == other
    assert ready.set_up().status == 0


def test_an_environment_of_another_python_is_made_anew(ready: Controller) -> None:
    library = "/opt/brickwork/cinder/lib/python3"
    ready.ssh(f"mv {library}.* {library}")
    play = ready.set_up("--check")
    assert ready.changed(play) == ["Remove an environment that is not", "Install Cinder in its environment"], (
        play.output
    )
    ready.ssh(f"mv {library} {library}.$(/usr/bin/python3 -c 'import sys; print(sys.version_info[1])')")
    assert ready.changed(ready.set_up("--check")) == []
