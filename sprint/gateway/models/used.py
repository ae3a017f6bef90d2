"""runs/<id>/model.jsonl: what passed through the gateway to the model, a line for each answer.

`at` (ISO time, UTC), `model`, `url`, `prompt`, `cached` and `completion` tokens, `usd` (null: the price is
unknown), `estimated` (the server did not count), `good` (the answer came to its end) and `tools` (it was
asked with tools). It outlives the process: a run that is taken up again has what was left of its limits.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sprint import json_file
from sprint.domain import Endpoint, Usage
from sprint.gateway.models.dialect import Heard
from sprint.model.reply import estimated_usage, priced

NAME = "model.jsonl"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Served:
    """Who gave a run its first good answer."""

    model: str
    url: str


class Tally:
    """Appends to one run's file; from any thread."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._lock = threading.Lock()
        self.known_usd = 0.0
        self.served: Served | None = None
        self._answers = self._prompt = self._cached = self._completion = 0
        self._unpriced = False
        for record in json_file.lines(self._path):
            self._take(record)

    def add(self, used: Usage, *, model: str, url: str, estimated: bool, good: bool, tools: bool) -> None:
        """Raises SprintError where it cannot be written."""
        record = {
            "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "model": model,
            "url": url,
            "prompt": used.prompt_tokens,
            "cached": used.cached_tokens,
            "completion": used.completion_tokens,
            "usd": used.cost_usd,
            "estimated": estimated,
            "good": good,
            "tools": tools,
        }
        with self._lock:
            self._take(record)
            json_file.add_line(self._path, record)

    def usage(self) -> Usage:
        """Everything so far; `turns` are answers."""
        with self._lock:
            cost = None if self._unpriced or not self._answers else self.known_usd
            return Usage(self._answers, self._prompt, self._cached, self._completion, cost)

    def _take(self, record: dict[str, Any]) -> None:
        self._answers += 1
        self._prompt += _whole(record.get("prompt"))
        self._cached += _whole(record.get("cached"))
        self._completion += _whole(record.get("completion"))
        usd = record.get("usd")
        if isinstance(usd, int | float):
            self.known_usd += usd
        else:
            self._unpriced = True
        if self.served is None and record.get("good") and record.get("tools"):
            self.served = Served(str(record.get("model")), str(record.get("url")))


def _whole(value: Any) -> int:
    return value if isinstance(value, int) else 0


def metered(
    endpoint: Endpoint, sent: int, heard: Heard, *, is_left: bool = False
) -> tuple[Usage, bool] | None:
    """What one answer to a request of `sent` characters cost, and whether that is a guess; None for nothing.

    The server's own count holds, and ours where that never came: whoever asks must not have an answer for
    nothing by hanging up early (`is_left`).
    """
    is_cut = is_left and not heard.has_ended
    if not (heard.is_told or heard.has_ended or (is_cut and heard.has_begun)):
        return None
    completion = heard.completion or 0
    prompt = (heard.prompt or 0) + (heard.cached if heard.cached > (heard.prompt or 0) else 0)
    is_guess = is_cut or not heard.is_told
    if is_guess:
        guess = estimated_usage(endpoint, sent, heard.characters)
        prompt, completion = prompt or guess.prompt_tokens, max(completion, guess.completion_tokens)
    return priced(endpoint, prompt, heard.cached, completion), is_guess
