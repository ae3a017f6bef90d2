"""Where log records go: stderr, each run's own file, and a bounded log of cron's."""

from __future__ import annotations

import contextvars
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from sprint import logs
from sprint.claim import Claims
from sprint.domain import Claim, Run
from sprint.errors import ForgeError
from sprint.git import Remote
from sprint.renewal import Lease
from tests.servers.forge import DemoForge
from tests.servers.model import DemoModel
from tests.servers.replies import call, failed, finish
from tests.site import Site
from tests.some_run import some_run

HOSTILE = "title\x1b[31m red\x1b]8;;http://evil\x07\nsprint: all is well\r\u202e gpj \u200b<!--"
log = logging.getLogger("sprint.test")


@pytest.fixture(autouse=True)
def _quiet_after() -> Iterator[None]:
    root = logging.getLogger("sprint")
    before = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = before
    logs._as_json = False


def make_run(number: int = 7) -> Run:
    return some_run(id=f"20260301T000000Z-acme-widgets-{number}-0a0b0c0d", repo="acme/widgets", issue=number)


def lines(folder: Path) -> list[str]:
    return (folder / logs.RUN_LOG).read_text().splitlines()


def objects(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


# --- stderr ------------------------------------------------------------------------------------


def test_cron_is_told_only_what_a_person_should_read(capsys: pytest.CaptureFixture[str]) -> None:
    logs.to_stderr()
    log.debug("a detail")
    log.info("progress")
    log.warning("a token can be read by all")
    assert capsys.readouterr().err == "sprint: a token can be read by all\n"
    logs.to_stderr(verbose=True)
    log.debug("a detail")
    assert capsys.readouterr().err == "sprint: a detail\n"


def test_hostile_text_stays_on_its_line_and_in_sight(capsys: pytest.CaptureFixture[str]) -> None:
    logs.to_stderr()
    log.warning("#%d: %s", 7, HOSTILE)
    said = capsys.readouterr().err
    assert said == "sprint: #7: title red sprint: all is well gpj <!--\n"


def test_json_lines_have_progress_and_what_they_are_about(capsys: pytest.CaptureFixture[str]) -> None:
    logs.to_stderr(style="json")
    log.info("before")
    with logs.about("acme/widgets"):
        log.info("#%d: %s", 7, HOSTILE)
    before, about = objects(capsys.readouterr().err)
    assert datetime.fromisoformat(before.pop("time")).tzinfo is not None
    assert before == {
        "level": "info",
        "logger": "sprint.test",
        "message": "before",
        "run": None,
        "repo": None,
        "issue": None,
    }
    assert about["repo"] == "acme/widgets"
    assert about["message"] == "#7: title red sprint: all is well gpj <!--"


def test_json_keeps_a_traceback_in_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.to_stderr(verbose=True, style="json")
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        log.debug("where it came from", exc_info=True)
    (said,) = objects(capsys.readouterr().err)
    assert said["traceback"].startswith("Traceback (most recent call last)")
    assert "\x1b" not in said["traceback"]
    assert "\u202e" not in said["traceback"]


# --- a run's own log ---------------------------------------------------------------------------


def test_a_run_has_its_records_and_no_others(tmp_path: Path) -> None:
    logs.to_stderr()
    log.info("before")
    with logs.run_log(tmp_path, make_run()):
        log.debug("a detail")
        log.info("#%d: %s", 7, HOSTILE)
        log.warning("attention")
    log.warning("after")
    first, second = lines(tmp_path)
    assert first.endswith("Z INFO    #7: title red sprint: all is well gpj <!--")
    assert datetime.fromisoformat(first.split()[0]).tzinfo is not None
    assert second.endswith("Z WARNING attention")
    assert (tmp_path / logs.RUN_LOG).stat().st_mode & 0o777 == 0o600


def test_a_later_tick_goes_on_where_the_log_ended(tmp_path: Path) -> None:
    logs.to_stderr()
    for word in ("one", "two"):
        with logs.run_log(tmp_path, make_run()):
            log.info(word)
    assert [line.split()[-1] for line in lines(tmp_path)] == ["one", "two"]


def test_runs_at_once_keep_apart_and_their_helpers_with_them(tmp_path: Path) -> None:
    """Each thread's records, and those of threads that it started in its own context, go to its own run."""
    logs.to_stderr()
    together = threading.Barrier(3)

    def work(number: int) -> None:
        folder = tmp_path / str(number)
        folder.mkdir()
        with logs.run_log(folder, make_run(number)):
            together.wait(10)
            for _ in range(50):
                log.info("work on %d", number)
            copy = contextvars.copy_context()
            helper = threading.Thread(target=copy.run, args=(log.info, f"help for {number}"))
            helper.start()
            helper.join()
            together.wait(10)

    threads = [threading.Thread(target=work, args=(number,)) for number in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in (1, 2, 3):
        said = [line.split("    ")[1] for line in lines(tmp_path / str(number))]
        assert said == [f"work on {number}"] * 50 + [f"help for {number}"]


def test_what_the_keeper_of_the_claim_says_is_in_the_runs_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs.to_stderr()
    monkeypatch.setattr("sprint.renewal.RENEW_SECONDS", 0.001)
    run, tried = make_run(), threading.Event()

    class Unreachable(Claims):
        def renew(self, claim: Claim, now: datetime, **_: object) -> Claim | None:
            if threading.current_thread().name == "claim-lease" and (tmp_path / logs.RUN_LOG).stat().st_size:
                tried.set()
            raise ForgeError("git.example.org does not answer")

    claims = Unreachable(tmp_path / "claims.git", Remote("http://127.0.0.1:1/a/b.git", None), "h")
    claim = Claim(7, "claimed", run.id, "h", 1, run.deadline)
    with logs.run_log(tmp_path, run), Lease(claims, claim, lambda: ""):
        assert tried.wait(10)
    assert lines(tmp_path)[0].endswith("cannot renew the claim on issue #7: git.example.org does not answer")


@pytest.mark.parametrize(
    ("error", "last"),
    [
        (ForgeError("git.example.org does not answer"), "ERROR   git.example.org does not answer"),
        (KeyboardInterrupt(), "ERROR   cut short by KeyboardInterrupt"),
    ],
)
def test_the_last_word_is_why_it_was_cut_short(tmp_path: Path, error: BaseException, last: str) -> None:
    logs.to_stderr()
    with pytest.raises(type(error)), logs.run_log(tmp_path, make_run()):
        raise error
    assert lines(tmp_path)[-1].endswith(last)
    assert len(lines(tmp_path)) == 1


def test_a_defect_leaves_its_traceback(tmp_path: Path) -> None:
    logs.to_stderr()
    with pytest.raises(ZeroDivisionError), logs.run_log(tmp_path, make_run()):
        _ = 1 // 0
    assert lines(tmp_path)[0].endswith("cut short by ZeroDivisionError")
    assert lines(tmp_path)[-1].startswith("ZeroDivisionError")


def test_no_run_is_lost_for_its_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logs.to_stderr()
    (tmp_path / logs.RUN_LOG).symlink_to(tmp_path / "elsewhere")
    with logs.run_log(tmp_path, make_run()):
        log.info("work")
    assert not (tmp_path / "elsewhere").exists()
    said = capsys.readouterr().err
    assert said.startswith("sprint: acme/widgets: no log for the run")
    assert said.count("\n") == 1


def test_a_full_disk_costs_the_log_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logs.to_stderr()
    with logs.run_log(tmp_path, make_run()):
        (handler,) = (h for h in logging.getLogger("sprint").handlers if isinstance(h, logs._RunLog))
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, handler._handle)
        os.close(full)
        log.info("work")
    assert capsys.readouterr().err == ""


# --- cron's log --------------------------------------------------------------------------------


def numbered(first: int, count: int) -> bytes:
    return b"".join(b"line %08d\n" % number for number in range(first, first + count))


def test_cron_log_is_cut_down_to_its_newest_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / logs.CRON_LOG
    logs.bound_cron_log(tmp_path)
    assert not path.exists()
    text = numbered(0, 1000)
    path.write_bytes(text)
    logs.bound_cron_log(tmp_path, cap=len(text), kept=1000)
    assert path.read_bytes() == text
    inode = path.stat().st_ino
    logs.bound_cron_log(tmp_path, cap=len(text) - 1, kept=1000)
    kept = path.read_bytes()
    assert path.stat().st_ino == inode
    assert text.endswith(kept)
    assert 900 < len(kept) <= 1000
    assert kept.startswith(b"line ")


def test_a_shell_that_has_it_open_goes_on_writing_to_it(tmp_path: Path) -> None:
    path = tmp_path / logs.CRON_LOG
    path.write_bytes(numbered(0, 1000))
    with subprocess.Popen(
        ["/bin/sh", "-c", 'read line; echo "$line"; read line; echo "$line"'],
        stdin=subprocess.PIPE,
        stdout=path.open("ab"),
    ) as shell:
        assert shell.stdin is not None
        logs.bound_cron_log(tmp_path, cap=2000, kept=1000)
        shell.communicate(b"from a tick\nand more\n", timeout=10)
    text = path.read_bytes()
    assert len(text) < 1100
    assert text.endswith(b"line 00000999\nfrom a tick\nand more\n")
    assert b"\0" not in text


def test_while_others_append_nothing_is_torn_and_the_file_stays_bounded(tmp_path: Path) -> None:
    """Four processes append while the log is cut again and again: whole lines, each writer's in order."""
    code = (
        "import itertools, os, sys\n"
        "file = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT)\n"
        "for n in itertools.count(): os.write(file, b'writer %s line %012d\\n' % (sys.argv[2].encode(), n))\n"
    )
    path = tmp_path / logs.CRON_LOG
    path.touch()
    writers = [subprocess.Popen([sys.executable, "-c", code, str(path), str(n)]) for n in range(4)]
    cuts, deadline = 0, time.monotonic() + 30
    while cuts < 20 and time.monotonic() < deadline:
        is_large = path.stat().st_size > 100_000
        logs.bound_cron_log(tmp_path, cap=100_000, kept=50_000)
        cuts += is_large
    for writer in writers:
        writer.kill()
        writer.wait()
    assert cuts == 20
    logs.bound_cron_log(tmp_path, cap=100_000, kept=50_000)
    said = [line.split() for line in path.read_text().splitlines()]
    assert path.stat().st_size <= 100_000
    assert all(len(words) == 4 and words[0] == "writer" and len(words[3]) == 12 for words in said)
    for name in "0123":
        numbers = [int(words[3]) for words in said if words[1] == name]
        assert numbers == sorted(numbers)


@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_what_is_no_file_is_left_alone(tmp_path: Path, kind: str) -> None:
    path = tmp_path / logs.CRON_LOG
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/null")
    logs.bound_cron_log(tmp_path, cap=0, kept=0)


# --- the real command --------------------------------------------------------------------------


def test_a_tick_leaves_a_log_without_a_secret(
    gitea: DemoForge, model_server: Callable[..., DemoModel], workspaces: Path
) -> None:
    gitea.add_repo("acme/widgets", {"README": "one\n"})
    gitea.add_issue("acme/widgets", "Say everything", "All of it.", labels=["epic"])
    bug = gitea.add_issue("acme/widgets", f"Say two {HOSTILE}", "It must say two.")
    fix = call("write_file", {"path": "README", "content": "two\n"})
    model = model_server([failed(503, "overloaded"), fix, finish()])
    site = Site(workspaces / "site", gitea, model, repos=["acme/widgets"])
    (site.path / "results").mkdir()
    cron_log = site.path / "results" / logs.CRON_LOG
    cron_log.write_bytes(numbered(0, 500_000))
    done = site.sprint("--log-format", "json", "-v", "run")
    assert done.returncode == 0, done.stderr
    (run,) = site.runs()
    text = (site.path / "results" / "runs" / run["id"] / logs.RUN_LOG).read_text()
    said = objects(text)
    assert {(each["run"], each["repo"], each["issue"]) for each in said} == {(run["id"], "acme/widgets", bug)}
    assert said[0]["message"] == "passed over #1 Say everything: labelled epic"
    assert said[1]["message"].startswith(f"#{bug}: claimed: Say two")
    assert any("again" in each["message"] for each in said)
    assert said[-1]["message"] == f"#{bug}: pr_opened"
    on_stderr = objects(done.stderr)
    assert [each for each in on_stderr if each["run"] and each["level"] != "debug"] == said
    for secret in (gitea.token, model.key):
        assert secret not in text + done.stderr + done.stdout
    assert cron_log.stat().st_size <= logs.CRON_LOG_KEPT
    assert cron_log.read_bytes().endswith(b"line 00499999\n")
    cron_log.write_bytes(numbered(0, 500_000))
    assert site.sprint("clean").returncode == 0
    assert cron_log.stat().st_size <= logs.CRON_LOG_KEPT


def test_operators_mistakes_are_json_too_where_asked(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sprint", "run", "--log-format", "json", "no-repository"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    (said,) = objects(done.stderr)
    assert said["level"] == "error"
    assert "no-repository" in said["message"]


def test_a_line_names_the_repository_that_it_is_about_once(capsys: pytest.CaptureFixture[str]) -> None:
    logs.to_stderr()
    with logs.about("acme/widgets"):
        log.warning("no usable model")
        log.warning("git.example.org: GET repos/acme/widgets: not there")
    log.warning("nothing to schedule")
    assert capsys.readouterr().err.splitlines() == [
        "sprint: acme/widgets: no usable model",
        "sprint: git.example.org: GET repos/acme/widgets: not there",
        "sprint: nothing to schedule",
    ]
