"""`sprint serve` over HTTP: who gets in, what is shown, and what comes while a run's files grow."""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sprint import backlog_seen, ledger, progress, transcript
from sprint.cli import main
from sprint.domain import Issue, PassedOver, Phase, Pick, replace
from sprint.gateway.journal import Journal
from sprint.monitor import pull_states
from sprint.monitor.pull_states import PullState, Stored
from sprint.runs import RunStore
from sprint.serve import run_live
from sprint.serve.site import Site
from sprint.view.run_view import RunView
from sprint.worker.sprite import note as notes
from sprint.worker.sprite.note import Note
from tests.monitor.ledgers import a_row
from tests.monitor.sample import HOSTILE, a_month
from tests.serve.serving import Served, a_configuration, served
from tests.serve.serving import quick as quick  # a fixture
from tests.some_run import a_run
from tests.waiting import wait_until

TOKEN = "0123456789abcdef-of-the-test"


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("served")
    a_month(root / "results", hostile=True)
    (root / "results" / "cron.log").write_text("octo/widgets: idle\n  passed over #7 <b>old</b>: blocked\n")
    return root


@pytest.fixture(scope="module")
def site(month: Path) -> Iterator[Served[Site]]:
    with served(month, names=("sprint.example.org",)) as one:
        yield one


def active(root: Path) -> str:
    (run_id,) = RunStore(root / "results").active_ids()
    return run_id


def test_the_report_has_what_the_files_say_and_a_strict_policy(site: Served[Site], month: Path) -> None:
    answer = site.get("/")
    assert answer.status == 200
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self' 'sha256-" in policy
    assert "unsafe" not in policy
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert 'http-equiv="Content-Security' not in answer.text
    assert '<noscript><meta http-equiv="refresh" content="30"></noscript>' in answer.text
    assert f'href="/runs/{active(month)}"' in answer.text
    assert "passed over #7 &lt;b&gt;old&lt;/b&gt;: blocked" in answer.text
    assert "idle: no open issue is fit" in answer.text


def test_the_backlog_and_the_sprites_are_as_files_tell(tmp_path: Path) -> None:
    results = tmp_path / "results"
    at = datetime.now(UTC)
    issues = [Issue(number, f"Issue <{number}>", "", "carl", at, at) for number in (5, 7)]
    older = [PassedOver(number, "<i>Old</i>", "labelled <b>epic</b>") for number in range(300)]
    backlog_seen.keep(results, "gitea", "octo/widgets", Pick(issues[0], tuple(older)), issues[1:])
    backlog_seen.keep(results, "gitea", "acme/docs", Pick(None, why_none="no issue is open"), ())
    store, run = RunStore(results), a_run(phase=Phase.WORKING, worker="far")
    notes.save(store.create(run), Note(sprite="willow", home="/home/willow"))
    with served(tmp_path) as site:
        page = site.get("/").text
    shown = " ".join(re.sub("<[^>]+>", "", page.partition('id="backlog"')[2]).split())
    assert "octo/widgets 0 s ago took #5 Issue &lt;5&gt; then, not looked at yet: #7 Issue &lt;7&gt;" in shown
    assert "300 older issues passed over, and why #0 &lt;i&gt;Old&lt;/i&gt;: labelled &lt;b&gt;epic" in shown
    assert "and 100 more" in shown
    assert "acme/docs 0 s ago no issue is open" in shown
    assert 'href="https://git.example.org/octo/widgets/issues/5"' in page
    assert "willow on here · octo/widgets#12" in shown
    assert f'<a href="/runs/{run.id}">octo/widgets#12</a>' in page
    assert "bramble on here · no run of ours" in shown


def test_pull_requests_are_listed_with_what_became_of_them(tmp_path: Path) -> None:
    results, at = tmp_path / "results", datetime.now(UTC) - timedelta(hours=3)
    url = "https://git.example.org/octo/widgets/pulls/"
    asked = PullState(
        pr_url=f"{url}1",
        repo="octo/widgets",
        number=1,
        run_id="a",
        opened_at=at,
        state="merged",
        merged_at=at,
    )
    pull_states.save(results, Stored(asked_at=at, pulls=(asked,)))
    ledger.append(results, a_row(outcome="pr_opened", finished_at=at, run_id="b", pr_url=f"{url}2"))
    opened = replace(a_run(phase=Phase.SETTLED), id="b", title="Say two")
    RunStore(results).create(opened)
    round_ = a_row(outcome="checks_failed", finished_at=at, run_id="c", pr_url=f"{url}2")
    ledger.append(results, replace(round_, purpose="follow_up", round=2))
    with served(tmp_path) as site:
        page = site.get("/").text
    text = re.sub("<[^>]+>", "", page.partition('id="pull-list"')[2])
    assert '<a href="#pull-list">1 pull request</a>' in page
    lines = [line for line in text.splitlines() if "octo/widgets #" in line][:2]
    assert "open" in lines[0]
    assert f"octo/widgets #2 {opened.title} opened 3 h ago · follow-up 2 3 h ago: checks failed" in lines[0]
    assert "merged" in lines[1]


def test_hostile_text_is_text(site: Served[Site], month: Path) -> None:
    pages = [site.get(f"/runs/{path.name}").text for path in sorted((month / "results" / "runs").iterdir())]
    for text in (site.get("/").text, *pages):
        assert text.count("<script") <= 1
        assert HOSTILE[0] not in text
        assert "<img" not in text
        assert "<iframe" not in text
        assert 'href="javascript' not in text
    assert any("&lt;script&gt;document.title" in text for text in pages)


def test_all_runs_are_listed_with_one_script_that_the_policy_names(site: Served, month: Path) -> None:
    answer = site.get("/runs")
    script, data = re.findall(r"<script([^>]*)>(.*?)</script>", answer.text, re.DOTALL)[::-1]
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    assert f"'sha256-{digest}'" in answer.headers["content-security-policy"]
    assert data[0] == ' type="application/json" id="data"'
    assert "<" not in data[1]
    assert len(json.loads(data[1])["runs"]) == 152
    assert 'href="/runs/' in answer.text


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8765", 200),
        ("localhost", 200),
        ("[::1]:8765", 200),
        ("sprint.example.org", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("[", 421),
    ],
)
def test_a_name_that_is_not_ours_gets_nothing(site: Served[Site], host: str, status: int) -> None:
    answer = site.get("/healthz", Host=host)
    assert answer.status == status


def test_where_nothing_has_run_yet_there_is_a_page(tmp_path: Path) -> None:
    with served(tmp_path) as site:
        assert "No run yet." in site.get("/").text
        assert site.get("/runs/none/events").status == 404
    assert not (tmp_path / "results").exists()


def test_a_browser_gets_pages_packed(site: Served[Site]) -> None:
    for path in ("/", "/runs"):
        plain = site.get(path)
        assert "content-encoding" not in plain.headers
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", site.port, timeout=60)) as connection:
            connection.request("GET", path, headers={"Accept-Encoding": "gzip, deflate, br"})
            answer = connection.getresponse()
            packed = answer.read()
        assert (answer.headers["Content-Encoding"], answer.headers["Vary"]) == ("gzip", "Accept-Encoding")
        assert gzip.decompress(packed).startswith(plain.text[:100].encode())
        assert len(packed) < len(plain.text) / 4


def test_what_is_not_there_is_a_page_for_a_browser(site: Served[Site]) -> None:
    for path in ("/runs/none", "/none", "/runs/none/files/patch.diff"):
        page = site.get(path, Accept="text/html,*/*")
        assert page.status == 404
        assert page.headers["content-type"].startswith("text/html")
        assert '<a href="/">To the report</a>' in page.text
        plain = site.get(path)
        assert plain.status == 404
        assert plain.headers["content-type"].startswith("text/plain")
    assert "no run none in " in site.get("/runs/none", Accept="text/html").text


def test_metrics_and_files_of_runs(site: Served[Site], month: Path) -> None:
    assert "sprint_active_runs 1.0" in site.get("/metrics").text
    run_id = max(path.parent.name for path in (month / "results" / "runs").glob("*/patch.diff"))
    page = site.get(f"/runs/{run_id}")
    assert f'href="/runs/{run_id}/files/patch.diff"' in page.text
    assert '<a href="/">Report</a>' in page.text
    answer = site.get(f"/runs/{run_id}/files/patch.diff")
    assert answer.text.startswith("diff --git")
    assert answer.headers["content-type"].startswith("text/plain")
    assert "sandbox" in answer.headers["content-security-policy"]
    assert site.get(f"/runs/{run_id}/files/outputs/1.txt").text == "all of it"
    for name in ("run.json", "../../results.csv", "outputs/../run.json", "%2e%2e/%2e%2e/results.csv"):
        assert site.get(f"/runs/{run_id}/files/{name}").status == 404, name
    assert site.get("/runs/no-such-run").status == 404
    assert site.get("/", method="POST").status == 405
    assert site.get("/events", method="HEAD").text == ""


def test_only_who_knows_the_token_gets_in(month: Path) -> None:
    with served(month, token=TOKEN) as site:
        assert site.get("/healthz").text == "ok\n"
        for path in ("/", "/metrics", "/events", f"/runs/{active(month)}", "/live.js"):
            assert site.get(path).status == 401
            assert site.get(path, Cookie="sprint-session=0", Authorization="Bearer x").status == 401
        asked = site.get("/", Accept="text/html")
        assert (asked.status, asked.headers["location"]) == (303, "/login")
        assert "<form" in site.get("/login").text
        assert site.get("/login?token=wrong").status == 401
        by_form = site.get("/login", method="POST", body=f"token={TOKEN}")
        by_link = site.get(f"/login?token={TOKEN}")
        for answer in (by_form, by_link):
            assert (answer.status, answer.headers["location"]) == (303, "/")
            cookie = answer.headers["set-cookie"]
            assert "HttpOnly" in cookie
            assert TOKEN not in cookie
            others = f'other={{"a": 1}}; {cookie.partition(";")[0]}; x'
            assert site.get("/", Cookie=others).status == 200
        assert site.get("/metrics", Authorization=f"Bearer {TOKEN}").status == 200


@pytest.fixture
def running(tmp_path: Path) -> Path:
    a_month(tmp_path / "results")
    return tmp_path


def test_a_run_is_told_as_it_happens(running: Path) -> None:
    store, run_id = RunStore(running / "results"), active(running)
    folder = store.folder(run_id)
    with served(running) as site, site.events(f"/runs/{run_id}/events") as events:
        assert events.next() == ("begin", {})
        transcript.append(folder, "note", text="<b>first</b>\u202e")
        told = events.until("first")
        assert "<b>first</b>" in told
        assert "\u202e" not in told
        progress.append(folder, "doing", what="tool", text="make test", seconds=60)
        progress.append(folder, "output", text="3 of 9 passed")
        state = events.state("output", "3 of 9")
        assert (state["doing"], state["longest"]) == ("make test", 60)
        Journal(folder).refused("packages", "evil.example:443", "nobody named it")
        assert "evil.example:443" in events.until("gateway: refused")
        last_id = events.last_id
        transcript.append(folder, "check", what="result", command="pytest", status="passed", seconds=1.0)
        events.until("pytest")
        with site.events(f"/runs/{run_id}/events", Last_Event_ID=last_id) as again:
            assert "first" not in again.until("pytest")
        run = store.load(run_id)
        store.save(replace(run, phase=Phase.SETTLED))
        assert events.state("over", "True")["stamp"] != run_live.stamp(run)
        while events.next()[0] != "end":
            pass


@pytest.mark.usefixtures("quick")
def test_the_report_says_when_it_has_changed(running: Path) -> None:
    with served(running) as site, site.events("/events") as events:
        first = events.state("stamp", "")["stamp"]
        assert f'data-stamp="{first}"' in site.get("/").text
        (running / "results" / "cron.log").write_text("news\n")
        second = events.state("stamp", "")["stamp"]
        assert first != second
        assert f'data-stamp="{second}"' in site.get("/").text
        assert site.site.report.made == 2


def test_fifty_viewers_have_one_reader(running: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[RunView] = []
    looks: list[int] = []
    real_init, real_look = RunView.__init__, RunView.look

    def init(self: RunView, *arguments: object) -> None:
        opened.append(self)
        real_init(self, *arguments)  # type: ignore[arg-type]

    def look(self: RunView) -> object:
        looks.append(threading.get_ident())
        return real_look(self)

    monkeypatch.setattr(RunView, "__init__", init)
    monkeypatch.setattr(RunView, "look", look)
    folder = RunStore(running / "results").folder(active(running))
    path = f"/runs/{active(running)}/events"
    with served(running) as site, contextlib.ExitStack() as stack:
        viewers = [stack.enter_context(site.events(path)) for _ in range(50)]
        assert wait_until(lambda: site.site.feeds[active(running)].viewers == 50)
        transcript.append(folder, "note", text="for everybody")
        for viewer in viewers:
            viewer.until("for everybody")
        assert len(opened) == 1
        assert len(looks) < 50
        stack.close()
        transcript.append(folder, "note", text="for nobody")
        assert wait_until(lambda: not site.site.feeds)


def test_nothing_is_written_and_no_lock_is_taken(month: Path, site: Served[Site]) -> None:
    def tree() -> dict[str, tuple[int, int]]:
        found = list((month / "results").rglob("*"))
        return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in found}

    before = tree()
    site.get("/")
    for path in (month / "results" / "runs").iterdir():
        site.get(f"/runs/{path.name}")
    assert tree() == before


# --- the command ---------------------------------------------------------------------------------


def test_it_stops_at_sigterm_while_somebody_looks_on(running: Path) -> None:
    config = a_configuration(running)
    argv = [sys.executable, "-m", "sprint", "--config", str(config), "serve", "--port", "0"]
    argv += ["--public", "127.0.0.1:0"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        assert said.startswith("serving http://127.0.0.1:")
        assert process.stdout.readline().startswith("call-backs, webhooks and gateways of runs at 127.0.0.1:")
        port = int(said.partition("127.0.0.1:")[2].partition("/")[0])
        with socket.create_connection(("127.0.0.1", port), timeout=60) as viewer:
            viewer.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert viewer.recv(100).startswith(b"HTTP/1.1 200")
            process.send_signal(signal.SIGTERM)
            out, err = process.communicate(timeout=60)
        assert (process.returncode, out, err) == (0, "", "")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--host", "0.0.0.0"], "can be reached from other machines: give --token-file"),
        (["--token-file", "short"], "give it 16 characters or more"),
        (["--token-file", "missing"], "cannot read"),
    ],
)
def test_what_may_not_be_is_said_in_a_line(
    options: list[str],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "short").write_text("123\n")
    (tmp_path / "short").chmod(0o600)
    assert main(["--config", str(a_configuration(tmp_path)), "serve", *options]) == 2
    err = capsys.readouterr().err
    assert says in err
    assert err.count("\n") == 1


def test_a_port_that_is_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        argv = ["--config", str(a_configuration(tmp_path)), "serve", "--port", str(port)]
        assert main(argv) == 2
    assert "it is taken; choose another with --port" in capsys.readouterr().err


def test_without_the_extra_it_says_what_to_install(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("sprint.serve.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert main(["--config", str(a_configuration(tmp_path)), "serve", "--port", "0"]) == 2
    assert f"{sys.executable} -m pip install 'sprint-backlog-burner[serve]'" in capsys.readouterr().err


def test_the_unit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    argv = ["--config", str(a_configuration(tmp_path)), "serve", "--systemd", "--port", "8000", "--public"]
    assert main(argv) == 0
    unit = tmp_path / "config" / "systemd" / "user" / "sprint-serve.service"
    text = unit.read_text()
    assert (
        f'"{tmp_path}/sprint.yaml" "serve" "--host" "127.0.0.1" "--port" "8000" "--public" "127.0.0.1:8766"'
        in text
    )
    assert "KillMode=process" in text
    assert main(argv) == 0
    for other in ("[Unit]\n", text.replace("made this file for ", "made this file for /another")):
        unit.write_text(other)
        capsys.readouterr()
        assert main(argv) == 2
        assert "move it away" in capsys.readouterr().err
        assert unit.read_text() == other
