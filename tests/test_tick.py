"""The main job end to end: the real command line, git over HTTP, the real sandbox, a scripted model."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from git import Repo

from sprint import backlog_seen, proc, workspace
from sprint.backlog import Backlog
from sprint.backlog_seen import Entry
from sprint.claim import Claims
from sprint.config import load, resolve
from sprint.context import open_context
from sprint.domain import Claim, Completed, Outcome, Secret
from sprint.git import Remote
from sprint.sandbox import bwrap
from sprint.sandbox.standing import Standing
from sprint.tick import tick
from tests.around import around
from tests.servers.forge import DemoForge, Fault
from tests.servers.model import DemoModel
from tests.servers.replies import Reply, call, finish, say
from tests.site import Site
from tests.widgets import CHECK, CHECKED, FILES, FIX, FIXED, OLD_TEST, REPO, WORKFLOW, backlog

MakeSite = Callable[..., Site]


@pytest.fixture
def make_site(workspaces: Path, model_server: Callable[..., DemoModel]) -> MakeSite:
    def make(forge: DemoForge, script: Any, **settings: Any) -> Site:
        defaults = {"repos": [{"name": REPO, "checks": [CHECK], **settings.pop("repo", {})}]}
        return Site(workspaces / "site", forge, model_server(script), **{**defaults, **settings})

    return make


def test_a_tick_turns_the_oldest_fit_issue_into_a_pull_request(
    forge_server: DemoForge, make_site: MakeSite
) -> None:
    bug = backlog(forge_server)
    forge_server.add_issue(REPO, "A later feature", "Not now.")
    site = make_site(forge_server, FIXED)
    done = site.sprint("run", REPO)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    (seen,) = backlog_seen.read(site.path / "results")
    assert (seen.taken, seen.why_none) == (Entry(bug, "double() is off by one"), "")
    assert seen.passed_over == (Entry(1, "Widgets everywhere", "labelled epic"),)
    assert seen.ahead == (Entry(bug + 1, "A later feature"),)
    (pull,) = forge_server.pulls(REPO)
    assert pull.title == f"fix: double() is off by one (closes #{bug})"
    assert f"Closes #{bug}" in pull.body
    assert CHECK in pull.body
    assert pull.pull is not None
    assert (pull.pull.head, pull.pull.base) == (f"feat/issue-{bug}", "main")
    assert forge_server.file(REPO, f"feat/issue-{bug}", "widgets.py") == "def double(n):\n    return n + n\n"
    (row,) = site.rows()
    assert (row["outcome"], row["exit_code"], row["issue"], row["attempt"]) == (
        "pr_opened",
        "0",
        str(bug),
        "1",
    )
    assert row["pr_url"] == done.stdout.split("pr_opened ")[1].split()[0]
    assert float(row["cost_usd"]) > 0
    shown = json.loads(site.sprint("show", row["run_id"], "--json").stdout)
    assert (shown["outcome"], shown["issue"], shown["pr_url"]) == ("pr_opened", bug, row["pr_url"])
    (comment,) = forge_server.comments(REPO, bug)
    assert row["pr_url"] in comment.body or f"#{pull.number}" in comment.body
    assert forge_server.comments(REPO, 1) == []


def test_the_commit_is_the_runners_own_and_holds_only_the_change(
    gitea: DemoForge, make_site: MakeSite
) -> None:
    bug = backlog(gitea)
    command = "python3 -m unittest; git config user.name Mallory; git commit -qam mine; echo x > .git/x"
    dirt = call("run_command", {"command": command})
    site = make_site(gitea, [dirt, *FIXED], publish={"signoff": True, "sign": "sign.key"})
    refused = site.sprint("run", REPO)
    assert refused.returncode == 2
    assert "sign.key signs no commit (" in refused.stderr
    assert site.rows() == []
    signers = a_key(site.path / "sign.key")
    assert site.sprint("run", REPO).returncode == 0
    repo = Repo(gitea.path(REPO))
    (commit,) = repo.iter_commits(f"main..feat/issue-{bug}")
    assert (commit.author.name, commit.committer.name) == ("sprint", "sprint")
    assert commit.summary == f"fix: double() is off by one (closes #{bug})"
    changed = [(diff.change_type, diff.b_path) for diff in commit.parents[0].diff(commit)]
    assert changed == [("M", "widgets.py")]
    assert repo.git(c=f"gpg.ssh.allowedSignersFile={signers}").verify_commit(commit.hexsha) == ""
    trailers = repo.git.log("-1", "--format=%(trailers)", commit.hexsha).split("\n")
    assert trailers[1] == "Signed-off-by: sprint <sprint@localhost>"


def a_key(path: Path) -> Path:
    """Makes an ssh key; returns the file by which git knows its signatures."""
    make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path)]
    subprocess.run(make, check=True, timeout=30)
    signers = path.with_suffix(".signers")
    signers.write_text(f"sprint@localhost {path.with_suffix('.key.pub').read_text()}")
    return signers


def test_the_pull_request_tells_a_reviewer_what_was_done(gitea: DemoForge, make_site: MakeSite) -> None:
    template = "<!-- for people -->\n## Checklist\n- [ ] tests, closes #1 @admin\n## Checks\n"
    gitea.add_repo(REPO, {**FILES, ".github/pull_request_template.md": template})
    gitea.add_issue(REPO, "double() is off by one", "double(2) must be 4.")
    scratch = call("write_file", {"path": "repro.py", "content": "print(1)\n"})
    words = "Doubles by `n + n`; see [this](https://evil.example) | and #1.\n\n" + "A long line. " * 40
    site = make_site(
        gitea,
        [FIX, scratch, CHECKED, finish("implemented", words), finish("implemented", words)],
        repo={"checks": [f"{CHECK} 2>&1 | cat; true", CHECK]},
        monitor={"address": "https://sprint.example.org/burn"},
    )
    assert site.sprint("run", REPO).returncode == 0
    (pull,) = gitea.pulls(REPO)
    (row,) = site.rows()
    body = pull.body
    assert "> Doubles by `n + n`; see \\[this\\](evil.example) \\| and # 1.\n>\n> A long line. A" in body
    assert "1 file changed, +1 -1:\n\n- `widgets.py` +1 -1\n" in body
    assert "Left out as scratch, which nothing refers to: `repro.py`." in body
    assert "ticked:\n\n## Checklist\n- [ ] tests, closes # 1 @ admin\n" in body
    assert "<code>python3 -m unittest -v 2&#62;&#38;1 &#124; cat&#59; true</code>" in body
    tokens = f"{int(row['prompt_tokens']):,} + {int(row['completion_tokens']):,} tokens"
    assert tokens in body
    assert f"([what it did](https://sprint.example.org/burn/runs/{row['run_id']}/))" in body


def test_the_next_tick_leaves_an_issue_with_a_pull_request_alone(
    forge_server: DemoForge, make_site: MakeSite
) -> None:
    backlog(forge_server)
    site = make_site(forge_server, FIXED)
    site.sprint("run", REPO)
    again = site.sprint("run", REPO)
    assert again.returncode == 0
    assert "none of the 2 open issues is fit" in again.stdout
    assert len(forge_server.pulls(REPO)) == 1
    assert len(site.rows()) == 1


def test_failing_checks_go_back_to_the_model_and_then_the_patch_is_kept(
    gitea: DemoForge, make_site: MakeSite
) -> None:
    bug = backlog(gitea)
    broken = call("write_file", {"path": "widgets.py", "content": "def double(n):\n    return 'no'\n"})
    site = make_site(gitea, [broken, finish(), finish(), finish()], repo={"limits": {"check_rounds": 2}})
    done = site.sprint("run", REPO, "--issue", str(bug))
    assert done.returncode == 1
    (row,) = site.rows()
    assert row["outcome"] == "checks_failed"
    assert gitea.pulls(REPO) == []
    assert "return 'no'" in (site.path / "results/runs" / row["run_id"] / "patch.diff").read_text()
    told = [m["content"] for m in site.model.asked[-1].body["messages"] if m["role"] in ("user", "tool")]
    assert sum("test_widgets.Double.test_zero" in text for text in told) == 2
    assert "patch.diff" in gitea.comments(REPO, bug)[0].body
    waiting = site.sprint("run", REPO)
    assert "backs off until" in waiting.stdout


def test_a_failure_that_was_there_before_does_not_stand_in_the_way(
    gitea: DemoForge, make_site: MakeSite
) -> None:
    gitea.add_repo(REPO, {**FILES, "test_old.py": OLD_TEST})
    gitea.add_issue(REPO, "double() is off by one", "double(2) must be 4.")
    site = make_site(gitea, FIXED)
    site.sprint("run", REPO)
    assert site.rows()[0]["outcome"] == "pr_opened"
    assert "failed" in gitea.pulls(REPO)[0].body


@pytest.mark.parametrize(
    ("script", "outcome"),
    [
        ([finish("implemented", "Nothing to do."), finish("implemented", "Nothing.")], "no_change"),
        ([finish("question", "?", question="Which of the two?")], "needs_human"),
        ([WORKFLOW, finish(), finish(), finish()], "policy_refused"),
        ([say("I am done.")] * 9, "off_rails"),
        ([call("run_command", {"command": "true"})] * 40, "off_rails"),
    ],
    ids=["nothing done", "question", "workflow file", "only talk", "one call for ever"],
)
def test_other_ends(gitea: DemoForge, make_site: MakeSite, script: list[Reply], outcome: str) -> None:
    backlog(gitea)
    site = make_site(gitea, script)
    done = site.sprint("run", REPO)
    assert done.returncode == 0, done.stderr
    assert [row["outcome"] for row in site.rows()] == [outcome]
    assert gitea.pulls(REPO) == []


def test_already_fixed_needs_a_commit_that_is_there(gitea: DemoForge, make_site: MakeSite) -> None:
    bug = backlog(gitea)
    head = gitea.refs(REPO)["refs/heads/main"]
    site = make_site(gitea, [finish("already_fixed", "It is.", commit=head)])
    site.sprint("run", REPO)
    assert site.rows()[0]["outcome"] == "already_fixed"
    assert head[:10] in gitea.comments(REPO, bug)[0].body


def test_a_run_out_of_turns_hands_in_what_it_has_as_a_draft(gitea: DemoForge, make_site: MakeSite) -> None:
    backlog(gitea)
    more = [call("run_command", {"command": f"echo {n}"}) for n in range(9)]
    site = make_site(gitea, [FIX, *more], repo={"limits": {"turns": 5}})
    site.sprint("run", REPO)
    (row,) = site.rows()
    assert (row["outcome"], row["turns"]) == ("limit", "5")
    assert gitea.pulls(REPO)[0].title.startswith("WIP: fix: double()")


@pytest.mark.parametrize(
    "command", ["echo '(' >> widgets.py", "mkdir -p .github/workflows; echo on > .github/workflows/x.yml"]
)
def test_a_run_out_of_turns_says_so_also_where_what_it_has_is_not_sound(
    gitea: DemoForge, make_site: MakeSite, command: str
) -> None:
    backlog(gitea)
    more = [call("run_command", {"command": f"echo {n}"}) for n in range(9)]
    site = make_site(gitea, [call("run_command", {"command": command}), *more], repo={"limits": {"turns": 5}})
    site.sprint("run", REPO)
    (row,) = site.rows()
    assert row["outcome"] == "limit"
    assert row["detail"].startswith("limits.turns: 5 turns are used; what there is cannot be handed in: ")
    assert gitea.pulls(REPO) == []


def test_an_issue_closed_while_it_is_worked_on_is_not_published(
    gitea: DemoForge, make_site: MakeSite
) -> None:
    bug = backlog(gitea)

    def script(_request: dict[str, Any], number: int) -> Reply:
        if number == 1:
            gitea.close_issue(REPO, bug)
        return FIXED[number]

    site = make_site(gitea, script)
    site.sprint("run", REPO)
    assert site.rows()[0]["outcome"] == "cancelled"
    assert gitea.pulls(REPO) == []
    assert f"refs/heads/feat/issue-{bug}" not in gitea.refs(REPO)


def test_a_competing_pull_request_stops_publishing(gitea: DemoForge, make_site: MakeSite) -> None:
    bug = backlog(gitea)

    def script(_request: dict[str, Any], number: int) -> Reply:
        if number == 1:
            gitea.commit(REPO, "theirs", "Fix it", {"widgets.py": "def double(n):\n    return 2 * n\n"})
            gitea.add_pull(REPO, "theirs", title="Fix double", body=f"Fixes #{bug}")
        return FIXED[number]

    site = make_site(gitea, script)
    site.sprint("run", REPO)
    (row,) = site.rows()
    assert row["outcome"] == "cancelled"
    assert "closes it already" in row["detail"]
    assert len(gitea.pulls(REPO)) == 1


def test_what_force_takes_it_also_hands_in(gitea: DemoForge, make_site: MakeSite) -> None:
    bug = backlog(gitea)
    gitea.add_user("carl")
    gitea.edit_issue(REPO, bug, assignees=["carl"])
    site = make_site(gitea, FIXED)
    refused = site.sprint("run", REPO, "--issue", str(bug))
    assert refused.returncode == 1
    assert refused.stdout == f"{REPO}: #{bug}: assigned to carl; --force takes it all the same\n"
    done = site.sprint("run", REPO, "--issue", str(bug), "--force")
    assert done.returncode == 0, done.stdout
    assert [row["outcome"] for row in site.rows()] == ["pr_opened"]


def test_dry_run_cleans_what_strangers_wrote(gitea: DemoForge, make_site: MakeSite) -> None:
    gitea.add_repo(REPO, FILES)
    gitea.add_issue(REPO, "Epic\x1b[2J", "All of it.", labels=["epic"])
    gitea.add_issue(REPO, "Red\x1b[31m", "It is.")
    done = make_site(gitea, []).sprint("run", REPO, "--dry-run")
    assert "would pick #2 Red" in done.stdout
    assert "passed over #1 Epic" in done.stdout
    assert "\x1b" not in done.stdout


def test_dry_run_tells_and_writes_nothing(forge_server: DemoForge, make_site: MakeSite) -> None:
    bug = backlog(forge_server)
    site = make_site(forge_server, [])
    before = sorted(str(p) for p in site.path.rglob("*")), forge_server.refs(REPO)
    done = site.sprint("run", REPO, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert f"would pick #{bug}" in done.stdout
    assert "passed over #1 Widgets everywhere: labelled epic" in done.stdout
    assert "double(2) must be 4." not in done.stdout
    assert "double(2) must be 4." in site.sprint("run", REPO, "--dry-run", "--prompt").stdout
    assert (sorted(str(p) for p in site.path.rglob("*")), forge_server.refs(REPO)) == before
    assert all(
        seen.method in ("GET", "HEAD") or "git-upload-pack" in seen.path for seen in forge_server.requests
    )
    as_json = json.loads(site.sprint("run", REPO, "--dry-run", "--json").stdout)
    assert as_json["would_pick"]["number"] == bug


def _forms(secret: str) -> list[bytes]:
    raw = secret.encode()
    return [
        raw,
        base64.b64encode(raw),
        base64.b64encode(b"x-access-token:" + raw),
        raw.hex().encode(),
        quote(secret, safe="").encode(),
    ]


def test_no_secret_is_left_in_any_file(gitea: DemoForge, make_site: MakeSite) -> None:
    backlog(gitea)
    look = call("run_command", {"command": "env; cat /proc/*/environ /proc/*/cmdline; cat .git/config; true"})
    site = make_site(gitea, [look, *FIXED])
    site.sprint("run", REPO)
    assert site.rows()[0]["outcome"] == "pr_opened"
    secrets = [form for secret in (gitea.token, site.model.key) for form in _forms(secret)]
    own = {site.path / "forge.token", site.path / "model.key"}
    files = [p for p in site.path.parent.rglob("*") if p.is_file() and not p.is_symlink() and p not in own]
    assert len(files) > 20
    found = [(p, s) for p in files for s in secrets if s in p.read_bytes()]
    assert found == []
    for asked in site.model.asked:
        assert gitea.token not in json.dumps(asked.body)
    assert own <= set(site.path.iterdir())


def test_operators_mistakes_are_one_line_and_an_exit_code(gitea: DemoForge, make_site: MakeSite) -> None:
    backlog(gitea)
    site = make_site(gitea, [])
    (site.path / "forge.token").write_text("wrong")
    done = site.sprint("run", REPO)
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
    assert "Traceback" in site.sprint("-v", "run", REPO).stderr
    site.settings["defaults"]["limits"] = {"turns": "many"}
    site.write()
    done = site.sprint("run", REPO)
    assert done.returncode == 2
    assert "limits.turns" in done.stderr


def test_a_second_tick_leaves_while_the_first_holds_the_lock(gitea: DemoForge, make_site: MakeSite) -> None:
    backlog(gitea)
    seconds: list[subprocess.CompletedProcess[str]] = []

    def script(_request: dict[str, Any], number: int) -> Reply:
        if number == 0:
            seconds.append(site.sprint("run", REPO))
        return FIXED[number]

    site = make_site(gitea, script)
    site.sprint("run", REPO)
    assert [second.returncode for second in seconds] == [0]
    assert seconds[0].stdout.startswith(f"{REPO}: another sprint is at work there: "), seconds[0].stdout
    assert [row["outcome"] for row in site.rows()] == ["pr_opened"]


def test_ten_hosts_at_once_open_one_pull_request(gitea: DemoForge, make_site: MakeSite) -> None:
    """Separate results, caches and locks are separate hosts to everything but the forge."""
    backlog(gitea)
    site = make_site(gitea, lambda _request, _number: FIX)

    def follow(request: dict[str, Any], _number: int) -> Reply:
        answered = any(message["role"] == "tool" for message in request["messages"])
        return FIXED[-1] if answered else FIX

    site.model.script = follow
    ticks = []
    for number in range(4):
        settings = {**site.settings, "paths": {**site.settings["paths"]}}
        settings["paths"] |= {"results": f"results-{number}", "cache": f"cache-{number}"}
        (site.path / f"{number}.yaml").write_text(json.dumps(settings))
        ticks.append(site.start("--config", f"{number}.yaml", "run", REPO))
    assert [tick.wait() for tick in ticks] == [0] * 4, [tick.err.read_text() for tick in ticks]
    assert len(gitea.pulls(REPO)) == 1


def claim_of(site: Site, forge: DemoForge, issue: int) -> Claim:
    remote = Remote(f"{forge.url}/{REPO}.git", Secret(forge.token))
    return Claims(site.path / "judge.git", remote, "judge").read()[issue]


def test_what_keeps_a_run_from_beginning_costs_the_issue_no_attempt(
    gitea: DemoForge, make_site: MakeSite
) -> None:
    bug = backlog(gitea)
    site = make_site(gitea, FIXED, repo={"base": "nowhere"})
    done = site.sprint("run", REPO)
    assert done.returncode == 3
    assert "nowhere" in done.stderr
    claim = claim_of(site, gitea, bug)
    assert (claim.state, claim.attempt) == ("released", 0)
    assert (site.rows(), site.runs()) == ([], [])
    del site.settings["repos"][0]["base"]
    site.write()
    assert site.sprint("run", REPO).returncode == 0
    assert [(row["outcome"], row["attempt"]) for row in site.rows()] == [("pr_opened", "1")]


@pytest.mark.parametrize(
    ("checks", "sandboxes"),
    [
        pytest.param([CHECK], 10, id="with a check"),  # which runs thrice, and is listed after
        pytest.param([], 7, id="without"),  # a trial, the tools, one that stands in vain, the change
    ],
)
def test_a_small_tick_starts_few_programs(
    gitea: DemoForge,
    make_site: MakeSite,
    monkeypatch: pytest.MonkeyPatch,
    checks: list[str],
    sandboxes: int,
) -> None:
    backlog(gitea)
    site, now = make_site(gitea, FIXED, repo={"checks": checks}), datetime.now(UTC)
    here = around(site.path, site.environ)
    config = load(site.path / "sprint.yaml", here)
    context = open_context(config, resolve(config, REPO), here)
    taken = context.claims.take(1, "another", "", None, now)
    assert taken is not None
    context.claims.withdraw(taken, now)
    context.claims.read()
    workspace.update_mirror(config.paths.cache, "home", REPO, context.remote, branch="main")
    started: Counter[str] = Counter()
    run, own = proc.run, threading.current_thread()

    def counted(argv: Sequence[str], **more: Any) -> Completed:
        talks = {"fetch", "push", "ls-remote"}.intersection(argv)
        what = "dialogue" if talks else argv[0]
        thread = threading.current_thread()
        started[what] += thread is own or thread.name == "beside"  # not the server's
        return run(argv, **more)

    class Counted(Standing):
        def __init__(self, *args: Any, **more: Any) -> None:
            started["sandbox"] += 1
            super().__init__(*args, **more)

    monkeypatch.setattr(proc, "run", counted)
    monkeypatch.setattr(bwrap, "Standing", Counted)
    report = tick(context)
    assert report.run is not None
    assert report.run.outcome is Outcome.PR_OPENED
    assert started["dialogue"] <= 5, "the claims, the base, and three pushes"
    assert started["git"] <= 25
    assert started["sandbox"] <= sandboxes


@pytest.mark.parametrize("is_stopped", [False, True], ids=["ends by itself", "told to stop"])
def test_a_tick_leaves_nothing_where_temporary_files_are(
    gitea: DemoForge, make_site: MakeSite, workspaces: Path, *, is_stopped: bool
) -> None:
    ticks: list[subprocess.Popen[bytes]] = []

    def script(_: Any, number: int) -> Reply:
        if number == 2 and is_stopped:
            ticks[0].terminate()
        return FIXED[number]

    backlog(gitea)
    site, temporary = make_site(gitea, script), workspaces / "temporary"
    temporary.mkdir(mode=0o711)
    argv = [sys.executable, "-m", "sprint", "run", REPO]  # as it is started, and ends
    environ = {**site.environ, "TMPDIR": str(temporary)}
    with subprocess.Popen(argv, cwd=site.path, env=environ, stdout=subprocess.PIPE) as started:
        ticks.append(started)
        started.communicate(timeout=120)
    assert started.returncode == (130 if is_stopped else 0)
    assert list(temporary.iterdir()) == []


def test_the_mirror_that_a_look_at_a_new_pull_request_takes_serves_the_next_run(
    gitea: DemoForge, make_site: MakeSite
) -> None:
    backlog(gitea)
    site = make_site(gitea, [*FIXED, *FIXED])
    assert site.sprint("run", REPO).returncode == 0
    gitea.add_issue(REPO, "double() is wrong", "It adds one.")
    gitea.requests.clear()
    assert site.sprint("run", REPO).returncode == 0
    assert [row["outcome"] for row in site.rows()] == ["pr_opened"] * 2
    asked = [seen.path for seen in gitea.requests]
    first_push = next(number for number, path in enumerate(asked) if path.endswith("git-receive-pack"))
    fetched = [number for number, path in enumerate(asked) if path.endswith("git-upload-pack")]
    assert len(fetched) <= 4, "the claims and the mirror: each the references, then the objects"
    assert max(fetched) < first_push


def test_a_pull_request_that_the_forge_refuses_for_good_ends_the_run(
    gitea: DemoForge, make_site: MakeSite
) -> None:
    bug = backlog(gitea)
    site = make_site(gitea, FIXED)
    gitea.faults.append(Fault("/pulls$", method="POST", times=None, status=422, body=b'{"message": "no"}'))
    assert site.sprint("run", REPO).returncode == 0
    (row,) = site.rows()
    assert row["outcome"] == "error"
    assert (site.path / "results/runs" / row["run_id"] / "patch.diff").exists()
    (comment,) = gitea.comments(REPO, bug)
    assert "`patch.diff`" in comment.body


def test_proven_work_waits_for_a_forge_that_is_away(gitea: DemoForge, make_site: MakeSite) -> None:
    backlog(gitea)
    site = make_site(gitea, FIXED)
    told = {"Retry-After": "3600"}
    refused = Fault("git-receive-pack$", method="POST", times=None, status=403, headers=told, skip=1)
    gitea.faults.append(refused)
    away = site.sprint("run", REPO)
    assert away.returncode == 3
    assert "limits our requests" in away.stderr
    assert site.rows() == []
    gitea.faults.remove(refused)
    asked = len(site.model.asked)
    assert site.sprint("run", REPO).returncode == 0
    assert [row["outcome"] for row in site.rows()] == ["pr_opened"]
    assert len(site.model.asked) == asked, "the work was done: no model is asked again"


def test_claims_of_long_closed_issues_are_forgotten(
    gitea: DemoForge, make_site: MakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    bug = backlog(gitea)
    site = make_site(gitea, FIXED)
    site.sprint("run", REPO)
    monkeypatch.setattr("sprint.backlog._MANY_CLAIMS", 0)
    monkeypatch.setattr("sprint.backlog._REMEMBERED", timedelta(seconds=-1))
    config = load(site.path / "sprint.yaml", around(site.path))
    context = open_context(config, resolve(config, REPO), around(site.path))

    def tidy() -> None:
        claims = context.claims.read()
        backlog = Backlog(context)
        backlog.pick(claims)
        backlog.forget_closed(claims)

    tidy()
    assert bug in context.claims.read(), "the issue is open"
    gitea.close_issue(REPO, bug)
    tidy()
    assert context.claims.read() == {}


def test_an_issue_that_takes_no_comment_costs_no_more_than_the_comment(
    gitea: DemoForge, make_site: MakeSite
) -> None:
    bug = backlog(gitea)
    site = make_site(gitea, FIXED)
    gitea.faults.append(Fault("/comments$", method="POST", times=None, status=403))
    done = site.sprint("run", REPO)
    assert done.returncode == 0
    assert "no comment on the issue" in done.stderr
    assert [row["outcome"] for row in site.rows()] == ["pr_opened"]
    assert claim_of(site, gitea, bug).state == "released"
    assert site.runs()[0]["phase"] == "settled"
