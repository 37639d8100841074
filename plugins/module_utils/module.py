# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The frame of every module: secrets kept out of logs, failures that carry an error_code."""

from __future__ import annotations

import atexit
import gc
import os
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any, Callable

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.respawn import respawn_module

from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError

# The keys under which connection_info carries a secret, for every protocol that has one (os-brick's names).
SECRET_KEYS = frozenset(
    {
        "auth_password",
        "dhchap_ctrl_key",
        "dhchap_key",
        "discovery_auth_password",
        "keyring",
        "serverPassword",
        "serverToken",
        "vmware_host_password",
    }
)
# In a keyring the secret itself.
KEY = re.compile(r"^\s*key\s*=\s*(\S+)", re.MULTILINE)
# The options that carry one. All the text below them is secret, but for that of a well-formed encryption: what is not a mapping there
# is a passphrase that somebody put one level too high.
SECRET_OPTIONS = frozenset({"encryption", "passphrase", "passphrases"})

# How Ansible's messages about arguments name the argument.
NAMED_ARGUMENT = re.compile(
    r"(?:argument '?|option '|required arguments: |parameters? for [^:]*: |value of (?=\w+ must be one)"
    r"|are missing: |is required: |are mutually exclusive: )(\w+(?:\.\w+)*)"
)


class AnotherInterpreterError(Exception):
    """The module is to begin again in another interpreter of this machine, which has a library that this one lacks."""

    def __init__(self, interpreter: str) -> None:
        super().__init__(interpreter)
        self.interpreter = interpreter


def secrets_in(value: Any) -> Iterator[str]:
    """Every secret in a module's arguments, at any depth."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in SECRET_KEYS and isinstance(inner, str) and inner:
                yield inner
                # Elsewhere a keyring's lines may stand apart, or with their ends written out.
                yield from KEY.findall(inner)
            elif key in SECRET_OPTIONS and not (key == "encryption" and isinstance(inner, dict)):
                yield from _texts(inner)
            else:
                yield from secrets_in(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from secrets_in(inner)


def _texts(value: Any) -> Iterator[str]:
    """All the text in a value, at any depth, but for the keys of mappings."""
    if isinstance(value, (dict, list, tuple)):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)
    elif value not in (None, "") and not isinstance(value, bool):
        yield str(value)


def as_shown(secrets: Iterable[str]) -> Iterator[str]:
    """Secrets as they are, and as Python shows them inside a mapping, which is how Ansible logs one."""
    for secret in secrets:
        yield from (secret, repr(secret)[1:-1])


class StorageModule(AnsibleModule):
    """An AnsibleModule whose failures always carry an C(error_code), and whose log never shows a secret it was given."""

    _constructed = False

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(supports_check_mode=True, **kwargs)
        self._constructed = True

    def _log_invocation(self) -> None:
        # The constructor logs the arguments: the last moment to register the secrets among them.
        self.no_log_values.update(as_shown(secrets_in(self.params)))
        super()._log_invocation()

    def fail_json(self, msg: str, **kwargs: Any) -> Any:
        if not self._constructed:
            # The constructor fails only over the arguments.
            self.no_log_values.update(as_shown(secrets_in(self.params)))
            kwargs.setdefault("error_code", "invalid_argument")
            named = NAMED_ARGUMENT.search(msg)
            if named:
                kwargs.setdefault("field", named[1])
        super().fail_json(msg, **kwargs)


def run(module: StorageModule, work: Callable[[dict[str, Any], bool], dict[str, Any]]) -> None:
    """Do the module's work and end it, whatever happens.

    Args:
        module: the module.
        work: called with the parameters and whether this is check mode; returns the result, with C(failed) where it failed.
    """
    # A module lives for seconds, in which looking for garbage takes longer than the garbage is worth.
    gc.disable()
    statuses: list[int] = []
    # Whoever registers later is called earlier.
    atexit.register(_end_at_once, statuses)
    try:
        _run(module, work)
    except SystemExit as end:
        if isinstance(end.code, int):
            statuses.append(end.code)
        raise


def _end_at_once(statuses: list[int]) -> None:
    """End the process without tidying its memory up, object by object: after a few forks that takes longer than most of the work.

    Only where Ansible's own wrapper is the program, so that nothing else is waiting to be done.
    """
    if statuses and hasattr(sys.modules["__main__"], "_ansiballz_main"):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(statuses[0])


def _run(module: StorageModule, work: Callable[[dict[str, Any], bool], dict[str, Any]]) -> None:
    try:
        if os.geteuid() != 0:
            raise StorageError("permission_denied", "This module needs root on this machine; run it with become.")
        result = work(module.params, module.check_mode)
    except AnotherInterpreterError as elsewhere:
        respawn_module(elsewhere.interpreter)
    except StorageError as error:
        module.fail_json(**error.as_dict())
    except Exception as error:  # whatever it is, a play gets a code and a sentence
        # Without the exception itself: Ansible would not mask the secrets in what it says. The traceback, as text, it does mask.
        module.fail_json(
            msg=f"Unexpected {type(error).__name__}: {error}. Please report it with what ANSIBLE_DISPLAY_TRACEBACK=error shows.",
            error_code="internal",
        )
    for warning in result.pop("warnings", []):
        module.warn(warning)
    if result.pop("failed", False):
        module.fail_json(**result)
    module.exit_json(**result)
