"""A row of the ledger, for tests to which most of what it holds does not matter."""

from __future__ import annotations

from datetime import UTC, datetime

from sprint.domain import LedgerRow, Outcome
from sprint.ledger.rows import COLUMNS

NOON = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
ROW = LedgerRow(
    finished_at=NOON,
    run_id="20261121T115000Z-octo-widgets-12-3f9c21aa",
    repo="octo/widgets",
    issue=12,
    outcome=Outcome.PR_OPENED,
    exit_code=0,
    pr_url="https://git.example.org/octo/widgets/pulls/13",
    branch="feat/issue-12",
    worker="local",
    model="qwen3-coder",
    attempt=2,
    duration_s=312.5,
    turns=41,
    prompt_tokens=912345,
    completion_tokens=8123,
    cost_usd=0.425,
    host="burner",
    detail="all checks pass",
)


def row(run_id: str, **changes: object) -> LedgerRow:
    return LedgerRow(**{**{name: getattr(ROW, name) for name in COLUMNS}, "run_id": run_id, **changes})
