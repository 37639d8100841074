# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether an attachment is well: each thing that can be wrong, by itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Optional

import pytest

from ansible_collections.brickwork.storage.plugins.module_utils.host.found import Found, FoundPath
from ansible_collections.brickwork.storage.plugins.module_utils.host.health import Actual, Expected, judge
from ansible_collections.brickwork.storage.plugins.module_utils.host.mounts import Mount
from ansible_collections.brickwork.storage.plugins.module_utils.host.stack import Layer
from ansible_collections.brickwork.storage.plugins.module_utils.host.sysfs import MultipathMap, Namespace, Session

WWN, OTHER_WWN = "36001405aaaa", "36001405bbbb"
SIZE = 2**30
A, B = "192.0.2.10:3260", "192.0.3.10:3260"


def path(name: str = "sda", portal: str = A, **changes: Any) -> FoundPath:
    return replace(FoundPath(name, portal, "running", WWN, SIZE, in_map=True), **changes)


def session(portal: str = A, state: str = "LOGGED_IN") -> Session:
    return Session(1 if portal == A else 2, "iqn.2026-11.org.example:data", portal, state, 0)


def over(**changes: Any) -> MultipathMap:
    return replace(
        MultipathMap(
            "dm-0", "mpatha", WWN, SIZE, False, {"8:0": "running", "8:16": "running"}, {"8:0": "sda", "8:16": "sdb"}
        ),
        **changes,
    )


def two_paths(**changes: Any) -> Found:
    """Two paths under a map, all well."""
    whole = Found((session(A), session(B)), (path("sda", A), path("sdb", B)), over())
    return replace(whole, **changes)


def one_path(**changes: Any) -> Found:
    return Found((session(),), (path(in_map=False, **changes),))


def mount(options: str, super_options: str) -> Mount:
    taken, super_taken = frozenset(options.split(",")), frozenset(super_options.split(","))
    return Mount("600", "254:0", "/", "/data", "ext4", "/dev/dm-0", taken, super_taken)


def layer(**changes: Any) -> Layer:
    return replace(Layer("/dev/dm-0", "volume", "mpatha", (), SIZE), **changes)


RECORDED = Expected(multipath=True, map_possible=True, wwn=WWN, size_bytes=SIZE)
SINGLE = Expected(wwn=WWN, size_bytes=SIZE)


@pytest.mark.parametrize(
    ("actual", "expected"),
    [
        (Actual(two_paths()), RECORDED),
        (Actual(two_paths()), None),
        (Actual(two_paths(others=(path("sdc", ""),))), None),
        (Actual(one_path()), SINGLE),
        (Actual(one_path(wwid=None)), None),
        # A volume that has grown is well.
        (Actual(two_paths()), replace(RECORDED, size_bytes=SIZE // 2)),
        # multipathd makes no maps of such volumes.
        (Actual(one_path()), replace(RECORDED, map_possible=False)),
        (Actual(Found(paths=(path("nvme0n1", in_map=False),), namespace=Namespace("nvme0n1", WWN, SIZE, False))), RECORDED),
        (Actual(Found(paths=(path("volume", wwid=None),), file="/srv/nfs/volume")), None),
        # A mount for reading alone, as somebody wanted it.
        (Actual(two_paths(), (layer(mounts=(mount("ro,relatime", "ro"),)),)), RECORDED),
        (Actual(two_paths(), (layer(mounts=(mount("rw", "rw"),)),)), RECORDED),
        (Actual(two_paths(), read_only=("dm-0",)), replace(RECORDED, read_only=True)),
    ],
)  # fmt: skip
def test_well(actual: Actual, expected: Optional[Expected]) -> None:
    assert judge(actual, expected) == {"state": "ok", "problems": []}


@pytest.mark.parametrize(
    ("actual", "expected", "state", "words"),
    [
        # what the record promises and is not there
        (Actual(Found()), RECORDED, "failed", ["there is no device of it now"]),
        (Actual(Found()), replace(RECORDED, attached=False), "failed", ["interrupted"]),
        (Actual(two_paths()), replace(RECORDED, attached=False), "degraded", ["interrupted"]),
        (Actual(two_paths(), linked=False), RECORDED, "degraded", ["udevadm trigger"]),
        # paths
        (
            Actual(two_paths(paths=(path("sda"), path("sdb", B, state="transport-offline")))),
            RECORDED,
            "degraded",
            ["1 of 2 paths work", f"/dev/sdb by {B} does not work (transport-offline)"],
        ),
        (
            Actual(two_paths(paths=(path("sda"), path("sdb", B, state="failed")))),
            # The path is there and does not work: that is told once.
            replace(RECORDED, missing_paths=(B,)),
            "degraded",
            ["1 of 2 paths work", f"/dev/sdb by {B} does not work (failed)"],
        ),
        (
            Actual(two_paths(paths=(path("sda", state="failed"), path("sdb", B, state="offline")))),
            None,
            "failed",
            [
                "None of its 2 paths works",
                f"/dev/sda by {A} does not work (failed)",
                f"/dev/sdb by {B} does not work (offline)",
            ],
        ),
        (
            Actual(one_path(state="blocked")),
            SINGLE,
            "failed",
            ["Its only path does not work", "does not work (blocked)"],
        ),
        (
            Actual(two_paths(paths=(path("sda"),), sessions=(session(A),))),
            replace(RECORDED, missing_paths=(B,)),
            "degraded",
            ["1 of 2 paths work", f"No path came by {B}"],
        ),
        (
            Actual(two_paths(paths=(path("sda"),))),
            replace(RECORDED, missing_paths=(B,)),
            "degraded",
            ["1 of 2 paths work", f"{B} is logged in to, but no LUN"],
        ),
        (
            Actual(two_paths(sessions=(session(A), session(B, "FAILED")))),
            RECORDED,
            "degraded",
            [f"The session by {B} is FAILED"],
        ),
        (Actual(two_paths(paths=(), sessions=())), RECORDED, "failed", ["/dev/dm-0 has lost all its paths"]),
        # another volume
        (
            Actual(two_paths(paths=(path("sda"), path("sdb", B, wwid=OTHER_WWN)))),
            RECORDED,
            "failed",
            [f"/dev/sdb has the WWN {OTHER_WWN}, not the volume's {WWN}"],
        ),
        (
            Actual(two_paths(paths=(path("sda"), path("sdb", B, wwid=OTHER_WWN)))),
            None,
            "failed",
            [f"/dev/sdb has the WWN {OTHER_WWN}, not the volume's {WWN}"],
        ),
        (Actual(one_path(wwid=OTHER_WWN)), SINGLE, "failed", [f"/dev/sda has the WWN {OTHER_WWN}"]),
        (
            Actual(two_paths(multipath_map=over(wwid=OTHER_WWN))),
            RECORDED,
            "failed",
            [f"/dev/dm-0 is over the volume's paths and has the WWN {OTHER_WWN}"],
        ),
        (
            Actual(two_paths(others=(path("sdc", "", wwid=OTHER_WWN),))),
            None,
            "failed",
            [f"/dev/sdc has the WWN {OTHER_WWN}"],
        ),
        (
            Actual(Found(paths=(path("volume", state="no answer", wwid=None, size_bytes=0),), file="/srv/nfs/volume")),
            SINGLE,
            "failed",
            ["Its only path does not work", f"/srv/nfs/volume by {A} does not work (no answer)"],
        ),
        # the map
        (
            Actual(Found((session(A), session(B)), (path("sda", in_map=False), path("sdb", B, in_map=False)))),
            None,
            "degraded",
            ["/dev/sda, /dev/sdb are the same volume without a multipath map"],
        ),
        (Actual(one_path()), RECORDED, "degraded", ["There is no multipath map over /dev/sda"]),
        (
            Actual(two_paths(paths=(path("sda"), path("sdb", B, in_map=False)))),
            RECORDED,
            "degraded",
            ["/dev/sdb is a path of the volume and not in the map mpatha"],
        ),
        (Actual(two_paths(others=(path("sdc", ""),))), RECORDED, "degraded", ["came by no portal of the connection"]),
        (Actual(two_paths(), read_only=("dm-0",)), RECORDED, "degraded", ["/dev/dm-0 is read-only"]),
        (Actual(one_path(), read_only=("sda",)), None, "degraded", ["/dev/sda is read-only"]),
        # size
        (
            Actual(two_paths(paths=(path("sda"), path("sdb", B, size_bytes=2 * SIZE)))),
            RECORDED,
            "degraded",
            [f"/dev/dm-0 has {SIZE}, /dev/sda has {SIZE}, /dev/sdb has {2 * SIZE}"],
        ),
        (Actual(one_path(size_bytes=SIZE // 2)), SINGLE, "failed", [f"{SIZE // 2} bytes, less than the {SIZE}"]),
        (Actual(one_path(size_bytes=0)), SINGLE, "failed", ["/dev/sda has no size"]),
        # what stands on it
        (Actual(two_paths(), (layer(suspended=True),)), RECORDED, "degraded", ["/dev/dm-0 is suspended"]),
        (
            Actual(two_paths(), (layer(), layer(device="/dev/sdb", kind="path", swap=True))),
            RECORDED,
            "degraded",
            ["/dev/sdb is used by itself beside the map mpatha"],
        ),
        *(
            (
                Actual(two_paths(), (layer(mounts=(mount("rw,relatime", options),)),)),
                RECORDED,
                "failed",
                ["The file system at /data was mounted for writing"],
            )
            for options in ("ro,errors=remount-ro", "rw,emergency_ro", "rw,shutdown")
        ),
    ],
)
def test_not_well(actual: Actual, expected: Optional[Expected], state: str, words: list[str]) -> None:
    health = judge(actual, expected)
    assert health["state"] == state
    # Each problem once, and no other.
    assert len(health["problems"]) == len(words), health["problems"]
    for sentence, word in zip(health["problems"], words):
        assert word in sentence
