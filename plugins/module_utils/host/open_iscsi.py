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
from collections.abc import Collection, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Optional

from ansible_collections.brickwork.storage.plugins.module_utils.commands import ENVIRONMENT, Running
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.host.files import entries
from ansible_collections.brickwork.storage.plugins.module_utils.host.mount_namespace import showing_only
from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols.export import Portal
from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols.iscsi import IscsiExport

# Compiled into iscsiadm, and not the same on every distribution.
DATABASES = ("/var/lib/iscsi/nodes", "/etc/iscsi/nodes")
DEFAULTS = Path("/etc/iscsi/iscsid.conf")
ELF = b"\x7fELF"
LOGIN_REFUSED = 24  # ISCSI_ERR_LOGIN_AUTH_FAILED
LOGIN_ATTEMPTS = "node.session.initial_login_retry_max"


def database() -> Path:
    """The directory of open-iscsi's node records.

    Raises:
        StorageError: C(failed_precondition) where open-iscsi is not installed.
    """
    program = _program()
    return Path(next((path for path in DATABASES if path.encode() in program), DATABASES[0]))


def _program() -> bytes:
    program = shutil.which("iscsiadm", path=ENVIRONMENT["PATH"])
    if program is None:
        raise StorageError(
            "failed_precondition", "iscsiadm is not installed on this host; install open-iscsi (iscsi-initiator-utils)."
        )
    return _content(program)


@lru_cache(maxsize=1)
def _content(program: str) -> bytes:
    return Path(program).read_bytes()


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
    for record in _records(nodes, portal):
        if record == keep:
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


def login(nodes: Path, target: str, portals: Sequence[Portal]) -> list[Running]:
    """Start the login to portals of a target that have a node record."""
    at_target = ["iscsiadm", "--mode", "node", "--targetname", target]
    if {record.name for record in (nodes / target).iterdir()} == {_record(nodes, portal).name for portal in portals}:
        return [Running([*at_target, "--login"])]
    # There are node records of somebody else, whose portals are not to be logged in to.
    return [Running([*at_target, "--portal", portal.address, "--login"]) for portal in portals]


def logout(session_number: int) -> Running:
    """Start the end of one session."""
    return Running(["iscsiadm", "--mode", "session", "--sid", str(session_number), "--logout"])


def logout_together(session_numbers: Collection[int], directory: str) -> Optional[Running]:
    """Start the end of several sessions by one iscsiadm, which takes much less time than one for each.

    Without a number it ends every session that it sees. So it is shown these alone, and cannot end another, not even one
    that somebody begins meanwhile.

    Args:
        session_numbers: which end.
        directory: with the sessions that there are, C(/sys/class/iscsi_session).

    Returns:
        None where that cannot be: not every kernel and container allows it.
    """
    if not _sees_what_we_see():
        return None
    try:
        names = [f"session{number}" for number in session_numbers]
        return showing_only(directory, names, partial(Running, ["iscsiadm", "--mode", "session", "--logout"]))
    except OSError:
        return None


def _sees_what_we_see() -> bool:
    """Whether iscsiadm is the program itself: a script in its place may start it where it sees the whole host."""
    program = _program()
    return program.startswith(ELF) and b"iscsi_session" in program


def _record(nodes: Path, portal: Portal) -> Path:
    host, port = portal.host_and_port
    return nodes / portal.target / f"{host},{port}"


def _records(nodes: Path, portal: Portal) -> list[Path]:
    """The node records of a portal; those of iscsiadm have the number of the portal group behind the name."""
    record = _record(nodes, portal)
    return [
        path for path in entries(record.parent) if path.name == record.name or path.name.startswith(f"{record.name},")
    ]


def _record_files(nodes: Path, portal: Portal) -> list[Path]:
    found = []
    for path in _records(nodes, portal):
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
