"""Stands for the gateway's way to the model: the scripted server, over this machine's loopback."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sprint.domain import Secret, Usage
from sprint.errors import ModelError, ModelTrouble
from sprint.worker import Job
from tests.agents.model import ScriptedModel, Sent

_TROUBLES = {
    0: ModelTrouble.AWAY,
    401: ModelTrouble.REFUSED,
    402: ModelTrouble.QUOTA,
    429: ModelTrouble.BUSY,
    500: ModelTrouble.AWAY,
}
_NOWHERE = "http://127.0.0.1:9"


@dataclass
class HostWay:
    """The model's own key stands for the run's; `limit` is the most answers that it lets through, `cut` what
    is counted at its end of an answer that was still coming."""

    server: ScriptedModel
    base_url: str
    key: str
    model: str
    before: Sent
    limit: int | None = None
    cut: Usage = field(default_factory=Usage)
    is_closed: bool = False
    network: bool = True
    read_only: Mapping[Path, str] = field(default_factory=dict)
    # What agents try besides their model must not leave this machine.
    env: Mapping[str, str] = field(
        default_factory=lambda: {
            "HTTPS_PROXY": _NOWHERE,
            "HTTP_PROXY": _NOWHERE,
            "NO_PROXY": "127.0.0.1,localhost",
        }
    )

    def wrap(self, argv: Sequence[str]) -> list[str]:
        return list(argv)

    def close(self) -> None:
        self.is_closed = True

    def calls(self) -> int:
        return self.server.sent.answers

    def usage(self) -> Usage:
        sent, before = self.server.sent, self.before
        cut = self.cut if self.is_closed else Usage()
        return Usage(
            turns=sent.answers - before.answers + cut.turns,
            prompt_tokens=sent.prompt - before.prompt + cut.prompt_tokens,
            cached_tokens=sent.cached - before.cached + cut.cached_tokens,
            completion_tokens=sent.completion - before.completion + cut.completion_tokens,
        )

    def over(self) -> str:
        is_over = self.limit is not None and self.usage().turns >= self.limit
        return f"limits.usd: {self.limit} answers are paid for" if is_over else ""

    def fault(self) -> ModelError | None:
        kind = _TROUBLES.get(self.server.last)
        return ModelError(f"the model answered with {self.server.last}", kind) if kind else None


class HostRoute:
    def __init__(self, server: ScriptedModel, limit: int | None = None) -> None:
        self.server = server
        self.limit = limit
        self.away: Exception | None = None
        self.cut = Usage()

    def check(self, dialect: str, model: str, *, anew: bool = False) -> None:
        if self.away is not None:
            raise self.away

    @contextlib.contextmanager
    def open(self, job: Job, dialect: str, model: str) -> Iterator[HostWay]:
        before = Sent(**vars(self.server.sent))
        name = model or self.server.name
        yield HostWay(self.server, self.server.url, self.server.key, name, before, self.limit, self.cut)

    def secrets(self) -> Sequence[Secret]:
        return [Secret(self.server.key)]
