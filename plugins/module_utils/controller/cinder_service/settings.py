# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of the driver cinder_service: what a section of the configuration means."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Optional
from urllib.parse import urlsplit

from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder_service.identity import (
    PROTOCOLS,
    Protocol,
)
from ansible_collections.brickwork.storage.plugins.module_utils.controller.config import Section

# As keystoneauth calls its plugins; noauth is what python-cinderclient adds to them.
PASSWORD = ("password", "v3password")
APPLICATION_CREDENTIAL = "v3applicationcredential"
NOAUTH = "noauth"
AUTH_TYPES = (*PASSWORD, APPLICATION_CREDENTIAL, NOAUTH)


@dataclass(frozen=True)
class Settings:
    """The options of a section of this backend.

    Args:
        auth: keystoneauth's options that are set, by name; with noauth C(user_id) and C(project_id).
        endpoint: of the service; None where keystone's catalog says it.
        volume_type: of new volumes, and of all that are the backend's; None where any is.
        ca_file: what the service's certificate is checked with; None for the system's.
    """

    auth_type: str
    auth: Mapping[str, str] = field(repr=False)
    endpoint: Optional[str]
    region_name: Optional[str]
    interface: str
    service_type: str
    volume_type: Optional[str]
    availability_zone: Optional[str]
    protocol: Protocol
    verify: bool
    ca_file: Optional[str]

    @property
    def place(self) -> str:
        """Where the volumes are, for the lock: the same for every section and file that means the same."""
        return hashlib.sha256("\n".join(_place(vars(self), self.auth)).encode()).hexdigest()[:16]


def settings_of(section: Section) -> Settings:
    """The section's options, checked."""
    values = section.options(_options)
    auth_type = values["auth_type"]
    auth = {name: values[name] for name in AUTH_OPTIONS if values[name]}
    for alternatives in _needed(auth_type, auth):
        if not any(values.get(name) for name in alternatives):
            raise section.error(alternatives[0], f"is missing, which auth_type {auth_type} needs{_or(alternatives)}")
    for name in ("endpoint_override", "auth_url"):
        if values[name] and not _is_address(values[name]):
            raise section.error(name, f"{values[name]!r} is not an address with http or https")
    _refuse_same_place(section, values, auth)
    return Settings(
        auth_type=auth_type,
        auth=auth,
        endpoint=(values["endpoint_override"] or "").rstrip("/") or None,
        region_name=values["region_name"],
        interface=values["interface"],
        service_type=values["service_type"],
        volume_type=values["volume_type"],
        availability_zone=values["availability_zone"],
        protocol=PROTOCOLS[values["storage_protocol"].lower()],
        verify=not values["insecure"],
        ca_file=values["cafile"],
    )


AUTH_OPTIONS = (
    "auth_url",
    "username",
    "user_id",
    "user_domain_name",
    "user_domain_id",
    "project_name",
    "project_id",
    "project_domain_name",
    "project_domain_id",
    "password",
    "application_credential_id",
    "application_credential_name",
    "application_credential_secret",
)
SECRETS = ("password", "application_credential_secret")


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        # Looking at the port is what checks it.
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and " " not in text
    except ValueError:
        return False


def _options(cfg: Any) -> list[Any]:
    return [
        cfg.StrOpt("auth_type", default="password", choices=AUTH_TYPES),
        *(cfg.StrOpt(name, secret=name in SECRETS) for name in AUTH_OPTIONS),
        cfg.StrOpt("endpoint_override"),
        cfg.StrOpt("region_name"),
        cfg.StrOpt("interface", default="public", choices=["public", "internal", "admin"]),
        cfg.StrOpt("service_type", default="block-storage"),
        cfg.StrOpt("volume_type"),
        cfg.StrOpt("availability_zone"),
        cfg.StrOpt(
            "storage_protocol",
            default="iSCSI",
            ignore_case=True,
            choices=[protocol.option for protocol in PROTOCOLS.values()],
        ),
        cfg.BoolOpt("insecure", default=False),
        cfg.StrOpt("cafile"),
    ]


def _needed(auth_type: str, auth: Mapping[str, str]) -> list[tuple[str, ...]]:
    """The options that a way to authenticate needs; of each group one."""
    if auth_type == NOAUTH:
        return [("endpoint_override",), ("project_id",)]
    user = [("username", "user_id")]
    if "username" in auth and "user_id" not in auth:
        user.append(("user_domain_name", "user_domain_id"))
    if auth_type == APPLICATION_CREDENTIAL:
        identified = [("application_credential_id", "application_credential_name")]
        # A credential's name is unique to its user alone.
        return [
            ("auth_url",),
            *identified,
            ("application_credential_secret",),
            *([] if "application_credential_id" in auth else user),
        ]
    project = [("project_name", "project_id")]
    if "project_name" in auth and "project_id" not in auth:
        project.append(("project_domain_name", "project_domain_id"))
    return [("auth_url",), *user, ("password",), *project]


def _or(alternatives: tuple[str, ...]) -> str:
    return f" (or {' or '.join(alternatives[1:])})" if alternatives[1:] else ""


def _place(options: Mapping[str, Any], auth: Mapping[str, Optional[str]]) -> list[str]:
    """What tells one project of one service from another: who asks is of no matter, unless it decides about the project."""
    endpoint = options.get("endpoint") or options.get("endpoint_override") or ""
    names = (
        "auth_url",
        "project_name",
        "project_id",
        "project_domain_name",
        "project_domain_id",
        "application_credential_id",
        "application_credential_name",
    )
    found = [str(options.get("region_name") or ""), str(endpoint).rstrip("/")]
    return found + [(auth.get(name) or "").rstrip("/") for name in names]


def _refuse_same_place(section: Section, values: Mapping[str, Any], auth: Mapping[str, str]) -> None:
    """Two sections may share a project only where each has a volume type of its own, or names were not unique in either."""
    for name, options in section.others.items():
        if options.get("volume_driver") != section.driver or _place(options, options) != _place(values, auth):
            continue
        types = {values["volume_type"], options.get("volume_type")}
        if len(types) < 2 or None in types:
            raise section.error(
                "volume_type",
                f"backend {name} is the same project of the same service; give each of the two a volume_type of its own, or take one "
                "of them out of enabled_backends",
            )
