# Copyright: brickwork.storage contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A double of a Cinder service, and the modules' work with it as the only backend."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

# pytest reads this file before pytest-ansible has made the collection known.
if TYPE_CHECKING:
    from ansible_collections.brickwork.storage.tests.unit.controller.cinder_api import CinderApi
    from ansible_collections.brickwork.storage.tests.unit.controller.cinder_work import Controller


@pytest.fixture
def cinder() -> Iterator[CinderApi]:
    from ansible_collections.brickwork.storage.tests.unit.controller.cinder_api import CinderApi

    found = CinderApi()
    yield found
    found.close()


@pytest.fixture
def cinder_config(tmp_path: Path, cinder: CinderApi) -> Path:
    path = tmp_path / "backends.conf"
    path.write_text(
        "[DEFAULT]\nenabled_backends = cloud\n[cloud]\nvolume_driver = cinder_service\nauth_type = noauth\n"
        f"endpoint_override = {cinder.endpoint}/\nproject_id = project1\n",
        encoding="utf-8",
    )
    return path


@pytest.fixture
def controller(cinder_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Controller:
    from ansible_collections.brickwork.storage.plugins.module_utils import waiting
    from ansible_collections.brickwork.storage.plugins.module_utils.controller import batches, connections
    from ansible_collections.brickwork.storage.plugins.module_utils.controller.cinder_service import (
        attaching,
        provisioning,
    )
    from ansible_collections.brickwork.storage.tests.unit.controller.cinder_work import Controller

    monkeypatch.setattr(connections, "LOGOUT_SECONDS", 0)
    monkeypatch.setattr(provisioning, "FIRST_POLL_SECONDS", 0.001)
    monkeypatch.setattr(provisioning, "LONGEST_POLL_SECONDS", 0.001)
    monkeypatch.setattr(attaching, "POLL_SECONDS", 0.001)
    monkeypatch.setattr(attaching, "GRACE_SECONDS", 0.1)
    for module in (connections, batches):
        monkeypatch.setattr(module, "exclusive", functools.partial(waiting.exclusive, directory=tmp_path / "lock"))
    if_free = functools.partial(waiting.exclusive_if_free, directory=tmp_path / "lock")
    monkeypatch.setattr(connections, "exclusive_if_free", if_free)
    return Controller(cinder_config)


@pytest.fixture
def made(controller: Controller, cinder: CinderApi) -> Controller:
    """A controller with two volumes: a for one host, m for many."""
    cinder.add_volume("a", metadata={"brickwork": "volume"})
    cinder.add_volume("m", "multi", metadata={"brickwork": "volume"})
    cinder.requests.clear()
    return controller
