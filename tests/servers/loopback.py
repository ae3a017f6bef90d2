"""Servers on loopback that go wrong on demand and keep a log of what they were asked."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sprint.demo import loopback
from sprint.demo.loopback import Answer, Request, json_answer

__all__ = ["Answer", "Fault", "FaultyServer", "HangUp", "LoopbackServer", "Request", "Seen", "json_answer"]

_BODY_KEPT = 4_000_000


class HangUp(ConnectionError):
    """Close the connection now, without another byte."""


@dataclass
class Fault:
    """What goes wrong, for requests whose method and path (with the query) match.

    `times` None means for ever; the first `skip` matches pass unharmed. `hang` waits so many seconds first.
    Then one of: `drop` closes the connection, `truncate` sends the first half of the true answer as if it
    were all, `status` answers with `headers` and `body`; none of them lets the true answer through. `after`
    does the work before failing. `call` runs when the request arrives, before anything else.
    """

    path: str = ""
    method: str = ""
    times: int | None = 1
    skip: int = 0
    hang: float = 0.0
    drop: bool = False
    truncate: bool = False
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | bytes = ""
    after: bool = False
    call: Callable[[], object] | None = None
    hits: int = 0

    def matches(self, method: str, target: str) -> bool:
        return (not self.method or self.method == method) and re.search(self.path, target) is not None


@dataclass(frozen=True)
class Seen:
    """What was asked and how it ended; status 0 where no answer was sent."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    has_token: bool
    status: int


class FaultyServer(loopback.LoopbackServer):
    """Comes before a server among its bases: spoils that one's answers by `faults`, and logs `requests`."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.requests: list[Seen] = []
        self.faults: list[Fault] = []
        self._log_lock = threading.Lock()

    def secrets(self) -> list[str]:
        """The tokens looked for in Authorization headers, to say in `requests` who brought one."""
        return []

    def asked(self, act: Callable[[], object]) -> list[Seen]:
        """The requests that `act` makes. None is missing: each is in the log before its answer is whole."""
        before = len(self.requests)
        act()
        return self.requests[before:]

    def wait(self, seconds: float) -> None:
        """Wait, but never longer than the server lives. Raises HangUp once it stops."""
        if self.stopping.wait(seconds):
            raise HangUp

    def answer(self, request: Request) -> Answer:
        """The true answer, or what a fault makes of it; in the log before it is whole."""
        try:
            made = self._spoiled(request)
        except BaseException:
            self._log(request, 0)
            raise
        if isinstance(made.body, bytes):
            self._log(request, made.status)
        else:
            made.body = self._logged(request, made.status, made.body)
        return made

    def _spoiled(self, request: Request) -> Answer:
        fault = self._fault_for(request)
        if fault is None:
            return super().answer(request)
        if fault.call is not None:
            fault.call()
        if fault.hang:
            self.wait(fault.hang)
        is_spoiled = fault.drop or fault.truncate or fault.status
        made = super().answer(request) if fault.after or fault.truncate or not is_spoiled else Answer()
        if fault.drop:
            _whole(made)
            raise HangUp
        if fault.truncate:
            whole = _whole(made)
            return Answer(made.status, whole[: len(whole) // 2], made.headers)
        if not fault.status:
            return made
        _whole(made)
        body = fault.body.encode() if isinstance(fault.body, str) else fault.body
        return Answer(fault.status, body, dict(fault.headers))

    def _fault_for(self, request: Request) -> Fault | None:
        with self._log_lock:
            for fault in self.faults:
                is_spent = fault.times is not None and fault.hits >= fault.skip + fault.times
                if is_spent or not fault.matches(request.method, request.target):
                    continue
                fault.hits += 1
                if fault.hits > fault.skip:
                    return fault
        return None

    def _logged(
        self, request: Request, status: int, body: Generator[bytes, None, None]
    ) -> Generator[bytes, None, None]:
        try:
            yield from body
        finally:
            self._log(request, status)

    def _log(self, request: Request, status: int) -> None:
        has_token = any(secret in request.credentials for secret in self.secrets())
        body = request.body[:_BODY_KEPT]
        seen = Seen(request.method, request.path, request.query, request.headers, body, has_token, status)
        with self._log_lock:
            self.requests.append(seen)


def _whole(answer: Answer) -> bytes:
    return answer.body if isinstance(answer.body, bytes) else b"".join(answer.body)


class _Handled(loopback.LoopbackServer):
    def __init__(self, handle: Callable[[Request], Answer]) -> None:
        super().__init__()
        self._handle = handle

    def answer(self, request: Request) -> Answer:
        return self._handle(request)


class LoopbackServer(FaultyServer, _Handled):
    """Answers by `handle`; `secrets` are the tokens to look for."""

    def __init__(self, handle: Callable[[Request], Answer], secrets: Callable[[], list[str]] = list) -> None:
        super().__init__(handle)
        self._secrets = secrets

    def secrets(self) -> list[str]:
        return self._secrets()

    def start(self) -> None:
        self.__enter__()

    def stop(self) -> None:
        self.__exit__(None, None, None)
