"""What a person sees: at a terminal one live region, elsewhere lines, from cron nothing."""

from __future__ import annotations

import io
import logging
import os
import pty
import re
import sys
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sprint import logs, proc, progress, transcript
from sprint.domain import Outcome, Phase, Run, replace
from sprint.run_command import Options, _looked_on
from sprint.runs import RunStore
from sprint.view.onlooker import follow, looking_on
from tests.around import around
from tests.servers.forge import DemoForge
from tests.servers.model import DemoModel
from tests.servers.replies import call
from tests.site import Site
from tests.some_run import some_run
from tests.widgets import CHECK, FILES, FIXED, REPO

HOSTILE = r"printf 'a \033[31m[bold]b[/bold]\033]0;owned\007 \033[2J c\n'; sleep 1; echo '[/]'; exit 3"
# What rich itself writes: colours, cursor up, a line erased, the cursor hidden and shown.
OURS = re.compile(r"\x1b\[(?:[\d;]*m|\d*A|2K|\?25[lh])")


@pytest.fixture
def site(gitea: DemoForge, workspaces: Path, model_server: Callable[..., DemoModel]) -> Site:
    gitea.add_repo(REPO, FILES)
    gitea.add_issue(REPO, "double() is [red]off[/red] \x1b[2Jby one", "double(2) must be 4.")
    look = call("run_command", {"command": HOSTILE}, text="A look [link=x]at\x1b]8;;http://e\x07 it.")
    model = model_server([look, *FIXED])
    return Site(workspaces / "site", gitea, model, repos=[{"name": REPO, "checks": [CHECK]}])


def at_a_terminal(site: Site, *args: str, environ: Mapping[str, str] | None = None) -> tuple[int, str]:
    """The exit code of a command, and all that its terminal got."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(site.path)
        env = {**site.environ, "TERM": "xterm", "COLUMNS": "140", **(environ or {})}
        os.execve(sys.executable, [sys.executable, "-m", "sprint", *args], env)
    shown = bytearray()
    try:
        while data := os.read(terminal, 65536):
            shown += data
    except OSError:  # a terminal's end, as Linux tells it
        pass
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode()


def test_a_terminal_shows_a_run_as_it_happens(site: Site) -> None:
    code, shown = at_a_terminal(site, "run", f"{REPO}#1")
    assert code == 0, shown
    for said in (
        "double() is [red]off[/red] by one",  # what strangers write is text
        "A look [link=x]at it.",
        "b[/bold]",
        f"base: {CHECK}: passed",
        "turn 1: ",
        "exit code 3: [/]",
        " of 2:00 min · printf",  # the command after its time, for it may be cut off
        " min left",
        "the worker is done: implemented",
        "proving what was made",
    ):
        assert said in shown
    assert re.search(
        r"working · turn 1 · scripted · [\d,]+ \+ \d+ tokens, \$0\.00\d\d · \d+:\d\d min left", shown
    )
    left = OURS.sub("", shown)
    assert "\x1b" not in left
    assert "\x07" not in left
    assert shown.endswith("\x1b[?25h") or shown.rstrip().endswith("\x1b[?25h")  # the cursor is back
    results = [line for line in left.splitlines() if "pr_opened http" in line]
    assert len(results) == 2, results  # as what happened, and as what came of it


def test_without_a_terminal_lines_say_it_for_one_issue(site: Site, gitea: DemoForge) -> None:
    done = site.sprint("run", f"{gitea.url}/{REPO}/issues/1")
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stderr
    assert "turn 1: " in done.stderr
    assert "> edit_file path=widgets.py" in done.stderr
    assert done.stdout.count("\n") == 1
    (run,) = site.runs()
    for named in (f"{gitea.url}/{REPO}/issues/1", f"{run['pr_url']}/files", f"{REPO}#1"):
        shown = site.sprint("show", named, "--follow")  # which is over
        assert run["id"] in shown.stdout, shown.stderr


def test_nobody_is_shown_anything_where_nobody_looks(tmp_path: Path) -> None:
    from sprint.config import load

    config = load(None, around(tmp_path))

    def shows(**options: object) -> bool:
        context = _looked_on(config, Options(**options))  # type: ignore[arg-type]
        return type(context).__name__ != "nullcontext"

    assert shows(by_hand=True)
    assert shows(issue=1)
    assert not shows()  # cron
    for off in ({"quiet": True}, {"as_json": True}, {"dry_run": True}):
        assert not shows(by_hand=True, issue=1, **off)


def a_run(store: RunStore, **changes: object) -> Run:
    now = datetime.now(UTC)
    usual = {"repo": REPO, "issue": 7, "title": "Off by one", "started_at": now, "deadline": now}
    run = some_run(**{**usual, **changes})
    store.create(run)
    return run


class Pipe(io.StringIO):
    """Tells when something is in it."""

    def __init__(self) -> None:
        super().__init__()
        self.grew = threading.Condition()

    def write(self, text: str) -> int:
        with self.grew:
            self.grew.notify_all()
            return super().write(text)

    def wait_for(self, text: str) -> None:
        with self.grew:
            assert self.grew.wait_for(lambda: text in self.getvalue(), timeout=60), self.getvalue()


def test_following_ends_with_the_run(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    run = a_run(store, phase=Phase.WORKING)
    folder, out = store.folder(run.id), Pipe()
    transcript.append(folder, "note", text="before it was followed")
    thread = threading.Thread(target=follow, args=(store, run, out))
    thread.start()
    out.wait_for("before it was followed")
    progress.append(folder, "doing", what="tool", text="make", seconds=1)
    transcript.append(folder, "note", text="while it was followed")
    out.wait_for("while it was followed")
    transcript.append(folder, "note", text="at the very end")
    store.save(replace(run, phase=Phase.SETTLED, outcome=Outcome.NO_CHANGE))
    thread.join(60)
    assert not thread.is_alive()
    assert out.getvalue().count("while it was followed") == 1
    assert "at the very end" in out.getvalue()
    assert "make" not in out.getvalue()  # that is for the region


def test_a_reader_that_goes_away_ends_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    store = RunStore(tmp_path)
    a_run(store, host=proc.hostname(), pid=os.getpid())
    logs.to_stderr()
    with looking_on(tmp_path, Gone()):
        for _ in range(3):
            logging.getLogger("sprint").warning("said all the same")
    assert capsys.readouterr().err.count("said all the same") == 3


def test_only_what_this_process_does_is_shown(tmp_path: Path) -> None:
    store, out = RunStore(tmp_path), Pipe()
    other = a_run(store, host=proc.hostname(), pid=1, title="Not mine")
    mine = a_run(store, host=proc.hostname(), pid=os.getpid(), title="Mine \x1b[2J")
    transcript.append(store.folder(mine.id), "note", text="said by an earlier process")
    earlier = (store.folder(mine.id) / transcript.NAME).read_text().replace("202", "201", 1)
    (store.folder(mine.id) / transcript.NAME).write_text(earlier)
    with looking_on(tmp_path, out):
        out.wait_for("Mine")
        transcript.append(store.folder(other.id), "note", text="of another")
        transcript.append(store.folder(mine.id), "note", text="of this")
        out.wait_for("of this")
        store.discard(mine.id)  # withdrawn, as where the model is away
    assert "earlier" not in out.getvalue()
    assert "Not mine" not in out.getvalue()
    assert "of another" not in out.getvalue()
    assert "\x1b" not in out.getvalue()
