"""A month of a burner's life on disk, and what hostile people would put into it."""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path

import msgspec

from sprint import heartbeat, ledger, transcript
from sprint.domain import (
    CheckComparison,
    CheckResult,
    CheckStatus,
    Ending,
    LedgerRow,
    Outcome,
    Phase,
    Proof,
    Run,
    Usage,
    WorkerResult,
    replace,
)
from sprint.ledger.rows import COLUMNS
from sprint.monitor.pull_states import PullState, Stored
from sprint.runs import RunStore
from tests.monitor.ledgers import NOW, a_row
from tests.some_run import some_run

FORGE = "https://git.example.org"
REPOS = ("octo/widgets", "octo/billing-service", "acme/docs")
MODELS = ("qwen3-coder-480b", "devstral-medium")
# Each of these tells the page by its title that it ran: `document.title` starts with "ran".
HOSTILE = (
    "<script>document.title='ran script'</script>",
    "<img src=x onerror=\"document.title='ran onerror'\">",
    "</style></title></textarea><svg onload=\"document.title='ran onload'\">",
    "</desc></svg><iframe srcdoc=\"<script>parent.document.title='ran iframe'</script>\">",
    '" autofocus onfocus="document.title=\'ran onfocus\'" x="',
    "{{ 7 * 7 }}{% raw %}{{ cycler.__init__.__globals__ }}",
    "<style>body{display:none}</style><base href=https://evil.example/><meta http-equiv=refresh content=0>",
    "invoice \u202egnp.exe\u202c \u200bzero\u2066isolate",
    "W" * 600,
    "Ärger mit 👩‍👩‍👧 und 日本語のタイトル",
    "\x1b[31mred\x1b[0m \x00null",
    "javascript:document.title='ran link'",
)
HOSTILE_URL = "javascript:document.title='ran link'"
_TITLES = (
    "Export to CSV loses the last column when a field is empty",
    "Add a --dry-run flag to the importer",
    "Rounding differs between invoice and summary",
    "README: the quick start does not work on Debian 12",
    "Retry uploads that fail with 502",
    "Support for several currencies in one report",
    "Crash on an empty configuration file",
    "Make the list of tags sortable",
)
_DETAILS = {
    Outcome.CHECKS_FAILED: ("pytest: 2 new failures: tests/test_export.py::test_empty", "ruff: failed"),
    Outcome.LIMIT: ("turns: 100 of 100", "minutes: 30 of 30"),
    Outcome.NO_CHANGE: ("the worker changed nothing",),
    Outcome.POLICY_REFUSED: (".github/workflows/ci.yml: protected path",),
    Outcome.OFF_RAILS: ("the same command 5 times",),
    Outcome.ERROR: ("the model did not answer: 503",),
    Outcome.NEEDS_HUMAN: ("asked: which of the two formats is meant?",),
}
_WEIGHTS = {
    Outcome.PR_OPENED: 50,
    Outcome.ALREADY_FIXED: 4,
    Outcome.CHECKS_FAILED: 14,
    Outcome.LIMIT: 8,
    Outcome.NO_CHANGE: 5,
    Outcome.POLICY_REFUSED: 3,
    Outcome.OFF_RAILS: 2,
    Outcome.ERROR: 4,
    Outcome.NEEDS_HUMAN: 5,
    Outcome.CANCELLED: 2,
}


def a_month(results: Path, *, hostile: bool = False) -> list[LedgerRow]:
    """Rows, folders, heartbeats, pull requests; with `hostile` the newest runs are what attackers send."""
    chance = random.Random(7)
    rows = [_row(chance, index) for index in range(150)]
    rows.sort(key=lambda row: row.finished_at)
    if hostile:
        texts = enumerate(HOSTILE)
        rows[-len(HOSTILE) :] = [
            replace(rows[at - len(HOSTILE)], detail=text, model=text, pr_url=HOSTILE_URL, host=text)
            for at, text in texts
        ]
    results.mkdir(parents=True, exist_ok=True)
    ledger.path_of(results).write_text(
        "1713047520|Timmy_Foundation/timmy-home|#101|0\n1713057520|Timmy_Foundation/timmy-home|#102|1\n"
        f"half a row,\n{','.join(COLUMNS)}\n"
    )
    for row in rows:
        ledger.append(results, row)
    for at, row in enumerate(reversed(rows[-20:])):
        text = HOSTILE[len(HOSTILE) - 1 - at] if hostile and at < len(HOSTILE) else ""
        a_run(results, row, title=text)
    for at, repo in enumerate(REPOS):
        for back in range(5, -1, -1):
            ticked = NOW - timedelta(minutes=30 * back + 4 + 600 * (at == 2))
            heartbeat.beat(results, "gitea", repo, "idle: no open issue is fit", now=ticked)
    _active_run(results)
    _pull_states(results, rows)
    return rows


def _row(chance: random.Random, index: int) -> LedgerRow:
    outcome = chance.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
    repo = chance.choices(REPOS, (6, 3, 2))[0]
    hours = chance.uniform(0.3, 29.5 * 24) if index % 3 else chance.uniform(0.3, 9 * 24)
    finished = (NOW - timedelta(hours=hours)).replace(microsecond=0)
    number = chance.randrange(3, 180)
    opened = outcome is Outcome.PR_OPENED
    return a_row(
        outcome=outcome.value,
        finished_at=finished,
        run_id=f"{finished:%Y%m%dT%H%M%SZ}-{repo.replace('/', '-')}-{number}-{index:08x}",
        repo=repo,
        issue=number,
        exit_code=0 if opened else 1,
        pr_url=f"{FORGE}/{repo}/pulls/{number + 200}" if opened else "",
        branch=f"sprint/issue-{number}" if opened else "",
        model=chance.choices(MODELS, (3, 1))[0],
        duration_s=chance.uniform(60, 1700),
        turns=chance.randrange(6, 100),
        prompt_tokens=chance.randrange(50_000, 2_000_000),
        completion_tokens=chance.randrange(2_000, 60_000),
        cost_usd=round(chance.uniform(0.08, 1.9), 4) if chance.random() > 0.03 and index % 7 else None,
        detail=chance.choice(_DETAILS.get(outcome, ("",))),
    )


def a_run(results: Path, row: LedgerRow, *, title: str = "", big: bool = False) -> Run:
    """A settled run's folder: run.json, transcript, patch. `title` goes wherever a stranger can write."""
    said = title or _TITLES[row.issue % len(_TITLES)]
    checks = Proof(
        (
            CheckComparison(
                "pytest -q",
                CheckResult("pytest -q", CheckStatus.PASSED, 0, 11.2, ran=212),
                CheckResult(
                    "pytest -q",
                    CheckStatus.FAILED if row.exit_code else CheckStatus.PASSED,
                    row.exit_code,
                    12.0,
                    ("tests/test_export.py::test_empty",) if row.exit_code else (),
                    tail=f"== 1 failed, 211 passed in 12.00s ==\n{title}",
                    ran=212,
                ),
                ("tests/test_export.py::test_empty", title or "tests/test_csv.py::test_quotes")
                if row.exit_code
                else (),
                is_regression=bool(row.exit_code),
                note="212 tests, 1 new failure" if row.exit_code else "212 tests",
            ),
            CheckComparison(
                "ruff check .",
                CheckResult("ruff check .", CheckStatus.PASSED, 0),
                CheckResult("ruff check .", CheckStatus.PASSED, 0),
            ),
        )
    )
    run = Run(
        id=row.run_id,
        forge="gitea",
        repo=row.repo,
        issue=row.issue,
        title=said,
        attempt=2,
        host="burner-1",
        pid=1,
        started_at=row.finished_at - timedelta(seconds=row.duration_s),
        deadline=row.finished_at + timedelta(minutes=30),
        worker="local",
        phase=Phase.SETTLED,
        issue_url=HOSTILE_URL if title else f"{FORGE}/{row.repo}/issues/{row.issue}",
        outcome=row.outcome,
        detail=row.detail,
        pr_url=row.pr_url,
        pr_number=row.issue + 200 if row.pr_url else None,
        finished_at=row.finished_at,
        proof=checks,
        result=WorkerResult(
            Ending.IMPLEMENTED,
            f"The writer dropped trailing empty fields; it pads rows to the header now.\n\n{title}",
            model=row.model,
            usage=Usage(3, row.prompt_tokens, 12_000, row.completion_tokens, row.cost_usd),
        ),
    )
    store = RunStore(results)
    folder = store.create(run)
    _transcript(folder, said, row.model, big=big)
    body = "x" * 5000 if big else title or 'writer.writerow(row + [""] * (len(header) - len(row)))'
    (folder / "patch.diff").write_text(
        "diff --git a/src/export.py b/src/export.py\nindex 1c2d3e4..5f6a7b8 100644\n"
        "--- a/src/export.py\n+++ b/src/export.py\n@@ -40,6 +40,7 @@ def write(rows, header):\n"
        "     for row in rows:\n-        writer.writerow(row)\n"
        f"+        {body}\n     return out\n"
        "diff --git a/tests/test_export.py b/tests/test_export.py\nnew file mode 100644\n"
        "--- /dev/null\n+++ b/tests/test_export.py\n@@ -0,0 +1,3 @@\n"
        "+def test_an_empty_last_field_stays():\n+    assert exported([['a', '']]) == 'a,\\n'\n+\n"
    )
    return run


def _transcript(folder: Path, said: str, model: str, *, big: bool) -> None:
    transcript.append(folder, "system", text="You are given one issue.\nWork in the checkout.\n" * 12)
    transcript.append(folder, "user", text=f"# The issue\n\n{said}\n\nSteps to reproduce: export, compare.")
    commands = ("grep -rn 'writerow' src | head", "python -m pytest -q tests/test_export.py", said)
    usage = {"prompt_tokens": 18_234, "cached_tokens": 9_000, "completion_tokens": 412, "cost_usd": 0.0123}
    for turn in range(1, 301 if big else 4):
        command = commands[turn % 3]
        (folder / "outputs").mkdir(exist_ok=True)
        (folder / "outputs" / f"{turn}.txt").write_text("all of it")
        transcript.append(
            folder,
            "assistant",
            turn=turn,
            content="I look at how rows are written, then at the test that covers it." if turn % 2 else said,
            reasoning=f"The header has more columns than the row.\n{said}",
            finish_reason="tool_calls",
            tool_calls=[
                {"id": f"c{turn}", "name": "bash", "arguments": f'{{"command": {_json(command)}}}'},
                {
                    "id": f"e{turn}",
                    "name": "edit",
                    "arguments": _json({"path": "src/export.py", "new": f"{said}\n" * 6}),
                },
            ],
            usage=usage,
            estimated=False,
            model=model,
            url="https://models.example.org/v1",
            seconds=4.2,
        )
        transcript.append(
            folder,
            "tool",
            turn=turn,
            id=f"c{turn}",
            name="bash",
            text=("src/export.py:44: writer.writerow(row)\n" * (450 if big else 3)) + said,
            seconds=0.4,
            error="",
            exit_code=turn % 2,
            killed_by="",
            output=f"outputs/{turn}.txt" if turn > 1 else "../../../../etc/passwd",
        )
        transcript.append(
            folder, "tool", turn=turn, id=f"e{turn}", name="edit", text="done", seconds=0.0, error=""
        )
    transcript.append(folder, "note", text=f"the context was shortened {said}")
    transcript.append(folder, "end", ending="implemented", summary=f"Done. {said}", detail=said)
    with (folder / "transcript.jsonl").open("ab") as file:
        file.write(b'{"event": "tool", "id": 7}\n{"event": "assistant", "tool_calls": 3}\n[1]\n{"torn')


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _active_run(results: Path) -> None:
    started = NOW - timedelta(minutes=12)
    RunStore(results).create(
        some_run(
            id=f"{started:%Y%m%dT%H%M%SZ}-octo-widgets-191-0000aaaa",
            forge="gitea",
            issue=191,
            title="Show the build's number in the footer",
            host="burner-1",
            started_at=started,
            deadline=started + timedelta(minutes=30),
            phase=Phase.WORKING,
            issue_url=f"{FORGE}/octo/widgets/issues/191",
        )
    )


def _pull_states(results: Path, rows: list[LedgerRow]) -> None:
    states = ("merged", "merged", "merged", "open", "closed", "merged", "reverted")
    opened = [row for row in rows if row.pr_url.startswith("https:")]
    pulls = [
        PullState(
            pr_url=row.pr_url,
            repo=row.repo,
            number=row.issue + 200,
            run_id=row.run_id,
            opened_at=row.finished_at,
            forge="gitea",
            state=states[at % len(states)],
            is_reviewed=(True, False, None)[at % 3],
            merged_at=row.finished_at + timedelta(hours=5 + at % 9)
            if states[at % len(states)] in ("merged", "reverted")
            else None,
        )
        for at, row in enumerate(opened)
    ]
    (results / "pull_states.json").write_bytes(
        msgspec.json.encode(Stored(asked_at=NOW - timedelta(minutes=40), pulls=tuple(pulls)))
    )
