"""The pages as files; what a browser makes of them is in test_html_browser.py."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

import pytest

from sprint import ledger, transcript
from sprint.cli import main
from sprint.config import Config, ForgeConfig, load
from sprint.domain import Phase, Proof, Purpose, replace
from sprint.errors import SprintError
from sprint.monitor.figures import VERDICTS, Report
from sprint.monitor.gather import Scope, gather
from sprint.monitor.html import charts, page, panels, patch
from sprint.monitor.html.charts import About, Series
from sprint.monitor.html.page_budget import PageBudget
from sprint.monitor.html.run_page import cached_page, write_run
from sprint.monitor.html.transcript_view import Conversation, Turn, conversation
from sprint.monitor.html.written import write_report
from sprint.outcomes import FACTS, Outcome, Verdict
from sprint.runs import RunStore
from tests.around import around
from tests.monitor.ledgers import NOW, a_row, write_ledger
from tests.monitor.sample import FORGE, a_month, a_run

FORGES = {"gitea": ForgeConfig(kind="gitea", url=FORGE)}


def configured(root: Path) -> Config:
    return load(None, around(root, {"SPRINT_CONFIG": str(_file(root))}))


def _file(root: Path) -> Path:
    path = root / "sprint.yaml"
    path.write_text(
        f"forges:\n  gitea: {{kind: gitea, url: {FORGE}}}\nrepos: [octo/widgets]\n"
        "paths: {results: results}\n"
    )
    return path


def reported(root: Path, **options: Any) -> Report:
    return gather(configured(root), around(root), NOW, ask=False, **options)


def written(root: Path, report: Report | None = None) -> str:
    target = root / "report.html"
    write_report(target, report or reported(root), FORGES, Scope())
    return target.read_text()


# --- the page itself ---------------------------------------------------------------------------


def test_the_policy_allows_one_style_sheet_and_nothing_else(tmp_path: Path) -> None:
    text = written(tmp_path)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert policy
    assert style
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert policy[1].startswith("default-src 'none';")
    assert f"style-src 'sha256-{digest}'" in policy[1]
    assert "unsafe" not in policy[1]
    assert "url(" not in style[1]
    assert "@import" not in style[1]


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        " javascript:alert(1)",
        "java\nscript:alert(1)",
        "data:text/html,<script>",
        "file:///etc/passwd",
        "//evil.example/x",
        "/relative",
        "https://",
        "https:///path",
        "https:\\\\evil.example",
        "https://[broken",
        "https://example.org/\u202ehtap",
        f"https://example.org/{'x' * 3000}",
        "",
    ],
)
def test_only_addresses_of_the_web_are_links(url: str) -> None:
    assert page.web_address(url) == ""


def test_addresses_of_the_web_are_links() -> None:
    for url in (f"{FORGE}/octo/widgets/issues/1", "http://127.0.0.1:3000/a/b/pulls/2"):
        assert page.web_address(url) == url


def test_text_shows_what_is_hidden_in_it() -> None:
    assert page.shown("a\u202eb\u200bc\x1b[31md\x00") == "a[U+202E]b[U+200B]c␛[31md␀"
    assert page.shown("a\r\nb\tc") == "a\nb\tc"
    assert page.printed("10%\r100%\x1b[0m\n") == "100%\n"


# --- the report --------------------------------------------------------------------------------


def test_a_report_without_anything_to_report(tmp_path: Path) -> None:
    text = written(tmp_path)
    assert "No alarms" in text
    assert "No run yet. <code>sprint run --dry-run</code>" in text
    assert text.count('<div class="tile">') == 1
    assert "Spent today" in text
    assert "Nothing yet" not in text


def test_one_pass_rate_of_seven_days(tmp_path: Path) -> None:
    """The chart ends with the figure that the report begins with: up to now, not by whole days."""
    failed = a_row(6.8 * 24, outcome="limit", run_id="older")
    write_ledger(tmp_path / "results", failed, a_row(24, run_id="newer"))
    report = reported(tmp_path)
    rate = next(panel for panel in panels.panels(report) if panel.key == "rate")
    assert report.figures.windows[1].total.pass_rate == 0.5
    assert rate.lead == "50%"
    assert "<b>50%</b><span>1 passed, 1 failed</span>" in written(tmp_path, report)


def test_where_nothing_failed_no_causes_are_shown(tmp_path: Path) -> None:
    write_ledger(tmp_path / "results", a_row(2))
    assert "Why runs failed" not in written(tmp_path)


def test_what_waits_for_people_comes_first(tmp_path: Path) -> None:
    rows = [a_row(13 - n, "needs_human", issue=n, run_id=f"r{n}", detail=f"asked: <{n}>?") for n in range(12)]
    write_ledger(tmp_path / "results", *rows, a_row(30, pr_url=f"{FORGE}/octo/widgets/pulls/212"))
    text = written(tmp_path)
    first = text.partition('<div class="tile">')[2].partition("</div>")[0]
    assert "<dt>Waiting for people</dt>" in first
    assert "<b>13</b>" in first
    assert '<a href="#panel-pulls">1 pull request</a>' in first
    assert '<a href="#asking">12 questions</a>' in first
    listed = text.partition('id="asking"')[2].partition("</section>")[0]
    assert f'<a href="{FORGE}/octo/widgets/issues/11" ' in listed
    assert "asked: &lt;11&gt;?" in listed
    assert "and 7 older" in listed


def test_an_unreadable_ledger_comes_first(tmp_path: Path) -> None:
    ledger.path_of(tmp_path / "results").mkdir(parents=True)
    text = written(tmp_path)
    assert "1 alarm" in text
    assert "fill='%23b3301b'" in text
    (tmp_path / "calm").mkdir()
    assert "fill='%230b6e5f'" in written(tmp_path / "calm")
    assert text.index("the ledger cannot be read") < text.index('<dl class="tiles">')


def test_prices_that_nobody_knows_are_no_zeros(tmp_path: Path) -> None:
    rows = [a_row(hours, cost_usd=None, run_id=f"r{hours}") for hours in range(1, 4)]
    write_ledger(tmp_path / "results", *rows)
    text = written(tmp_path)
    assert text.count("price unknown") == 3
    assert "$0.00 per" not in text


def test_a_long_time_is_drawn_no_longer_than_can_be_seen(tmp_path: Path) -> None:
    rows = [a_row(24.0 * days, run_id=f"r{days}") for days in range(1, 400)]
    write_ledger(tmp_path / "results", *rows)
    text = written(tmp_path, reported(tmp_path, scope=Scope(since=NOW - timedelta(days=390))))
    assert "90 days to 21 Nov" in text
    text = written(tmp_path, reported(tmp_path, scope=Scope(since=NOW - timedelta(hours=30))))
    assert "2 days to 21 Nov" in text


def test_issues_are_linked_where_only_a_pull_request_tells_the_forge(tmp_path: Path) -> None:
    github = "https://github.com/octo/gadgets"
    rows = [
        a_row(3, repo="octo/gadgets", issue=7, pr_url=f"{github}/pull/8", run_id="r1"),
        a_row(2, outcome="limit", repo="octo/gadgets", issue=9, run_id="r2"),
    ]
    write_ledger(tmp_path / "results", *rows)
    text = written(tmp_path)
    assert f'href="{github}/issues/9"' in text
    assert ">pull #8</a>" in text


def test_runs_of_the_system_before_are_shown_beside_the_others(tmp_path: Path) -> None:
    write_ledger(tmp_path / "results", "1713047520|Timmy_Foundation/timmy-home|#101|0\n", a_row(1))
    text = written(tmp_path)
    assert "Timmy_Foundation/timmy-home#101" in text
    assert "exit code 0" in text
    assert "1 of the system before" in text


def test_the_pages_of_runs_are_made_once_and_again_when_a_run_changed(tmp_path: Path) -> None:
    results = tmp_path / "results"
    a_month(results)
    written(tmp_path)
    made = sorted((results / "runs").glob("*/run.html"))
    assert len(made) == 20
    times = [path.stat().st_mtime_ns for path in made]
    transcript.append(made[0].parent, "note", text="something new")
    later = made[0].stat().st_mtime + 10
    os.utime(made[0].parent / transcript.NAME, (later, later))
    text = written(tmp_path)
    assert "something new" in made[0].read_text()
    assert [path.stat().st_mtime_ns for path in made[1:]] == times[1:]
    assert f'href="results/runs/{made[-1].parent.name}/run.html"' in text


def test_the_bare_transcript_is_linked_where_no_page_can_be_made(tmp_path: Path) -> None:
    results = tmp_path / "results"
    row = a_row(1)
    write_ledger(results, row)
    run = a_run(results, row)
    (results / "runs" / run.id / "run.html").mkdir()
    later = (results / "runs" / run.id / "run.json").stat().st_mtime + 10
    os.utime(results / "runs" / run.id / transcript.NAME, (later, later))
    assert f'href="results/runs/{run.id}/transcript.jsonl"' in written(tmp_path)


def test_a_run_that_cannot_be_read_costs_its_title_only(tmp_path: Path) -> None:
    results = tmp_path / "results"
    row = a_row(1)
    write_ledger(results, row)
    run = a_run(results, row, title="A title that goes")
    (results / "runs" / run.id / "run.json").write_bytes(b"{")
    text = written(tmp_path)
    assert "A title that goes" not in text
    assert "octo/widgets#12" in text


def test_a_report_that_cannot_be_written_says_why(tmp_path: Path) -> None:
    with pytest.raises(SprintError, match="cannot write"):
        write_report(tmp_path / "missing" / "report.html", reported(tmp_path), FORGES, Scope())


def test_follow_ups_are_told_beside_what_became_of_pull_requests(tmp_path: Path) -> None:
    url = f"{FORGE}/octo/widgets/pulls/8"
    first, second = (
        a_row(2, "pr_updated", run_id=f"r{n}", purpose="follow_up", round=n, trigger="<ci>", pr_url=url)
        for n in (1, 2)
    )
    write_ledger(tmp_path / "results", a_row(3, pr_url=url), first, second)
    text = written(tmp_path)
    assert "<dt>Follow-ups pushed</dt>" in text
    assert "2 for 1 pull request, at most 2 for one; begun: 2 for &lt;ci&gt;" in text
    assert "<dt>Merged unseen</dt>" not in text  # nobody was asked


def test_every_outcome_has_words_and_a_meaning(tmp_path: Path) -> None:
    rows = [a_row(n + 1, outcome, run_id=f"r{n}") for n, outcome in enumerate(Outcome)]
    write_ledger(tmp_path / "results", *rows)
    text = written(tmp_path)
    meanings = text.split("What the figures mean")[1]
    names = [page.label(outcome) for outcome in Outcome]
    assert len(set(names)) == len(names)
    for outcome, name in zip(Outcome, names, strict=True):
        assert not re.search(r"_|\bpr\b", name)
        place = meanings.index(
            f"<b>{name}</b>, {html.escape(FACTS[outcome].means, quote=False)}".replace("'", "&#39;")
        )
        verdict = max(Verdict, key=lambda one: meanings.rfind(f"<li>{one.value.capitalize()}:", 0, place))
        assert verdict is outcome.verdict


def test_every_way_to_pass_has_a_colour_of_its_own(tmp_path: Path) -> None:
    passed = [outcome for outcome, verdict in VERDICTS.items() if verdict is Verdict.PASSED]
    assert len(panels._layers(dict.fromkeys(passed, 1))) == len(passed)
    style = (page.TEMPLATES / "style.css").read_text()
    colours = [layer.colour for layer in panels._layers(dict.fromkeys(VERDICTS, 1))]
    assert len(set(colours)) == len(colours)
    assert all(f".{colour} {{" in style for colour in colours)


def test_what_was_not_proven_is_said(tmp_path: Path) -> None:
    rows = [
        a_row(n + 1, proof=proof, run_id=f"r{n}")
        for n, proof in enumerate(("proven", "unproven", "none", ""))
    ]
    write_ledger(tmp_path / "results", *rows)
    text = written(tmp_path)
    badges = re.findall(r'<span class="proof [^"]*">([^<]*)</span>', text)
    assert badges[::-1] == ["proven", "unproven", "without checks"]
    assert "75% without unproven" in text
    assert text.count("without unproven</th>") == 1


def test_a_paused_run_is_not_working(tmp_path: Path) -> None:
    results = tmp_path / "results"
    run = replace(
        a_run(results, a_row(1)),
        id="paused",
        phase=Phase.WORKING,
        outcome=None,
        paused_since=NOW - timedelta(hours=3),
        paused_why="the model's quota is used up <b>",
        purpose=Purpose.FOLLOW_UP,
        round=2,
        worker="careful",
    )
    RunStore(results).create(run)
    text = written(tmp_path)
    under_way = text.split('id="active"')[1].split("</section>")[0]
    assert "<b>paused</b>: <bdi>the model&#39;s quota is used up &lt;b&gt;</bdi>, since" in under_way
    assert "21 Nov 2026, 09:00" in under_way
    assert "working" not in under_way
    assert "careful</bdi> · follow-up 2 ·" in under_way
    write_run(tmp_path / "run.html", RunStore(results).folder("paused"), run)
    page_text = (tmp_path / "run.html").read_text()
    assert ">paused</span>" in page_text
    assert "under way" not in page_text


def test_a_task_has_no_issue(tmp_path: Path) -> None:
    results = tmp_path / "results"
    row = a_row(1, issue=None, purpose="task", outcome="limit")
    write_ledger(results, row)
    run = replace(a_run(results, a_row(1, run_id="other")), id=row.run_id, issue=None, purpose=Purpose.TASK)
    RunStore(results).create(run)
    text = written(tmp_path)
    write_run(tmp_path / "run.html", RunStore(results).folder(run.id), run)
    for page_text in (text, (tmp_path / "run.html").read_text()):
        assert "None" not in page_text


# --- charts ------------------------------------------------------------------------------------


@pytest.mark.parametrize("highest", [0, 0.004, 0.9, 1, 3, 4, 7, 19.99, 20, 1234567])
def test_an_axis_holds_the_highest_value_in_few_round_steps(highest: float) -> None:
    scale = charts.axis(highest)
    assert scale.top >= highest
    assert 2 <= len(scale.ticks) <= 5
    assert scale.top <= max(highest * 2.01, 1)


def test_a_count_has_no_ticks_between_whole_numbers() -> None:
    assert list(charts.axis(1, whole=True).ticks) == [0, 1]
    assert list(charts.axis(3, whole=True).ticks.values()) == ["0", "1", "2", "3"]


def test_a_chart_is_shapes_and_words_only() -> None:
    series = [Series("<script>", "c-p1", [1.0, None, 3.0]), Series("b", "c-f1", [0, 2, 0])]
    about = About("key", "</title><script>", "&", "{:.0f}")
    text = str(charts.columns(about, ["1 Nov", "2 Nov", "3 Nov"], series, charts.axis(4)))
    assert set(re.findall(r"<([a-zA-Z]+)", text)) == {
        "div",
        "svg",
        "title",
        "desc",
        "g",
        "path",
        "text",
        "rect",
    }
    assert set(re.findall(r" ([a-zA-Z-]+)=", text)) <= charts._ATTRIBUTES | {"id", "role", "aria-labelledby"}
    assert text.count("<rect") == 2 * 3  # in two sizes; nothing is drawn for nothing
    assert "3 Nov: 3 &lt;script&gt;" in text


def test_days_without_a_rate_are_gaps() -> None:
    line = Series("rate", "c-p1", [0.5, None, None, 0.75])
    text = str(charts.line(About("k", "t", "d", "{:.0%}"), ["1", "2", "3", "4"], [line], charts.axis(1)))
    assert text.count("<circle") == 2 * 2


# --- one run -----------------------------------------------------------------------------------


def talk(*events: dict[str, Any], room: int = 100_000) -> Conversation:
    return conversation(events, PageBudget(room))


def calls(*names: str) -> list[dict[str, str]]:
    return [{"id": name, "name": "bash", "arguments": '{"command": "ls"}'} for name in names]


def test_an_output_goes_to_the_call_that_it_answers() -> None:
    said = talk(
        {"event": "assistant", "turn": 1, "tool_calls": calls("a", "b")},
        {"event": "tool", "id": "b", "text": "of b", "exit_code": 2},
        {"event": "tool", "id": "a", "text": "of a", "exit_code": 0},
        {"event": "tool", "id": "?", "name": "stray", "text": "of nobody", "error": "no such tool"},
    )
    (turn,) = said.events
    assert isinstance(turn, Turn)
    assert [call.output.head for call in turn.calls if call.output] == ["of a", "of b", "of nobody"]
    assert [call.is_bad for call in turn.calls] == [False, True, True]


def test_broken_events_are_shown_as_far_as_they_go() -> None:
    said = talk(
        {"event": "tool", "id": 7},
        {"event": "assistant", "tool_calls": 3, "usage": [], "seconds": "x"},
        {"event": "assistant", "tool_calls": [None, {"arguments": "{"}, {"arguments": "[1]"}]},
        {"event": "unheard of", "text": 1},
        {},
    )
    assert [event.kind for event in said.events] == ["note", "turn", "turn", "note", "note"]


def test_a_check_is_told_in_words() -> None:
    check = {"event": "check", "what": "base", "command": "pytest  -q", "status": "failed", "seconds": 4.23}
    assert [getattr(event, "text", "") for event in talk(check).events] == ["base: pytest -q: failed, 4.2 s"]


def test_a_full_page_gives_every_text_a_little_and_says_so() -> None:
    events = [{"event": "assistant", "turn": n, "content": "x" * 5000} for n in range(10)]
    said = talk(*events, room=12_000)
    turns = [event for event in said.events if isinstance(event, Turn)]
    assert said.is_cut
    assert turns[0].content.left_out == 0
    assert 300 <= len(turns[-1].content.head) + len(turns[-1].content.tail) <= 500
    assert turns[-1].content.left_out == 4600


def test_the_end_is_shown_however_many_turns_came_before() -> None:
    events: Iterator[dict[str, Any]] = ({"event": "note", "text": "n"} for _ in range(3000))
    said = talk(*events, {"event": "end", "ending": "limit"})
    assert said.left_out == 1500
    assert said.events[-1].kind == "end"


@pytest.mark.parametrize(
    ("proof", "said"),
    [
        (None, ""),
        (Proof(), "without checks"),
        (Proof(reason="no room <left>"), "unproven: no room &lt;left&gt;"),
    ],
)
def test_a_runs_page_says_whether_its_work_is_proven(tmp_path: Path, proof: Proof | None, said: str) -> None:
    run = replace(a_run(tmp_path / "results", a_row(1)), proof=proof)
    write_run(tmp_path / "run.html", RunStore(tmp_path / "results").folder(run.id), run)
    found = re.search("<dt>Proof</dt><dd><bdi>(.*?)</bdi>", (tmp_path / "run.html").read_text())
    assert (found[1] if found else "") == said


def test_a_patch_is_read_file_by_file(tmp_path: Path) -> None:
    (tmp_path / "patch.diff").write_bytes(
        b"diff --git a/a b/a b/a b\nindex 1..2 100644\n--- a/a b\n+++ b/a b\n"
        b"@@ -1 +1,2 @@\n-old\n+new\n+++ more\n"
        b'diff --git "a/\\303\\244" "b/\\303\\244"\nnew file mode 100755\nBinary files differ\n'
    )
    read = patch.read(tmp_path)
    assert read.files[0].path == "a b"
    assert (read.added, read.removed) == (2, 1)
    assert read.files[1].lines == (("meta", "new file mode 100755"), ("meta", "Binary files differ"))
    assert read.files[0].lines[0] == ("hunk", "@@ -1 +1,2 @@")
    assert not read.is_cut


def test_what_a_hunk_holds_is_told_by_its_first_sign(tmp_path: Path) -> None:
    """Lines that look like a head's, or like another kind of diff, are what their first sign says."""
    hunk = ["--- a/x", "+++ b/x", "---", "+", "-", "=== x", "+index 1..2", "-diff --git a/a b/a", " 1c1"]
    (tmp_path / "patch.diff").write_text("diff --git a/a b/a\n@@ -1,5 +1,4 @@\n" + "\n".join(hunk) + "\n")
    (file,) = patch.read(tmp_path).files
    assert [kind for kind, _ in file.lines] == ["hunk", *(_KINDS[line[0]] for line in hunk)]
    assert (file.added, file.removed) == (3, 4)


_KINDS = {"+": "add", "-": "del", " ": "same", "=": "same"}


def test_a_long_patch_is_cut(tmp_path: Path) -> None:
    (tmp_path / "patch.diff").write_text("diff --git a/a b/a\n@@ @@\n" + "+x\n" * 9000)
    read = patch.read(tmp_path)
    assert read.is_cut
    assert len(read.files[0].lines) < 4000


def test_a_name_in_a_transcript_leads_to_no_file_outside_the_run(tmp_path: Path) -> None:
    results = tmp_path / "results"
    run = a_run(results, a_row(1))
    folder = RunStore(results).folder(run.id)
    (folder / "outputs" / "1.txt").unlink()
    (folder / "outputs" / "link.txt").symlink_to("/etc/passwd")
    for turn, name in enumerate(
        ("../../../../../../../../etc/passwd", "/etc/passwd", "outputs/link.txt", "x\0")
    ):
        transcript.append(folder, "assistant", turn=turn, tool_calls=calls("c"))
        transcript.append(folder, "tool", id="c", text="", output=name)
    write_run(tmp_path / "run.html", folder, run)
    text = (tmp_path / "run.html").read_text()
    links = re.findall(r'href="([^"]*)"', text)
    assert not [link for link in links if "passwd" in link or "link.txt" in link]
    assert f"results/runs/{run.id}/outputs/2.txt" in links


def test_a_run_under_way_has_no_page_that_is_kept_but_can_be_written(tmp_path: Path) -> None:
    results = tmp_path / "results"
    row = a_row(1)
    write_ledger(results, row)
    run = replace(a_run(results, row), phase=Phase.WORKING, outcome=None, proof=None, result=None)
    RunStore(results).save(run)
    text = written(tmp_path)
    assert not (results / "runs" / run.id / "run.html").exists()
    assert f"{run.id}/transcript.jsonl" in text
    write_run(tmp_path / "run.html", results / "runs" / run.id, run)
    assert "under way (working)" in (tmp_path / "run.html").read_text()


def test_a_cached_page_replaces_a_link_of_its_name(tmp_path: Path) -> None:
    run = a_run(tmp_path, a_row(1))
    folder = RunStore(tmp_path).folder(run.id)
    (folder / "run.html").symlink_to("run.html")
    assert cached_page(folder, run).stat().st_size > 1000


def test_small_sums_have_an_axis_that_tells_them_apart(tmp_path: Path) -> None:
    write_ledger(tmp_path / "results", a_row(1, cost_usd=0.004))
    spend = next(panel for panel in panels.panels(reported(tmp_path)) if panel.key == "spend")
    labels = set(re.findall(r">(\$[0-9.]+)</text>", str(spend.svg)))
    assert len(labels) > 3
    assert "$0.0040" in labels


# --- a report to share ---------------------------------------------------------------------------


def test_a_shared_report_is_a_web_servers_to_read_and_holds_when_it_is_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = tmp_path / "results"
    a_month(results)
    before = os.umask(0o077)
    try:
        assert _shared(tmp_path) == 1  # cron looks dead
    finally:
        os.umask(before)
    there = (tmp_path / "www").rename(tmp_path / "moved")
    found = [there, *there.rglob("*")]
    assert {path.stat().st_mode & 0o777 for path in found if path.is_file()} == {0o644}
    assert {path.stat().st_mode & 0o777 for path in found if path.is_dir()} == {0o755}
    pages = list(there.rglob("*.html"))
    assert len(pages) == 2 + 20
    for one in pages:
        for link in re.findall(r'href="([^"]*)"', one.read_text().partition("<template>")[0]):
            if not link.startswith(("#", "data:", f"{FORGE}/")):
                assert (one.parent / unquote(link.partition("#")[0])).is_file(), link
    assert not [path for path in found if path.name == "passwd"]
    listed = json.loads(_data((there / "runs.html").read_text()))
    assert len(listed["runs"]) == 152
    assert sum(bool(run[-1]) for run in listed["runs"]) == 20


def test_a_shared_report_keeps_its_pages_and_only_its_own_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = a_month(tmp_path / "results")
    _shared(tmp_path)
    runs = tmp_path / "www" / "runs"
    made = {path: path.stat().st_mtime_ns for path in runs.rglob("*")}
    newest = rows[-1].run_id
    shutil.rmtree(tmp_path / "results" / "runs" / newest)
    foreign = [runs / "mine", runs / "20200101T000000Z-mine"]
    for one in foreign:
        one.mkdir()
    _shared(tmp_path)
    assert {path: path.stat().st_mtime_ns for path in made} == made
    monkeypatch.setattr("sprint.monitor.html.written._SHARED_RUNS", 3)
    _shared(tmp_path)
    assert set(runs.iterdir()) == {*foreign, *(runs / row.run_id for row in rows[-3:])}
    assert (runs / newest / "index.html").is_file()


def _shared(root: Path) -> int:
    return main(["--config", str(_file(root)), "monitor", "--quiet", "--share", str(root / "www")])


def _data(text: str) -> str:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text)
    assert found
    return found[1]


def test_causes_lead_to_their_runs(tmp_path: Path) -> None:
    results = tmp_path / "results"
    write_ledger(
        results,
        a_row(1, "checks_failed", detail="pytest: 3 new failures; see 20261121T110000Z-x-1"),
        a_row(2, "checks_failed", detail="pytest: 4 new failures"),
        a_row(3, "limit", detail="turns: 100 of 100"),
        a_row(4, "limit", detail=""),
    )
    text = written(tmp_path)
    (first, *_) = re.findall(r'href="report-runs.html#(outcome[^"]*)"', text)
    chosen = dict(parse_qsl(html.unescape(first)))
    assert chosen == {
        "outcome": "checks failed",
        "cause": "pytest: N new failures",
        "since": "2026-10-22T12:00:00Z",
    }
    data = json.loads(_data((tmp_path / "report-runs.html").read_text()))
    causes = [data["words"][run[12]] for run in data["runs"]]
    assert causes.count(chosen["cause"]) == 2
    assert "<bdi>without a word</bdi>" in text


# --- the command line --------------------------------------------------------------------------


def test_both_pages_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    config = str(_file(tmp_path))
    row = a_row(1)
    write_ledger(tmp_path / "results", row)
    run = a_run(tmp_path / "results", row, title="Widgets <b>turn</b>")
    assert main(["--config", config, "show", run.id, "--html", "run.html"]) == 0
    assert capsys.readouterr().out == "wrote run.html\n"
    assert "Widgets &lt;b&gt;turn&lt;/b&gt;" in Path("run.html").read_text()
    main(["--config", config, "monitor", "--quiet", "--html", "report.html"])
    assert "Widgets &lt;b&gt;turn&lt;/b&gt;" in Path("report.html").read_text()


def test_who_wants_no_page_loads_nothing_for_one() -> None:
    modules = "sprint.cli, sprint.run_command, sprint.show, sprint.monitor.monitor_command"
    code = f"import {modules}, sys; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    ).stdout.split()
    assert not {"pygal", "jinja2", "sprint.monitor.html.page"} & set(loaded)
