"""Is there a model at all, and how much does it take in? Cheap questions, asked without the openai client."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sprint.credentials import NO_KEY
from sprint.domain import Endpoint
from sprint.errors import ModelError
from sprint.model.faults import scrubbed, text_of
from sprint.model.reply import DOCTOR_TELLS_MORE, named

QUICK_SECONDS = 5.0
_LARGEST_ANSWER = 8_000_000


@dataclass(frozen=True)
class Answer:
    """An HTTP answer: `data` is its JSON, None where it is none. `status` 0: there was no answer."""

    status: int
    data: Any = None
    text: str = ""


def check(endpoints: Sequence[Endpoint], timeout: float = QUICK_SECONDS) -> None:
    """See that one of the endpoints would be worth asking. Raises ModelError with the reason for each."""
    reasons = []
    for endpoint in endpoints:
        reason = unreachable(endpoint, timeout)
        if not reason:
            return
        reasons.append(f"{named(endpoint)}: {reason}")
    raise ModelError(f"no usable model: {'; '.join(reasons) or 'none is configured'}{DOCTOR_TELLS_MORE}")


def unreachable(endpoint: Endpoint, timeout: float = QUICK_SECONDS) -> str:
    """Why an endpoint cannot be used, or "". A server that has no list of models passes."""
    answer = get(endpoint, "/models", timeout)
    if answer.status == 0:
        return answer.text
    if answer.status == 401 and endpoint.key == NO_KEY:
        return "it wants a key, and none is set; set model.api_key_file, model.api_key_env or OPENAI_API_KEY"
    if answer.status in (401, 403):
        return f"the key is refused (HTTP {answer.status}: {answer.text})"
    if answer.status == 402 or answer.status >= 500:
        return f"HTTP {answer.status}: {answer.text}"
    return ""


def window(endpoint: Endpoint, timeout: float = QUICK_SECONDS) -> int | None:
    """How many tokens the model really takes in, as its server tells, or None.

    Ollama tells it only of a model that is loaded, and cuts what is longer without a word.
    """
    loaded = ollama_window(endpoint, timeout)
    if loaded is not None:
        return loaded
    listed = get(endpoint, "/models", timeout)
    for entry in _entries(listed.data, "data"):
        if entry.get("id") == endpoint.name:
            for key in ("max_model_len", "context_length", "context_window", "max_context_length"):
                if isinstance(entry.get(key), int) and entry[key] > 0:
                    return int(entry[key])
    return None


def ollama_window(endpoint: Endpoint, timeout: float = QUICK_SECONDS) -> int | None:
    """The context that Ollama runs the model with, where it is Ollama and the model is loaded."""
    running = get(endpoint, "/api/ps", timeout, below_root=True)
    for entry in _entries(running.data, "models"):
        if _same_model(endpoint.name, str(entry.get("name") or entry.get("model"))):
            length = entry.get("context_length")
            return length if isinstance(length, int) and length > 0 else None
    return None


def ollama_trained(endpoint: Endpoint, timeout: float = QUICK_SECONDS) -> int | None:
    """The context that the model behind Ollama was made for, or None."""
    shown = post(endpoint, "/api/show", {"model": endpoint.name}, timeout)
    info = shown.data.get("model_info") if isinstance(shown.data, dict) else None
    for key, value in info.items() if isinstance(info, dict) else ():
        if str(key).endswith(".context_length") and isinstance(value, int):
            return value
    return None


def get(endpoint: Endpoint, path: str, timeout: float, *, below_root: bool = False) -> Answer:
    """GET below the endpoint's address, or below its server's root, where it gets no key."""
    url = _root(endpoint) if below_root else endpoint.base_url.rstrip("/")
    return _ask(endpoint, "GET", f"{url}{path}", None, timeout, with_key=not below_root)


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
    import requests

    key = endpoint.key.reveal().strip()
    session = requests.Session()
    session.trust_env = False
    headers = {"Authorization": f"Bearer {key}"} if key and with_key else {}
    try:
        with session.request(
            method, url, json=data, headers=headers, timeout=timeout, allow_redirects=False, stream=True
        ) as response:
            body = b"".join(_pieces(response))
            status = response.status_code
    except (requests.RequestException, UnicodeError) as error:
        return Answer(0, text=_why(error, url, timeout, key))
    try:
        parsed = json.loads(body)
    except ValueError:
        text = text_of(body[:10_000].decode("utf-8", "replace"))
        return Answer(status, text=scrubbed(text, key) or "an empty answer")
    return Answer(status, parsed, scrubbed(text_of(parsed), key) if status >= 400 else "")


def _pieces(response: Any) -> Iterator[bytes]:
    left = _LARGEST_ANSWER
    for piece in response.iter_content(65536):
        left -= len(piece)
        if left < 0:
            return
        yield piece


def _why(error: Exception, url: str, timeout: float, key: str) -> str:
    import requests

    if isinstance(error, requests.Timeout):
        return f"no answer within {timeout:g} s"
    bottom: BaseException = error
    while (inner := bottom.__cause__ or bottom.__context__) is not None:
        bottom = inner
    if isinstance(bottom, ConnectionRefusedError):
        return "nothing listens there; start the server or set model.base_url"
    return scrubbed(str(bottom) or type(bottom).__name__, key)


def _entries(data: Any, key: str) -> list[dict[str, Any]]:
    found = data.get(key) if isinstance(data, dict) else None
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def _same_model(one: str, other: str) -> bool:
    return one.removesuffix(":latest") == other.removesuffix(":latest")
