from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sprint import ledger
from sprint.domain import LedgerRow, Outcome, Verdict, replace
from sprint.ledger.rows import BadLine, OldRow
from sprint.monitor.figures import Cause, Figures, Medians, Tally, WorkerUsage
from sprint.monitor.tally import figures
from tests.monitor.ledgers import NOW, a_row, write_ledger
from tests.monitor.rewritten import REWRITTEN

ROOT = Path(__file__).parent.parent.parent


def totals(found: Figures) -> list[Tally]:
    return [window.total for window in found.windows]


def test_every_outcome_counts_as_it_is_defined(tmp_path: Path) -> None:
    write_ledger(tmp_path, *(a_row(outcome=outcome) for outcome in Outcome))
    found = figures(tmp_path, NOW)
    count = Counter(outcome.verdict for outcome in Outcome)
    assert totals(found)[-1] == Tally(count[Verdict.PASSED], count[Verdict.FAILED], count[Verdict.NEITHER])
    judged = count[Verdict.PASSED] + count[Verdict.FAILED]
    assert found.windows[-1].total.pass_rate == pytest.approx(count[Verdict.PASSED] / judged)
    assert found.windows[-1].by_outcome == {outcome.value: 1 for outcome in Outcome}
    assert Tally(neither=4).pass_rate is None


def test_the_windows_end_where_they_say(tmp_path: Path) -> None:
    hours = [0, 23.9, 24, 24.1, 168, 168.1, 720, 720.1, 9000]
    write_ledger(tmp_path, *(a_row(h) for h in sorted(hours, reverse=True)))
    found = figures(tmp_path, NOW)
    assert [window.name for window in found.windows] == ["24 hours", "7 days", "30 days", "all time"]
    assert [tally.passed for tally in totals(found)] == [3, 5, 7, 9]


def test_rates_are_told_apart_by_repository_worker_and_model(tmp_path: Path) -> None:
    write_ledger(
        tmp_path,
        a_row(repo="octo/gears", model="@cf/meta/llama", worker="local"),
        a_row(outcome="limit", repo="octo/gears", model="@cf/meta/llama", worker="claude"),
        a_row(outcome="limit", model=""),
    )
    window = figures(tmp_path, NOW).windows[0]
    assert window.by_repo == {"octo/gears": Tally(1, 1), "octo/widgets": Tally(0, 1)}
    assert window.by_worker == {"claude": Tally(0, 1), "local": Tally(1, 1)}
    assert window.by_model == {"@cf/meta/llama": Tally(1, 1)}


def test_days_have_outcomes_and_spend(tmp_path: Path) -> None:
    write_ledger(
        tmp_path,
        a_row(30, cost_usd=0.25),
        a_row(29, "limit", cost_usd=None),
        a_row(29, "error", cost_usd=None, model=""),
        a_row(1, cost_usd=1.5),
    )
    found = figures(tmp_path, NOW)
    assert [(day.day, day.outcomes, day.spend_usd, day.unpriced) for day in found.days] == [
        ("2026-11-20", {"pr_opened": 1, "limit": 1, "error": 1}, 0.25, 1),
        ("2026-11-21", {"pr_opened": 1}, 1.5, 0),
    ]
    assert (found.spend_usd, found.unpriced) == (1.75, 1)


def test_causes_are_the_period_s_and_do_not_depend_on_numbers(tmp_path: Path) -> None:
    write_ledger(
        tmp_path,
        a_row(1000, "limit", detail="long ago"),
        a_row(3, "limit", detail="100 turns"),
        a_row(2, "limit", detail="90 turns"),
        a_row(2, "checks_failed", detail='pytest, "-q": 3 new failures: test_a; ruff: 1'),
        a_row(1, detail="passed runs have no cause"),
    )
    assert figures(tmp_path, NOW).causes == (
        Cause("limit", "N turns", 2),
        Cause("checks_failed", 'pytest, "-q": N new failures: test_a', 1),
    )
    assert figures(tmp_path, NOW, since=NOW - timedelta(days=90)).causes[1:] == (
        Cause("checks_failed", 'pytest, "-q": N new failures: test_a', 1),
        Cause("limit", "long ago", 1),
    )


def test_ever_new_causes_do_not_fill_the_memory(tmp_path: Path) -> None:
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = [f"{a}{b}{c}" for a in letters for b in letters for c in letters[:10]]
    rows = [a_row(2, "error", detail=f"unlike the others: {word}") for word in words]
    write_ledger(tmp_path, *rows, *(a_row(1, "error", detail="the usual") for _ in range(50)))
    causes = figures(tmp_path, NOW).causes
    assert sum(cause.count for cause in causes) == len(words) + 50
    assert causes[0].detail == ""
    assert Cause("error", "the usual", 50) in causes
    assert len(causes) < 5001


def test_medians_are_the_period_s(tmp_path: Path) -> None:
    assert figures(tmp_path, NOW).medians == Medians(None, None, None)
    write_ledger(
        tmp_path,
        a_row(1000, duration_s=9.0, turns=9, cost_usd=9.0),
        a_row(4, duration_s=100.0, turns=10, cost_usd=0.000004),
        a_row(3, duration_s=300.5, turns=30, cost_usd=None),
        a_row(2, duration_s=200.0, turns=20, cost_usd=0.123456),
    )
    assert figures(tmp_path, NOW).medians == Medians(200.0, 20, 0.0)


def test_the_last_runs_and_the_streak_are_per_repository(tmp_path: Path) -> None:
    outcomes = ["limit", "pr_opened", "limit", "needs_human", "error", "cancelled", "no_change", "limit"]
    rows = [a_row(20 - n, outcome, issue=n) for n, outcome in enumerate(outcomes)]
    write_ledger(tmp_path, *rows, a_row(1, repo="octo/gears", issue=99))
    gears, widgets = figures(tmp_path, NOW).repos
    assert (gears.repo, gears.failures_in_a_row, len(gears.last)) == ("octo/gears", 0, 1)
    assert [row.issue for row in widgets.last] == [7, 6, 5, 4, 3, 2]
    assert widgets.failures_in_a_row == 4
    assert widgets.last[0] == rows[-1]
    assert figures(tmp_path, NOW).latest[0].issue == 99


def test_since_and_repo_leave_the_rest_out(tmp_path: Path) -> None:
    write_ledger(tmp_path, a_row(50), a_row(2, "limit"), a_row(1, repo="octo/gears"))
    since = NOW - timedelta(hours=10)
    found = figures(tmp_path, NOW, since=since)
    assert found.windows[-1].name == "since 2026-11-21 02:00"
    assert totals(found) == [Tally(1, 1)] * 4
    assert totals(figures(tmp_path, NOW, since=since, repos=["octo/widgets"])) == [Tally(0, 1)] * 4
    assert [day.day for day in found.days] == ["2026-11-21"]


def test_the_system_before_counts_by_its_exit_code(tmp_path: Path) -> None:
    write_ledger(
        tmp_path,
        "1713047520|Timmy_Foundation/timmy-home|#101|0\n1713047520|Timmy_Foundation/timmy-home|#102|1\n",
        a_row(),
        "1713047521|octo/widgets|#3|124\n",
    )
    found = figures(tmp_path, NOW)
    assert (found.rows, found.old_rows, found.bad_lines) == (4, 3, 0)
    assert totals(found) == [Tally(1), Tally(1), Tally(1), Tally(2, 2)]
    home = found.repos[0]
    assert home.last[0] == OldRow(datetime(2024, 4, 13, 22, 32, tzinfo=UTC), home.repo, 102, 1)


def test_lines_that_are_no_row_are_counted_and_shown(tmp_path: Path) -> None:
    torn = b"2026-11-21T11:00:00Z,run-x,octo/widgets,3,pr_op"
    write_ledger(tmp_path, a_row(), "what is this\n", b"\0\0\0\n", a_row(), b"x\0" * 9 + b"\n", torn)
    found = figures(tmp_path, NOW)
    assert (found.rows, found.bad_lines) == (2, 3)
    assert found.bad_examples[0] == BadLine(3, "what is this", "1 fields where 24 are expected")
    assert found.bad_examples[2].text == torn.decode()


@pytest.mark.parametrize(
    "cells",
    [
        {0: "2026-11-21 noon"},
        {0: "2026-13-45T99:99:99Z"},
        {4: "no_such_outcome"},
        {2: ""},
        {3: "x"},
    ],
)
def test_the_fast_way_takes_no_row_that_the_slow_way_refuses(tmp_path: Path, cells: dict[int, str]) -> None:
    write_ledger(tmp_path, a_row())
    fields = ledger.path_of(tmp_path).read_text().split("\n")[1].split(",")
    broken = ",".join(cells.get(n, value) for n, value in enumerate(fields))
    if 3 in cells or 2 in cells:  # the first line that names a repository is always read in full
        write_ledger(tmp_path, f"{broken}\n", a_row())
    else:
        write_ledger(tmp_path, a_row(), f"{broken}\n", a_row())
    found = figures(tmp_path, NOW)
    read = list(ledger.read(tmp_path))
    is_row = 2 in cells
    assert found.bad_lines == len([row for row in read if isinstance(row, BadLine)]) == (0 if is_row else 1)


def test_a_number_that_is_none_spoils_no_sum(tmp_path: Path) -> None:
    write_ledger(tmp_path, a_row(cost_usd=1.0))
    line = ledger.path_of(tmp_path).read_text().split("\n")[1]
    broken = [line.replace("1.000000", text) for text in ("nan", "inf", "much", "-1e300", "1e300")]
    write_ledger(tmp_path, a_row(cost_usd=1.0), *(f"{text}\n" for text in broken), a_row(cost_usd=2.0))
    found = figures(tmp_path, NOW)
    assert found.spend_usd == 3.0
    assert found.medians.cost_usd == 1.0


def test_times_written_otherwise_are_understood(tmp_path: Path) -> None:
    write_ledger(tmp_path, a_row(1))
    line = ledger.path_of(tmp_path).read_text().split("\n")[1]
    others = [
        line.replace("2026-11-21T11:00:00Z", text) for text in ("2026-11-20T13:30:00+02:00", "2026-11-20")
    ]
    write_ledger(tmp_path, a_row(1), *(f"{text}\n" for text in others))
    found = figures(tmp_path, NOW)
    assert [tally.passed for tally in totals(found)] == [1, 3, 3, 3]
    assert [(day.day, day.total.runs) for day in found.days] == [("2026-11-20", 2), ("2026-11-21", 1)]


def test_rows_from_the_future_are_told(tmp_path: Path) -> None:
    write_ledger(tmp_path, a_row(1), a_row(-0.05), a_row(-48, "limit"), a_row(2))
    found = figures(tmp_path, NOW)
    assert found.future_rows == 1
    assert [tally.runs for tally in totals(found)] == [3, 3, 3, 4]
    assert found.causes == ()


def test_a_clock_set_back_loses_no_row(tmp_path: Path) -> None:
    hours = [50, 1, 49, 2, 800, 0, 30, 31, 29]
    write_ledger(tmp_path, *(a_row(h) for h in hours))
    assert [tally.passed for tally in totals(figures(tmp_path, NOW))] == [3, 8, 8, 9]


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf", b"finished_at,run_id\n"])
def test_an_empty_ledger_has_no_figures(tmp_path: Path, content: bytes) -> None:
    ledger.path_of(tmp_path).write_bytes(content)
    found = figures(tmp_path, NOW)
    assert (found.rows, found.unreadable, found.repos, found.days) == (0, "", (), ())
    assert totals(found) == [Tally()] * 4


def test_a_missing_ledger_is_empty_and_an_unreadable_one_is_said(tmp_path: Path) -> None:
    assert figures(tmp_path / "missing", NOW).rows == 0
    ledger.path_of(tmp_path).mkdir()
    assert "Is a directory" in figures(tmp_path, NOW).unreadable


def test_other_columns_order_and_line_ends(tmp_path: Path) -> None:
    text = "cost_usd,outcome,mood,run_id,finished_at,repo,issue\r\n"
    text += "0.25,limit,glum,a,2026-11-21T11:00:00Z,octo/widgets,3\r\n" * 3
    write_ledger(tmp_path, text, header=False)
    ledger.append(tmp_path, a_row(0.5))
    found = figures(tmp_path, NOW)
    assert (found.rows, found.bad_lines, found.spend_usd) == (4, 0, 1.25)
    assert totals(found)[0] == Tally(1, 3)
    path = ledger.path_of(tmp_path)
    write_ledger(tmp_path, *(a_row(detail="a, b") for _ in range(3)))
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert figures(tmp_path, NOW).rows == 3


def test_the_fast_pass_and_the_parsed_rows_agree(tmp_path: Path) -> None:
    outcomes = list(Outcome)
    rows = [
        a_row(
            2000 - n,
            outcomes[n * 7 % len(outcomes)],
            repo=f"octo/r{n % 3}",
            cost_usd=n / 100 if n % 5 else None,
            issue=n,
        )
        for n in range(120 * len(outcomes))
    ]
    rows = [
        replace(row, detail=["", "a, b", 'say "no"', "=1+1", "plain"][n % 5]) for n, row in enumerate(rows)
    ]
    write_ledger(tmp_path, *rows)
    found = figures(tmp_path, NOW)
    parsed = [row for row in ledger.read(tmp_path) if isinstance(row, LedgerRow)]
    assert parsed == rows
    assert found.rows == len(rows)
    assert found.spend_usd == pytest.approx(sum(row.cost_usd or 0 for row in rows))
    assert found.windows[-1].by_outcome == {o.value: 120 for o in Outcome}
    for repo in found.repos:
        own = [row for row in rows if row.repo == repo.repo]
        assert list(repo.last) == own[:-7:-1]


@pytest.fixture(scope="module")
def plain_ledger(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Rows of two months, some with quotes, some without a price, a task among them."""
    results = tmp_path_factory.mktemp("plain")
    details = ("", "a, b", 'say "no"', "=1+1", "limit of 100 turns")
    outcomes = list(Outcome)
    rows = [
        a_row(
            1500 - n / 2,
            outcomes[n * 7 % len(outcomes)],
            run_id=f"run-{n}",
            repo=f"octo/r{n % 3}",
            issue=n if n % 11 else None,
            model=f"model-{n % 2}",
            cost_usd=n / 100 if n % 5 else None,
            detail=details[n % 5],
        )
        for n in range(2900)
    ]
    write_ledger(results, *rows)
    return ledger.path_of(results).read_text()


def counted(results: Path, text: str) -> Figures:
    ledger.path_of(results).write_bytes(text.encode())
    return figures(results, NOW)


@pytest.mark.parametrize("rewrite", REWRITTEN.values(), ids=REWRITTEN.keys())
def test_a_ledger_that_another_program_rewrote_says_the_same(
    tmp_path: Path, plain_ledger: str, rewrite: Callable[[str], str]
) -> None:
    expected = counted(tmp_path, plain_ledger)
    assert expected.rows == 2900
    found = counted(tmp_path, rewrite(plain_ledger))
    bad = dict.fromkeys(("bad_lines", "bad_examples"))
    assert replace(found, **bad) == replace(expected, **bad)
    assert found.bad_lines == (15 if rewrite is REWRITTEN["lines that are none"] else 0)


@pytest.mark.parametrize("rewrite", REWRITTEN.values(), ids=REWRITTEN.keys())
def test_only_the_rows_that_are_shown_are_parsed(
    tmp_path: Path, plain_ledger: str, rewrite: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """To parse them all is what made such a ledger cost fifty passes over it."""
    parsed = Counter[str]()
    parse = ledger.rows.parse
    monkeypatch.setattr(ledger.rows, "parse", lambda *given: parsed.update(["row"]) or parse(*given))
    counted(tmp_path, rewrite(plain_ledger))
    assert 40 < parsed["row"] < 70


def test_a_ledger_out_of_order_counts_the_same(tmp_path: Path, plain_ledger: str) -> None:
    header, *rows = plain_ledger.rstrip("\n").split("\n")
    expected = counted(tmp_path, plain_ledger)
    random.Random(1).shuffle(rows)
    found = counted(tmp_path, "\n".join([header, *rows]) + "\n")
    assert (found.windows, found.days) == (expected.windows, expected.days)
    assert (found.causes, found.medians, found.usage) == (expected.causes, expected.medians, expected.usage)
    assert found.spend_usd == pytest.approx(expected.spend_usd)


def test_work_that_no_check_proved_passes_in_one_rate_and_not_in_the_other(tmp_path: Path) -> None:
    write_ledger(
        tmp_path,
        a_row(5, proof="proven"),
        a_row(4, proof="unproven"),
        a_row(3, proof="none"),
        a_row(2, "already_fixed"),
        a_row(1, "limit", proof="unproven"),
        a_row(1, "needs_human"),
    )
    window = figures(tmp_path, NOW).windows[0]
    assert window.total == Tally(passed=4, failed=1, neither=1, unproven=1)
    assert window.total.pass_rate == 0.8
    assert window.total.pass_rate_without_unproven == 0.6
    assert window.by_proof == {"unproven": 2, "proven": 1, "none": 1}
    assert Tally(neither=4).pass_rate_without_unproven is None


def test_what_runs_take_by_worker_and_model(tmp_path: Path) -> None:
    write_ledger(
        tmp_path,
        a_row(1000, worker="codex", model="gpt", duration_s=9.0),
        a_row(3, worker="codex", model="gpt", duration_s=60.0, turns=10, cost_usd=1.0),
        a_row(3, "limit", worker="codex", model="gpt", duration_s=90.0, turns=20, cost_usd=None),
        a_row(2, worker="codex", model="gpt", duration_s=120.0, turns=30, cost_usd=2.0),
        a_row(2, worker="local", model="qwen", duration_s=30.0, turns=5, cost_usd=None),
        a_row(2, "error", worker="local", model="", duration_s=1.0, turns=0, cost_usd=None),
        "1713047520|octo/widgets|#3|124\n",
    )
    assert figures(tmp_path, NOW).usage == (
        WorkerUsage("codex", "gpt", 3, Medians(90.0, 20, 1.0), 3.0, 1),
        WorkerUsage("local", "", 1, Medians(1.0, 0, None), 0.0, 0),
        WorkerUsage("local", "qwen", 1, Medians(30.0, 5, None), 0.0, 1),
    )


def test_a_run_without_an_issue_is_a_row(tmp_path: Path) -> None:
    write_ledger(tmp_path, a_row(2, issue=None, purpose="task"), a_row(1, issue=None, purpose="task"))
    found = figures(tmp_path, NOW)
    assert (found.rows, found.bad_lines) == (2, 0)
    assert [row.issue for row in found.latest] == [None, None]


def test_a_question_is_open_until_its_issue_is_taken_up_again(tmp_path: Path) -> None:
    write_ledger(
        tmp_path,
        a_row(31 * 24, "needs_human", issue=1, run_id="long ago"),
        a_row(9, "needs_human", issue=2, run_id="answered"),
        a_row(8, "needs_human", issue=3, run_id="asked"),
        a_row(7, "limit", issue=3, repo="acme/docs", run_id="of another repository"),
        a_row(6, issue=2, run_id="done"),
        a_row(5, "needs_human", issue=None, purpose="task", run_id="a task"),
        a_row(4, "needs_human", issue=4, run_id="asked first"),
        a_row(3, "needs_human", issue=4, run_id="asked again"),
    )
    found = figures(tmp_path, NOW).asking
    assert [row.run_id for row in found if isinstance(row, LedgerRow)] == ["asked again", "asked"]
    assert figures(tmp_path, NOW, repos={"acme/docs"}).asking == ()


FIFTY_WRITERS = """
import os, sys
from pathlib import Path
from sprint import ledger
from tests.monitor.ledgers import a_row
for writer in range(50):
    if os.fork() == 0:
        for n in range(3):
            ledger.append(Path(sys.argv[1]), a_row(run_id=f"{writer}-{n}", detail="x, " * 200))
        os._exit(0)
for _ in range(50):
    os.wait()
"""


def test_fifty_processes_append_while_the_monitor_reads(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", FIFTY_WRITERS, str(tmp_path)], cwd=ROOT) as writers:
        seen = 0
        while writers.poll() is None:
            found = figures(tmp_path, NOW)
            assert (found.bad_lines, found.unreadable) == (0, "")
            assert found.rows >= seen
            seen = found.rows
    assert figures(tmp_path, NOW).rows == 150


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    code = """
import re, sys
from pathlib import Path
from sprint.monitor.tally import figures
from tests.monitor.ledgers import NOW
figures(Path(sys.argv[1]), NOW)
print(re.search(r"VmHWM:\\s+([0-9]+) kB", Path("/proc/self/status").read_text())[1])
"""
    peaks = []
    for count in (1_000, 100_000):
        results = tmp_path / str(count)
        write_ledger(results, a_row())
        path = ledger.path_of(results)
        line = path.read_bytes().split(b"\n")[1] + b"\n"
        path.write_bytes(path.read_bytes() + line * count)
        done = subprocess.run(
            [sys.executable, "-c", code, str(results)], cwd=ROOT, capture_output=True, check=True, timeout=60
        )
        peaks.append(int(done.stdout))
    assert peaks[1] - peaks[0] < 4_000  # kilobytes; the file itself grows by 15,000
