# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A driver in a process of its own, in Cinder's environment.

Cinder imports a few hundred modules, logs and prints, and a driver may hang in a library for ever. Apart, none of that reaches the
module: what the driver prints goes nowhere, and at the deadline the process is killed with everything it started. That is the same to
the records as a kill of the module itself, which can happen at any moment anyway.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import time
import traceback
from collections.abc import Sequence
from typing import Any, Callable, Optional, Protocol

from ansible_collections.brickwork.storage.plugins.module_utils.commands import ENVIRONMENT as VARIABLES
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder import environment, survivors
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline

# What is killed has ended by then, unless the kernel does not let it.
KILL_SECONDS = 5
HELPER_SECONDS = 3
POLL_SECONDS = 0.02
BUFFER_BYTES = 65536
_PR_SET_PDEATHSIG = 1
# What does not look at what an earlier call may still be changing.
READING = frozenset({"capacity", "describe", "drivers", "new_secret", "pool", "validate_connector"})
_BEGIN = "import sys; sys.path.append({root!r}); from {module} import serve, {service}; serve({service})"


class Driver(Protocol):
    """What a driver is asked; volumes, snapshots and hosts are named, and what is known of them is on record."""

    def call(self, method: str, arguments: Sequence[Any]) -> Any:
        """Do it, and return what JSON can express; StorageError where it fails."""


class Worker:
    """The process.

    Args:
        setting: the arguments of what is loaded.
        command: of the process; none for Cinder's environment.
        service: what is loaded there: C(driver) or C(catalogue).
    """

    def __init__(self, setting: dict[str, Any], command: Sequence[str] = (), service: str = "driver") -> None:
        self._setting = setting
        self._command = list(command)
        self._service = service
        self._process: Optional[subprocess.Popen[bytes]] = None
        self._rest = b""

    def call(self, method: str, *arguments: Any, deadline: Deadline) -> Any:
        """Have the driver do something; it is loaded first where it is not.

        Raises:
            StorageError: as the driver failed; C(deadline_exceeded) where it did not end, C(unavailable) where its process did.
        """
        self.start()
        return self._ask({"method": method, "arguments": arguments}, deadline)

    def start(self) -> None:
        """Begin the process, without waiting for that; the driver is loaded when it is asked for something."""
        if self._process is not None and self._process.poll() is None:
            return
        command = self._command or _command(self._service)
        # What Cinder installs beside itself, such as cinder-rtstool, is found first.
        variables = {**VARIABLES, "PATH": f"{os.path.dirname(command[0])}:{VARIABLES['PATH']}"}
        self._rest = b""
        self._process = subprocess.Popen(
            survivors.marked(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=variables,
            cwd="/",
            start_new_session=True,
        )
        self._send({"caller": os.getpid(), "setting": self._setting})

    def stop(self) -> None:
        """Kill the process; what the kernel does not let die is abandoned."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        # A program that it started may end well by itself, and leave nothing half done.
        patience = Deadline(HELPER_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            while not patience.passed:
                process.poll()
                os.killpg(process.pid, 0)
                time.sleep(POLL_SECONDS)
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(KILL_SECONDS)
        for pipe in (process.stdin, process.stdout):
            if pipe:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    def _ask(self, question: dict[str, Any], deadline: Deadline) -> Any:
        self._send({**question, "seconds": deadline.remaining()})
        line = self._line(question["method"], deadline)
        answer = json.loads(line)
        if "error" in answer:
            raise StorageError(answer["error"], answer["message"], **answer["facts"])
        return answer["result"]

    def _send(self, message: dict[str, Any]) -> None:
        # Where it has ended, reading the answer tells how.
        with contextlib.suppress(BrokenPipeError):
            if self._process and self._process.stdin:
                self._process.stdin.write(json.dumps(message).encode() + b"\n")
                self._process.stdin.flush()

    def _line(self, method: str, deadline: Deadline) -> bytes:
        process = self._process
        if process is None or process.stdout is None:
            raise StorageError("internal", "The process of Cinder's driver was stopped.")
        reading = process.stdout.fileno()
        while b"\n" not in self._rest:
            ready, _writable, _exceptional = select.select([reading], [], [], deadline.remaining())
            if not ready:
                self.stop()
                raise StorageError(
                    "deadline_exceeded",
                    f"Cinder's driver did not do within {deadline.seconds:g} s what it was asked ({_named(method)}), and was stopped. See to "
                    "the storage, and repeat the call, or its opposite.",
                )
            part = os.read(reading, BUFFER_BYTES)
            if not part:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(KILL_SECONDS)
                self.stop()
                raise StorageError(
                    "unavailable",
                    f"The process of Cinder's driver ended during {_named(method)}, with {process.returncode}; "
                    "repeat the call, or its opposite.",
                )
            self._rest += part
        line, _newline, self._rest = self._rest.partition(b"\n")
        return line


def _named(method: str) -> str:
    return "what it can do" if method == "describe" else method.replace("_", " ")


def _command(service: str) -> list[str]:
    begin = _BEGIN.format(root=environment.collection_root(), module=__name__, service=service)
    # Isolated from the variables and the directory of whoever runs the module. The collection comes last on the path, after all
    # that Cinder needs.
    return [environment.interpreter(), "-I", "-c", begin]


def serve(load: Callable[..., Driver]) -> None:
    """The process's life: load a driver, and do what is asked until nobody asks any more."""
    # It is not to go on once the module that started it was killed.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    answering = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    questions = os.fdopen(os.dup(0), encoding="utf-8")
    os.dup2(nowhere, 0)
    begin = json.loads(questions.readline())
    if os.getppid() != begin["caller"]:
        # It was killed before the kernel knew what to do then.
        os._exit(1)
    loaded: Optional[Driver] = None
    for line in questions:
        asked = json.loads(line)
        try:
            # Each time: a call that was killed while this one waited for its turn may have left some.
            if loaded is None or asked["method"] not in READING:
                survivors.wait(asked["seconds"] / 2)
            loaded = loaded or load(**begin["setting"])
            answer = {"result": loaded.call(asked["method"], asked["arguments"])}
        except StorageError as error:
            answer = {"error": error.code, "message": error.message, "facts": error.facts}
        except Exception as error:  # whatever it is, the module gets a code and a sentence
            answer = {"error": "internal", "message": _unexpected(error), "facts": {}}
        answering.write(json.dumps(answer) + "\n")
        answering.flush()
    # Without the threads of libraries, which may not end.
    os._exit(0)


def _unexpected(error: Exception) -> str:
    """Where it was raised; what it says may hold a secret."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return f"Unexpected {type(error).__name__} in the process of Cinder's driver{place}. Please report it."


def driver(**setting: Any) -> Driver:
    """Load a driver of Cinder's."""
    from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder import loading

    return loading.load(**setting)


def catalogue() -> Driver:
    """Load what tells of all of them."""
    from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder import catalogue

    return catalogue.load()
