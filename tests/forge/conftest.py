"""Has `responses` answer what a forge is asked, in tests that say with it what a server would have said."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import requests
import urllib3


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
