# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""os-brick: the only file that imports it."""

from __future__ import annotations

import contextlib
import copy
import importlib.util
import inspect
import json
import os
import select
import signal
import socket
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Optional

from ansible.module_utils.common.respawn import has_respawned, probe_interpreters_for_module

from ansible_collections.brickwork.storage.plugins.module_utils.commands import run
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.host import processes
from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols.export import BrickExport
from ansible_collections.brickwork.storage.plugins.module_utils.host.sysfs import Sysfs
from ansible_collections.brickwork.storage.plugins.module_utils.module import AnotherInterpreterError
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import LOCK_DIRECTORY, Deadline

# Where it was installed for this collection, because the distribution's is not good.
OWN_INTERPRETER = "/opt/brickwork/bin/python3"
OTHER_INTERPRETERS = ["/usr/bin/python3", "/usr/libexec/platform-python"]
# Only addresses for documentation have no host behind them; connecting a datagram socket sends nothing.
ANYWHERE = (("192.0.2.1", 9), ("2001:db8::1", 9))
COMMAND_SECONDS = 10.0
PIPE_BYTES = 65536
# A process that the kernel does not let die is not waited for longer.
STOP_SECONDS = 1.0
POLL_SECONDS = 0.02


def require() -> None:
    """See that os-brick can be imported, before anything is begun; it is not imported for that.

    Raises:
        AnotherInterpreterError: where another interpreter has the os-brick to use.
        StorageError: C(failed_precondition) where none has.
    """
    here = importlib.util.find_spec("os_brick") is not None
    if not has_respawned():
        other = OWN_INTERPRETER if os.access(OWN_INTERPRETER, os.X_OK) else None
        if not (other or here):
            other = probe_interpreters_for_module(OTHER_INTERPRETERS, "os_brick")
        if other:
            raise AnotherInterpreterError(other)
    if not here:
        raise StorageError(
            "failed_precondition",
            "os-brick is not installed on this host: install python3-os-brick, or os-brick in a virtual environment at /opt/brickwork; "
            "the role host_setup does either.",
        )


def connector(ip: Optional[str], multipath: bool, enforce_multipath: bool) -> dict[str, Any]:
    """What this host connects with, as os-brick tells it, and without os-brick's writes.

    Args:
        ip: this host's address; None for the one it reaches others from.
        multipath: whether volumes are to be attached over several paths.
        enforce_multipath: whether to fail where multipathd does not run.

    Returns:
        The dict of os-brick's get_connector_properties.

    Raises:
        AnotherInterpreterError, StorageError: see require.
        StorageError: C(failed_precondition) where multipathd does not run and must, or a tool that os-brick calls is missing.
    """
    require()
    _import()
    from os_brick import exception
    from os_brick.initiator import connector as os_brick_connector
    from os_brick.privileged import nvmeof

    # os-brick would make /etc/nvme/hostnqn and hostid where they are missing. Facts change nothing.
    nvmeof.create_hostnqn = lambda *_args, **_kwargs: ""
    nvmeof.create_hostid = lambda *_args, **_kwargs: None
    if multipath and enforce_multipath and "multipathd" not in processes.names(Sysfs()):
        # From 6.10 on os-brick asks only when it attaches.
        raise StorageError(
            "failed_precondition",
            "multipathd does not run on this host. Start it, or do not ask for enforce_multipath.",
            field="enforce_multipath",
        )
    try:
        properties: dict[str, Any] = os_brick_connector.get_connector_properties(
            "", ip or own_address(), multipath, enforce_multipath
        )
    except FileNotFoundError as error:
        raise StorageError(
            "failed_precondition", f"os-brick needs {error.filename} on this host; install the package that has it."
        ) from error
    except exception.BrickException as error:
        raise StorageError(
            "failed_precondition", f"os-brick cannot tell what this host connects with: {error}"
        ) from error
    # Some versions tell whether multipathd answers just now. What the target is told must not change with that.
    properties["multipath"] = multipath
    return properties


@dataclass(frozen=True)
class Call:
    """One call of a connector.

    Args:
        export: of the volume.
        multipath: as at the connect, also when it is disconnected.
        device: what the connector returned, to be disconnected; None to connect.
        force: go on where a flush fails.
    """

    export: BrickExport
    multipath: bool
    device: Optional[dict[str, Any]] = None
    force: bool = False


@dataclass(frozen=True)
class Answer:
    """How the call of that number ended: what the connector returned, or why it failed."""

    number: int
    device: dict[str, Any]
    failure: Optional[str] = None


class Calls:
    """Calls of connectors, one after the other in a process of their own.

    os-brick may try for minutes, and nothing of it can be interrupted from within. This process can be ended, with all that it has started.
    Where the module itself is killed, the process goes on to the end of the call under way; it holds the module's locks until
    then, so that nobody comes between.
    """

    def __init__(self, calls: list[Call]) -> None:
        self._unanswered = deque(range(len(calls)))
        self._text = ""
        self._output, write_end = os.pipe()
        parent = os.getpid()
        self._process = os.fork()
        if not self._process:
            try:
                os.setsid()
                os.close(self._output)
                nothing = os.open(os.devnull, os.O_RDWR)
                for standard in range(3):
                    os.dup2(nothing, standard)
                _work(calls, write_end, parent)
            finally:
                os._exit(0)
        os.close(write_end)
        os.set_blocking(self._output, False)

    def answers(self) -> list[Answer]:
        """Those of the calls that have ended since this was asked last."""
        open_end = True
        with contextlib.suppress(BlockingIOError):
            while open_end:
                read = os.read(self._output, PIPE_BYTES)
                open_end = bool(read)
                self._text += read.decode()
        *lines, self._text = self._text.split("\n")
        answers = []
        for line in lines:
            answers.append(Answer(self._unanswered.popleft(), **json.loads(line)))
        if not open_end:
            answers += [Answer(number, {}, "os-brick's process ended early") for number in self._unanswered]
            self._unanswered.clear()
        return answers

    @property
    def ended(self) -> bool:
        return not self._unanswered

    def wait(self, deadline: Deadline) -> list[Answer]:
        """The answers of all that end before the deadline; the rest is given up."""
        answers = self.answers()
        while not self.ended and not deadline.passed:
            select.select([self._output], [], [], deadline.remaining())
            answers += self.answers()
        self.stop()
        return answers

    def stop(self) -> None:
        """End the process, and whatever it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process, signal.SIGKILL)
        patience = Deadline(STOP_SECONDS)
        while os.waitpid(self._process, os.WNOHANG) == (0, 0) and not patience.passed:
            time.sleep(POLL_SECONDS)


def _work(calls: list[Call], output: int, parent: int) -> None:
    """In the process: make the calls, and write an answer for each as a line."""
    for call in calls:
        if os.getppid() != parent:
            return
        device: dict[str, Any] = {}
        failure = None
        try:
            device = _call(call)
        except Exception as error:  # whatever os-brick raises is the answer
            failure = " ".join(f"{type(error).__name__}: {error}".split())
        os.write(output, (json.dumps({"device": device, "failure": failure}, default=str) + "\n").encode())


def _call(call: Call) -> dict[str, Any]:
    _import()
    from importlib.metadata import version

    import os_brick
    from os_brick.initiator import connector as os_brick_connector
    from os_brick.initiator.connectors.fibre_channel import FibreChannelConnector
    from oslo_concurrency import lockutils
    from oslo_config import cfg

    refused = harmful(version("os-brick"), inspect.signature(FibreChannelConnector._remove_devices))
    if refused:
        raise RuntimeError(refused)
    lockutils.set_defaults(lock_directory())
    os_brick.setup(cfg.CONF)
    export = call.export
    made = os_brick_connector.InitiatorConnector.factory(
        export.connector, "", use_multipath=call.multipath, **export.settings
    )
    # It changes what it is given.
    data = copy.deepcopy(export.data)
    if call.device is None:
        return dict(made.connect_volume(data))
    made.disconnect_volume(data, call.device, force=call.force, ignore_errors=False)
    return {}


def harmful(version: str, removal: inspect.Signature) -> Optional[str]:
    """Why this os-brick must not touch a device; None where it may.

    Args:
        version: its own, which a distribution that mends an old one keeps.
        removal: of the Fibre Channel connector's method that CVE-2023-2088 was mended in.
    """
    if "force" in removal.parameters:
        return None
    return (
        f"os-brick {version} has CVE-2023-2088, by which one host may come to see another's data; "
        "install 6.2.2 or later, or your distribution's mended package (Debian 12: python3-os-brick 6.1.0-3 or later)"
    )


def lock_directory(configurations: Iterable[str] = ("/etc/nova/nova.conf", "/etc/cinder/cinder.conf")) -> str:
    """Where os-brick's locks are: shared with a compute or volume service of this host where there is one."""
    import configparser

    for path in configurations:
        parser = configparser.RawConfigParser(strict=False, allow_no_value=True)
        with contextlib.suppress(OSError, configparser.Error, UnicodeDecodeError):
            parser.read(path, encoding="utf-8")
            for section in ("os_brick", "oslo_concurrency"):
                directory = parser.get(section, "lock_path", fallback=None)
                if directory and "$" not in directory:
                    return directory
    return str(LOCK_DIRECTORY)


def _import() -> None:
    """Import os-brick for root: without a daemon of its own."""
    # Resolving names the green way takes longer than all else in the import, and is of no use here.
    os.environ.setdefault("EVENTLET_NO_GREENDNS", "yes")
    from os_brick.privileged import default

    default.set_client_mode(False)


def own_address() -> str:
    """The address this host reaches others from, else its first global one.

    Raises:
        StorageError: C(failed_precondition) where it has none.
    """
    for family, destination in zip((socket.AF_INET, socket.AF_INET6), ANYWHERE):
        with socket.socket(family, socket.SOCK_DGRAM) as asked:
            try:
                asked.connect(destination)
                return str(asked.getsockname()[0])
            except OSError:
                continue
    finished = run(["ip", "-json", "address", "show", "scope", "global"], Deadline(COMMAND_SECONDS))
    links = json.loads(finished.stdout or "[]") if finished.succeeded else []
    addresses = [address["local"] for link in links for address in link.get("addr_info", [])]
    if not addresses:
        raise StorageError(
            "failed_precondition",
            "This host has no address of global scope; say which one it uses with ip.",
            field="ip",
        )
    return str(addresses[0])
