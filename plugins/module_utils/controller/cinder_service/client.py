# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The API of a Cinder service, as far as it is used here: third version, volumes, snapshots and attachments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional
from urllib.parse import quote, urlencode

from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder_service.access import access
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder_service.rest import (
    RefusedError,
    Rest,
    bounded,
)
from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder_service.settings import (
    NOAUTH,
    Settings,
)
from ansible_collections.brickwork.storage.plugins.module_utils.errors import StorageError
from ansible_collections.brickwork.storage.plugins.module_utils.waiting import Deadline

Entity = dict[str, Any]


class Client:
    """What can be asked of a service, each call before the deadline.

    Args:
        settings: of the section.
        deadline: by when everything must have ended.
        came_in: as another client did; None to come in with the first call.
    """

    def __init__(self, settings: Settings, deadline: Deadline, came_in: Optional[Rest] = None) -> None:
        self._settings = settings
        self._deadline = deadline
        self._came_in = came_in

    def until(self, deadline: Deadline) -> Client:
        """The same, with another deadline."""
        return Client(self._settings, deadline, self._came_in)

    # Reading

    def volumes(self) -> list[Entity]:
        """Every volume of the project, in full."""
        return self._all("/volumes/detail", "volumes", "list the volumes")

    def snapshots(self) -> list[Entity]:
        """Every snapshot of the project, in full."""
        return self._all("/snapshots/detail", "snapshots", "list the snapshots")

    def find(self, kind: str, item_id: str) -> Optional[Entity]:
        """The volume or snapshot of this id; None where it is gone."""
        try:
            found: Entity = self._ask("GET", f"/{kind}s/{item_id}", f"show {kind} {item_id}")[kind]
            return found
        except RefusedError as error:
            if error.status == 404:
                return None
            raise

    def attachments(self, volume_id: str) -> list[Entity]:
        """The attachments of a volume, those that are not complete among them."""
        doing = f"list the attachments of volume {volume_id}"
        found = self._all("/attachments", "attachments", doing, volume_id=volume_id)
        return [attachment for attachment in found if attachment.get("volume_id") == volume_id]

    def attachment(self, attachment_id: str) -> Entity:
        found: Entity = self._ask("GET", f"/attachments/{attachment_id}", "show an attachment")["attachment"]
        return found

    def absolute_limits(self) -> Mapping[str, int]:
        found: Mapping[str, int] = self._ask("GET", "/limits", "tell the project's quota")["limits"]["absolute"]
        return found

    def pools(self) -> list[Entity]:
        """What the drivers say about themselves; only an administrator may know."""
        # Not by volume type: cinder 29 fails over that where a pool's capacity is a number.
        answer = self._ask("GET", "/scheduler-stats/get_pools?detail=True", "tell its capacity")
        return [pool.get("capabilities") or {} for pool in answer["pools"]]

    def reason(self, item_id: str) -> str:
        """What the service last told its users about a volume or snapshot; empty where that was nothing."""
        try:
            query = urlencode({"resource_uuid": item_id, "sort": "created_at:desc"})
            told = self._ask("GET", f"/messages?{query}", "tell what happened")["messages"]
            return str(told[0]["user_message"]).rstrip(".") if told else ""
        except (StorageError, KeyError, TypeError):
            return ""  # it is said beside a failure, which it must not hide

    # Volumes and snapshots

    def create_volume(self, **values: Any) -> Entity:
        answer = self._ask("POST", "/volumes", f"create volume {values['name']}", {"volume": values})
        created: Entity = answer["volume"]
        return created

    def create_snapshot(self, **values: Any) -> Entity:
        # Forced is what releases before microversion 3.66 call the snapshot of a volume that hosts use.
        body = {"snapshot": {**values, "force": True}}
        created: Entity = self._ask("POST", "/snapshots", f"create snapshot {values['name']}", body)["snapshot"]
        return created

    def extend(self, volume_id: str, name: str, gibibytes: int) -> None:
        body = {"os-extend": {"new_size": gibibytes}}
        self._ask("POST", f"/volumes/{volume_id}/action", f"let volume {name} grow to {gibibytes} GiB", body)

    def delete(self, kind: str, item_id: str, name: str) -> None:
        """Begin to delete a volume or snapshot; one that is gone is no failure."""
        self._delete(f"/{kind}s/{item_id}", f"delete {kind} {name}")

    def delete_by_force(self, kind: str, item_id: str, name: str) -> None:
        """The same where a deletion failed; only an administrator may do that."""
        body: Entity = {"os-force_delete": {}}
        self._ask("POST", f"/{kind}s/{item_id}/action", f"delete {kind} {name}, whose deletion failed before", body)

    def set_metadata(self, volume_id: str, name: str, entries: Mapping[str, str]) -> None:
        """Add or change entries of a volume's metadata; the others stay."""
        body = {"metadata": dict(entries)}
        self._ask("POST", f"/volumes/{volume_id}/metadata", f"note who holds volume {name}", body)

    def remove_metadata(self, volume_id: str, name: str, key: str) -> None:
        path = f"/volumes/{volume_id}/metadata/{quote(key, safe='')}"
        self._delete(path, f"forget who held volume {name}")

    # Attachments

    def reserve(self, volume_id: str, name: str) -> str:
        """Create an attachment that gives access to nobody yet; returns its id.

        Without the id of a server: with one, the service would ask Nova before it deletes the attachment.
        """
        body = {"attachment": {"volume_uuid": volume_id}}
        answer = self._ask("POST", "/attachments", f"create an attachment of volume {name}", body)
        return str(answer["attachment"]["id"])

    def export(self, attachment_id: str, name: str, connector: Mapping[str, Any]) -> Entity:
        """Give the host of a connector access; returns the attachment."""
        body = {"attachment": {"connector": dict(connector)}}
        doing = f"export volume {name} to {connector['host']}"
        updated: Entity = self._ask("PUT", f"/attachments/{attachment_id}", doing, body)["attachment"]
        return updated

    def complete(self, attachment_id: str, name: str) -> None:
        """Say that an attachment is made; until then the volume is C(attaching), and no other host can get one."""
        doing = f"complete the attachment of volume {name}"
        self._ask("POST", f"/attachments/{attachment_id}/action", doing, {"os-complete": {}})

    def detach(self, attachment_id: str, name: str) -> None:
        """Delete an attachment; one that is gone is no failure."""
        self._delete(f"/attachments/{attachment_id}", f"delete an attachment of volume {name}")

    # Pieces

    def _delete(self, path: str, doing: str) -> None:
        try:
            self._ask("DELETE", path, doing)
        except RefusedError as error:
            if error.status != 404:
                raise

    def _all(self, path: str, key: str, doing: str, **query: Any) -> list[Entity]:
        """Every page of a list.

        Pages are as long as the service likes: it tells of a next page only where the present one has as many entries as was asked
        for, which it never has where that is more than the service gives at once.
        """
        found: list[Entity] = []
        more = True
        while more:
            answer = self._ask("GET", f"{path}?{urlencode(query)}" if query else path, doing)
            page: list[Entity] = answer[key]
            found += page
            more = bool(page and answer.get(f"{key}_links"))
            if more:
                # The address that comes with it may be one that only others can reach.
                query["marker"] = page[-1]["id"]
        return found

    def _ask(self, method: str, path: str, doing: str, body: Optional[Any] = None) -> Any:
        rest = self._rest(doing)
        try:
            answer = rest.ask(method, path, doing, self._deadline, body)
        except RefusedError as error:
            if error.status != 401 or self._settings.auth_type == NOAUTH:
                raise
            # A token lasts for less than a long copy may take.
            self._came_in = None
            rest = self._rest(doing)
            answer = rest.ask(method, path, doing, self._deadline, body)
        if method == "GET" and not isinstance(answer, dict):
            raise StorageError(
                "unavailable", f"What answers at {rest.access.endpoint} is no Cinder service; correct the endpoint."
            )
        return answer

    def _rest(self, doing: str) -> Rest:
        if self._came_in is None:
            late = StorageError(
                "deadline_exceeded", f"Keystone gave no token in time to {doing}; see to it, and repeat the call."
            )
            found = bounded(lambda: access(self._settings, self._deadline.remaining() or 1), late, self._deadline)
            self._came_in = Rest(found, self._settings.verify, self._settings.ca_file)
        return self._came_in
