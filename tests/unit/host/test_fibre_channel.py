# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Fibre Channel connection_info must hold, and where its volume is found in the captured trees."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, Optional

import pytest

from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.host import attachment
from ansible_collections.brickwork.storage.plugins.module_utils.host.connection import Connection, parse, parse_batch
from ansible_collections.brickwork.storage.plugins.module_utils.host.identity import own_names
from ansible_collections.brickwork.storage.plugins.module_utils.host.plan import Wanted, plan_attach
from ansible_collections.brickwork.storage.plugins.module_utils.host.protocols.fibre_channel import (
    FibreChannelExport,
    PortPair,
    validate,
)
from ansible_collections.brickwork.storage.plugins.module_utils.host.records import Record
from ansible_collections.brickwork.storage.plugins.module_utils.host.removal import Removal
from ansible_collections.brickwork.storage.tests.unit.host.fibre_channel_examples import (
    HOST_A,
    HOST_B,
    LUN,
    PAIR_A,
    PAIR_B,
    TARGET_A,
    TARGET_B,
    WWN,
    connection,
    connection_data,
)
from ansible_collections.brickwork.storage.tests.unit.host.tree import Capture, Tree


def export(**changes: Any) -> FibreChannelExport:
    return validate(connection_data(**changes), "data", True)


def without_map(**changes: Any) -> FibreChannelExport:
    return export(initiator_target_map=None, **changes)


def test_the_pairs_of_the_map() -> None:
    assert export().portals == (
        PortPair(f"{HOST_A}->{TARGET_A}", TARGET_A, LUN, HOST_A),
        PortPair(f"{HOST_B}->{TARGET_B}", TARGET_B, LUN, HOST_B),
    )


def test_every_pair_of_a_map_that_knows_no_fabrics() -> None:
    everybody = [TARGET_A, TARGET_B]
    found = export(initiator_target_map={HOST_A: everybody, HOST_B: everybody})
    assert {(portal.initiator, portal.target) for portal in found.portals} == {
        (host, target) for host in (HOST_A, HOST_B) for target in everybody
    }


def test_without_a_map_whichever_port_sees_the_targets() -> None:
    assert without_map().portals == (PortPair(TARGET_A, TARGET_A, LUN), PortPair(TARGET_B, TARGET_B, LUN))


@pytest.mark.parametrize(
    "written",
    [
        "2000-5254-0077-010A",
        "20:00:52:54:00:77:01:0a",
        "0x200052540077010a",
        "0X200052540077010A",
        " naa.200052540077010a ",
    ],
)
def test_wwpns_in_any_of_the_usual_forms(written: str) -> None:
    assert without_map(target_wwn=written).addresses == [TARGET_A]
    assert export(target_wwn=TARGET_A, initiator_target_map={HOST_A: written}).portals == (PAIR_A,)
    assert export(target_wwn=TARGET_A, initiator_target_map={written: TARGET_A}).portals[0].initiator == TARGET_A


@pytest.mark.parametrize(
    ("data", "luns"),
    [
        ({"target_lun": 7}, [7, 7]),
        ({"target_lun": " 7 "}, [7, 7]),
        ({"target_lun": [7]}, [7, 7]),
        ({"target_lun": [7, "8"]}, [7, 8]),
        ({"target_luns": [7, 8]}, [7, 8]),
        ({"target_luns": ["7", "8"], "target_lun": 1}, [7, 8]),
        ({"target_luns": [7], "target_lun": None}, [7, 7]),
        ({"target_wwns": [TARGET_B, TARGET_A], "target_luns": [7, 8]}, [7, 8]),
        ({"target_lun": 2**32 - 1}, [2**32 - 1] * 2),
    ],
)
def test_luns(data: dict[str, Any], luns: list[int]) -> None:
    assert [portal.lun for portal in without_map(**data).portals] == luns


def test_the_plural_comes_before_the_singular() -> None:
    assert without_map(target_wwns=[TARGET_B], target_wwn=[TARGET_A]).addresses == [TARGET_B]


def test_ports_that_the_volume_is_not_exported_by_are_left_out() -> None:
    stranger = "50060160bee00000"
    assert export(initiator_target_map={HOST_A: [TARGET_A, stranger], HOST_B: [stranger]}).portals == (PAIR_A,)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(
            ("target_wwn", value)
            for value in [None, "", [], 5, "10.0.0.1:3260", f"{TARGET_A}0", [TARGET_A, None], "../x"]
        ),
        ("target_wwns", "nothing"),
        *(("target_lun", value) for value in [None, -1, 2**32, "one", "", 1.5, True, [], [1, 2, 3]]),
        ("target_luns", [1, 2, 3]),
        ("initiator_target_map", {}),
        ("initiator_target_map", [HOST_A]),
        ("initiator_target_map", {"eth0": [TARGET_A]}),
        ("initiator_target_map", {HOST_A: ["50060160bee00000"]}),
        ("addressing_mode", "flat"),
    ],
)
def test_what_is_wrong_is_named(field: str, value: Any) -> None:
    with pytest.raises(StorageError) as raised:
        export(**{field: value})
    assert raised.value.code == "invalid_argument"
    assert str(raised.value.facts["field"]).startswith(f"data.{field}")


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"target_wwn": [TARGET_A, "x"]}, "data.target_wwn"),
        ({"target_luns": [1, "x"]}, "data.target_luns[1]"),
        ({"initiator_target_map": {HOST_A: ["x"]}}, f"data.initiator_target_map.{HOST_A}"),
    ],
)
def test_the_field_is_named_exactly(wrong: dict[str, Any], field: str) -> None:
    with pytest.raises(StorageError) as raised:
        export(**wrong)
    assert raised.value.facts["field"] == field
    assert "'x'" in raised.value.message


@pytest.mark.parametrize(
    ("mode", "lun", "numbers"),
    [
        (None, 1, [1]),
        (None, 255, [255]),
        (None, 256, [256, 16640]),
        (None, 16383, [16383, 32767]),
        # Already numbered in the flat address space.
        (None, 16640, [16640]),
        ("SAM", 256, [256]),
        ("transparent", 256, [256]),
        ("SAM2", 255, [255]),
        ("SAM2", 256, [16640]),
        ("SAM3-flat", 1, [16385]),
    ],
)
def test_how_the_kernel_may_number_a_lun(mode: Optional[str], lun: int, numbers: list[int]) -> None:
    assert export(addressing_mode=mode).numbers(lun) == numbers


def test_both_paths_and_the_map_over_them(capture: Capture) -> None:
    found = export().find(capture("fc_multipath").view, WWN)
    assert sorted(path.portal for path in found.paths) == [PAIR_A.address, PAIR_B.address]
    assert {path.state for path in found.paths} == {"running"}
    assert (found.device, found.wwid, found.own_map) == ("dm-0", WWN, found.multipath_map)
    assert found.sessions == ()


def test_nothing_where_the_ports_show_no_such_lun(capture: Capture) -> None:
    assert not export().find(capture("fc_ports_without_lun").view, WWN).anything
    assert not export(target_lun=LUN + 1).find(capture("fc_multipath").view, None).anything


def test_a_lun_above_255(capture: Capture) -> None:
    view = capture("fc_two_luns").view
    found = export(target_lun=300).find(view, None)
    assert len(found.paths) == 2
    assert found.wwid == "360014054be27a9077c44d18a2f6c81d5"
    # The target says that it numbers them in another way: then 300 is another one.
    assert not export(target_lun=300, addressing_mode="SAM2").find(view, None).anything


def test_without_a_map_both_paths_too(capture: Capture) -> None:
    found = without_map().find(capture("fc_multipath").view, WWN)
    assert sorted(path.portal for path in found.paths) == [TARGET_A, TARGET_B]


def test_the_volume_by_a_port_that_the_connection_does_not_name(capture: Capture) -> None:
    # The kernel took it by that port without being asked; what leaves the host must leave it wholly.
    tree = capture("fc_multipath")
    by_one_pair = export(initiator_target_map={HOST_A: [TARGET_A]})
    assert by_one_pair.portals == (PAIR_A,)
    for wwn in (WWN, None):
        found = by_one_pair.find(tree.view, wwn)
        assert sorted(path.portal for path in found.paths) == [PAIR_A.address, PAIR_B.address]
        assert found.own_map
    removal = Removal("v", by_one_pair, WWN, by_one_pair.portals)
    assert removal.leaves(PAIR_B.address)


def test_a_part_of_the_portals_leaves_alone() -> None:
    removal = Removal("v", export(), WWN, (PAIR_A,))
    assert (removal.leaves(PAIR_A.address), removal.leaves(PAIR_B.address)) == (True, False)


def test_another_volume_with_the_same_lun_by_another_port_is_no_path(capture: Capture) -> None:
    tree = capture("fc_multipath")
    by_b = next(path.device for path in export().find(tree.view, WWN).paths if path.portal == PAIR_B.address)
    tree.put(tree.resolve(f"/sys/block/{by_b}/device") + "/wwid", "naa.6001405ffffffffffffffffffffffff\n")
    found = export(initiator_target_map={HOST_A: [TARGET_A]}).find(tree.view, WWN)
    assert [path.portal for path in found.paths] == [PAIR_A.address]


def test_a_disk_left_from_an_earlier_lun_tells_its_old_wwn(capture: Capture) -> None:
    assert export().find(capture("fc_multipath").view, "36001405" + "0" * 25).wwids == {WWN}


def test_stable_link_and_what_os_brick_returns(capture: Capture) -> None:
    view = capture("fc_multipath").view
    found = export().find(view, WWN)
    link = f"/dev/disk/by-id/dm-uuid-mpath-{WWN}"
    assert attachment.stable_link(view, export(), found) == link
    assert export().attach_info(found) == {"type": "block", "scsi_wwn": WWN, "multipath_id": WWN, "path": link}
    single = replace(found, multipath_map=None)
    assert export().attach_info(single) == {
        "type": "block",
        "scsi_wwn": WWN,
        "path": f"/dev/disk/by-id/wwn-0x{WWN[1:]}",
    }


@pytest.mark.parametrize(
    "wwpns",
    [
        [HOST_A, HOST_B],
        # A port that is down is not among the facts, and one that was replaced is still in the connection.
        [HOST_B],
        ["50060160bee00000", HOST_A],
        ["20:00:52:54:00:77:01:0C"],
        # Who made the connection does not say, or the host has no such port at the moment.
        [],
        None,
    ],
)
def test_one_port_in_common_suffices(capture: Capture, wwpns: Optional[list[str]]) -> None:
    (parsed,) = batch(capture("fc_multipath"), wwpns)
    assert isinstance(parsed, Connection)


def test_a_connection_for_the_ports_of_another_host_is_refused(capture: Capture) -> None:
    (refused,) = batch(capture("fc_multipath"), ["50060160bee00000", "50060160bee00001"])
    assert isinstance(refused, StorageError)
    assert (refused.code, refused.facts["field"]) == ("invalid_argument", "connections[0].connector.wwpns")
    assert HOST_A in refused.message


def test_a_host_without_ports_cannot_tell(capture: Capture) -> None:
    (parsed,) = batch(capture("empty"), ["50060160bee00000"])
    assert isinstance(parsed, Connection)


def test_what_a_map_says_of_other_hosts_is_left_out(capture: Capture) -> None:
    shared = {HOST_A: [TARGET_A], HOST_B: [TARGET_B], "50060160bee00000": [TARGET_A, TARGET_B]}
    info = {"driver_volume_type": "fibre_channel", "data": connection_data(initiator_target_map=shared)}
    parsed = parse(connection(connection_info=info), "c", to_attach=True, predicted_allowed=False)
    assert parsed.export.portals == (PAIR_A, PAIR_B)


def test_a_repeat_for_other_ports_is_refused(capture: Capture) -> None:
    found = export().find(capture("fc_multipath").view, WWN)
    record = Record(connection(), multipath=True, persistent=False, attached=True, wwn=WWN)
    for wwpns, refused in (([HOST_B], False), (["50060160bee00000"], True)):
        again = parse(connection(connector={"wwpns": wwpns}), "c", to_attach=True, predicted_allowed=False)
        wanted = Wanted(again, True, 1, False)
        if not refused:
            assert not plan_attach(wanted, record, found, True, True).needed
            continue
        with pytest.raises(StorageError) as raised:
            plan_attach(wanted, record, found, True, True)
        assert (raised.value.code, raised.value.facts["field"]) == ("already_exists", "connector.wwpns")


def batch(tree: Tree, wwpns: Optional[list[str]]) -> list[Connection | StorageError]:
    """What a host makes of a connection for some ports."""
    given = connection(connector={"host": "host2", "wwpns": wwpns})
    names = partial(own_names, tree.view)
    return [parsed for _name, parsed in parse_batch([given], "host2", names, to_attach=True, predicted_allowed=False)]
