"""The text report over a ledger of a million rows, beside a bare `csv.reader` pass over the same file."""

from __future__ import annotations

import csv
import os
import random
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sprint import ledger
from sprint.domain import LedgerRow, Outcome
from sprint.ledger.rows import COLUMNS, write
from sprint.monitor.tally import figures
from tests.bench import measure
from tests.monitor.rewritten import REWRITTEN

ROWS = 1_000_000
TIMES = 3
_REWRITTEN_ROWS = 200_000

_BARE = """
import csv, sys
with open(sys.argv[1], newline="") as file:
    for row in csv.reader(file):
        pass
"""
_MONITOR = """
import os, sys
from pathlib import Path
from sprint.config import load
from sprint.monitor.monitor_command import Options, run
from sprint.surroundings import Surroundings
here = Path(sys.argv[1])
around = Surroundings({}, here, here)
run(load(None, around), Options(), around)
"""


def bench(scratch: Path) -> Iterator[str]:
    (scratch / "sprint.yaml").write_text("monitor: {hermes_server: ''}\n")
    path = ledger.path_of(scratch / "results")
    path.parent.mkdir()
    _fill(path)
    yield f"{ROWS:,} rows, {path.stat().st_size / 1e6:.0f} MB"
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent.parent)}

    def cost(code: str, argument: Path) -> measure.Cost:
        return measure.command([sys.executable, "-c", code, str(argument)], cwd=scratch, env=env)

    pairs = [(cost(_BARE, path), cost(_MONITOR, scratch)) for _ in range(TIMES)]
    bare, own = (measure.median(costs) for costs in zip(*pairs, strict=True))
    yield f"a bare csv.reader pass, median of {TIMES}: {bare}"
    yield f"the text report, median of {TIMES}: {own} (aim: 120 MB)"
    yield f"ratio: {own.cpu / bare.cpu:.2f} of CPU, {own.wall / bare.wall:.2f} of wall (aim: 2.5)"
    yield "and of ledgers that other programs rewrote (aim: 4 of CPU):"
    header, *rows = path.read_text().rstrip("\n").split("\n")
    plain = "\n".join([header, *rows[-_REWRITTEN_ROWS:]]) + "\n"
    random.Random(1).shuffle(rows)
    shuffled = "\n".join([header, *rows[-_REWRITTEN_ROWS:]]) + "\n"
    del rows
    for name, text in (
        ("the last rows as they are", plain),
        ("out of order", shuffled),
        *((name, rewrite(plain)) for name, rewrite in REWRITTEN.items()),
    ):
        path.write_text(text, newline="")
        yield f"{_ratio(path):5.1f}  {name}"


def _ratio(path: Path) -> float:
    """Of the figures alone, for few rows; the lowest of each."""
    bare, own = [], []
    for _ in range(TIMES):
        started = time.process_time()
        with path.open(newline="") as file:
            for _row in csv.reader(file):
                pass
        bare.append(time.process_time() - started)
        started = time.process_time()
        figures(path.parent, datetime.now(UTC))
        own.append(time.process_time() - started)
    return min(own) / min(bare)


def _fill(path: Path) -> None:
    chance = random.Random(1)
    outcomes, now = list(Outcome), datetime.now(UTC)
    details = (
        "",
        "limit of 100 turns",
        "pytest -q: 3 new failures, ruff: 1",
        'it said "no", twice',
        "no change",
    )
    with path.open("wb") as file:
        file.write(",".join(COLUMNS).encode() + b"\n")
        for n in range(ROWS):
            finished = now - timedelta(minutes=ROWS - n)
            repo, issue, outcome = f"octo/widgets{n % 9}", chance.randrange(5000), chance.choice(outcomes)
            is_pull = outcome is Outcome.PR_OPENED
            row = LedgerRow(
                finished_at=finished,
                run_id=f"{finished:%Y%m%dT%H%M%SZ}-{repo.replace('/', '-')}-{issue}-{n:08x}",
                repo=repo,
                issue=issue,
                outcome=outcome,
                exit_code=0,
                pr_url=f"https://git.example.org/{repo}/pulls/{issue}" if is_pull else "",
                branch=f"feat/issue-{issue}" if is_pull else "",
                worker="local",
                model=chance.choice(("qwen3-coder", "gpt-5")),
                duration_s=chance.random() * 1800,
                turns=chance.randrange(100),
                prompt_tokens=chance.randrange(10**6),
                completion_tokens=chance.randrange(10**4),
                cost_usd=chance.random() * 2,
                host="burner",
                detail=chance.choice(details),
            )
            file.write(write(row, COLUMNS))
