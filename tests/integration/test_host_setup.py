# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role host_setup on machines that have nothing of storage: Debian 13 and 12, in one play, which install from the lab's archive."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from ansible_collections.brickwork.storage.tests.integration.lab import CHECKOUT, Lab, Play
from ansible_collections.brickwork.storage.tests.integration.setting_up import LIMIT, STATE, changed

pytestmark = pytest.mark.full

PLAYBOOK = str(CHECKOUT / "tests/integration/playbooks/host_setup.yml")
NEWER, OLDER = "bare13", "bare12"
BARE = (NEWER, OLDER)
# The one that has os-brick in an environment, until a test takes the package.
OS_BRICK = {OLDER: "environment"}
VOLUME = "test-setup"
NAME_FILES = "/etc/iscsi/initiatorname.iscsi /etc/nvme/hostnqn /etc/nvme/hostid"
GIVEN = "Give the host names of its own"
RESTARTED = "Have iscsid take its new name"


@dataclass(frozen=True)
class Hosts:
    """The machines that the role makes hosts of."""

    lab: Lab

    def set_up(self, *options: str, os_brick: dict[str, str] | None = None, **variables: Any) -> Play:
        extra = {f"host_setup_{name}": value for name, value in variables.items()}
        extra["test_os_brick"] = OS_BRICK if os_brick is None else os_brick
        return self.lab.playbook(PLAYBOOK, "--diff", *options, variables=extra, limit=LIMIT)

    def succeed(self, *options: str, **variables: Any) -> Play:
        play = self.set_up(*options, **variables)
        assert play.status == 0, play.output
        return play

    def changed_as_predicted(self, **variables: Any) -> dict[str, list[str]]:
        """What a run changes on each of them, which check mode has said before, and no second run does again."""
        predicted = self.succeed("--check", **variables)
        made = self.succeed(**variables)
        found = {host: changed(made, host) for host in BARE}
        assert {host: changed(predicted, host) for host in BARE} == found
        return found

    def names(self, host: str) -> dict[str, Any]:
        """As step 1 tells them."""
        facts = self.lab.succeed(host, "volume_connector_facts", multipath=True)
        found: dict[str, Any] = facts["ansible_facts"]["volume_connector"]
        return found

    def attach(self, host: str, **arguments: Any) -> dict[str, Any]:
        """The volume on a host, with the names that it has now."""
        connections = self.lab.succeed("controller", "volume_connection", volumes=[VOLUME], connector=self.names(host))[
            "connections"
        ]
        attachment: dict[str, Any] = self.lab.attach(host, connections, min_paths=2, **arguments)["attachments"][0]
        return attachment

    def release(self, host: str) -> None:
        self.lab.detach(host, VOLUME)
        self.lab.disconnect(host, VOLUME)


@pytest.fixture(scope="module")
def hosts(lab: Lab) -> Hosts:
    for host in BARE:
        look = "dpkg-query -W lvm2 open-iscsi 2>/dev/null; ls -d /etc/brickwork /var/lib/brickwork 2>/dev/null; true"
        if lab.ssh(host, look):
            lab.control("renew", host)
    return Hosts(lab)


@pytest.fixture(scope="module")
def predicted(hosts: Hosts) -> Play:
    """What check mode says of the machines while they are bare; it changes nothing."""
    before = [hosts.lab.ssh(host, STATE) for host in BARE]
    play = hosts.succeed("--check")
    assert [hosts.lab.ssh(host, STATE) for host in BARE] == before
    return play


@pytest.fixture(scope="module")
def made(hosts: Hosts, predicted: Play) -> Play:
    return hosts.succeed()


@pytest.fixture(scope="module")
def volume(hosts: Hosts, made: Play) -> Iterator[str]:
    """The name of one that both may have, one after the other."""
    hosts.lab.succeed("controller", "volume", volumes=[VOLUME], size="128MiB")
    yield VOLUME
    for host in BARE:
        hosts.lab.module(host, "volume_attach", volumes=[VOLUME], state="absent", force=True)
    hosts.lab.succeed("controller", "volume_connection", volumes=[VOLUME], all_hosts=True, fenced=True, state="absent")
    hosts.lab.succeed("controller", "volume", volumes=[VOLUME], state="absent")


@pytest.mark.parametrize("host", BARE)
def test_check_mode_predicts_what_a_run_changes(predicted: Play, made: Play, host: str) -> None:
    expected = [GIVEN, "Configure multipathd", "Install Debian's packages"]
    if host in OS_BRICK:
        expected.append("Install os-brick in its environment")
    assert changed(predicted, host) == changed(made, host) == expected


def test_a_second_run_changes_nothing(hosts: Hosts, made: Play) -> None:
    for options in ([], ["--check"]):
        again = hosts.succeed(*options)
        assert [changed(again, host) for host in BARE] == [[], []], again.output


@pytest.mark.parametrize("host", BARE)
def test_only_what_is_needed_is_installed(hosts: Hosts, made: Play, host: str) -> None:
    there = set(hosts.lab.ssh(host, "dpkg-query -Wf '${Package}\\n'").split())
    assert {"dmidecode", "multipath-tools", "open-iscsi"} <= there
    assert not {"ceph-common", "cryptsetup-bin", "lvm2", "nfs-common", "nvme-cli"} & there
    assert ("python3-os-brick" in there) == (host not in OS_BRICK)


@pytest.mark.parametrize("host", BARE)
def test_step_1_tells_the_names(hosts: Hosts, made: Play, host: str) -> None:
    initiator, nqn, hostid = hosts.lab.ssh(host, f"cat {NAME_FILES}").split()
    connector = hosts.names(host)
    assert (f"InitiatorName={connector['initiator']}", connector["nqn"]) == (initiator, nqn)
    assert nqn == f"nqn.2014-08.org.nvmexpress:uuid:{hostid}"
    modes = hosts.lab.ssh(host, f"stat -c '%U %a' {NAME_FILES} /var/lib/brickwork/names.json").splitlines()
    assert modes == ["root 600", "root 644", "root 644", "root 600"]


def test_no_two_hosts_have_one_name(hosts: Hosts, made: Play) -> None:
    files = hosts.lab.ssh(NEWER, f"cat {NAME_FILES}").split(), hosts.lab.ssh(OLDER, f"cat {NAME_FILES}").split()
    assert len(set(files[0] + files[1])) == 6


@pytest.mark.parametrize("host", BARE)
def test_the_services_run(hosts: Hosts, made: Play, host: str) -> None:
    units = "open-iscsi.service iscsid.socket multipathd.service"
    assert set(hosts.lab.ssh(host, f"systemctl is-enabled {units}").split()) == {"enabled"}
    assert set(hosts.lab.ssh(host, "systemctl is-active iscsid.socket multipathd.service").split()) == {"active"}
    assert hosts.lab.ssh(host, "systemctl --failed --no-legend") == ""


@pytest.mark.parametrize("host", BARE)
def test_multipathd_takes_its_configuration(hosts: Hosts, made: Play, host: str) -> None:
    taken = hosts.lab.ssh(host, "multipathd show config local").split()
    assert taken[taken.index("find_multipaths") + 1] in ('"on"', '"yes"')
    assert hosts.lab.ssh(host, "multipath -t 2>&1 >/dev/null") == ""


@pytest.mark.parametrize("host", BARE)
def test_a_volume_is_attached_over_two_paths(hosts: Hosts, volume: str, host: str) -> None:
    attachment = hosts.attach(host)
    assert (attachment["multipath"], len(attachment["paths"]), attachment["missing_paths"]) == (True, 2, [])
    # The machine's own disks stay what they are.
    assert hosts.lab.ssh(host, "ls -d /sys/block/dm-* | wc -l").strip() == "1"
    refused = hosts.set_up("--limit", host, initiator_name="iqn.2026-11.org.example:other")
    assert refused.recap[host]["failed"] == 1, refused.output
    assert f"the attachment of {volume}" in " ".join(refused.output.split())
    hosts.release(host)
    assert hosts.lab.leftovers(host) == ""


@pytest.mark.parametrize("host", BARE)
def test_a_volume_comes_back_at_boot(hosts: Hosts, volume: str, host: str) -> None:
    path = hosts.attach(host, persistent=True)["path"]
    hosts.lab.ssh(host, f"printf kept | dd of={path} conv=fsync,notrunc status=none")
    hosts.lab.control("reboot", host)
    wait = f"for second in $(seq 60); do [ -e {path} ] && break; sleep 1; done; head -c 4 {path}"
    assert hosts.lab.ssh(host, wait) == "kept"
    assert hosts.lab.ssh(host, "systemctl --failed --no-legend") == ""
    hosts.release(host)


def test_a_copy_gets_names_of_its_own(hosts: Hosts, made: Play) -> None:
    before, others = hosts.names(NEWER), hosts.lab.ssh(OLDER, f"cat {NAME_FILES}")
    hosts.lab.ssh(NEWER, "tr -d - </proc/sys/kernel/random/uuid >/etc/machine-id")
    found = hosts.changed_as_predicted()
    assert (found[NEWER][0], found[OLDER]) == (GIVEN, [])
    after = hosts.names(NEWER)
    assert all(after[name] != before[name] for name in ("initiator", "nqn"))
    assert hosts.lab.ssh(OLDER, f"cat {NAME_FILES}") == others
    assert changed(hosts.succeed(), NEWER) == []


def test_two_copies_of_one_image_get_names_of_their_own(hosts: Hosts, volume: str) -> None:
    """Of an image that was made before there was a record; afterwards storage knows them by their new names."""
    shared = "iqn.2026-11.org.example:image"
    for host in BARE:
        hosts.lab.ssh(
            host, f"rm /var/lib/brickwork/names.json; echo InitiatorName={shared} >/etc/iscsi/initiatorname.iscsi"
        )
        hosts.lab.ssh(host, "systemctl restart iscsid")
    found = hosts.changed_as_predicted()
    assert found == {NEWER: [GIVEN, RESTARTED], OLDER: [GIVEN, RESTARTED]}
    names = [hosts.names(host)["initiator"] for host in BARE]
    assert len({*names, shared}) == 3
    again = hosts.succeed()
    assert [changed(again, host) for host in BARE] == [[], []]
    for host in BARE:
        assert len(hosts.attach(host)["paths"]) == 2
        hosts.release(host)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("iqn.2026-11.org.example:both", "bare12, bare13 have one iSCSI initiator name"),
        ("iqn.2026-11.lab:both", "expected iqn.YYYY-MM.DOMAIN:NAME"),
    ],
)
def test_names_that_are_refused(hosts: Hosts, made: Play, name: str, told: str) -> None:
    before = [hosts.lab.ssh(host, f"cat {NAME_FILES}") for host in BARE]
    for options in (["--check"], []):
        play = hosts.set_up(*options, initiator_name=name)
        assert [play.recap[host]["failed"] for host in BARE] == [1, 1], play.output
        assert told in " ".join(play.output.split())
    assert [hosts.lab.ssh(host, f"cat {NAME_FILES}") for host in BARE] == before


def test_a_configuration_of_multipathd_is_left_alone(hosts: Hosts, made: Play) -> None:
    own = "defaults { polling_interval 7 }"
    hosts.lab.ssh(NEWER, f"echo '{own}' >/etc/multipath.conf; rm -rf /etc/multipath/conf.d")
    hosts.lab.ssh(OLDER, "rm /etc/multipath.conf")
    found = hosts.changed_as_predicted()
    assert found == {NEWER: [], OLDER: ["Configure multipathd", "Have multipathd read its configuration"]}
    assert hosts.lab.ssh(NEWER, "cat /etc/multipath.conf; ls /etc/multipath/conf.d 2>/dev/null; true").strip() == own


def test_nvme_where_the_kernel_has_it(hosts: Hosts, made: Play) -> None:
    has_it = hosts.lab.ssh(NEWER, "modinfo nvme_tcp >/dev/null 2>&1 && echo yes; true") != ""
    play = hosts.set_up("--limit", NEWER, protocols=["iscsi", "nvme_tcp"])
    if not has_it:
        assert play.recap[NEWER]["failed"] == 1
        assert "The kernel of this host has no NVMe over TCP" in " ".join(play.output.split())
        assert hosts.lab.ssh(NEWER, "ls /etc/modules-load.d/brickwork.conf 2>/dev/null; true") == ""
        return
    assert play.status == 0, play.output
    assert hosts.lab.ssh(NEWER, "cat /etc/modules-load.d/brickwork.conf; ls -d /sys/module/nvme_tcp").split()
    hostid = hosts.lab.ssh(NEWER, "cat /etc/nvme/hostid").strip()
    assert hosts.names(NEWER)["nvme_hostid"] == hostid
    again = hosts.succeed("--limit", NEWER, protocols=["iscsi", "nvme_tcp"])
    assert changed(again, NEWER) == []


def test_an_environment_of_another_python_is_made_anew(hosts: Hosts, made: Play) -> None:
    library = "/opt/brickwork/lib/python3"
    hosts.lab.ssh(OLDER, f"mv {library}.* {library}")
    play = hosts.succeed("--check")
    removed = "Remove an environment that is not, or that the modules would take before the package"
    assert changed(play, OLDER) == [removed, "Install os-brick in its environment"], play.output
    hosts.lab.ssh(OLDER, f"mv {library} {library}.$(/usr/bin/python3 -c 'import sys; print(sys.version_info[1])')")
    # Without a word it stays what it is.
    assert changed(hosts.succeed("--check", os_brick={}), OLDER) == []


def test_the_package_takes_the_place_of_an_environment(hosts: Hosts, made: Play) -> None:
    hosts.lab.ssh(OLDER, "mkdir -p /opt/brickwork/cinder; echo kept >/opt/brickwork/cinder/kept")
    before = hosts.names(OLDER)
    removed = "Remove an environment that is not, or that the modules would take before the package"
    wanted = {OLDER: "package"}
    found = hosts.changed_as_predicted(os_brick=wanted)
    assert found == {NEWER: [], OLDER: ["Install Debian's packages", removed]}
    assert hosts.lab.ssh(OLDER, "ls /opt/brickwork /opt/brickwork/cinder").split()[1:] == [
        "cinder",
        "/opt/brickwork/cinder:",
        "kept",
    ]
    after = hosts.names(OLDER)
    assert [after[name] for name in ("initiator", "nqn")] == [before[name] for name in ("initiator", "nqn")]
    record = json.loads(hosts.lab.ssh(OLDER, "cat /var/lib/brickwork/names.json"))
    assert record["names"]["initiator"] == after["initiator"]
