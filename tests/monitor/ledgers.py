"""Ledgers for the monitor's tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sprint import ledger
from sprint.domain import LedgerRow, Outcome
from sprint.ledger.rows import COLUMNS, write

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)


def a_row(hours_ago: float = 1.0, outcome: str = "pr_opened", **changes: Any) -> LedgerRow:
    finished = changes.pop("finished_at", NOW - timedelta(hours=hours_ago))
    values: dict[str, Any] = {
        "finished_at": finished,
        "run_id": f"run-{hours_ago}-{outcome}",
        "repo": "octo/widgets",
        "issue": 12,
        "outcome": Outcome(outcome),
        "exit_code": 0,
        "worker": "local",
        "model": "qwen3-coder",
        "duration_s": 300.0,
        "turns": 30,
        "cost_usd": 0.5,
        "host": "burner",
        **changes,
    }
    return LedgerRow(**values)


def write_ledger(results: Path, *entries: LedgerRow | str | bytes, header: bool = True) -> None:
    """A ledger of rows and of lines as they are; the last one without a line end if it has none."""
    results.mkdir(parents=True, exist_ok=True)
    content = b",".join(name.encode() for name in COLUMNS) + b"\n" if header else b""
    for entry in entries:
        if isinstance(entry, LedgerRow):
            content += write(entry, COLUMNS)
        else:
            content += entry.encode() if isinstance(entry, str) else entry
    ledger.path_of(results).write_bytes(content)
