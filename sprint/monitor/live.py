"""What only servers can say: asked all at once, and nobody waits longer than `SECONDS` for an answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

import requests

from sprint import credentials
from sprint.config import Config
from sprint.credentials.endpoints import model_endpoints
from sprint.domain import Endpoint
from sprint.errors import SprintError
from sprint.forge import connect
from sprint.monitor.figures import Service
from sprint.surroundings import Surroundings

SECONDS = 3.0
UNREACHABLE = "unreachable"
_HERMES_SERVER = "http://localhost:8642/health"

T = TypeVar("T")


@dataclass(frozen=True)
class Live:
    """`open_issues` maps (forge, repository) to their number, or to the reason why there is none."""

    open_issues: Mapping[tuple[str, str], int | str]
    services: tuple[Service, ...]


class Questions(Generic[T]):
    """Calls under way in threads of their own, which end with the process whatever they wait for."""

    def __init__(self, calls: Mapping[str, Callable[[], T]], seconds: float) -> None:
        self._answers: SimpleQueue[tuple[str, T]] = SimpleQueue()
        self._count = len(calls)
        self._deadline = time.monotonic() + seconds
        for name, call in calls.items():
            threading.Thread(target=self._ask, args=(name, call), daemon=True).start()

    def _ask(self, name: str, call: Callable[[], T]) -> None:
        self._answers.put((name, call()))

    def answers(self) -> dict[str, T]:
        """Those that came in time."""
        found: dict[str, T] = {}
        while len(found) < self._count:
            try:
                name, answer = self._answers.get(timeout=max(self._deadline - time.monotonic(), 0.0))
            except Empty:
                break
            found[name] = answer
        return found


class Asked:
    """Open issues, hermes' server and models, asked from the moment this is made."""

    def __init__(
        self,
        config: Config,
        around: Surroundings,
        repos: Iterable[tuple[str, str]],
        seconds: float = SECONDS,
    ) -> None:
        self._repos = {f"{forge}:{repo}": (forge, repo) for forge, repo in repos if forge in config.forges}
        self._hermes = _hermes_address(config, around)

        def issues_of(forge: str, repo: str) -> Callable[[], int | str]:
            return lambda: _open_issues(config, forge, repo, around, seconds)

        def models() -> tuple[Service, ...]:
            return _models(config, around, seconds)

        self._issues = Questions({key: issues_of(*at) for key, at in self._repos.items()}, seconds)

        def hermes() -> tuple[Service, ...]:
            return (_hermes_server(self._hermes, _status(self._hermes, seconds, "")),)

        self._services: Questions[tuple[Service, ...]] = Questions(
            {**({"hermes": hermes} if self._hermes else {}), "model": models}, seconds
        )

    def live(self) -> Live:
        """What was answered in time; the rest is unreachable."""
        counts = self._issues.answers()
        services = self._services.answers()
        hermes = {"hermes": (_hermes_server(self._hermes, UNREACHABLE),)} if self._hermes else {}
        unreachable = {**hermes, "model": (Service("model", "", False, UNREACHABLE),)}
        return Live(
            open_issues={at: counts.get(key, UNREACHABLE) for key, at in self._repos.items()},
            services=tuple(
                service for name, silent in unreachable.items() for service in services.get(name, silent)
            ),
        )


def _open_issues(
    config: Config, forge_name: str, repo: str, around: Surroundings, seconds: float
) -> int | str:
    try:
        token = credentials.forge_token(forge_name, config.forges[forge_name], around)
        forge = connect(config.forges[forge_name], token, patience=0.0, timeout=seconds)
        count = forge.open_issue_count(repo)
    except SprintError as error:
        return f"{UNREACHABLE}: {error}"
    return "not told by the forge" if count is None else count


def _hermes_address(config: Config, around: Surroundings) -> str:
    """Where hermes' server should answer, "" where nobody has hermes."""
    configured = config.monitor.hermes_server
    if configured is None:
        return _HERMES_SERVER if credentials.hermes_is_set_up(around) else ""
    return configured


def _hermes_server(url: str, fault: str) -> Service:
    """Up when it answers without an error, as `curl -f` has it."""
    return Service("hermes server", url, not fault, f"{fault}; sprints use the CLI" if fault else "")


def _models(config: Config, around: Surroundings, seconds: float) -> tuple[Service, ...]:
    try:
        endpoints = model_endpoints(config, around)
    except SprintError as error:
        return (Service("model", "", False, str(error)),)
    return tuple(_model(endpoint, seconds) for endpoint in endpoints[:1]) or (
        Service("model", "", False, "none is configured"),
    )


def _model(endpoint: Endpoint, seconds: float) -> Service:
    """Up when the server lists its models, or at least answers that it will not."""
    url = f"{endpoint.base_url.rstrip('/')}/models"
    said = _status(url, seconds, endpoint.key.reveal())
    is_up = not said or said in ("HTTP 404", "HTTP 405")
    if said in ("HTTP 401", "HTTP 403"):
        said = f"{said}: it refuses the key"
    return Service(f"model {endpoint.name}", endpoint.base_url, is_up, "" if is_up else said)


def _status(url: str, seconds: float, key: str) -> str:
    """What is wrong with an address's answer, or ""; redirects are not followed, the body is not read."""
    try:
        with requests.get(
            url,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            auth=_as_it_is,  # or else ~/.netrc would take the header's place
            timeout=seconds,
            allow_redirects=False,
            stream=True,
        ) as answer:
            return f"HTTP {answer.status_code}" if answer.status_code >= 400 else ""
    except (requests.RequestException, UnicodeError, ValueError):
        return UNREACHABLE


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request
