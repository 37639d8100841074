# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's configuration: backends.conf, in the form and with the option names of cinder.conf."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Callable, Optional

from ansible_collections.brickwork.storage.plugins.module_utils.controller import rules
from ansible_collections.brickwork.storage.plugins.module_utils.controller.libraries import library
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError, invalid

# The options that Cinder's drivers share, where their own section does not set them.
SHARED_SECTION = "backend_defaults"
# What a driver reads: given oslo_config.cfg, the options of its section.
Options = Callable[[Any], list[Any]]


@dataclass(frozen=True)
class Section:
    """One enabled backend, as the file has it.

    Args:
        name: of the section, which is the backend's name.
        driver: its C(volume_driver).
        path: of the file.
        given: the options set in the section, as the file has them.
        others: the other enabled sections by name, each with its options as the file has them.
        digest: of everything in the file that can have a say in this backend; it differs where that does.
        shared: the options that Cinder's drivers share, which hold where C(given) has none.
    """

    name: str
    driver: str
    path: str
    given: Mapping[str, str]
    others: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    digest: str = ""
    shared: Mapping[str, str] = field(default_factory=dict)

    def error(self, option: str, message: str, **facts: Any) -> StorageError:
        """A failure over an option of this section."""
        return StorageError(
            "invalid_argument", f"{self.path}: [{self.name}] {option}: {message}", field=option, **facts
        )

    def options(self, options: Options) -> dict[str, Any]:
        """The values of a driver's options, with their types; a default where the section does not set one.

        Raises:
            StorageError: C(invalid_argument), for an option that the driver does not know, that it needs, or whose value is wrong.
        """
        cfg = library("oslo_config.cfg")
        known = [cfg.StrOpt("volume_driver"), cfg.StrOpt("volume_backend_name"), *options(cfg)]
        names = [option.dest for option in known]
        for name in sorted(set(self.given) - set(names)):
            candidates = rules.near(name, names)
            hint = f"; did you mean {' or '.join(candidates)}?" if candidates else ""
            raise self.error(name, f"driver {self.driver} has no such option{hint}", candidates=candidates)
        configuration = cfg.ConfigOpts()
        configuration.register_opts(known, group=self.name)
        values: dict[str, Any] = {}
        try:
            configuration([], project="brickwork", default_config_files=[self.path], default_config_dirs=[])
        except cfg.RequiredOptError as error:
            raise self.error(error.opt_name, "is missing") from None
        for option in known:
            try:
                values[option.dest] = configuration[self.name][option.dest]
            except cfg.ConfigFileValueError as error:
                raise self.error(option.dest, str(error)) from None
            except (cfg.NoSuchOptError, cfg.TemplateSubstitutionError):
                # Without what it says: that may be a part of a password.
                raise self.error(option.dest, "has a $ that stands for no option; write $$ for a $") from None
        return values


def enabled(path: str, backend: Optional[str]) -> Section:
    """The section of I(backend), or of the only enabled one.

    Raises:
        StorageError: C(not_found) without the file or the backend; C(invalid_argument) where the file or the choice is unclear.
    """
    return section_of(_parse(path), path, backend)


def section_of(sections: Mapping[str, Mapping[str, str]], path: str, backend: Optional[str]) -> Section:
    """The same of a file that was read already.

    Args:
        sections: of the file; of each the options.
        path: of the file.
        backend: the name; None where there is but one.
    """
    names = enabled_names(sections, path)
    if not backend and len(names) > 1:
        raise invalid("backend", f"one of {', '.join(names)}, because {path} enables several")
    chosen = backend or names[0]
    if chosen not in names:
        candidates = rules.near(chosen, names)
        raise StorageError(
            "not_found",
            f"{path} enables no backend {chosen}; it enables {', '.join(names)}.",
            field="backend",
            candidates=candidates,
        )
    if chosen not in sections:
        raise StorageError(
            "invalid_argument",
            f"{path} enables the backend {chosen}, but has no section [{chosen}].",
            field="enabled_backends",
            candidates=rules.near(chosen, sections),
        )
    section = sections[chosen]
    if not section.get("volume_driver"):
        raise StorageError("invalid_argument", f"{path}: [{chosen}] volume_driver is missing.", field="volume_driver")
    others = {name: sections[name] for name in names if name != chosen and name in sections}
    shared = sections.get(SHARED_SECTION, {})
    return Section(chosen, section["volume_driver"], path, section, others, _digest(sections, chosen), shared)


def names_of_enabled(path: str) -> list[str]:
    """The names of all enabled backends, in the file's order.

    Raises:
        StorageError: C(not_found) without the file; C(invalid_argument) where it enables none.
    """
    return enabled_names(_parse(path), path)


def enabled_names(sections: Mapping[str, Mapping[str, str]], path: str) -> list[str]:
    """The same of a file that was read already."""
    listed = sections.get("DEFAULT", {}).get("enabled_backends", "").split(",")
    names = [name.strip() for name in listed if name.strip()]
    if not names:
        raise StorageError(
            "invalid_argument",
            f"{path}: [DEFAULT] enabled_backends is missing; it lists the sections that are backends.",
            field="enabled_backends",
        )
    return names


def _digest(sections: Mapping[str, Mapping[str, str]], name: str) -> str:
    parts = {part: sections.get(part, {}) for part in ("DEFAULT", SHARED_SECTION, name)}
    # Which other backends are enabled makes no difference to this one.
    parts["DEFAULT"] = {option: value for option, value in parts["DEFAULT"].items() if option != "enabled_backends"}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _parse(path: str) -> dict[str, dict[str, str]]:
    """The file's sections; of an option that stands twice, the last."""
    cfg = library("oslo_config.cfg")
    sections: dict[str, dict[str, list[str]]] = {}
    try:
        cfg.ConfigParser(path, sections).parse()
    except FileNotFoundError:
        raise StorageError(
            "not_found",
            f"There is no configuration {path} on this controller; write it, or name another.",
            field="config",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError("invalid_argument", f"Cannot read {path}: {error}.", field="config") from None
    except cfg.ParseError as error:
        # Without what the line says: that may be a password.
        raise StorageError(
            "invalid_argument",
            f"{path} is not in the form of cinder.conf, at line {error.lineno}: {error.msg}.",
            field="config",
        ) from None
    return {name: {option: values[-1] for option, values in section.items()} for name, section in sections.items()}
