"""What an agent asks of its model, made fit to be passed on: the model that is configured, and nothing that
would have the provider reach out for whoever is in the sandbox."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sprint.domain import Endpoint
from sprint.gateway.exchange import Refused
from sprint.gateway.models.dialect import Rules, mapping

# What runs tools or fetches for the client, takes another model, or another price than the configured one.
_NOT_PASSED = frozenset(
    {
        *("mcp_servers", "container", "plugins", "web_search_options", "background"),
        *("models", "route", "provider", "service_tier", "speed"),
    }
)
_HEADERS = ("accept", "anthropic-version", "anthropic-beta", "openai-beta")
_LONGEST_HEADER = 2_000


@dataclass(frozen=True)
class Request:
    """`hides_usage`: the client did not want to hear how much was counted. `left_out` names what is not
    passed on. `characters` are those of the request as it came."""

    body: Mapping[str, Any]
    headers: Mapping[str, str]
    rules: Rules
    is_stream: bool
    has_tools: bool
    hides_usage: bool
    left_out: tuple[str, ...]
    characters: int

    def for_endpoint(self, endpoint: Endpoint, *, asks_usage: bool) -> bytes:
        """The bytes to send to an endpoint, whose own model they ask for."""
        further = endpoint.extra if self.rules.TAKES_EXTRA else {}
        body = {**further, **self.body, "model": endpoint.name}
        if not asks_usage:
            body.pop("stream_options", None)
        return json.dumps(body).encode()


def understood(raw: bytes, headers: Mapping[str, str], rules: Rules) -> Request:
    """Raises Refused for what is no request of this dialect, or has the provider fetch something."""
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        raise Refused(400, "the request is no JSON") from None
    if not isinstance(body, dict):
        raise Refused(400, "the request is no JSON object")
    left_out = sorted(_NOT_PASSED & body.keys())
    for name in left_out:
        del body[name]
    left_out += _without_hosted_tools(body, rules)
    for part in _parts([body.get(name) for name in ("messages", "input", "system")]):
        if rules.outside(part):
            raise Refused(400, "nothing is fetched by its address; send its content")
    return Request(
        body=body,
        headers={name: headers[name] for name in _HEADERS if len(headers.get(name, "")) in _LENGTHS},
        rules=rules,
        is_stream=body.get("stream") is True,
        has_tools=bool(body.get("tools")),
        hides_usage=rules.prepare(body),
        left_out=tuple(left_out),
        characters=len(raw),
    )


_LENGTHS = range(1, _LONGEST_HEADER)


def _without_hosted_tools(body: dict[str, Any], rules: Rules) -> list[str]:
    """Takes out the tools that the provider would run, and returns their types."""
    tools = body.get("tools")
    if not isinstance(tools, list):
        return []
    kept, hosted = [], []
    for tool in tools:
        kind = str(mapping(tool).get("type") or "")
        if not kind or any(fnmatch.fnmatchcase(kind, own) for own in rules.OWN_TOOLS):
            kept.append(tool)
        else:
            hosted.append(kind)
    body["tools"] = kept
    return hosted


def _parts(value: Any) -> Iterator[Mapping[str, Any]]:
    """The parts of messages, however deep; what a tool was called with is the client's own matter."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting += one
        elif isinstance(one, dict):
            yield one
            waiting += [one[name] for name in ("content", "output") if name in one]
