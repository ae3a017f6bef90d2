"""Ollama on this machine: where it is, and which of its models to use."""

from __future__ import annotations

import logging
import re
from typing import Any
from urllib.parse import urlsplit

from sprint.errors import ModelError, ModelTrouble

DEFAULT_MODEL = "gemma4:latest"
_PORT = 11434
_SECONDS = 3.0
_ASKED_AT_MOST = 12
_CODER = re.compile(r"coder|devstral|codestral|code", re.IGNORECASE)

_log = logging.getLogger(__name__)


def address(host: str) -> str:
    """The server's address from $OLLAMA_HOST, which may be empty, a host, host:port, :port or an address."""
    text = host.strip().rstrip("/")
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        name, port = parts.hostname or "localhost", parts.port
    except ValueError as error:
        raise ModelError(f"OLLAMA_HOST is no address: {error}; set it to host:port") from error
    if name in ("0.0.0.0", "::"):  # noqa: S104 - what a server listens on is no address to call
        name = "localhost"
    name = f"[{name}]" if ":" in name else name
    return f"{parts.scheme}://{name}:{port or _PORT}"


def is_at(url: str) -> bool:
    """True where an address looks like Ollama on this machine."""
    parts = urlsplit(url)
    return parts.hostname in ("localhost", "127.0.0.1", "::1") and parts.port == _PORT


def choose_model(url: str) -> str:
    """An installed model that calls tools, coders first; else gemma4, else the first. Raises ModelError."""
    url = url.rstrip("/").removesuffix("/v1")
    names = installed(url)
    if not names:
        raise ModelError(f"Ollama at {url} has no model; run: ollama pull qwen3-coder")
    coders_first = sorted(names, key=lambda name: _CODER.search(name) is None)
    for name in coders_first[:_ASKED_AT_MOST]:
        if _calls_tools(url, name):
            return name
    fallback = DEFAULT_MODEL if DEFAULT_MODEL in names else coders_first[0]
    _log.warning("no model of Ollama at %s says that it calls tools; trying %s", url, fallback)
    return fallback


def installed(url: str) -> list[str]:
    """The names of its models. Raises ModelError where Ollama does not answer."""
    answer = _ask("GET", f"{url}/api/tags")
    models = answer.get("models") if isinstance(answer, dict) else None
    if not isinstance(models, list):
        raise ModelError(f"what answers at {url} is not Ollama; name the right address in OLLAMA_HOST")
    names = [model.get("name") for model in models if isinstance(model, dict)]
    return [name for name in names if isinstance(name, str) and name]


def _calls_tools(url: str, name: str) -> bool:
    try:
        answer = _ask("POST", f"{url}/api/show", {"model": name})
    except ModelError:
        return False
    capabilities = answer.get("capabilities") if isinstance(answer, dict) else None
    return isinstance(capabilities, list) and "tools" in capabilities


def _ask(method: str, url: str, body: Any = None) -> Any:
    import requests

    with requests.Session() as session:
        session.trust_env = False  # a proxy has no way to this machine's own port
        try:
            answer = session.request(method, url, json=body, timeout=_SECONDS, allow_redirects=False)
            answer.raise_for_status()
            return answer.json()
        except (requests.RequestException, ValueError) as error:
            raise ModelError(
                f"Ollama does not answer at {'/'.join(url.split('/')[:3])} ({type(error).__name__}); "
                "start it, or set OPENAI_API_KEY, or write model: in sprint.yaml",
                ModelTrouble.AWAY,
            ) from error
