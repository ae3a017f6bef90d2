"""runs/<id>/transcript.jsonl: what was said and done in a run, one JSON object a line, in order.

Every line has `at` (ISO time, UTC) and `event`, and by event:

- system, user: `text`
- assistant: `turn` (from 1), `content`, `reasoning`, `finish_reason`, `tool_calls` [{id, name, arguments},
  and where it is told `path`, the file that a call edits],
  `usage` {prompt_tokens, cached_tokens, completion_tokens, cost_usd or null}, `estimated` (the server did not
  count), `model`, `url`, `seconds`
- tool: `turn`, `id`, `name`, `text` (as the model saw it), `seconds`, `error` (its kind, or ""), and for
  commands `exit_code`, `killed_by`, `output` (the whole output's file below the run's folder, or "")
- check: one that the runner ran: `what` ("setup", "base" or "result"), `command`, `status`, `seconds`,
  `exit_code`
- note: `text`, what the runner decided: a limit near, the context shortened, a model that failed
- end: `ending`, `summary`, `detail`

Beyond 64 MB texts are cut short: what is counted from them, usage above all, is written all the same.
Each line is written at once: a killed run loses the line it was writing, and readers pass over such a line.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sprint import json_file
from sprint.domain import CheckResult, Usage

NAME = "transcript.jsonl"
RAW = "agent.log"  # beside it, of a worker that is a program: all that it printed, 64 MB at most
_MOST = 10**12  # of anything that a turn may have used
_ROOM = 64_000_000  # bytes
_SHORT = 500  # characters


def append(folder: Path, event: str, **fields: Any) -> None:
    """Write one event. Raises SprintError where the file cannot be written."""
    record = {"at": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **fields}
    path = folder / NAME
    json_file.add_line(path, record if _size(path) < _ROOM else _shortened(record))


def _size(path: Path) -> int:
    with contextlib.suppress(OSError):  # there is none yet, or adding to it says what is wrong
        return path.stat().st_size
    return 0


def _shortened(value: Any) -> Any:
    """The same with its texts cut short, however deep they are in it."""
    if isinstance(value, Mapping):
        return {key: _shortened(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_shortened(part) for part in value]
    return f"{value[:_SHORT]} ..." if isinstance(value, str) and len(value) > _SHORT else value


def read(folder: Path) -> Iterator[dict[str, Any]]:
    """Every event that can be read, in order; none where the run has no transcript."""
    return json_file.lines(folder / NAME)


def add(first: Usage, second: Usage) -> Usage:
    """Two usages together; the cost is unknown as soon as one part of it is."""
    costs = [usage.cost_usd for usage in (first, second) if usage.turns]
    known = [cost for cost in costs if cost is not None]
    return Usage(
        turns=first.turns + second.turns,
        prompt_tokens=first.prompt_tokens + second.prompt_tokens,
        cached_tokens=first.cached_tokens + second.cached_tokens,
        completion_tokens=first.completion_tokens + second.completion_tokens,
        cost_usd=sum(known) if costs and len(known) == len(costs) else None,
    )


def since(before: Usage, now: Usage) -> Usage:
    """What came to a usage since it was `before`."""
    cost = None if now.cost_usd is None else max(now.cost_usd - (before.cost_usd or 0.0), 0.0)
    return Usage(
        turns=max(now.turns - before.turns, 0),
        prompt_tokens=max(now.prompt_tokens - before.prompt_tokens, 0),
        cached_tokens=max(now.cached_tokens - before.cached_tokens, 0),
        completion_tokens=max(now.completion_tokens - before.completion_tokens, 0),
        cost_usd=cost,
    )


def usage(folder: Path) -> tuple[Usage, str]:
    """What a run has used by its transcript, and the model that answered last."""
    total, model = Usage(), ""
    for event in read(folder):
        if event.get("event") == "assistant":
            total = add(total, of_turn(event))
            model = str(event.get("model") or model)
    return total, model


def of_turn(event: Mapping[str, Any]) -> Usage:
    """What one `assistant` event says that its turn has used."""
    counted = event.get("usage")
    counted = counted if isinstance(counted, dict) else {}
    cost = counted.get("cost_usd")
    return Usage(
        turns=1,
        prompt_tokens=_whole(counted.get("prompt_tokens")),
        cached_tokens=_whole(counted.get("cached_tokens")),
        completion_tokens=_whole(counted.get("completion_tokens")),
        cost_usd=float(cost) if isinstance(cost, int | float) and abs(cost) < _MOST else None,
    )


def told(folder: Path) -> list[str]:
    """All that the worker was told, the task first."""
    return [str(event.get("text")) for event in read(folder) if event.get("event") == "user"]


def steps(folder: Path) -> int:
    """How many turns, set-up commands and checks have ended: what tells whether a run gets on."""
    return sum(event.get("event") in ("assistant", "check") for event in read(folder))


def check(folder: Path, what: str, result: CheckResult) -> None:
    append(
        folder,
        "check",
        what=what,
        command=result.command,
        status=result.status,
        seconds=result.seconds,
        exit_code=result.exit_code,
    )


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and abs(value) < _MOST else 0
