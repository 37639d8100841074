# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of a call when the Cinder service, here a double, refuses, hangs, vanishes, or is something else."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.brickwork.storage.plugins.module_utils.controller import backend_info, batches, connection_info
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder_service.access import Access
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder_service.client import Client
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder_service.identity import PROTOCOLS
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder_service.rest import RefusedError, Rest
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder_service.settings import Settings
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline
from ansible_collections.brickwork.storage.tests.unit.controller.cinder_api import SECRET, TOKEN, CinderApi
from ansible_collections.brickwork.storage.tests.unit.controller.cinder_work import Controller

CODES = {
    302: "failed_precondition",
    400: "failed_precondition",
    401: "permission_denied",
    403: "permission_denied",
    404: "not_found",
    406: "failed_precondition",
    409: "aborted",
    413: "resource_exhausted",
    418: "failed_precondition",
    429: "unavailable",
    500: "unavailable",
    503: "unavailable",
}


def rest_to(endpoint: str) -> Rest:
    return Rest(Access(endpoint, TOKEN))


def settings_for(endpoint: str) -> Settings:
    return Settings(
        auth_type="noauth",
        auth={"project_id": "project1"},
        endpoint=endpoint,
        region_name=None,
        interface="public",
        service_type="block-storage",
        volume_type=None,
        availability_zone=None,
        protocol=PROTOCOLS["iscsi"],
        verify=True,
        ca_file=None,
    )


def ask(endpoint: str, seconds: float = 5, **given: Any) -> StorageError:
    """How a request fails."""
    with pytest.raises(StorageError) as failure:
        rest_to(endpoint).ask("GET", "/limits", "tell the quota", Deadline(seconds), **given)
    assert TOKEN not in failure.value.message
    return failure.value


@pytest.mark.parametrize("status", CODES)
def test_every_status_has_its_code(cinder: CinderApi, status: int) -> None:
    cinder.refusals = {("GET", "/limits"): status}
    failure = ask(cinder.endpoint)
    assert failure.code == CODES[status]
    assert f"refused with {status} (HTTP {status})" in failure.message
    assert "did not tell the quota" in failure.message
    assert isinstance(failure, RefusedError)


def test_a_token_that_is_refused(cinder: CinderApi) -> None:
    with pytest.raises(StorageError) as failure:
        Rest(Access(cinder.endpoint, "admin:other")).ask("GET", "/limits", "tell the quota", Deadline(5))
    assert failure.value.code == "permission_denied"


def test_nobody_answers() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        endpoint = f"http://127.0.0.1:{server.getsockname()[1]}/v3"
    assert ask(endpoint).code == "unavailable"
    assert ask("http://no-such-host.invalid/v3").code in ("unavailable", "deadline_exceeded")


def served(answer: bytes, pause: float = 0) -> Iterator[str]:
    """The endpoint of a server that sends an answer to each request, byte by byte with a pause where there is one, and then hangs up."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _address = server.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65536)
                    try:
                        for byte in range(len(answer)) if pause else []:
                            connection.sendall(answer[byte : byte + 1])
                            time.sleep(pause)
                        if not pause:
                            connection.sendall(answer)
                    except OSError:
                        pass

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/v3"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>",
    ],
)
def test_what_answers_is_something_else(answer: bytes) -> None:
    for endpoint in served(answer):
        assert ask(endpoint).code == "unavailable"


def test_a_refusal_that_breaks_off() -> None:
    for endpoint in served(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 500\r\n\r\n<html>"):
        failure = ask(endpoint)
        assert isinstance(failure, RefusedError)
        assert (failure.code, failure.status) == ("unavailable", 503)


@pytest.mark.parametrize("answer", [b"", b"[]", b'"volumes"'])
def test_a_list_that_is_none(answer: bytes) -> None:
    for endpoint in served(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(answer), answer)):
        client = Client(settings_for(endpoint), Deadline(5))
        with pytest.raises(StorageError, match="no Cinder service") as failure:
            client.volumes()
        assert failure.value.code == "unavailable"


def test_an_answer_that_comes_drop_by_drop_is_not_waited_for() -> None:
    begun = time.monotonic()
    for endpoint in served(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + b" " * 500, pause=0.05):
        assert ask(endpoint, seconds=0.5).code == "deadline_exceeded"
    assert time.monotonic() - begun < 5


def test_nothing_is_sent_after_the_deadline(cinder: CinderApi) -> None:
    assert ask(cinder.endpoint, seconds=0).code == "deadline_exceeded"
    assert cinder.requests == []


def test_a_redirection_takes_the_token_nowhere(cinder: CinderApi) -> None:
    answer = f"HTTP/1.1 301 Moved\r\nLocation: {cinder.endpoint}/limits\r\nContent-Length: 0\r\n\r\n".encode()
    for endpoint in served(answer):
        assert ask(endpoint).code == "failed_precondition"
    assert cinder.requests == []


def test_a_certificate_is_checked_with_a_file_that_is_not_there(cinder: CinderApi) -> None:
    rest = Rest(Access(cinder.endpoint.replace("http:", "https:"), TOKEN), ca_file="/no/such/file")
    with pytest.raises(StorageError) as failure:
        rest.ask("GET", "/limits", "tell the quota", Deadline(5))
    assert failure.value.code == "unavailable"


# The requests that a connect consists of, each with what can be refused there.
STEPS = [
    ("GET", "/volumes/detail"),
    ("GET", "/snapshots/detail"),
    ("POST", "/volumes/[^/]*/metadata"),
    ("POST", "/attachments"),
    ("GET", "/volumes/[^/]{36}"),
    ("PUT", "/attachments/.*"),
    ("POST", "/attachments/.*/action"),
]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 500, 503])
@pytest.mark.parametrize("step", STEPS)
def test_a_connect_that_fails_at_any_step_leaves_nothing(
    made: Controller, cinder: CinderApi, step: tuple[str, str], status: int
) -> None:
    before = cinder.listing()
    cinder.refusals = {step: status}
    try:
        failed = made.connect(connector={"host": "host1", "initiator": "iqn.2026-11.org.example:host1"})
    except StorageError as error:  # where nothing could be read
        failed = {"failed": True, **error.as_dict()}
    assert failed["failed"]
    # A volume that the service does not find any more was deleted meanwhile.
    assert failed["error_code"] in (CODES[status], "aborted")
    assert SECRET not in json.dumps(failed)
    cinder.refusals = {}
    if cinder.listing() != before:
        # What refuses to be looked at cannot be taken back; that is said, and the release does it.
        assert step == ("GET", "/volumes/[^/]{36}")
        assert ("was deleted meanwhile" if status == 404 else "stays on record") in failed["msg"]
        assert not made.release(host="host1").get("failed")
    assert cinder.listing() == before


@pytest.mark.parametrize("step", [("DELETE", "/attachments/.*"), ("DELETE", "/volumes/.*/metadata/.*")])
@pytest.mark.parametrize("status", [400, 403, 409, 500])
def test_a_release_that_fails_keeps_the_host_on_record(
    made: Controller, cinder: CinderApi, step: tuple[str, str], status: int
) -> None:
    connector = {"host": "host1", "initiator": "iqn.2026-11.org.example:host1"}
    made.connect(connector=connector)
    cinder.refusals = {step: status}
    refused = made.release(host="host1")
    assert refused["error_code"] == CODES[status]
    assert made.connect("m", connector={**connector, "host": "host2"})["error_code"] == "failed_precondition"
    cinder.refusals = {}
    assert made.release(host="host1")["changed"]
    assert cinder.attachments == {}


def test_an_attachment_that_is_gone_counts_as_deleted(made: Controller, cinder: CinderApi) -> None:
    made.connect(connector={"host": "host1", "initiator": "iqn.2026-11.org.example:host1"})
    cinder.refusals = {("DELETE", ".*"): 404}
    # Somebody else deletes them at the same moment: what was decided is done, though not by this call.
    cinder.hook = lambda method, path: _vanish(cinder) if method == "DELETE" else None
    assert made.release(host="host1")["changed"]


def _vanish(cinder: CinderApi) -> None:
    for key in list(cinder.attachments):
        cinder._delete_attachment(key, None)
    cinder.named("a")["metadata"] = {"brickwork": "volume"}


def test_a_driver_that_fails_is_quoted_and_undone(made: Controller, cinder: CinderApi) -> None:
    before = cinder.listing()
    cinder.fails = {"export"}
    refused = made.connect(connector={"host": "host1", "initiator": "iqn.2026-11.org.example:host1"})
    assert refused["error_code"] == "unavailable"
    assert "storage volume backend API" in refused["msg"]
    assert cinder.listing() == before


def test_what_never_ends_is_not_waited_for(
    made: Controller, cinder: CinderApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "STEP_SECONDS", 0.3)
    cinder.steps = 10**6
    refused = made.volume("n", size="1GiB")
    assert refused["error_code"] == "deadline_exceeded"
    assert "creating" in refused["msg"]
    # Whoever uses it is told so, and who repeats the call waits again.
    assert made.connect("n", connector={"host": "h", "initiator": "iqn.h"})["error_code"] == "aborted"
    assert made.volume("n", size="1GiB")["error_code"] == "deadline_exceeded"
    cinder.settle()
    monkeypatch.setattr(batches, "STEP_SECONDS", 5)
    assert not made.volume("n", size="1GiB").get("failed")
    assert len([volume for volume in cinder.volumes.values() if volume["name"] == "n"]) == 1


def test_a_backend_that_says_nothing_does_not_hide_the_others(
    cinder: CinderApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (backend_info, connection_info):
        monkeypatch.setattr(module, "BACKEND_SECONDS", 1)
    cinder.add_volume("a", metadata={"brickwork": "volume"})
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        endpoints = {"silent": f"http://127.0.0.1:{silent.getsockname()[1]}/v3", "cloud": cinder.endpoint}
        sections = [
            f"[{name}]\nvolume_driver = cinder_service\nauth_type = noauth\nproject_id = project1\nendpoint_override = {endpoint}\n"
            for name, endpoint in endpoints.items()
        ]
        path = tmp_path / "two.conf"
        path.write_text("\n".join(["[DEFAULT]\nenabled_backends = silent,cloud", *sections]), encoding="utf-8")
        params = {"backend": None, "config": str(path)}
        told = backend_info.info({**params, "drivers": False}, False)["backends"]
        assert [(one["name"], one["usable"]) for one in told] == [("silent", False), ("cloud", True)]
        seen = connection_info.info({**params, "volumes": None}, False)
        assert [volume["name"] for volume in seen["volumes"]] == ["a"]
        assert [error["backend"] for error in seen["errors"]] == ["silent"]
