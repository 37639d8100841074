# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small HTTP server that answers as a Cinder service does, in what this collection asks of one and is easily got wrong.

It is a double: the real service runs on the lab. What it does was read in cinder 29: which states of a volume let which request
through, which attachments are told with a volume, what a connection_info looks like, how pages follow each other.
"""

from __future__ import annotations

import json
import re
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable, Optional
from urllib.parse import parse_qsl, unquote, urlsplit

SECRET = "s3cr3t-of-chap"
TOKEN = "admin:project1"
Entity = dict[str, Any]


class RefusalError(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(said)
        self.status = status
        self.said = said


class CinderApi:
    """A service with one project.

    What can be set: I(admin), whether who asks is told more; I(steps), how often something is seen in a passing state; I(fails), what
    becomes of the next thing to be made, by what it is (C(volume), C(snapshot), C(extend), C(delete)); I(protocol); I(page), the most
    entries of an answer; I(refusals), by method and path, the status to answer with instead.
    """

    def __init__(self) -> None:
        self.admin = True
        self.token = TOKEN
        self.steps = 1
        self.page = 1000
        self.quota = 1000
        self.protocol = "iscsi"
        self.fails: set[str] = set()
        self.refusals: dict[tuple[str, str], int] = {}
        self.types: dict[str, bool] = {"plain": False, "multi": True}
        self.volumes: dict[str, Entity] = {}
        self.snapshots: dict[str, Entity] = {}
        self.attachments: dict[str, Entity] = {}
        self.messages: list[Entity] = []
        self.requests: list[tuple[str, str]] = []
        # What would give access: by volume's id the hosts that the driver lets in.
        self.exports: dict[str, set[str]] = {}
        self.hook: Callable[[str, str], None] = lambda method, path: None
        self._lock = threading.RLock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v3"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def named(self, name: str) -> Entity:
        """The only volume of this name."""
        (found,) = [volume for volume in self.volumes.values() if volume["name"] == name]
        return found

    def writes(self) -> list[tuple[str, str]]:
        """The requests so far that were to change something."""
        return [(method, path) for method, path in self.requests if method != "GET"]

    def listing(self) -> Any:
        """Everything there is, for a comparison; without the ids that are made anew each time."""
        return (
            sorted((one["name"], one["size"], one["status"], sorted(one["metadata"])) for one in self.volumes.values()),
            sorted((one["name"], one["status"]) for one in self.snapshots.values()),
            sorted((one["volume_id"], one["status"]) for one in self.attachments.values()),
            {key: sorted(hosts) for key, hosts in self.exports.items() if hosts},
        )

    def add_volume(self, name: str, volume_type: str = "plain", **given: Any) -> Entity:
        """A volume that is there already."""
        return self._create_volume({"name": name, "size": 1, "volume_type": volume_type, **given}, steps=0)

    def add_attachment(
        self, volume_id: str, host: str, status: str = "attached", server: Optional[str] = None
    ) -> Entity:
        """An attachment that somebody else has made."""
        made: Entity = {"id": str(uuid.uuid4()), "volume_id": volume_id, "status": status, "instance": server}
        made.update(host=host, connector={"host": host}, connection_info={"driver_volume_type": self.protocol})
        self.attachments[made["id"]] = made
        self._follow(volume_id)
        return made

    # Answers

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        api = self

        class Handler(BaseHTTPRequestHandler):
            def _serve(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                try:
                    with api._lock:
                        status, answer = api._answer(self.command, self.path, body, self.headers)
                except RefusalError as refusal:
                    status, answer = refusal.status, {"refused": {"code": refusal.status, "message": refusal.said}}
                text = b"" if answer is None else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815

            def log_message(self, *args: Any, **kwargs: Any) -> None: ...

        return Handler

    def _answer(self, method: str, address: str, body: Any, headers: Any) -> tuple[int, Optional[Entity]]:
        split = urlsplit(address)
        path = unquote(split.path).removeprefix("/v3")
        self.requests.append((method, path))
        self.hook(method, path)
        if headers.get("X-Auth-Token") != self.token:
            raise RefusalError(401, "The request you have made requires authentication.")
        for (wanted, pattern), status in self.refusals.items():
            if wanted == method and re.fullmatch(pattern, path):
                raise RefusalError(status, f"refused with {status}")
        version = tuple(map(int, headers.get("OpenStack-API-Version", "volume 3.0").split()[1].split(".")))
        query = dict(parse_qsl(split.query))
        for wanted, pattern, needed, answer in self._routes():
            matched = re.fullmatch(pattern, path)
            if wanted == method and matched:
                if version < needed:
                    raise RefusalError(404, "Version is not supported by the API.")
                return answer(*matched.groups(), **({"query": query} if method == "GET" else {"body": body}))
        raise RefusalError(404, "The resource could not be found.")

    def _routes(self) -> list[tuple[str, str, tuple[int, int], Callable[..., tuple[int, Optional[Entity]]]]]:
        one = "([0-9a-f-]+)"
        return [
            ("GET", "/volumes/detail", (3, 0), lambda query: (200, self._list("volumes", self._told_volumes(), query))),
            (
                "GET",
                f"/volumes/{one}",
                (3, 0),
                lambda key, query: (200, {"volume": self._told(self._step(self.volumes, key))}),
            ),
            (
                "POST",
                "/volumes",
                (3, 0),
                lambda body: (202, {"volume": self._told(self._create_volume(body["volume"], self.steps))}),
            ),
            ("DELETE", f"/volumes/{one}", (3, 0), lambda key, body: self._delete_volume(key)),
            ("POST", f"/volumes/{one}/action", (3, 42), self._act_on_volume),
            ("POST", f"/volumes/{one}/metadata", (3, 0), self._set_metadata),
            # What ends with .json is taken for the form of the answer.
            ("DELETE", f"/volumes/{one}/metadata/([^/]+?)(?:\\.json)?", (3, 0), self._delete_metadata),
            (
                "GET",
                "/snapshots/detail",
                (3, 0),
                lambda query: (200, self._list("snapshots", self._told_snapshots(), query)),
            ),
            (
                "GET",
                f"/snapshots/{one}",
                (3, 0),
                lambda key, query: (200, {"snapshot": self._step(self.snapshots, key)}),
            ),
            ("POST", "/snapshots", (3, 0), lambda body: (202, {"snapshot": self._create_snapshot(body["snapshot"])})),
            ("DELETE", f"/snapshots/{one}", (3, 0), lambda key, body: self._delete_snapshot(key)),
            ("GET", "/attachments", (3, 27), self._list_attachments),
            (
                "GET",
                f"/attachments/{one}",
                (3, 27),
                lambda key, query: (200, {"attachment": self._shown(self._attachment(key))}),
            ),
            ("POST", "/attachments", (3, 27), lambda body: (200, {"attachment": self._reserve(body["attachment"])})),
            ("PUT", f"/attachments/{one}", (3, 27), self._update_attachment),
            ("POST", f"/attachments/{one}/action", (3, 44), self._complete),
            ("DELETE", f"/attachments/{one}", (3, 27), self._delete_attachment),
            ("GET", "/limits", (3, 0), lambda query: (200, {"limits": {"absolute": self._limits()}})),
            ("GET", "/scheduler-stats/get_pools", (3, 0), self._pools),
            ("GET", "/messages", (3, 5), lambda query: (200, {"messages": self._messages(query)})),
        ]

    def _list(self, key: str, entries: list[Entity], query: dict[str, str]) -> Entity:
        """A page; a next one is told of only where this one has as many entries as were asked for."""
        ids = [entry["id"] for entry in entries]
        start = ids.index(query["marker"]) + 1 if "marker" in query else 0
        limit = int(query.get("limit", self.page))
        page = entries[start : start + min(limit, self.page)]
        answer: Entity = {key: page}
        if page and len(page) == limit:
            answer[f"{key}_links"] = [{"rel": "next", "href": "http://not-reachable.example.org/"}]
        return answer

    def _limits(self) -> Entity:
        used = sum(volume["size"] for volume in self.volumes.values())
        return {"maxTotalVolumeGigabytes": self.quota, "totalGigabytesUsed": used}

    def _pools(self, query: dict[str, str]) -> tuple[int, Entity]:
        if "volume_type" in query:
            raise RefusalError(400, "The server could not comply with the request since it is malformed.")
        if not self.admin:
            raise RefusalError(
                403, "Policy doesn't allow scheduler_extension:scheduler_stats:get_pools to be performed."
            )
        return 200, {"pools": [{"name": "pool", "capabilities": {"total_capacity_gb": 50.5, "free_capacity_gb": 20}}]}

    def _messages(self, query: dict[str, str]) -> list[Entity]:
        return [one for one in reversed(self.messages) if one["resource_uuid"] == query["resource_uuid"]]

    # Volumes

    def _get(self, kind: dict[str, Entity], key: str) -> Entity:
        if key not in kind:
            raise RefusalError(404, f"{key} could not be found.")
        return kind[key]

    def _step(self, kind: dict[str, Entity], key: str) -> Entity:
        """Show one, a step nearer to what becomes of it."""
        found = self._get(kind, key)
        pending = found.get("pending")
        if pending:
            pending["steps"] -= 1
            if pending["steps"] <= 0:
                del found["pending"]
                pending["then"]()
        return self._plain(self._get(kind, key))

    def _plain(self, entry: Entity) -> Entity:
        return {key: value for key, value in entry.items() if key != "pending"}

    def _pend(self, entry: Entity, steps: int, then: Callable[[], None]) -> None:
        if steps:
            entry["pending"] = {"steps": steps, "then": then}
        else:
            then()

    def settle(self) -> None:
        """Let everything become what it is to be."""
        for kind in (self.volumes, self.snapshots):
            for entry in list(kind.values()):
                pending = entry.pop("pending", None)
                if pending:
                    pending["then"]()

    def _told_volumes(self) -> list[Entity]:
        return [self._told(volume) for volume in self.volumes.values()]

    def _told_snapshots(self) -> list[Entity]:
        return [self._plain(one) for one in self.snapshots.values()]

    def _told(self, volume: Entity) -> Entity:
        complete = [
            {
                "id": one["volume_id"],
                "attachment_id": one["id"],
                "volume_id": one["volume_id"],
                "server_id": one["instance"],
                "host_name": one["host"] if self.admin else None,
                "device": "na",
            }
            for one in self.attachments.values()
            if one["volume_id"] == volume["id"] and one["status"] == "attached"
        ]
        return {**self._plain(volume), "attachments": complete, "multiattach": self.types[volume["volume_type"]]}

    def _create_volume(self, given: Entity, steps: int) -> Entity:
        if self._limits()["totalGigabytesUsed"] + given["size"] > self.quota >= 0:
            raise RefusalError(
                413, "VolumeSizeExceedsAvailableQuota: Requested volume or snapshot exceeds allowed gigabytes quota."
            )
        made = {
            "id": str(uuid.uuid4()),
            "name": given["name"],
            "size": given["size"],
            "status": "creating",
            "volume_type": given.get("volume_type", "plain"),
            "metadata": dict(given.get("metadata", {})),
            "snapshot_id": given.get("snapshot_id"),
            "source_volid": given.get("source_volid"),
        }
        self.volumes[made["id"]] = made
        self._pend(made, steps, lambda: self._end(made, "volume", "available"))
        return made

    def _end(self, entry: Entity, what: str, status: str) -> None:
        entry["status"] = status
        if what in self.fails:
            entry["status"] = "error_extending" if what == "extend" else "error"
            said = "schedule allocate volume:Could not find any available weighted backend."
            self.messages.append({"resource_uuid": entry["id"], "user_message": said})

    def _delete_volume(self, key: str) -> tuple[int, Optional[Entity]]:
        volume = self._get(self.volumes, key)
        snapshots = [one for one in self.snapshots.values() if one["volume_id"] == key]
        if volume["status"] not in ("available", "error", "error_extending") or snapshots:
            raise RefusalError(
                400, "Invalid volume: Volume status must be available or error, and must not have snapshots."
            )
        return self._go(self.volumes, volume)

    def _go(self, kind: dict[str, Entity], entry: Entity) -> tuple[int, Optional[Entity]]:
        def gone() -> None:
            if "delete" in self.fails:
                entry["status"] = "error_deleting"
            else:
                del kind[entry["id"]]

        entry["status"] = "deleting"
        self._pend(entry, self.steps, gone)
        return 202, None

    def _act_on_volume(self, key: str, body: Entity) -> tuple[int, Optional[Entity]]:
        volume = self._get(self.volumes, key)
        if "os-force_delete" in body:
            if not self.admin:
                raise RefusalError(
                    403, "Policy doesn't allow volume_extension:volume_admin_actions:force_delete to be performed."
                )
            return self._go(self.volumes, volume)
        if volume["status"] not in ("available", "in-use"):
            raise RefusalError(
                400, f"Invalid volume: Volume {key} status must be 'in-use' to extend, currently {volume['status']}."
            )
        before, size = volume["status"], body["os-extend"]["new_size"]
        volume["status"] = "extending"

        def extended() -> None:
            self._end(volume, "extend", before)
            if volume["status"] == before and "extend quietly" not in self.fails:
                volume["size"] = size

        self._pend(volume, self.steps, extended)
        return 202, None

    def _set_metadata(self, key: str, body: Entity) -> tuple[int, Optional[Entity]]:
        volume = self._get(self.volumes, key)
        for name, text in body["metadata"].items():
            if not re.fullmatch(r"[a-zA-Z0-9\-_:. ]{1,255}", name) or len(text) > 255:
                raise RefusalError(400, f"Invalid input for field/attribute metadata. Value: {name}")
        volume["metadata"].update(body["metadata"])
        return 200, {"metadata": volume["metadata"]}

    def _delete_metadata(self, key: str, name: str, body: Any) -> tuple[int, Optional[Entity]]:
        volume = self._get(self.volumes, key)
        self._get(volume["metadata"], name)
        del volume["metadata"][name]
        return 200, None

    # Snapshots

    def _create_snapshot(self, given: Entity) -> Entity:
        volume = self._get(self.volumes, given["volume_id"])
        if not given.get("force") and volume["status"] != "available":
            raise RefusalError(400, "Invalid volume: Volume must be available.")
        made = {"id": str(uuid.uuid4()), "name": given["name"], "volume_id": volume["id"], "size": volume["size"]}
        made.update(status="creating", metadata=dict(given.get("metadata", {})))
        self.snapshots[made["id"]] = made
        self._pend(made, self.steps, lambda: self._end(made, "snapshot", "available"))
        return self._plain(made)

    def _delete_snapshot(self, key: str) -> tuple[int, Optional[Entity]]:
        snapshot = self._get(self.snapshots, key)
        if snapshot["status"] not in ("available", "error"):
            raise RefusalError(400, "Invalid snapshot: Snapshot status must be available or error.")
        return self._go(self.snapshots, snapshot)

    # Attachments

    def _attachment(self, key: str) -> Entity:
        return self._get(self.attachments, key)

    def _list_attachments(self, query: dict[str, str]) -> tuple[int, Entity]:
        found = [
            one for one in self.attachments.values() if one["volume_id"] == query.get("volume_id", one["volume_id"])
        ]
        keys = ("id", "status", "instance", "volume_id")
        return 200, {"attachments": [{key: one[key] for key in keys} for one in found]}

    def _shown(self, attachment: Entity) -> Entity:
        """Without the connector, which the service keeps to itself."""
        return {key: attachment[key] for key in ("id", "status", "instance", "volume_id", "connection_info")}

    def _reserve(self, given: Entity) -> Entity:
        volume = self._get(self.volumes, given["volume_uuid"])
        allowed = (
            ("available", "in-use", "downloading")
            if self.types[volume["volume_type"]]
            else ("available", "downloading")
        )
        if "connector" in given or given.get("instance_uuid"):
            raise RefusalError(500, "what is tested never does this")
        if volume["status"] not in allowed:
            said = f"status must be {' or '.join(allowed)} to reserve, but the current status is {volume['status']}."
            raise RefusalError(400, f"Invalid volume: Volume {volume['id']} {said}")
        made = {"id": str(uuid.uuid4()), "volume_id": volume["id"], "status": "reserved", "instance": None}
        made.update(host=None, connector=None, connection_info={})
        self.attachments[made["id"]] = made
        volume["status"] = "reserved"
        return self._shown(made)

    def _update_attachment(self, key: str, body: Entity) -> tuple[int, Entity]:
        attachment = self._attachment(key)
        connector = body["attachment"]["connector"]
        if "export" in self.fails:
            raise RefusalError(
                500, "Unable to update attachment.(Bad or unexpected response from the storage volume backend API)"
            )
        if self.protocol == "iscsi" and not connector.get("initiator"):
            raise RefusalError(400, "Invalid input received: Connector doesn't have required information: initiator")
        volume = self.volumes[attachment["volume_id"]]
        portals = ["192.0.2.10:3260", "198.51.100.10:3260"]
        target = f"iqn.2010-10.org.openstack:volume-{volume['id']}"
        info: Entity = {
            "driver_volume_type": self.protocol,
            "attachment_id": key,
            "enforce_multipath": False,
            "target_discovered": False,
            "target_portal": portals[0],
            "target_iqn": target,
            "target_lun": 0,
            "volume_id": volume["id"],
            "auth_method": "CHAP",
            "auth_username": "user",
            "auth_password": f"{SECRET}-{volume['name']}",
        }
        if connector["multipath"]:
            info.update(target_portals=portals, target_iqns=[target, target], target_luns=[0, 0])
        attachment.update(status="attaching", connector=connector, host=connector["host"], connection_info=info)
        self.exports.setdefault(volume["id"], set()).add(connector["host"])
        volume["status"] = "attaching"
        return 200, {"attachment": self._shown(attachment)}

    def _complete(self, key: str, body: Entity) -> tuple[int, None]:
        attachment = self._attachment(key)
        attachment["status"] = "attached"
        self.volumes[attachment["volume_id"]]["status"] = "in-use"
        return 204, None

    def _delete_attachment(self, key: str, body: Any) -> tuple[int, Entity]:
        attachment = self._attachment(key)
        if attachment["instance"] and attachment["connection_info"]:
            raise RefusalError(409, f"Detach volume from instance {attachment['instance']} using the Compute API")
        del self.attachments[key]
        volume_id = attachment["volume_id"]
        left = [one for one in self.attachments.values() if one["volume_id"] == volume_id]
        # The export stays until the last attachment of the host is gone.
        if attachment["host"] not in [one["host"] for one in left]:
            self.exports.get(volume_id, set()).discard(attachment["host"])
        self._follow(volume_id)
        return 200, {"attachments": []}

    def _follow(self, volume_id: str) -> None:
        """Give a volume the state that its attachments have together."""
        states = {one["status"] for one in self.attachments.values() if one["volume_id"] == volume_id}
        order = {"attached": "in-use", "attaching": "attaching", "reserved": "reserved"}
        self.volumes[volume_id]["status"] = next((to for state, to in order.items() if state in states), "available")
