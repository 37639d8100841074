# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""open-iscsi: node records, logins and logouts.

For iSCSI over TCP this takes the place of os-brick's connector, which logs in one volume after another, starts a dozen
commands for each, waits two minutes for a portal that is down, and hands the CHAP secret to iscsiadm as an argument. What is
left on the host is the same: the same sessions, node records and devices, so that os-brick can release what was attached
here and the other way round.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from pathlib import Path
from typing import Optional

from ansible_collections.brickwork.storage.plugins.module_utils.commands import Running
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols.export import Portal
from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols.iscsi import IscsiExport

# Compiled into iscsiadm, and not the same on every distribution.
DATABASES = ("/var/lib/iscsi/nodes", "/etc/iscsi/nodes")
DEFAULTS = Path("/etc/iscsi/iscsid.conf")
LOGIN_REFUSED = 24  # ISCSI_ERR_LOGIN_AUTH_FAILED
LOGIN_ATTEMPTS = "node.session.initial_login_retry_max"


def database() -> Path:
    """The directory of open-iscsi's node records.

    Raises:
        StorageError: C(failed_precondition) where open-iscsi is not installed.
    """
    program = shutil.which("iscsiadm", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if program is None:
        raise StorageError(
            "failed_precondition", "iscsiadm is not installed on this host; install open-iscsi (iscsi-initiator-utils)."
        )
    compiled = Path(program).read_bytes()
    return Path(next((path for path in DATABASES if path.encode() in compiled), DATABASES[0]))


def write_node(nodes: Path, portal: Portal, export: IscsiExport) -> None:
    """Put a node record in place, as root alone may read it: it holds the secret.

    iscsiadm would take the secret as an argument, which every user of the host can read while it runs.

    Args:
        nodes: the database.
        portal: what the record is for.
        export: its transport, name and secret for CHAP.
    """
    host, port = portal.host_and_port
    settings = _defaults()
    settings.update(
        {
            "node.name": portal.target,
            "node.tpgt": "-1",
            "node.startup": "manual",
            "node.leading_login": "No",
            # open-iscsi brings an interface of each of these names.
            "iface.iscsi_ifacename": "default" if export.transport == "tcp" else export.transport,
            "iface.transport_name": export.transport,
            "node.conn[0].address": host,
            "node.conn[0].port": str(port),
            "node.conn[0].startup": "manual",
            # Only the LUNs that were asked for: a target may have others.
            "node.session.scan": "manual",
            # The portal has just answered: what it does not grant now, eight attempts do not get either.
            LOGIN_ATTEMPTS: "2",
        }
    )
    if export.username and export.password:
        settings.update(
            {
                "node.session.auth.authmethod": "CHAP",
                "node.session.auth.username": export.username,
                "node.session.auth.password": export.password,
            }
        )
    else:
        settings["node.session.auth.authmethod"] = "None"
    lines = ["# BEGIN RECORD 2.1", *(f"{key} = {value}" for key, value in settings.items()), "# END RECORD", ""]
    directory = nodes / portal.target
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    record = _record(nodes, portal)
    remove_node(nodes, portal, keep=record)
    temporary = directory / ".new"
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write("\n".join(lines))
    if record.is_dir():
        shutil.rmtree(record)
    os.replace(temporary, record)


def set_startup(nodes: Path, portal: Portal, at_boot: bool) -> None:
    """Say in an existing node record whether open-iscsi logs in, and looks for LUNs, when the host boots."""
    settings = {
        "node.startup": "automatic" if at_boot else "manual",
        "node.session.scan": "auto" if at_boot else "manual",
        # At boot the network may be late.
        LOGIN_ATTEMPTS: _defaults().get(LOGIN_ATTEMPTS, "8") if at_boot else "2",
    }
    for path in _record_files(nodes, portal):
        lines = []
        for line in path.read_text(encoding="utf-8").splitlines():
            key = line.partition(" = ")[0]
            lines.append(f"{key} = {settings[key]}" if key in settings else line)
        temporary = path.with_name(".new")
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write("\n".join([*lines, ""]))
        os.replace(temporary, path)


def remove_node(nodes: Path, portal: Portal, keep: Optional[Path] = None) -> bool:
    """Remove the node records of a portal, whatever form they have; true where there were any."""
    directory = nodes / portal.target
    found = False
    for record in [_record(nodes, portal), *directory.glob(_record(nodes, portal).name + ",*")]:
        if record == keep or not record.exists():
            continue
        found = True
        if record.is_dir():
            shutil.rmtree(record)
        else:
            record.unlink()
    if keep is None:
        with contextlib.suppress(OSError):
            (directory / ".new").unlink(missing_ok=True)
            directory.rmdir()  # only when nothing else is in it
    return found


def has_node(nodes: Path, portal: Portal) -> bool:
    """Whether there is a node record for a portal."""
    return bool(_record_files(nodes, portal))


def login_failures(stderr: str) -> dict[str, tuple[int, str]]:
    """Why iscsiadm could not log in: its error number and words, by the portal's address."""
    failure = re.compile(r"portal: ([^,\]]+),(\d+)\]\.?\s*iscsiadm: initiator reported error \((\d+) - ([^)]*)\)")
    failures = {}
    for host, port, number, words in failure.findall(stderr):
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        failures[address] = (int(number), words)
    return failures


def login(target: str) -> Running:
    """Start the login to every portal of a target that has a node record."""
    return Running(["iscsiadm", "--mode", "node", "--targetname", target, "--login"])


def logout(session_number: int) -> Running:
    """Start the end of one session."""
    return Running(["iscsiadm", "--mode", "session", "--sid", str(session_number), "--logout"])


def logout_target(target: str) -> Running:
    """Start the end of every session to a target."""
    return Running(["iscsiadm", "--mode", "node", "--targetname", target, "--logout"])


def _record(nodes: Path, portal: Portal) -> Path:
    host, port = portal.host_and_port
    return nodes / portal.target / f"{host},{port}"


def _record_files(nodes: Path, portal: Portal) -> list[Path]:
    record = _record(nodes, portal)
    found = []
    for path in [record, *sorted(record.parent.glob(record.name + ",*"))]:
        if path.is_dir():
            found += [inner for inner in sorted(path.iterdir()) if inner.is_file()]
        elif path.is_file():
            found.append(path)
    return found


def _defaults() -> dict[str, str]:
    """The administrator's settings for new node records, as C(iscsiadm --op new) would take them over."""
    settings = {}
    with contextlib.suppress(OSError):
        for line in DEFAULTS.read_text(encoding="utf-8").splitlines():
            key, separator, value = (part.strip() for part in line.partition("="))
            if separator and key.startswith("node."):
                settings[key] = value
    return settings
