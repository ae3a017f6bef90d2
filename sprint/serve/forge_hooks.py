"""Webhooks of forges: signed as Gitea, Forgejo and GitHub sign them, and which of them want a tick."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from starlette.datastructures import Headers

from sprint import credentials
from sprint.config import Config, RepoConfig
from sprint.domain import Secret
from sprint.errors import ConfigError, SprintError
from sprint.first_look import forge_of
from sprint.gateway.exchange import Refused
from sprint.serve.sprite_hooks import is_signature
from sprint.surroundings import Surroundings

BODY_BYTES = 1_000_000
_SHORTEST_SECRET = 16  # characters
_ASK_AGAIN = 300.0  # seconds, of a forge that did not tell who we are
_SIGNATURES = {"x-gitea-signature": "", "x-forgejo-signature": "", "x-hub-signature-256": "sha256="}
_EVENTS = ("x-gitea-event-type", "x-gitea-event", "x-forgejo-event", "x-github-event")
_OF_PEOPLE = ("issue", "pull_request")  # and what begins so: comments, labels, reviews, assignments
# What CI says comes in the name of whoever pushed, which is us.
_OF_CI = ("status", "check_run", "check_suite", "workflow_run")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Event:
    """What a webhook tells, as far as it matters here. `why_not`: why it starts no tick, "" where it does."""

    repo: RepoConfig | None
    why_not: str = ""


class ForgeHooks:
    """Understands them; from any thread. Raises ConfigError where a secret cannot be had, or guessed."""

    def __init__(self, config: Config, around: Surroundings) -> None:
        self._config, self._around = config, around
        self._secrets = {name: _secret(name, config) for name in config.forges}
        self._logins: dict[str, str] = {}
        self._ask_at: dict[str, float] = {}
        self._lock = threading.Lock()

    def event(self, headers: Headers, body: bytes) -> Event:
        """Raises Refused for what no configured forge has signed."""
        forge, payload = self._signed(headers, body)
        kind = next((headers[name] for name in _EVENTS if headers.get(name)), "").lower()
        repo = self._repo(forge, _text(payload, "repository", "full_name"))
        if repo is None:
            return Event(None, "its repository is not configured")
        if kind.startswith(_OF_CI):
            return Event(repo, "" if _is_result(payload) else "nothing has come of it yet")
        if not kind.startswith(_OF_PEOPLE):
            return Event(repo, "nothing that a tick looks at")
        is_own = _text(payload, "sender", "login").lower() == self._login(forge, repo).lower()
        return Event(repo, "our own account did it" if is_own else "")

    def _signed(self, headers: Headers, body: bytes) -> tuple[str, Mapping[str, Any]]:
        given = next(
            ((headers[name], prefix) for name, prefix in _SIGNATURES.items() if name in headers), None
        )
        if given is None:
            raise Refused(401, "it bears no signature")
        for text in _texts(headers, body):
            for forge, secret in self._secrets.items():
                if secret and is_signature(given[0], given[1], secret.reveal().encode(), text[0]):
                    return forge, _payload(text[1])
        raise Refused(401, "no configured forge has signed it")

    def _repo(self, forge: str, name: str) -> RepoConfig | None:
        found = (one for one in self._config.repos if one.forge == forge)
        return next((one for one in found if one.name.lower() == name.lower()), None)

    def _login(self, forge: str, repo: RepoConfig) -> str:
        """Ours there, asked for once; "" where it cannot be had now: then every event counts."""
        with self._lock:
            is_due = time.monotonic() >= self._ask_at.get(forge, 0.0)
            if forge not in self._logins and is_due:
                self._ask_at[forge] = time.monotonic() + _ASK_AGAIN
                try:
                    self._logins[forge] = forge_of(self._config, repo, self._around).whoami()
                except SprintError as error:
                    _log.warning("who we are at %s is not known: %s", forge, error)
            return self._logins.get(forge, "")


def _secret(name: str, config: Config) -> Secret | None:
    file, at = config.forges[name].webhook_secret_file, f"forges.{name}.webhook_secret_file"
    if not file:
        return None
    secret = credentials.token_in_file(Path(file), at).secret
    if len(secret.reveal()) < _SHORTEST_SECRET:
        raise ConfigError(f"{at}: give it {_SHORTEST_SECRET} characters or more; `openssl rand -hex 32`")
    return secret


def _texts(headers: Headers, body: bytes) -> Iterator[tuple[bytes, bytes]]:
    """What may have been signed, with the JSON that it holds. Of a form, GitHub signs all, Gitea the JSON."""
    if not headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        yield body, body
        return
    try:
        fields = parse_qs(body.decode("utf-8", "replace"), max_num_fields=10)
    except ValueError:  # too many: it is no forge's
        return
    payload = (fields.get("payload") or [""])[0].encode()
    yield body, payload
    yield payload, payload


def _payload(text: bytes) -> Mapping[str, Any]:
    try:
        payload = json.loads(text)
    except (ValueError, RecursionError):
        payload = None
    if not isinstance(payload, dict):
        raise Refused(400, "no JSON object")
    return payload


def _text(payload: Mapping[str, Any], *path: str) -> str:
    value: Any = payload
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, str) else ""


def _is_result(payload: Mapping[str, Any]) -> bool:
    """Of a status, and of a check, a suite or a workflow."""
    return payload.get("action") == "completed" or payload.get("state") in ("success", "failure", "error")
