"""One model's server, as the gateway asks it: with the key that it wants, and none but that."""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Mapping
from urllib.parse import urlsplit

from sprint import __version__
from sprint.credentials.secret_places import NO_KEY
from sprint.domain import Endpoint
from sprint.gateway.models.dialect import Dialect
from sprint.model.transport import Line, Transport

_ANTHROPIC = "api.anthropic.com"
_LONG_LIVED = "sk-ant-oat"  # what `claude setup-token` makes
_OAUTH_BETA = "oauth-2025-04-20"


class Provider:
    """For all threads of one gateway. It takes nothing from the environment: no proxy, no key."""

    def __init__(self, endpoint: Endpoint, dialect: Dialect) -> None:
        self.endpoint = endpoint
        self.asks_usage = True  # until its server turns out not to count in a stream
        self._host = urlsplit(endpoint.base_url).hostname or ""
        self._key = endpoint.key.reveal().strip()
        self._dialect = dialect
        self._transport = Transport(endpoint.base_url)

    def close(self) -> None:
        self._transport.close()

    def asked(
        self, line: Line, path: str, headers: Mapping[str, str], body: bytes
    ) -> contextlib.AbstractContextManager[http.client.HTTPResponse]:
        """POST; the answer's head is there, its body yet to be read. Raises OSError, HTTPException."""
        own = {"user-agent": f"sprint-gateway/{__version__}", **headers, **self._authorization(headers)}
        return self._transport.asked(line, path, own, body)

    def _authorization(self, headers: Mapping[str, str]) -> dict[str, str]:
        """As the server wants it: Anthropic's own has keys of two sorts."""
        if not self._key or self.endpoint.key == NO_KEY:
            return {}
        if self._host == _ANTHROPIC and self._dialect == "messages":
            if not self._key.startswith(_LONG_LIVED):
                return {"x-api-key": self._key}
            betas = filter(None, [headers.get("anthropic-beta", ""), _OAUTH_BETA])
            return {"authorization": f"Bearer {self._key}", "anthropic-beta": ",".join(betas)}
        return {"authorization": f"Bearer {self._key}"}


def misplaced(endpoint: Endpoint) -> str:
    """Why an endpoint's key is not for its server, or "": Anthropic's own would be billed by mistake there,
    or shown to whoever runs that server."""
    host = urlsplit(endpoint.base_url).hostname or ""
    if endpoint.key.reveal().startswith("sk-ant-") and host != _ANTHROPIC:
        return f"its key is one of Anthropic's, and {host} is not; give model: a key of that server's own"
    return ""
