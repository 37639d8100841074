# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One of Cinder's volume drivers is loaded with a section of the configuration, and refused where that does not fit it."""

from __future__ import annotations

import importlib
import inspect
import logging
import re
import socket
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder import (
    options,
    remote_files,
    rtstool,
    translation,
)
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder.database import (
    Database,
    put_in_place_of,
)
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder.driver import CinderDriver, context
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder.store import Store
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import LOCK_DIRECTORY, Deadline

# Beside the store, for the drivers' own files, such as the targets of tgt; who needs it makes it.
STATE_DIRECTORY = "cinder"
# For the drivers' own locks.
DRIVERS_LOCK_DIRECTORY = LOCK_DIRECTORY.parent / "cinder"
# The process may be needed for that long; each of the store's transactions has its own bound, and the rest is the caller's to watch.
STORE_SECONDS = 7 * 24 * 3600
KEYRING_OF_CEPH = "rbd_keyring_conf"
LIO = "lioadm"
OF_THE_MANAGER = "suppress_requests_ssl_warnings"


def load(path: str, section: str, driver: str, given: Sequence[str], store: str) -> CinderDriver:
    """Load a driver and have it look at its storage.

    Args:
        path: of the configuration.
        section: of the backend.
        driver: its volume_driver.
        given: the options that are set in the section.
        store: the path of the store's file.

    Raises:
        StorageError: C(invalid_argument) for an unknown driver or option; else as the driver's setup failed.
    """
    silence()
    DRIVERS_LOCK_DIRECTORY.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    DRIVERS_LOCK_DIRECTORY.mkdir(mode=0o700, exist_ok=True)
    configuration = _configuration(path, section, Path(store).parent / STATE_DIRECTORY)
    from cinder import exception
    from cinder.db import api

    database = Database(Store(Deadline(STORE_SECONDS), Path(store)), section, exception)
    put_in_place_of(api, database, type("NotKeptError", (exception.CinderException,), {}))
    cls = _driver_class(path, section, driver)
    _register_keyring_of_ceph(cls, configuration)
    _check_options(path, section, driver, given, cls)
    secrets = translation.Secrets(_secret_options(section, configuration))
    if configuration.safe_get("target_helper") == LIO:
        try:
            rtstool.run_in_copies()
        except ModuleNotFoundError as error:
            raise _missing(driver, [str(error.name)]) from None
    try:
        _lock_by_files()
        loaded = cls(configuration=configuration, host=_host(section), cluster_name=None, active_backend_id=None)
        if not loaded.supported and not configuration.safe_get("enable_unsupported_driver"):
            raise options.error(
                path,
                section,
                "enable_unsupported_driver",
                f"nobody keeps {driver} any more, as Cinder says; set this to true to use it all the same",
            )
        loaded.do_setup(context())
        loaded.check_for_setup_error()
        loaded.set_initialized()
        remote_files.write_at_once(loaded)
    except StorageError:
        raise
    except Exception as error:  # a driver may raise anything
        _refuse_missing_libraries(driver, cls)
        raise translation.failure(error, f"set up {driver}", secrets) from None
    return CinderDriver(loaded, configuration, Store(Deadline(STORE_SECONDS), Path(store)), secrets)


def silence() -> None:
    """Cinder logs secrets, and warns of its own libraries."""
    warnings.simplefilter("ignore")
    root = logging.getLogger()
    root.handlers = [logging.NullHandler()]
    root.setLevel(logging.CRITICAL)


def _configuration(path: str, section: str, state: Path) -> Any:
    """The backend's options as Cinder reads them, from the same file."""
    from cinder import objects
    from cinder.common import config  # noqa: F401 - registers what the others read
    from cinder.volume import configuration, driver
    from oslo_concurrency import lockutils
    from oslo_config import cfg

    objects.register_all()
    cfg.CONF.set_default("state_path", str(state))
    lockutils.set_defaults(str(DRIVERS_LOCK_DIRECTORY))
    try:
        cfg.CONF([], project="cinder", version="brickwork", default_config_files=[path], default_config_dirs=[])
        return configuration.Configuration(driver.volume_opts, config_group=section)
    except cfg.Error as error:
        raise StorageError("invalid_argument", f"{path}: {error}", field="config") from None


def _driver_class(path: str, section: str, driver: str) -> Any:
    import cinder

    module, _dot, name = driver.rpartition(".")
    try:
        cls = getattr(importlib.import_module(module), name, None)
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("cinder.volume.drivers"):
            raise _missing(driver, [str(error.name)]) from None
        cls = None
    if not isinstance(cls, type) or not hasattr(cls, "get_driver_options"):
        raise options.unknown_driver(path, section, driver, Path(str(cinder.__file__)).parent)
    return cls


def _refuse_missing_libraries(driver: str, cls: Any) -> None:
    module = sys.modules[cls.__module__]
    libraries = options.missing_libraries(inspect.getsource(module), vars(module))
    if libraries:
        raise _missing(driver, libraries)


def _missing(driver: str, libraries: Sequence[str]) -> StorageError:
    return StorageError(
        "failed_precondition",
        f"{driver} needs Python's {' and '.join(libraries)}, which Cinder's environment {sys.prefix} does not have. Install it there, or "
        "in the system where the environment sees that.",
        field="volume_driver",
    )


def _check_options(path: str, section: str, driver: str, given: Sequence[str], cls: Any) -> None:
    """Every option of the section is one that somebody reads, and has a value that can be read."""
    from cinder.volume import configuration
    from oslo_config import cfg

    known = {option.dest: option for option in _shared_options()}
    register_options_of_the_manager()
    known.update({option.dest: option for option in cls.get_driver_options() or ()})
    formerly = {
        name: [one.name.replace("-", "_") for one in option.deprecated_opts if one.name]
        for name, option in known.items()
    }
    options.refuse_unknown(path, section, driver, given, formerly)
    current = {former: name for name, names in formerly.items() for former in names}
    readable = configuration.Configuration(list(known.values()), config_group=section)
    for name in given:
        if name in known or name in current:
            try:
                getattr(readable, current.get(name, name))
            except cfg.ConfigFileValueError as error:
                said = re.sub(r" from LocationInfo\(.*\) is", " is", str(error))
                raise options.error(path, section, name, said) from None


def _register_keyring_of_ceph(cls: type, configuration: Any) -> None:
    """An option that Cinder no longer knows, because it would show users of a cloud its key. Its driver for RBD still obeys it, and
    hosts that get the keyring with the connection need nothing of Ceph's configuration."""
    from oslo_config import cfg

    if "RBDDriver" in [base.__name__ for base in cls.__mro__]:
        configuration.append_config_values([cfg.StrOpt(KEYRING_OF_CEPH)])


def register_options_of_the_manager() -> None:
    """Some drivers count an option of Cinder's manager among theirs; where they do not import that, it is not known yet."""
    from cinder.volume import configuration
    from oslo_config import cfg

    if OF_THE_MANAGER not in {option.dest for option in _shared_options()}:
        cfg.CONF.register_opt(cfg.BoolOpt(OF_THE_MANAGER, default=False), group=configuration.SHARED_CONF_GROUP)


def _shared_options() -> Iterator[Any]:
    """The options that the driver's modules registered for all backends."""
    from cinder.volume import configuration
    from oslo_config import cfg

    for entry in cfg.CONF._groups[configuration.SHARED_CONF_GROUP]._opts.values():
        yield entry["opt"]


def _secret_options(section: str, configuration: Any) -> list[str]:
    from oslo_config import cfg

    entries = cfg.CONF._groups[section]._opts.values()
    secret = [configuration.safe_get(entry["opt"].dest) for entry in entries if entry["opt"].secret]
    return translation.secrets_in(secret)


def _lock_by_files() -> None:
    """Locks on files, for the drivers that keep out of each other's way; and this process has root's rights itself."""
    import cinder.privsep
    from cinder import coordination
    from oslo_config import cfg

    cfg.CONF.set_default("backend_url", f"file://{DRIVERS_LOCK_DIRECTORY}", group="coordination")
    coordination.COORDINATOR.start()
    cinder.privsep.sys_admin_pctxt.set_client_mode(False)
    import os_brick.privileged

    os_brick.privileged.default.set_client_mode(False)


def _host(section: str) -> str:
    return f"{socket.gethostname()}@{section}"
