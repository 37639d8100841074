# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How to come in: where the service is, and the token that it asks for.

keystoneauth does what keystone needs, and nothing else is asked through it. openstacksdk, which is built on it, would add half a second
to every call for the few dozen lines of client.py, cannot be used with noauth at all, and does not let a call be bounded as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder_service.settings import (
    APPLICATION_CREDENTIAL,
    NOAUTH,
    Settings,
)
from ansible_collections.brickwork.storage.plugins.module_utils.controller.libraries import library
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError

LIBRARY = "keystoneauth1"


@dataclass(frozen=True)
class Access:
    """An endpoint, without a slash at its end, and a token for it."""

    endpoint: str
    token: str = field(repr=False)


def access(settings: Settings, timeout: float) -> Access:
    """Come in.

    Args:
        settings: of the section.
        timeout: seconds that each answer of keystone may take.

    Raises:
        StorageError: C(permission_denied), C(unavailable), or C(failed_precondition) where the catalog has no such service.
    """
    if settings.auth_type == NOAUTH:
        # What cinder's own middleware for noauth makes a user and a project of.
        return Access(settings.endpoint or "", f"{settings.auth.get('user_id', 'admin')}:{settings.auth['project_id']}")
    exceptions = library(f"{LIBRARY}.exceptions")
    session = _session(settings, timeout)
    try:
        token = session.get_token()
        endpoint: Optional[str] = settings.endpoint or session.get_endpoint(
            service_type=settings.service_type, interface=settings.interface, region_name=settings.region_name
        )
    except (exceptions.Unauthorized, exceptions.Forbidden):
        raise StorageError(
            "permission_denied",
            f"Keystone at {settings.auth['auth_url']} refused the credentials of the section; correct them.",
            field="auth_url",
        ) from None
    except exceptions.CatalogException:
        endpoint = None
    except exceptions.ClientException as error:
        raise StorageError(
            "unavailable",
            f"Keystone at {settings.auth['auth_url']} gave no token: {_first_line(error)}. Correct auth_url, or see to keystone.",
            field="auth_url",
        ) from None
    if not endpoint:
        raise StorageError(
            "failed_precondition",
            f"Keystone's catalog has no {settings.interface} endpoint of {settings.service_type}"
            f"{f' in region {settings.region_name}' if settings.region_name else ''}; correct service_type, interface or region_name, "
            "or set endpoint_override.",
            field="service_type",
        )
    return Access(endpoint.rstrip("/"), token)


def _session(settings: Settings, timeout: float) -> Any:
    identity = library(f"{LIBRARY}.identity.v3")
    options = {**settings.auth, "auth_url": _v3(settings.auth["auth_url"])}
    if settings.auth_type == APPLICATION_CREDENTIAL:
        # Its project comes with it.
        plugin = identity.ApplicationCredential(
            **{name: value for name, value in options.items() if not name.startswith(("project_", "password"))}
        )
    else:
        plugin = identity.Password(
            **{name: value for name, value in options.items() if not name.startswith("application_")}
        )
    verify = (settings.ca_file or True) if settings.verify else False
    return library(f"{LIBRARY}.session").Session(auth=plugin, verify=verify, timeout=timeout)


def _v3(auth_url: str) -> str:
    """The address of keystone's third version, which is often given without that."""
    url = auth_url.rstrip("/")
    return url if url.endswith("/v3") else f"{url}/v3"


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
