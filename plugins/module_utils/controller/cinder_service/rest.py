# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One request to the service and its answer: the only file that touches the network, beside access.py.

Every request has until the deadline, everything in it included: looking up the address, connecting, and an answer that comes drop by
drop, none of which the libraries bound. So each is made in a thread that can be abandoned.
"""

from __future__ import annotations

import json
import queue
import re
import ssl
import threading
from dataclasses import dataclass
from functools import cached_property
from http.client import HTTPException
from typing import Any, Callable, Optional, TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import (
    BaseHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    Request,
    build_opener,
)

from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder_service.access import Access
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline

# The first with os-complete; it has all that is needed here, and every release since 2018 has it.
MICROVERSION = "3.44"
MOST_SAID = 500

# By HTTP status: our code, and what to do. Other statuses of a class are what the class's hundred is.
MEANINGS = {
    300: ("failed_precondition", "Correct the endpoint of the section (endpoint_override)."),
    400: ("failed_precondition", "See what the volume is at in the service."),
    401: ("permission_denied", "Correct the credentials of the section."),
    403: ("permission_denied", "Give the section's user a role that may do that."),
    404: ("not_found", "It was deleted meanwhile, or the endpoint of the section is wrong."),
    406: ("failed_precondition", f"It needs a service that knows microversion {MICROVERSION} of the API."),
    409: ("aborted", "Somebody else is changing the same; repeat the call."),
    413: ("resource_exhausted", "Delete what is not needed, or have the project's quota raised."),
    429: ("unavailable", "Repeat the call later."),
    500: ("unavailable", "See the service's log, and repeat the call."),
}

Result = TypeVar("Result")


class RefusedError(StorageError):
    """The service answered, but not with what was asked for.

    Args:
        status: HTTP's.
        said: what the service said about it.
        doing: what was asked for, as in C(create volume db-data).
    """

    def __init__(self, status: int, said: str, doing: str, service: str) -> None:
        code, advice = MEANINGS.get(status) or MEANINGS.get(status // 100 * 100, ("internal", "See the service's log."))
        sentence = f": {said.rstrip('.')}" if said else ""
        super().__init__(code, f"The Cinder service at {service} did not {doing}{sentence} (HTTP {status}). {advice}")
        self.status = status
        self.said = said


class _NoRedirects(HTTPRedirectHandler):
    """What is sent elsewhere would take the token there, and lose what was to be changed."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


@dataclass(frozen=True)
class Rest:
    """Requests to one endpoint.

    Args:
        verify: whether the service's certificate is checked.
        ca_file: with what; None for the system's.
    """

    access: Access
    verify: bool = True
    ca_file: Optional[str] = None

    @cached_property
    def _opener(self) -> OpenerDirector:
        handlers: list[BaseHandler] = [_NoRedirects()]
        if self.access.endpoint.startswith("https:"):
            context = ssl.create_default_context(cafile=self.ca_file)
            if not self.verify:
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            handlers.append(HTTPSHandler(context=context))
        return build_opener(*handlers)

    @property
    def service(self) -> str:
        """What the service is called in messages."""
        return urlsplit(self.access.endpoint).netloc

    def ask(self, method: str, path: str, doing: str, deadline: Deadline, body: Optional[Any] = None) -> Any:
        """The JSON that the service answers with; None where it answers with nothing.

        Raises:
            RefusedError: where the service says no.
            StorageError: C(unavailable) where nobody answers, C(deadline_exceeded) where the answer does not come in time.
        """
        status, text = bounded(lambda: self._ask(method, path, doing, deadline, body), self._late(doing), deadline)
        if status >= 300:
            raise RefusedError(status, _said(text), doing, self.service)
        if not text.strip():
            return None
        try:
            return json.loads(text)
        except ValueError:
            raise StorageError(
                "unavailable",
                f"What answers at {self.access.endpoint} is no Cinder service: it did not {doing} with JSON. Correct the endpoint.",
            ) from None

    def _ask(self, method: str, path: str, doing: str, deadline: Deadline, body: Optional[Any]) -> tuple[int, str]:
        headers = {
            "Accept": "application/json",
            "OpenStack-API-Version": f"volume {MICROVERSION}",
            "X-Auth-Token": self.access.token,
        }
        data = None if body is None else json.dumps(body).encode()
        if data is not None:
            headers["Content-Type"] = "application/json"
        try:
            request = Request(f"{self.access.endpoint}{path}", data, headers, method=method)
            with self._opener.open(request, timeout=deadline.remaining() or 1) as response:
                return response.status, response.read().decode("utf-8", "replace")
        except HTTPError as error:
            return error.code, _text_of(error)
        except TimeoutError:
            raise self._late(doing) from None
        except (OSError, HTTPException) as error:
            reason = error.reason if isinstance(error, URLError) else error
            if isinstance(reason, TimeoutError) or "timed out" in str(reason):
                raise self._late(doing) from None
            raise StorageError(
                "unavailable",
                f"The Cinder service at {self.service} cannot be reached to {doing}: {reason}. See to it, or correct the endpoint.",
            ) from None

        except ValueError:
            # Without what it says: that may be the token.
            raise StorageError(
                "invalid_argument",
                f"{self.access.endpoint} is no address of a service, or the user or project that is sent to it has a character too many; "
                "correct endpoint_override, user_id or project_id.",
                field="endpoint_override",
            ) from None

    def _late(self, doing: str) -> StorageError:
        return StorageError(
            "deadline_exceeded",
            f"The Cinder service at {self.service} did not {doing} in time. See to it, and repeat the call: what it did nevertheless is "
            "found then.",
        )


def bounded(call: Callable[[], Result], late: StorageError, deadline: Deadline) -> Result:
    """What I(call) returns, or raises, if it does so before the deadline; else I(late) is raised, and the call abandoned."""
    if deadline.passed:
        raise late
    results: queue.SimpleQueue[tuple[Result] | BaseException] = queue.SimpleQueue()

    def report() -> None:
        try:
            results.put((call(),))
        except BaseException as error:
            results.put(error)

    threading.Thread(target=report, daemon=True).start()
    try:
        found = results.get(timeout=deadline.remaining())
    except queue.Empty:
        raise late from None
    if isinstance(found, BaseException):
        raise found
    return found[0]


def _text_of(refusal: HTTPError) -> str:
    """What a refusal says; it is one also where that breaks off."""
    try:
        return refusal.read().decode("utf-8", "replace")
    except (OSError, HTTPException):
        return ""


def _said(text: str) -> str:
    """What the service says about a failure: C({"badRequest": {"message": ...}}), or what stands in front of it says in another form."""
    try:
        inner = next(iter(json.loads(text).values()))
        said = str(inner["message"])
    except (ValueError, AttributeError, StopIteration, TypeError, KeyError):
        said = re.sub(r"<[^>]*>", " ", text)
    return " ".join(said.split())[:MOST_SAID]
