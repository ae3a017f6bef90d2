"""How much does a model take in? Cheap questions, apart from the conversation."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from sprint.domain import Endpoint
from sprint.model.faults import scrubbed, text_of, why_lost
from sprint.model.transport import trusted

QUICK_SECONDS = 5.0
LOAD_SECONDS = 120.0
_WINDOW_KEYS = ("max_model_len", "context_length", "context_window", "max_context_length")
_FROM_BLOB = re.compile(r"^FROM\s+\S*(sha256[-:][0-9a-f]{64})", re.M)
_LARGEST_ANSWER = 8_000_000


class Answer(Struct, frozen=True):
    """An HTTP answer: `data` is its JSON, None where it is none. `status` 0: there was no answer."""

    status: int
    data: Any = None
    text: str = ""


def window(endpoint: Endpoint, timeout: float = QUICK_SECONDS) -> int | None:
    """How many tokens the model really takes in, as its server tells, or None.

    Ollama, which cuts what is longer without a word, is made to load the model: it tells of no other.
    """
    if (loaded := ollama_window(endpoint, timeout)) is not None:
        return loaded
    listed = get(endpoint, "/models", timeout)
    told = (_window_of(_entry(endpoint, listed)), _llama_cpp_window(endpoint, timeout))
    return min(filter(None, told), default=None)


def _entry(endpoint: Endpoint, listed: Answer) -> dict[str, Any]:
    """What a list of models says of this one; where there is but one, its name may be another."""
    entries = _entries(listed.data, "data")
    named = [entry for entry in entries if entry.get("id") == endpoint.name]
    return (named or (entries if len(entries) == 1 else [{}]))[0]


def _window_of(entry: dict[str, Any]) -> int | None:
    meta = entry.get("meta")  # llama.cpp's
    places = ((entry, _WINDOW_KEYS), (meta if isinstance(meta, dict) else {}, ("n_ctx",)))
    return next((n for place, keys in places for key in keys if (n := _tokens(place.get(key)))), None)


def _llama_cpp_window(endpoint: Endpoint, timeout: float) -> int | None:
    """What one request gets of llama.cpp's context, which its slots may share."""
    properties = get(endpoint, "/props", timeout, below_root=True, with_key=True).data
    settings = properties.get("default_generation_settings") if isinstance(properties, dict) else None
    return _tokens(settings.get("n_ctx")) if isinstance(settings, dict) else None


def ollama_window(
    endpoint: Endpoint, timeout: float = QUICK_SECONDS, load_seconds: float = LOAD_SECONDS
) -> int | None:
    """The context that Ollama runs the model with; None where it is not Ollama, or has no such model.

    A model that is not loaded is loaded first, for which it may take `load_seconds`.
    """
    running = get(endpoint, "/api/ps", timeout, below_root=True)
    if not isinstance(running.data, dict) or not isinstance(running.data.get("models"), list):
        return None
    runner = _by_name(endpoint.name, running)
    if runner is None:
        if post(endpoint, "/api/generate", {"model": endpoint.name}, load_seconds).status != 200:
            return None
        running = get(endpoint, "/api/ps", timeout, below_root=True)
        runner = _by_name(endpoint.name, running) or _by_weights(endpoint, running, timeout)
    return _tokens(runner.get("context_length")) if runner else None


def _by_name(name: str, running: Answer) -> dict[str, Any] | None:
    entries = _entries(running.data, "models")
    return next((entry for entry in entries if _same_model(name, _name_of(entry))), None)


def _by_weights(endpoint: Endpoint, running: Answer, timeout: float) -> dict[str, Any] | None:
    """The runner that serves the model under the name of another, which has the same weights."""
    weights = _weights(endpoint, endpoint.name, timeout)
    entries = _entries(running.data, "models")
    return next((e for e in entries if weights and _weights(endpoint, _name_of(e), timeout) == weights), None)


def _weights(endpoint: Endpoint, name: str, timeout: float) -> str:
    shown = post(endpoint, "/api/show", {"model": name}, timeout).data
    modelfile = shown.get("modelfile") if isinstance(shown, dict) else None
    found = _FROM_BLOB.search(modelfile) if isinstance(modelfile, str) else None
    return found[1] if found else ""


def ollama_trained(endpoint: Endpoint, timeout: float = QUICK_SECONDS) -> int | None:
    """The context that the model behind Ollama was made for, or None."""
    shown = post(endpoint, "/api/show", {"model": endpoint.name}, timeout)
    info = shown.data.get("model_info") if isinstance(shown.data, dict) else None
    for key, value in info.items() if isinstance(info, dict) else ():
        if str(key).endswith(".context_length") and isinstance(value, int):
            return value
    return None


def get(
    endpoint: Endpoint,
    path: str,
    timeout: float,
    *,
    below_root: bool = False,
    with_key: bool | None = None,
) -> Answer:
    """GET below the endpoint's address, with its key, or below its server's root, by default without."""
    url = _root(endpoint) if below_root else endpoint.base_url.rstrip("/")
    key = not below_root if with_key is None else with_key
    return _ask(endpoint, "GET", f"{url}{path}", None, timeout, with_key=key)


def post(endpoint: Endpoint, path: str, data: Mapping[str, Any], timeout: float) -> Answer:
    """POST below the server's root, without the key."""
    return _ask(endpoint, "POST", f"{_root(endpoint)}{path}", data, timeout, with_key=False)


def _root(endpoint: Endpoint) -> str:
    return endpoint.base_url.rstrip("/").removesuffix("/v1")


def _ask(
    endpoint: Endpoint,
    method: str,
    url: str,
    data: Mapping[str, Any] | None,
    timeout: float,
    *,
    with_key: bool,
) -> Answer:
    import urllib3

    key = endpoint.key.reveal().strip()
    headers = {"content-type": "application/json"} if data is not None else {}
    if key and with_key:
        headers["authorization"] = f"Bearer {key}"
    try:
        with urllib3.PoolManager(ssl_context=trusted() if url.startswith("https:") else None) as pool:
            response = pool.request(
                method,
                url,
                body=None if data is None else json.dumps(data).encode(),
                headers=headers,
                timeout=timeout,
                redirect=False,
                retries=False,
                preload_content=False,
            )
            body, status = b"".join(_pieces(response)), response.status
            response.close()
    except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        return Answer(0, text=_why(error, url, timeout, key))
    try:
        parsed = json.loads(body)
    except ValueError:
        text = text_of(body[:10_000].decode("utf-8", "replace"))
        return Answer(status, text=scrubbed(text, key) or "an empty answer")
    return Answer(status, parsed, scrubbed(text_of(parsed), key) if status >= 400 else "")


def _pieces(response: Any) -> Iterator[bytes]:
    left = _LARGEST_ANSWER
    for piece in response.stream(65536):
        left -= len(piece)
        if left < 0:
            return
        yield piece


def _why(error: Exception, url: str, timeout: float, key: str) -> str:
    from urllib3 import exceptions

    if isinstance(error, exceptions.TimeoutError) and not isinstance(error, exceptions.NewConnectionError):
        return f"no answer within {timeout:g} s"
    bottom: BaseException = error
    while (inner := bottom.__cause__ or bottom.__context__) is not None:
        bottom = inner
    return why_lost(bottom, key)


def _entries(data: Any, key: str) -> list[dict[str, Any]]:
    found = data.get(key) if isinstance(data, dict) else None
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def _name_of(entry: Mapping[str, Any]) -> str:
    return str(entry.get("name") or entry.get("model"))


def _tokens(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _same_model(one: str, other: str) -> bool:
    return one.removesuffix(":latest") == other.removesuffix(":latest")
