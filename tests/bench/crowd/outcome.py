# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether every host of a crowd got its own, or a clear refusal. Pure: answers and what the controller has go in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .asker import Asker

ABORTED = "aborted"


def is_aborted(answer: Mapping[str, Any]) -> bool:
    """Whether the call waited in vain, and said so."""
    return answer.get("error_code") == ABORTED


def wrong_answers(
    crowd: Sequence[Asker], answers: Mapping[str, Mapping[str, Any]], state: Mapping[str, Any]
) -> list[str]:
    """What is wrong with the answers to a crowd that asked for volumes, as sentences; empty when nothing is.

    Args:
        crowd: who asked.
        answers: what the module returned to each, by host.
        state: of the controller afterwards, as controller/crowd.py tells it.
    """
    wrong = []
    for asker in crowd:
        answer = answers.get(asker.host, {})
        if is_aborted(answer):
            if _found(asker, state) or state["held"].get(asker.volume):
                wrong.append(f"{asker.host} was told aborted, and has {asker.volume} all the same")
        elif answer.get("error_code") or not answer.get("connections"):
            wrong.append(f"{asker.host} got no answer of use: {answer.get('error_code')} {answer.get('msg')}")
        else:
            wrong += [f"{asker.host} {what}" for what in _wrong(asker, answer["connections"], state)]
    secrets = [secret for acls in _acls(state) for _user, secret in acls.values()]
    if len(set(secrets)) != len(secrets):
        wrong.append("two hosts have one secret")
    return wrong


def left_behind(crowd: Sequence[Asker], state: Mapping[str, Any]) -> list[str]:
    """What there is of the crowd's connections after their release; empty when nothing is."""
    return [
        f"{asker.volume} is still exported or on record"
        for asker in crowd
        if _found(asker, state) or state["held"].get(asker.volume)
    ]


def _wrong(asker: Asker, connections: Sequence[Mapping[str, Any]], state: Mapping[str, Any]) -> Iterable[str]:
    [connection] = connections
    data, volume = connection["connection_info"]["data"], connection["volume"]
    if (connection["host"], volume["name"]) != (asker.host, asker.volume):
        yield f"got the connection of {connection['host']} to {volume['name']}"
    if data["auth_username"] != asker.host:
        yield f"logs in as {data['auth_username']}"
    if state["held"].get(asker.volume) != [asker.host]:
        yield f"asked for {asker.volume}, which is held by {state['held'].get(asker.volume)}"
    export = state["exports"].get(data["target_iqn"], {"initiators": {}, "volume": None})
    if export["volume"] != volume["id"]:
        yield f"got a target with {export['volume']} behind it, not {volume['id']}"
    if export["initiators"] != {asker.initiator: [data["auth_username"], data["auth_password"]]}:
        yield f"got a target that lets in {', '.join(export['initiators']) or 'nobody'}, or with another secret"


def _found(asker: Asker, state: Mapping[str, Any]) -> bool:
    return any(asker.initiator in acls for acls in _acls(state))


def _acls(state: Mapping[str, Any]) -> list[Mapping[str, list[str]]]:
    return [export["initiators"] for export in state["exports"].values()]
