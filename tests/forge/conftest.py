"""A repository on the embedded forge, and its client; or `responses` in its place, in tests that say what a
server would have said."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import requests
import urllib3

from sprint.config import ForgeConfig
from sprint.domain import Secret
from sprint.forge import Forge, connect
from tests.servers.forge import DemoForge

REPO = "octo/widgets"


def client(server: DemoForge, token: str | None = None, suffix: str = "") -> Forge:
    config = ForgeConfig(kind=server.kind, url=server.url + suffix)
    return connect(config, Secret(server.token if token is None else token), patience=5)


@pytest.fixture
def server(forge_server: DemoForge) -> DemoForge:
    forge_server.add_repo(REPO, {"README.md": "hello"}, default_branch="trunk")
    return forge_server


@pytest.fixture
def forge(server: DemoForge) -> Forge:
    return client(server)


@pytest.fixture(autouse=True)
def mocked_by_responses(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """`responses` knows requests only, and the client uses urllib3: here alone requests stands between."""
    if not hasattr(request.module, "responses"):
        return

    def send(
        pool: urllib3.PoolManager,
        method: str,
        url: str,
        headers: Mapping[str, str],
        *,
        body: bytes | None = None,
        timeout: float,
    ) -> urllib3.BaseHTTPResponse:
        try:
            answer = requests.request(
                method, url, headers=headers, data=body, timeout=timeout, allow_redirects=False, stream=True
            )
        except requests.ReadTimeout as error:
            raise urllib3.exceptions.ReadTimeoutError(None, url, "too late") from error  # type: ignore[arg-type]
        raw: urllib3.BaseHTTPResponse = answer.raw
        return raw

    monkeypatch.setattr("sprint.forge.http.send", send)
