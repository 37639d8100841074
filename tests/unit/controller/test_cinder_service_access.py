# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a section of a Cinder service means, and how it comes in: by keystoneauth itself, to a double of keystone."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Optional

import pytest

from ansible_collections.brickwork.storage.plugins.module_utils.controller import config
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder_service import records
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder_service.access import access
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder_service.client import Client
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder_service.identity import (
    PROTOCOLS,
    holder_of,
)
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder_service.settings import (
    Settings,
    settings_of,
)
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline
from ansible_collections.brickwork.storage.tests.unit.controller.cinder_api import TOKEN, CinderApi

PASSWORD = "pa$$word"
KEYSTONE = {
    "auth_url": "http://192.0.2.1:5000",
    "username": "brickwork",
    "user_domain_name": "Default",
    "password": PASSWORD,
    "project_name": "volumes",
    "project_domain_name": "Default",
}
CREDENTIAL = {
    "auth_type": "v3applicationcredential",
    "auth_url": "http://192.0.2.1:5000/v3/",
    "application_credential_id": "5f0c",
    "application_credential_secret": PASSWORD,
}
NOAUTH = {"auth_type": "noauth", "endpoint_override": "http://192.0.2.1:8776/v3", "project_id": "5f0c"}


def write(path: Path, *sections: dict[str, str]) -> str:
    """A configuration with backends a, b and so on."""
    names = "abc"[: len(sections)]
    text = f"[DEFAULT]\nenabled_backends = {','.join(names)}\n"
    for name, options in zip(names, sections):
        # oslo.config takes two dollars for one.
        lines = (f"{option} = {value.replace('$', '$$')}\n" for option, value in options.items())
        text += f"[{name}]\nvolume_driver = cinder_service\n{''.join(lines)}"
    (path / "backends.conf").write_text(text, encoding="utf-8")
    return str(path / "backends.conf")


def settings(path: Path, *sections: dict[str, str]) -> Settings:
    return settings_of(config.enabled(write(path, *sections), "a"))


@pytest.mark.parametrize("given", [KEYSTONE, CREDENTIAL, NOAUTH])
def test_the_least_that_is_needed(tmp_path: Path, given: dict[str, str]) -> None:
    found = settings(tmp_path, given)
    assert found.auth_type == given.get("auth_type", "password")
    assert (found.protocol.types[0], found.interface, found.verify) == ("iscsi", "public", True)
    assert PASSWORD not in repr(found)


@pytest.mark.parametrize("given", [KEYSTONE, CREDENTIAL, NOAUTH])
def test_what_is_missing_is_named(tmp_path: Path, given: dict[str, str]) -> None:
    for option in given:
        if option in ("auth_type",):
            continue
        with pytest.raises(StorageError, match=f"{option}: is missing") as failure:
            settings(tmp_path, {name: value for name, value in given.items() if name != option})
        assert (failure.value.code, failure.value.facts["field"]) == ("invalid_argument", option)
        assert PASSWORD not in failure.value.message


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("auth_type", "kerberos"),
        ("storage_protocol", "AoE"),
        ("interface", "secret"),
        ("insecure", "perhaps"),
        ("endpoint_override", "cinder.example.org:8776"),
        ("endpoint_override", "http://[/v3"),
        ("endpoint_override", "http://a b/v3"),
        ("endpoint_override", "http://192.0.2.1:port/v3"),
        ("auth_url", "keystone.example.org"),
        ("volume_tipe", "fast"),
    ],
)
def test_a_wrong_option_is_named(tmp_path: Path, option: str, value: str) -> None:
    with pytest.raises(StorageError) as failure:
        settings(tmp_path, {**KEYSTONE, option: value})
    assert (failure.value.code, failure.value.facts["field"]) == ("invalid_argument", option)


@pytest.mark.parametrize("password", ["se$cret", "se${cret}"])
def test_a_dollar_in_a_password_is_told_without_the_password(tmp_path: Path, password: str) -> None:
    path = write(tmp_path, KEYSTONE)
    text = Path(path).read_text(encoding="utf-8")
    Path(path).write_text(text.replace(f"password = {PASSWORD.replace('$', '$$')}", f"password = {password}"), "utf-8")
    with pytest.raises(StorageError, match=r"write \$\$ for a \$") as failure:
        settings_of(config.enabled(path, "a"))
    assert failure.value.facts["field"] == "password"
    assert "cret" not in failure.value.message


def test_the_protocol_in_any_case(tmp_path: Path) -> None:
    assert settings(tmp_path, {**NOAUTH, "storage_protocol": "nvme-of"}).protocol.types == ("nvmeof",)


@pytest.mark.parametrize(
    ("one", "other", "refused"),
    [
        ({}, {}, True),
        ({"volume_type": "fast"}, {}, True),
        ({}, {"volume_type": "fast"}, True),
        ({"volume_type": "fast"}, {"volume_type": "fast"}, True),
        ({"volume_type": "fast"}, {"volume_type": "slow"}, False),
        ({}, {"project_id": "other"}, False),
        ({}, {"endpoint_override": "http://192.0.2.1:8776/v3/"}, True),
    ],
)
def test_two_sections_for_one_project(
    tmp_path: Path, one: dict[str, str], other: dict[str, str], refused: bool
) -> None:
    given = ({**NOAUTH, **one}, {**NOAUTH, **other})
    if not refused:
        settings(tmp_path, *given)
        return
    with pytest.raises(StorageError) as failure:
        settings(tmp_path, *given)
    assert failure.value.facts["field"] == "volume_type"


def test_one_lock_for_one_project(tmp_path: Path) -> None:
    same = settings(tmp_path, {**NOAUTH, "endpoint_override": f"{NOAUTH['endpoint_override']}/", "user_id": "other"})
    assert settings(tmp_path, NOAUTH).place == same.place
    assert settings(tmp_path, {**NOAUTH, "project_id": "other"}).place != same.place


class Keystone:
    """A double of keystone: it gives a token for the right password, with a catalog."""

    def __init__(self, volumes: str) -> None:
        self.volumes = volumes
        self.asked: list[Any] = []
        self.status: Optional[int] = None
        self.issued = TOKEN
        keystone = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                keystone.asked.append(body)
                status = keystone.status or (201 if PASSWORD in json.dumps(body) else 401)
                answer = json.dumps(keystone.token if status == 201 else {"error": {"code": status, "message": "no"}})
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("X-Subject-Token", keystone.issued)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer.encode())

            def log_message(self, *args: Any, **kwargs: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def token(self) -> Any:
        endpoints = [
            {"interface": interface, "region": "one", "region_id": "one", "url": url}
            for interface, url in (("public", f"{self.volumes}/"), ("internal", "http://192.0.2.1:8776/v3"))
        ]
        catalog = [{"type": "block-storage", "name": "cinder", "endpoints": endpoints}]
        expires, issued = "2100-01-01T00:00:00.000000Z", "2026-11-01T00:00:00.000000Z"
        user = {"id": "u", "name": "brickwork", "domain": {"id": "default", "name": "Default"}}
        token: dict[str, Any] = {"methods": ["password"], "expires_at": expires, "issued_at": issued, "user": user}
        return {"token": {**token, "catalog": catalog}}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def keystone(cinder: CinderApi) -> Iterator[Keystone]:
    found = Keystone(cinder.endpoint)
    yield found
    found.close()


def test_comes_in_with_a_password(tmp_path: Path, keystone: Keystone, cinder: CinderApi) -> None:
    cinder.add_volume("a")
    found = settings(tmp_path, {**KEYSTONE, "auth_url": keystone.url, "region_name": "one"})
    assert [volume["name"] for volume in Client(found, Deadline(5)).volumes()] == ["a"]
    (asked,) = keystone.asked
    assert asked["auth"]["scope"]["project"] == {"name": "volumes", "domain": {"name": "Default"}}
    assert asked["auth"]["identity"]["password"]["user"]["domain"] == {"name": "Default"}


def test_comes_in_with_an_application_credential(tmp_path: Path, keystone: Keystone) -> None:
    found = access(settings(tmp_path, {**CREDENTIAL, "auth_url": f"{keystone.url}/v3", "project_id": "unused"}), 5)
    assert found.token == TOKEN
    assert TOKEN not in repr(found)
    (asked,) = keystone.asked
    assert asked["auth"]["identity"]["application_credential"] == {"id": "5f0c", "secret": PASSWORD}
    assert "scope" not in asked["auth"]


def test_one_token_for_a_call(tmp_path: Path, keystone: Keystone) -> None:
    client = Client(settings(tmp_path, {**KEYSTONE, "auth_url": keystone.url}), Deadline(5))
    client.volumes()
    client.until(Deadline(5)).snapshots()
    assert len(keystone.asked) == 1


def test_a_token_that_expired_is_replaced_once(tmp_path: Path, keystone: Keystone, cinder: CinderApi) -> None:
    client = Client(settings(tmp_path, {**KEYSTONE, "auth_url": keystone.url}), Deadline(5))
    client.volumes()
    cinder.token = keystone.issued = "another"
    assert client.volumes() == []
    assert len(keystone.asked) == 2
    cinder.token = "a third, which keystone does not know"
    with pytest.raises(StorageError) as failure:
        client.volumes()
    assert failure.value.code == "permission_denied"
    assert len(keystone.asked) == 3


def test_an_endpoint_of_ones_own(tmp_path: Path, keystone: Keystone) -> None:
    given = {**KEYSTONE, "auth_url": keystone.url, "endpoint_override": "http://198.51.100.1:8776/v3/"}
    assert access(settings(tmp_path, given), 5).endpoint == "http://198.51.100.1:8776/v3"


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"password": "wrong"}, "permission_denied"),
        ({"region_name": "other"}, "failed_precondition"),
        ({"interface": "admin"}, "failed_precondition"),
        ({"service_type": "object-store"}, "failed_precondition"),
        ({"auth_url": "http://127.0.0.1:9"}, "unavailable"),
    ],
)
def test_keystone_does_not_help(tmp_path: Path, keystone: Keystone, given: dict[str, str], code: str) -> None:
    found = settings(tmp_path, {**KEYSTONE, "auth_url": keystone.url, **given})
    with pytest.raises(StorageError) as failure:
        Client(found, Deadline(5)).volumes()
    assert failure.value.code == code
    assert "wrong" not in failure.value.message


@pytest.mark.parametrize(
    ("status", "code"), [(403, "permission_denied"), (404, "unavailable"), (500, "unavailable"), (503, "unavailable")]
)
def test_keystone_refuses(tmp_path: Path, keystone: Keystone, status: int, code: str) -> None:
    keystone.status = status
    with pytest.raises(StorageError) as failure:
        access(settings(tmp_path, {**KEYSTONE, "auth_url": keystone.url}), 5)
    assert failure.value.code == code
    assert PASSWORD not in failure.value.message


# Who a host is


@pytest.mark.parametrize(
    ("protocol", "connector", "initiator"),
    [
        ("iscsi", {"initiator": "iqn.2026-11.org.example:host1"}, "iqn.2026-11.org.example:host1"),
        ("fc", {"wwpns": ["500A098280CBA501", "0x500a098280cba500"]}, "500a098280cba500+500a098280cba501"),
        ("nvme-of", {"nqn": "nqn.2014-08.org.nvmexpress:uuid:1"}, "nqn.2014-08.org.nvmexpress:uuid:1"),
        ("ceph", {"initiator": "iqn.unused"}, "host1"),
        ("nfs", {}, "host1"),
    ],
)
def test_who_a_host_is(protocol: str, connector: dict[str, Any], initiator: str) -> None:
    holder = holder_of({"host": "host1", "multipath": "yes", **connector}, PROTOCOLS[protocol])
    assert (holder.host, holder.initiator, holder.multipath) == ("host1", initiator, True)
    # What is kept of it is the same again.
    kept = records.Record(holder, "5f0c").entry
    assert records.records_in(kept, holder.known_by) == {"host1": records.Record(holder, "5f0c")}


@pytest.mark.parametrize(
    ("protocol", "connector", "field"),
    [
        ("fc", {}, "connector.wwpns"),
        ("fc", {"wwpns": []}, "connector.wwpns"),
        ("fc", {"wwpns": "500a098280cba500"}, "connector.wwpns"),
        ("fc", {"wwpns": ["500a"]}, "connector.wwpns"),
        ("fc", {"wwpns": [f"{number:016x}" for number in range(13)]}, "connector.wwpns"),
        ("nvme-of", {"nqn": "iqn.x"}, "connector.nqn"),
        ("iscsi", {"initiator": "iqn.a+iqn.b"}, "connector.initiator"),
        ("iscsi", {"initiator": ["iqn.a"]}, "connector.initiator"),
    ],
)
def test_who_a_host_is_not(protocol: str, connector: dict[str, Any], field: str) -> None:
    with pytest.raises(StorageError) as failure:
        holder_of({"host": "host1", **connector}, PROTOCOLS[protocol])
    assert (failure.value.code, failure.value.facts["field"]) == ("invalid_argument", field)
