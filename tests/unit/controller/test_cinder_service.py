# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The contract on a Cinder service, through the modules' own work. The service is a double (cinder_api.py); the real one is the lab's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Optional

import pytest

from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder_service import rest
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder_service.backend import (
    CinderServiceBackend,
)
from ansible_collections.brickwork.storage.plugins.module_utils.controller.registry import open_backend
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline
from ansible_collections.brickwork.storage.tests.unit.controller.cinder_api import SECRET, CinderApi
from ansible_collections.brickwork.storage.tests.unit.controller.cinder_work import Controller

GIB = 1024**3
HOST1 = {"host": "host1.json", "initiator": "iqn.2026-11.org.example:host1", "multipath": "True", "ip": "192.0.2.11"}
HOST2 = {"host": "host2", "initiator": "iqn.2026-11.org.example:host2", "multipath": False}


class KilledError(BaseException):
    """What kill -9 does to this process: nothing of it runs on."""


# Connections


def test_connects_in_os_bricks_form_and_repeats(made: Controller, cinder: CinderApi) -> None:
    first = made.connect(connector=HOST1)
    volume = cinder.named("a")
    assert first["changed"]
    (connection,) = first["connections"]
    assert connection["volume"] == {"name": "a", "id": volume["id"], "size_bytes": GIB, "backend": "cloud", "wwn": None}
    info = connection["connection_info"]
    assert set(info) == {"driver_volume_type", "data"}
    assert info["driver_volume_type"] == "iscsi"
    assert info["data"]["target_portals"] == ["192.0.2.10:3260", "198.51.100.10:3260"]
    assert info["data"]["auth_password"] == f"{SECRET}-a"
    assert "attachment_id" not in info["data"]
    assert volume["status"] == "in-use"
    writes = cinder.writes()
    cinder.requests.clear()
    again = made.connect(connector={**HOST1, "ip": "198.51.100.1", "multipath": True})
    assert not again["changed"]
    assert again["connections"][0]["connection_info"] == info
    assert [method for method, path in writes] == ["POST", "POST", "POST", "PUT", "POST"]
    # The volumes, the snapshots, and what the host connects with.
    assert [method for method, path in cinder.requests] == ["GET", "GET", "GET"]


def test_singular_keys_have_their_plural(made: Controller) -> None:
    data = made.connect(connector=HOST2)["connections"][0]["connection_info"]["data"]
    assert data["target_portals"] == [data["target_portal"]]
    assert data["target_luns"] == [data["target_lun"]] == [0]
    assert data["target_iqns"] == [data["target_iqn"]]


def test_the_service_gets_the_connector_with_booleans(made: Controller, cinder: CinderApi) -> None:
    made.connect(connector=HOST1)
    (attachment,) = cinder.attachments.values()
    assert attachment["connector"] == {**HOST1, "multipath": True}
    assert attachment["instance"] is None


def test_a_secret_is_in_the_result_alone(made: Controller) -> None:
    result = made.connect(connector=HOST1)
    assert SECRET in json.dumps(result.pop("connections"))
    assert SECRET not in json.dumps(result)
    assert SECRET not in json.dumps(made.seen())
    assert SECRET not in json.dumps(made.release(host="host1.json"))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"initiator": "iqn.2026-11.org.example:other"}, "connector.initiator"),
        ({"multipath": False}, "connector.multipath"),
    ],
)
def test_the_same_host_in_another_way(made: Controller, cinder: CinderApi, change: dict[str, Any], field: str) -> None:
    made.connect(connector=HOST1)
    writes = cinder.writes()
    refused = made.connect(connector={**HOST1, **change})
    assert (refused["error_code"], refused["field"]) == ("already_exists", field)
    assert cinder.writes() == writes


def test_a_volume_held_by_another_host(made: Controller, cinder: CinderApi) -> None:
    made.connect(connector=HOST1)
    writes = cinder.writes()
    refused = made.connect(connector=HOST2)
    assert (refused["error_code"], refused["holders"]) == ("failed_precondition", ["host1.json"])
    assert cinder.writes() == writes


def test_two_hosts_with_one_identity(made: Controller) -> None:
    made.connect(connector=HOST1)
    refused = made.connect("m", connector={**HOST2, "initiator": HOST1["initiator"]})
    assert (refused["error_code"], refused["field"]) == ("failed_precondition", "connector.initiator")


def test_shared_is_released_one_by_one(made: Controller, cinder: CinderApi) -> None:
    before = cinder.listing()
    made.connect("m", connector=HOST1, shared=True)
    assert made.connect("m", connector=HOST2)["error_code"] == "failed_precondition"
    assert made.connect("m", connector=HOST2, shared=True)["changed"]
    assert not made.connect("m", connector=HOST1, shared=True)["changed"]
    key = cinder.named("m")["id"]
    assert cinder.exports[key] == {"host1.json", "host2"}
    released = made.release("m", host="host1.json")
    assert released["connections"][0]["released"] == ["host1.json"]
    assert cinder.exports[key] == {"host2"}
    assert not made.release("m", host="host1.json")["changed"]
    # With one host left, it can go back.
    assert made.connect("m", connector=HOST2)["changed"]
    assert "brickwork:shared" not in cinder.named("m")["metadata"]
    made.release("m", connector=HOST2)
    assert cinder.listing() == before


def test_a_connected_volume_becomes_shared(made: Controller) -> None:
    made.connect("m", connector=HOST1)
    assert made.connect("m", connector=HOST1, shared=True)["changed"]
    assert not made.connect("m", connector=HOST1, shared=True)["changed"]
    assert made.connect("m", connector=HOST2, shared=True)["changed"]


@pytest.mark.parametrize("check_mode", [True, False])
def test_a_type_for_one_host_cannot_be_shared(made: Controller, cinder: CinderApi, check_mode: bool) -> None:
    for connected in (False, True):
        refused = made.connect(connector=HOST1, shared=True, check_mode=check_mode)
        assert (refused["error_code"], refused["field"]) == ("failed_precondition", "volume_type")
        assert "multiattach" in refused["msg"]
        if not connected:
            made.connect(connector=HOST1)
    assert cinder.named("a")["metadata"].keys() == {"brickwork", "brickwork:host1.json:holder"}


def test_all_hosts_are_released(made: Controller, cinder: CinderApi) -> None:
    made.connect("m", connector=HOST1, shared=True)
    made.connect("m", connector=HOST2, shared=True)
    assert made.release("m", all_hosts=True)["connections"][0]["released"] == ["host1.json", "host2"]
    assert cinder.attachments == {}
    assert cinder.named("m")["metadata"] == {"brickwork": "volume"}


def test_absent_twice_and_of_an_unknown_host(made: Controller, cinder: CinderApi) -> None:
    made.connect(connector=HOST1)
    assert not made.release(host="unknown")["changed"]
    assert made.release(host="host1.json")["changed"]
    writes = cinder.writes()
    assert not made.release(host="host1.json")["changed"]
    assert cinder.writes() == writes


def test_check_mode_predicts_and_changes_nothing(made: Controller, cinder: CinderApi) -> None:
    predicted = made.connect(connector=HOST1, check_mode=True)
    assert cinder.writes() == []
    assert predicted["connections"][0]["connected"] is False
    assert predicted["connections"][0]["connection_info"] == {"driver_volume_type": "iscsi", "data": None}
    real = made.connect(connector=HOST1)
    assert {key: predicted[key] for key in ("changed", "diff", "newly_connected")} == {
        key: real[key] for key in ("changed", "diff", "newly_connected")
    }
    unchanged = made.connect(connector=HOST1, check_mode=True)
    assert (unchanged["changed"], unchanged["connections"]) == (False, real["connections"])


def test_a_batch_keeps_what_succeeded(made: Controller, cinder: CinderApi) -> None:
    key = cinder.named("m")["id"]
    cinder.refusals = {("POST", f"/volumes/{key}/metadata"): 500}
    result = made.connect("a", "m", "nothing", connector=HOST1)
    assert [one["volume"]["name"] for one in result["connections"]] == ["a"]
    assert [(one["volume"], one["error_code"]) for one in result["errors"]] == [
        ("m", "unavailable"),
        ("nothing", "not_found"),
    ]
    cinder.refusals = {}
    assert made.connect("a", "m", connector=HOST1)["changed_volumes"] == ["m"]


def test_a_batch_tells_what_it_connected_also_where_another_connection_cannot_be_read(
    made: Controller, cinder: CinderApi
) -> None:
    made.connect("m", connector=HOST1)
    (attachment,) = cinder.attachments
    cinder.refusals = {("GET", f"/attachments/{attachment}"): 500}
    result = made.connect("a", "m", connector=HOST1)
    assert result["failed"]
    assert [one["volume"]["name"] for one in result["connections"]] == ["a"]
    assert [error["volume"] for error in result["errors"]] == ["m"]
    assert (result["newly_connected"], result["changed_volumes"]) == (["a"], ["a"])


def test_a_volume_that_is_deleted_as_soon_as_it_is_released(made: Controller, cinder: CinderApi) -> None:
    made.connect("a", connector=HOST1)
    made.connect("m", connector=HOST1)

    def hook(method: str, path: str) -> None:
        if path == "/volumes/detail" and not cinder.attachments:
            cinder.volumes = {key: volume for key, volume in cinder.volumes.items() if volume["name"] != "a"}

    cinder.hook = hook
    result = made.release("a", "m", host="host1.json")
    assert [(error["volume"], error["error_code"]) for error in result["errors"]] == [("a", "aborted")]
    assert [one["volume"]["name"] for one in result["connections"]] == ["m"]
    assert made.release("a", host="host1.json")["error_code"] == "not_found"


def test_an_unknown_volume_names_those_near(made: Controller, cinder: CinderApi) -> None:
    cinder.add_volume("db-data", metadata={"brickwork": "volume"})
    refused = made.connect("db-date", connector=HOST1)
    assert (refused["error_code"], refused["candidates"]) == ("not_found", ["db-data"])


@pytest.mark.parametrize(
    ("connector", "field"),
    [
        ({"host": "host1"}, "connector.initiator"),
        ({"host": "host1", "initiator": "host1"}, "connector.initiator"),
        ({"host": "host1", "initiator": "iqn." + "x" * 220}, "connector.initiator"),
        ({"host": "h" * 240, "initiator": "iqn.x"}, "connector.host"),
        ({"host": "h/1", "initiator": "iqn.x"}, "connector.host"),
        ({**HOST1, "multipath": "perhaps"}, "connector.multipath"),
    ],
)
def test_a_connector_that_will_not_do(made: Controller, connector: dict[str, Any], field: str) -> None:
    with pytest.raises(StorageError) as failure:
        made.connect(connector=connector)
    assert (failure.value.code, failure.value.facts["field"]) == ("invalid_argument", field)


def test_the_longest_names_fit_into_the_metadata(made: Controller, cinder: CinderApi) -> None:
    connector = {"host": "h" * 238, "initiator": "iqn." + "x" * 204}
    assert made.connect(connector=connector)["changed"]
    assert not made.connect(connector=connector)["changed"]
    assert made.release(host="h" * 238)["changed"]
    assert cinder.named("a")["metadata"] == {"brickwork": "volume"}


# Others who use the same service


def test_what_somebody_else_made_is_never_touched(made: Controller, cinder: CinderApi) -> None:
    cinder.add_volume("theirs")
    cinder.requests.clear()
    assert made.connect("theirs", connector=HOST1)["error_code"] == "not_found"
    assert "did not make it" in made.connect("theirs", connector=HOST1)["msg"]
    assert made.volume("theirs", size="1GiB")["error_code"] == "already_exists"
    assert made.volume("theirs", state="absent")["error_code"] == "not_found"
    assert [stranger["name"] for stranger in made.seen()["strangers"]] == ["theirs"]
    assert cinder.writes() == []


def test_a_server_of_nova_is_a_holder_that_is_never_released(made: Controller, cinder: CinderApi) -> None:
    volume = cinder.named("m")
    cinder.add_attachment(volume["id"], "compute1", server="5f0c1c5e")
    refused = made.connect("m", connector=HOST1)
    assert (refused["error_code"], refused["holders"]) == ("failed_precondition", ["server-5f0c1c5e"])
    assert made.connect("m", connector=HOST1, shared=True)["changed"]
    refused = made.release("m", all_hosts=True)
    assert (refused["error_code"], refused["holders"]) == ("failed_precondition", ["server-5f0c1c5e"])
    assert "Nova" in refused["msg"]
    assert made.release("m", host="host1.json")["changed"]
    assert made.volume("m", state="absent")["error_code"] == "failed_precondition"
    assert len(cinder.attachments) == 1


@pytest.mark.parametrize("status", ["reserved", "attaching", "attached"])
def test_an_attachment_made_by_hand_is_a_strangers(made: Controller, cinder: CinderApi, status: str) -> None:
    attachment = cinder.add_attachment(cinder.named("a")["id"], "host1.json", status)
    refused = made.connect(connector=HOST1)
    assert (refused["error_code"], refused["holders"]) == ("failed_precondition", [f"attachment-{attachment['id']}"])
    assert not made.release(host="host1.json")["changed"]
    assert list(cinder.attachments) == [attachment["id"]]


@pytest.mark.parametrize(("status", "server"), [("attached", None), ("attaching", None), ("reserved", "5f0c1c5e")])
def test_what_was_begun_does_not_claim_a_strangers_attachment(
    made: Controller, cinder: CinderApi, monkeypatch: pytest.MonkeyPatch, status: str, server: Optional[str]
) -> None:
    with monkeypatch.context() as patch:
        killed_at(patch, 0, True)
        with pytest.raises(KilledError):
            made.connect("m", connector=HOST1)
    attachment = cinder.add_attachment(cinder.named("m")["id"], "elsewhere", status, server)
    refused = made.connect("m", connector=HOST1)
    assert (refused["error_code"], refused["holders"]) == (
        "failed_precondition",
        [f"server-{server}" if server else f"attachment-{attachment['id']}"],
    )
    assert made.release("m", host="host1.json")["changed"]
    assert list(cinder.attachments) == [attachment["id"]]


def test_a_record_that_names_another_hosts_attachment_takes_nothing_away(made: Controller, cinder: CinderApi) -> None:
    made.connect("m", connector=HOST2)
    volume, (attachment,) = cinder.named("m"), cinder.attachments
    text = volume["metadata"].pop("brickwork:host2:holder")
    volume["metadata"]["brickwork:host1.json:holder"] = text
    made.release("m", host="host1.json")
    assert list(cinder.attachments) == [attachment]
    assert made.connect("m", connector=HOST1)["holders"] == [f"attachment-{attachment}"]


def test_a_batch_of_many(made: Controller, cinder: CinderApi) -> None:
    names = [f"v{number}" for number in range(9)]
    for name in names:
        cinder.add_volume(name, metadata={"brickwork": "volume"})
    before = cinder.listing()
    result = made.connect(*names, connector=HOST1)
    assert result["changed_volumes"] == names
    assert [one["connection_info"]["data"]["auth_password"] for one in result["connections"]] == [
        f"{SECRET}-{name}" for name in names
    ]
    assert made.release(*names, host="host1.json")["changed_volumes"] == names
    assert cinder.listing() == before


def test_names_that_are_not_unique_are_told(made: Controller, cinder: CinderApi) -> None:
    cinder.add_volume("a", metadata={"brickwork": "volume"})
    refused = made.connect(connector=HOST1)
    assert "several" in refused["msg"]
    assert cinder.attachments == {}


@pytest.mark.parametrize("name", ["a", "m"])
def test_another_controller_is_faster(made: Controller, cinder: CinderApi, name: str) -> None:
    volume = cinder.named(name)

    def other(method: str, path: str) -> None:
        if (method, path) == ("POST", "/attachments"):
            cinder.hook = lambda method, path: None
            theirs = cinder.add_attachment(volume["id"], "host2")
            volume["metadata"]["brickwork:host2:holder"] = f"0/{theirs['id']}/{HOST2['initiator']}"

    cinder.hook = other
    refused = made.connect(name, connector=HOST1)
    assert (refused["error_code"], refused["holders"]) == ("failed_precondition", ["host2"])
    assert [one["host"] for one in cinder.attachments.values()] == ["host2"]
    assert set(volume["metadata"]) == {"brickwork", "brickwork:host2:holder"}


@pytest.mark.parametrize("other_host", ["a-host", "z-host"])
def test_who_came_too_late_leaves_what_another_controller_has_just_reserved(
    made: Controller, cinder: CinderApi, other_host: str
) -> None:
    volume = cinder.named("m")

    def other(method: str, path: str) -> None:
        if (method, path) == ("POST", "/attachments"):
            cinder.hook = lambda method, path: None
            cinder.add_attachment(volume["id"], "", "reserved")
            volume["metadata"][f"brickwork:{other_host}:holder"] = f"0//{HOST2['initiator']}"

    cinder.hook = other
    assert made.connect("m", connector=HOST1)["error_code"] == "failed_precondition"
    assert [one["status"] for one in cinder.attachments.values()] == ["reserved"]
    assert set(volume["metadata"]) == {"brickwork", f"brickwork:{other_host}:holder"}


def test_two_controllers_take_the_same_lost_attachment_for_theirs(
    made: Controller, cinder: CinderApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        killed_at(patch, 1, True)
        with pytest.raises(KilledError):
            made.connect("m", connector=HOST1)
    (attachment,), metadata = cinder.attachments, cinder.named("m")["metadata"]

    def other(method: str, path: str) -> None:
        if method == "POST":
            metadata["brickwork:host2:holder"] = f"0/{attachment}/{HOST2['initiator']}"

    cinder.hook = other
    assert made.connect("m", connector=HOST1)["error_code"] == "aborted"
    assert attachment not in metadata["brickwork:host1.json:holder"]
    assert not cinder.exports.get(cinder.named("m")["id"])
    cinder.hook = lambda method, path: None
    assert made.release("m", host="host1.json")["changed"]
    assert list(cinder.attachments) == [attachment]


def test_a_service_of_several_pages(made: Controller, cinder: CinderApi) -> None:
    cinder.page = 3
    for number in range(8):
        cinder.add_volume(f"v{number}", metadata={"brickwork": "volume"})
    assert len(made.seen()["volumes"]) == 10
    cinder.page = 2
    assert made.connect("v7", connector=HOST1)["changed"]


def test_who_is_no_administrator_is_told_less_and_needs_no_more(made: Controller, cinder: CinderApi) -> None:
    cinder.admin = False
    made.connect("m", connector=HOST1, shared=True)
    made.connect("m", connector=HOST2, shared=True)
    assert not made.connect("m", connector=HOST1, shared=True)["changed"]
    made.release("m", host="host1.json")
    assert cinder.exports[cinder.named("m")["id"]] == {"host2"}


def test_a_copy_that_the_service_makes_to_move_a_volume_is_none(made: Controller, cinder: CinderApi) -> None:
    copy = cinder.add_volume("a", metadata={"brickwork": "volume"})
    copy["migration_status"] = f"target:{copy['id']}"
    assert made.connect(connector=HOST1)["changed"]


# Repair


def test_an_attachment_that_somebody_deleted_is_made_anew(made: Controller, cinder: CinderApi) -> None:
    made.connect(connector=HOST1)
    (key,) = cinder.attachments
    cinder._delete_attachment(key, None)
    assert made.seen()["volumes"][0]["problems"]
    assert made.connect(connector=HOST1)["changed"]
    assert len(cinder.attachments) == 1
    assert not made.connect(connector=HOST1)["changed"]


def test_an_attachment_that_went_wrong_is_made_anew(made: Controller, cinder: CinderApi) -> None:
    made.connect(connector=HOST1)
    (attachment,) = cinder.attachments.values()
    attachment["status"] = "error_attaching"
    cinder._follow(cinder.named("a")["id"])
    assert made.connect(connector=HOST1)["changed"]
    assert [one["status"] for one in cinder.attachments.values()] == ["attached"]


def test_an_attachment_that_is_gone_can_be_released(made: Controller, cinder: CinderApi) -> None:
    made.connect(connector=HOST1)
    cinder.attachments.clear()
    cinder._follow(cinder.named("a")["id"])
    assert made.release(host="host1.json")["changed"]
    assert cinder.named("a")["metadata"] == {"brickwork": "volume"}


def test_what_another_host_lacks_does_not_keep_this_one_away(made: Controller, cinder: CinderApi) -> None:
    made.connect("m", connector=HOST1, shared=True)
    (key,) = cinder.attachments
    cinder._delete_attachment(key, None)
    assert made.connect("m", connector=HOST2, shared=True)["changed"]
    assert not made.connect("m", connector=HOST2, shared=True)["changed"]
    assert made.connect("m", connector=HOST1, shared=True)["changed"]


def test_another_protocol_than_the_section_says(made: Controller, cinder: CinderApi) -> None:
    before = cinder.listing()
    cinder.protocol = "rbd"
    refused = made.connect(connector=HOST1)
    assert (refused["error_code"], refused["field"]) == ("failed_precondition", "storage_protocol")
    assert cinder.listing() == before


def test_a_driver_that_refuses_the_connector(made: Controller, cinder: CinderApi, cinder_config: Path) -> None:
    cinder_config.write_text(cinder_config.read_text(encoding="utf-8") + "storage_protocol = nfs\n", encoding="utf-8")
    before = cinder.listing()
    refused = made.connect(connector={"host": "host1"})
    assert (refused["error_code"], refused["field"]) == ("invalid_argument", "connector")
    assert cinder.listing() == before


# Volumes and snapshots


def test_creates_waits_and_repeats(controller: Controller, cinder: CinderApi) -> None:
    cinder.steps = 3
    predicted = controller.volume("new", size="1000MiB", check_mode=True)
    assert cinder.writes() == []
    first = controller.volume("new", size="1000MiB")
    volume = cinder.named("new")
    assert first["volumes"] == [{"name": "new", "id": volume["id"], "size_bytes": GIB, "backend": "cloud", "wwn": None}]
    assert predicted["volumes"] == [{**first["volumes"][0], "id": None}]
    assert volume["status"] == "available"
    assert not controller.volume("new", size="1GiB")["changed"]
    assert len(cinder.writes()) == 1


def test_grows_also_while_connected(made: Controller, cinder: CinderApi) -> None:
    made.connect(connector=HOST1)
    assert made.volume("a", size="2GiB")["volumes"][0]["size_bytes"] == 2 * GIB
    assert not made.volume("a", size="2GiB")["changed"]
    assert cinder.named("a")["status"] == "in-use"
    assert made.volume("a", size="1GiB")["error_code"] == "invalid_argument"
    assert not made.connect(connector=HOST1)["changed"]


def test_a_growth_that_fails_leaves_the_volume(made: Controller, cinder: CinderApi) -> None:
    cinder.fails = {"extend"}
    refused = made.volume("a", size="2GiB")
    assert refused["error_code"] == "failed_precondition"
    assert "error_extending" in refused["msg"]
    assert made.volume("a", size="2GiB")["error_code"] == "failed_precondition"
    cinder.fails, cinder.named("a")["status"] = set(), "available"
    assert made.volume("a", size="2GiB")["changed"]


def test_a_growth_that_did_not_happen_is_no_success(made: Controller, cinder: CinderApi) -> None:
    cinder.fails = {"extend quietly"}
    assert made.volume("a", size="2GiB")["error_code"] == "unavailable"


def test_what_could_not_be_made_goes_again(controller: Controller, cinder: CinderApi) -> None:
    cinder.fails = {"volume"}
    refused = controller.volume("new", size="1GiB")
    assert refused["error_code"] == "resource_exhausted"
    assert "weighted backend" in refused["msg"]
    assert cinder.volumes == {}
    cinder.fails = set()
    assert controller.volume("new", size="1GiB")["changed"]


@pytest.mark.parametrize("status", ["attaching", "error_extending", "retyping"])
def test_what_was_made_and_somebody_else_has_begun_to_use_stays(
    controller: Controller, cinder: CinderApi, status: str
) -> None:
    def hook(method: str, path: str) -> None:
        for volume in cinder.volumes.values():
            if (method, path) == ("GET", f"/volumes/{volume['id']}"):
                volume.pop("pending", None)
                volume["status"] = status

    cinder.hook = hook
    made = controller.volume("a", size="1GiB")
    cinder.hook = lambda method, path: None
    assert "errors" not in made
    assert cinder.named("a")["status"] == status


def test_a_volume_that_went_wrong_is_neither_used_nor_lost(made: Controller, cinder: CinderApi) -> None:
    cinder.named("a")["status"] = "error"
    assert made.connect(connector=HOST1)["error_code"] == "failed_precondition"
    assert made.volume("a", size="1GiB")["error_code"] == "failed_precondition"
    assert cinder.named("a")["status"] == "error"
    assert made.volume("a", state="absent")["changed"]
    assert made.volume("a", size="1GiB")["changed"]


def test_no_quota(controller: Controller, cinder: CinderApi) -> None:
    cinder.quota = 1
    assert controller.volume("new", size="2GiB")["error_code"] == "resource_exhausted"
    assert cinder.writes() == []


def test_deletes_and_repeats(made: Controller, cinder: CinderApi) -> None:
    made.connect(connector=HOST1)
    refused = made.volume("a", state="absent")
    assert (refused["error_code"], refused["holders"]) == ("failed_precondition", ["host1.json"])
    made.release(host="host1.json")
    cinder.steps = 3
    assert made.volume("a", state="absent")["changed"]
    assert [volume["name"] for volume in cinder.volumes.values()] == ["m"]
    assert not made.volume("a", state="absent")["changed"]


def test_a_deletion_that_failed_is_repeated(made: Controller, cinder: CinderApi) -> None:
    cinder.fails = {"delete"}
    assert made.volume("a", state="absent")["error_code"] == "failed_precondition"
    assert cinder.named("a")["status"] == "error_deleting"
    assert made.connect(connector=HOST1)["error_code"] == "failed_precondition"
    cinder.fails, cinder.admin = set(), False
    assert made.volume("a", state="absent")["error_code"] == "permission_denied"
    cinder.admin = True
    assert made.volume("a", state="absent")["changed"]


def test_snapshots_and_what_is_made_from_them(made: Controller, cinder: CinderApi) -> None:
    before = cinder.listing()
    made.connect(connector=HOST1)
    assert made.snapshot("s", check_mode=True)["snapshots"][0]["id"] is None
    first = made.snapshot("s")
    assert first["snapshots"][0]["volume"] == "a"
    assert not made.snapshot("s")["changed"]
    assert made.snapshot("s", volume="m")["error_code"] == "already_exists"
    assert made.volume("s", size="1GiB")["error_code"] == "already_exists"
    cinder.steps = 3
    copy = made.volume("c", snapshot="s", size="2GiB")
    assert copy["volumes"][0]["size_bytes"] == 2 * GIB
    assert cinder.named("c")["snapshot_id"] == first["snapshots"][0]["id"]
    assert not made.volume("c", snapshot="s", size="2GiB")["changed"]
    assert made.volume("c", source_volume="a")["error_code"] == "already_exists"
    made.volume("d", source_volume="a")
    assert cinder.named("d")["source_volid"] == cinder.named("a")["id"]
    assert made.volume("a", state="absent")["error_code"] == "failed_precondition"
    made.release(host="host1.json")
    assert made.volume("a", state="absent")["snapshots"] == ["s"]
    assert made.snapshot("s", state="absent")["changed"]
    assert not made.snapshot("s", state="absent")["changed"]
    made.volume("c", "d", state="absent")
    assert cinder.listing() == before


def test_a_copy_that_fails_goes_again(made: Controller, cinder: CinderApi) -> None:
    cinder.fails = {"volume"}
    assert made.volume("c", source_volume="a")["error_code"] == "resource_exhausted"
    assert {volume["name"] for volume in cinder.volumes.values()} == {"a", "m"}


def test_a_snapshot_that_fails_goes_again(made: Controller, cinder: CinderApi) -> None:
    cinder.fails = {"snapshot"}
    assert made.snapshot("s")["error_code"] == "resource_exhausted"
    assert cinder.snapshots == {}


def test_a_volume_type_of_its_own(controller: Controller, cinder: CinderApi, cinder_config: Path) -> None:
    cinder_config.write_text(cinder_config.read_text(encoding="utf-8") + "volume_type = multi\n", encoding="utf-8")
    cinder.add_volume("a", metadata={"brickwork": "volume"})
    cinder.quota = -1
    controller.volume("a", size="1GiB")
    assert sorted(volume["volume_type"] for volume in cinder.volumes.values()) == ["multi", "plain"]
    assert controller.connect(connector=HOST1, shared=True)["changed"]
    assert controller.backend()["volumes"] == 1
    assert controller.backend()["free_bytes"] == 20 * GIB


@pytest.mark.parametrize(
    ("quota", "admin", "total", "free"),
    [(10, False, 10 * GIB, 8 * GIB), (-1, True, int(50.5 * GIB), 20 * GIB), (-1, False, 2**63 - 1, 2**63 - 1)],
)
def test_the_capacity(made: Controller, cinder: CinderApi, quota: int, admin: bool, total: int, free: int) -> None:
    cinder.quota, cinder.admin = quota, admin
    told = made.backend()
    assert (told["total_bytes"], told["free_bytes"], told["protocol"]) == (total, free, "iscsi")


@pytest.mark.parametrize("status", [400, 500])
def test_a_capacity_that_the_service_cannot_tell_keeps_nobody_waiting(
    made: Controller, cinder: CinderApi, status: int
) -> None:
    cinder.quota = -1
    cinder.refusals = {("GET", "/scheduler-stats/get_pools"): status}
    assert made.volume("n", size="1GiB")["changed"]


def test_a_name_that_is_too_long(controller: Controller) -> None:
    assert controller.volume("n" * 241, size="1GiB")["error_code"] == "invalid_argument"


# Killed


def killed_at(monkeypatch: pytest.MonkeyPatch, request: int, arrived: bool) -> None:
    """Die at the request of this number that changes something: before it is sent, or once it has been obeyed."""
    ask, count = rest.Rest.ask, iter(range(1000))

    def dying(self: rest.Rest, method: str, *args: Any) -> Any:
        number = next(count) if method != "GET" else -1
        if number == request and not arrived:
            raise KilledError
        answer = ask(self, method, *args)
        if number == request:
            raise KilledError
        return answer

    monkeypatch.setattr(rest.Rest, "ask", dying)


@pytest.mark.parametrize("arrived", [False, True])
@pytest.mark.parametrize("negated", [False, True])
@pytest.mark.parametrize("shared", [False, True])
def test_killed_while_connecting(
    made: Controller, cinder: CinderApi, monkeypatch: pytest.MonkeyPatch, arrived: bool, negated: bool, shared: bool
) -> None:
    name = "m" if shared else "a"
    before, deaths = cinder.listing(), 0
    for step in range(20):
        with monkeypatch.context() as patch:
            killed_at(patch, step, arrived)
            try:
                made.connect(name, connector=HOST1, shared=shared)
            except KilledError:
                deaths += 1
            else:
                break
        for access in cinder.exports.get(cinder.named(name)["id"], set()):
            assert f"brickwork:{access}:holder" in cinder.named(name)["metadata"]
        if not negated:
            assert not made.connect(name, connector=HOST1, shared=shared).get("failed")
            assert not made.connect(name, connector=HOST1, shared=shared)["changed"]
            assert len(cinder.attachments) == 1
        assert not made.release(name, host="host1.json").get("failed")
        assert cinder.listing() == before
    assert deaths == (6 if shared else 5)


@pytest.mark.parametrize("arrived", [False, True])
@pytest.mark.parametrize("negated", [False, True])
def test_killed_while_releasing(
    made: Controller, cinder: CinderApi, monkeypatch: pytest.MonkeyPatch, arrived: bool, negated: bool
) -> None:
    made.connect("m", connector=HOST2, shared=True)
    before, deaths = cinder.listing(), 0
    for step in range(20):
        made.connect("m", connector=HOST1, shared=True)
        with monkeypatch.context() as patch:
            killed_at(patch, step, arrived)
            try:
                made.release("m", host="host1.json")
            except KilledError:
                deaths += 1
            else:
                break
        for access in cinder.exports[cinder.named("m")["id"]]:
            assert f"brickwork:{access}:holder" in cinder.named("m")["metadata"]
        if negated:
            assert not made.connect("m", connector=HOST1, shared=True).get("failed")
            assert cinder.exports[cinder.named("m")["id"]] == {"host1.json", "host2"}
            assert len(cinder.attachments) == 2
        made.release("m", host="host1.json")
        assert cinder.listing() == before
    assert deaths == 3


@pytest.mark.parametrize("arrived", [False, True])
@pytest.mark.parametrize("negated", [False, True])
def test_killed_while_repairing(
    made: Controller, cinder: CinderApi, monkeypatch: pytest.MonkeyPatch, arrived: bool, negated: bool
) -> None:
    before, deaths = cinder.listing(), 0
    for step in range(20):
        made.connect(connector=HOST1)
        (attachment,) = cinder.attachments.values()
        attachment["status"] = "error_attaching"
        cinder._follow(attachment["volume_id"])
        with monkeypatch.context() as patch:
            killed_at(patch, step, arrived)
            try:
                made.connect(connector=HOST1)
            except KilledError:
                deaths += 1
            else:
                break
        if not negated:
            assert not made.connect(connector=HOST1).get("failed")
            assert len(cinder.attachments) == 1
        assert not made.release(host="host1.json").get("failed")
        assert cinder.listing() == before
    assert deaths == 7


@pytest.mark.parametrize("arrived", [False, True])
@pytest.mark.parametrize("what", ["create", "grow", "copy", "snapshot", "delete"])
def test_killed_while_changing_volumes(
    made: Controller, cinder: CinderApi, monkeypatch: pytest.MonkeyPatch, arrived: bool, what: str
) -> None:
    calls = {
        "create": (lambda: made.volume("n", size="1GiB"), lambda: made.volume("n", state="absent")),
        "grow": (lambda: made.volume("a", size="2GiB"), lambda: made.volume("a", state="absent")),
        "copy": (lambda: made.volume("n", source_volume="a"), lambda: made.volume("n", state="absent")),
        "snapshot": (lambda: made.snapshot("n"), lambda: made.snapshot("n", state="absent")),
        "delete": (lambda: made.volume("a", state="absent"), lambda: made.volume("a", size="1GiB")),
    }
    call, negation = calls[what]
    for negated in (False, True):
        if what == "grow":
            made.volume("a", state="absent")
            made.volume("a", size="1GiB")
        with monkeypatch.context() as patch:
            killed_at(patch, 0, arrived)
            with pytest.raises(KilledError):
                call()
        if not negated:
            assert not call().get("failed")
            assert not call()["changed"]
        assert not negation().get("failed")
        names = sorted(volume["name"] for volume in cinder.volumes.values())
        assert names == {"grow": ["m"]}.get(what, ["a", "m"])
        assert cinder.snapshots == {}


@pytest.mark.parametrize("again", [False, True])
def test_an_export_that_a_killed_call_asked_for_does_not_outlive_a_release(
    made: Controller, cinder: CinderApi, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    before, volume_id = cinder.listing(), cinder.named("a")["id"]
    with monkeypatch.context() as patch:
        killed_at(patch, 3, False)
        with pytest.raises(KilledError):
            made.connect(connector=HOST1)
    # It was asked for nevertheless; the driver is busy with it, and whoever asks for the same waits for that.
    busy = [lambda: cinder.exports.setdefault(volume_id, set()).add("host1.json")]
    cinder.hook = lambda method, path: busy.pop()() if method == "PUT" and busy else None
    if again:
        # Neither does it outlive a call that only wants to take back what it did itself.
        cinder.refusals = {("PUT", "/attachments/.*"): 400}
        assert made.connect(connector=HOST1)["failed"]
        cinder.refusals = {}
    assert not made.release(host="host1.json").get("failed")
    for end in busy:
        end()
    assert cinder.listing() == before


def test_a_connect_waits_for_the_deletion_that_a_killed_call_began(
    made: Controller, cinder: CinderApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.connect("m", connector=HOST1, shared=True)
    with monkeypatch.context() as patch:
        killed_at(patch, 1, False)
        with pytest.raises(KilledError):
            made.release("m", host="host1.json")
    # It was asked for nevertheless, and ends while somebody looks.
    (attachment,) = cinder.attachments
    looks = [f"/attachments/{attachment}"] * 3

    def end(method: str, path: str) -> None:
        if looks and (method, path) == ("GET", looks[-1]):
            looks.pop()
            if not looks:
                cinder._delete_attachment(attachment, None)

    cinder.hook = end
    predicted = made.connect("m", connector=HOST1, shared=True, check_mode=True)
    assert (predicted["changed"], predicted["connections"][0]["connected"]) == (True, False)
    assert predicted["connections"][0]["connection_info"]["data"] is None
    cinder.requests.clear()
    # The export may be one for all hosts: another host waits, too, and the one that leaves stays on record.
    assert made.connect("m", connector=HOST2, shared=True)["changed"]
    assert "DELETE" not in [method for method, path in cinder.requests]
    assert cinder.exports[cinder.named("m")["id"]] == {"host2"}
    assert made.connect("m", connector=HOST1, shared=True)["changed"]
    assert cinder.exports[cinder.named("m")["id"]] == {"host1.json", "host2"}
    assert not made.connect("m", connector=HOST2, shared=True)["changed"]


def test_a_release_beside_the_deletion_that_a_killed_call_began(
    made: Controller, cinder: CinderApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = cinder.listing()
    made.connect(connector=HOST1)
    with monkeypatch.context() as patch:
        killed_at(patch, 1, False)
        with pytest.raises(KilledError):
            made.release(host="host1.json")
    # The earlier one takes away what the driver needs for the later one.
    (attachment,) = cinder.attachments
    cinder.refusals = {("DELETE", "/attachments/.*"): 500}

    def end(method: str, path: str) -> None:
        if method == "DELETE" and attachment in cinder.attachments:
            cinder._delete_attachment(attachment, None)

    cinder.hook = end
    assert made.release(host="host1.json")["changed"]
    assert cinder.listing() == before


def test_what_another_host_left_half_done_is_named(made: Controller, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        killed_at(patch, 4, False)
        with pytest.raises(KilledError):
            made.connect("m", connector=HOST1, shared=True)
    refused = made.connect("m", connector=HOST2, shared=True)
    assert (refused["error_code"], refused["holders"]) == ("failed_precondition", ["host1.json"])
    assert not made.connect("m", connector=HOST1, shared=True).get("failed")
    assert made.connect("m", connector=HOST2, shared=True)["changed"]


def test_the_backend_is_what_the_registry_opens(cinder_config: Path) -> None:
    assert isinstance(open_backend(str(cinder_config), None, Deadline(1)), CinderServiceBackend)
