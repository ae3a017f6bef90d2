"""Work that an operator sends to one sprite: shown, begun, settled by collect or a tick."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from hashlib import sha256
from pathlib import Path

import pytest

from sprint.dispatch.order import minutes_of
from sprint.errors import ConfigError
from sprint.sprite.validation import unready
from sprint.worker.agents import claude
from sprint.worker.sprite import installing
from tests.servers.forge import DemoForge
from tests.servers.loopback import Answer, LoopbackServer, Request
from tests.servers.sprites_dev import SpritesDev
from tests.servers.store import update_ref
from tests.sprite.dispatched import Make, said
from tests.sprite.dispatched import make as make  # a fixture
from tests.sprite.some_backend import backend_of
from tests.waiting import until_agents_ended, wait_until
from tests.widgets import REPO


def test_a_task_becomes_a_pull_request(make: Make, gitea: DemoForge, workspaces: Path) -> None:
    """Shown first; then done: judged and proven as any run, with a row of its own and no claim."""
    site = make()
    shown = said(site, "dispatch", "bramble", "Mend double().", "--repo", REPO)
    assert [line.split()[1] for line in shown.splitlines()[:7]] == [
        *("validate", "exists?", "provision", "repository", "prompt", "status", "agent")
    ]
    assert not (workspaces / "sprites").exists()
    begun = json.loads(
        said(site, "dispatch", "bramble", "Mend double().", "--repo", REPO, "--json", "--execute")
    )
    branch = f"feat/task-{begun['id'][-8:]}"
    assert begun["branch"] == branch
    assert site.sprint("monitor").returncode == 0
    told = json.loads(said(site, "collect", "bramble", "--wait", "--json"))
    assert (told["outcome"], told["summary"]) == ("pr_opened", "double() adds once.")
    there = json.loads(said(site, "exec", "bramble", "--", "cat", "work/acme--widgets/repo/STATUS.json"))
    assert (there["task"], there["repo"], there["mode"]) == ("Mend double().", REPO, "oneshot")
    assert (told["branch"], told["proof"]) == (branch, "proven")
    assert "n + n\n" in gitea.file(REPO, branch, "widgets.py")
    [pull] = gitea.pulls(REPO)
    assert pull.title == "feat: Mend double()."
    assert "no issue asked for it" in pull.body
    assert "#" not in pull.body.replace("## ", "")
    [row] = site.rows()
    assert (row["purpose"], row["issue"], row["outcome"], row["branch"]) == ("task", "", "pr_opened", branch)
    assert not [ref for ref in gitea.refs(REPO) if "sprint" in ref]
    assert said(site, "collect", "bramble").splitlines()[1] == f"{row['pr_url']} from {branch}"
    assert f"task       {REPO} Mend double()." in site.sprint("show", begun["id"]).stdout
    assert "no run for a task" in said(site, "collect", "willow", code=2)


def test_an_agent_that_is_not_to_be_taken_is_told_so(make: Make) -> None:
    site = make()
    asked = ("sprite", "dispatch", "bramble", "Go.", "--repo", REPO)
    done = site.sprint(*asked, "--agent", "opencode")
    assert (done.returncode, "--agent opencode: deprecated" in done.stderr) == (0, True)
    assert site.sprint(*asked).stderr == ""


def test_a_tick_settles_a_task_too_beside_the_issues(make: Make, gitea: DemoForge, workspaces: Path) -> None:
    """It takes no issue's place, and comes to its end where nobody collects it."""
    site = make()
    site.settings["repos"][0]["worker"] = "far"
    site.settings["workers"]["far"]["sprites"] = ["willow"]
    site.write()
    said(site, "dispatch", "bramble", "Mend double().", "--repo", REPO, "--execute")

    def ended() -> bool:
        until_agents_ended(workspaces)
        return site.sprint("run", REPO).returncode == 0 and len(site.rows()) == 2

    assert wait_until(ended)
    assert sorted(row["purpose"] for row in site.rows()) == ["issue", "task"]
    assert len(gitea.pulls(REPO)) == 2


def test_ralph_is_begun_again_until_it_says_so(make: Make) -> None:
    once = "echo x >>rounds.txt; [ $(wc -l <rounds.txt) -lt 2 ] || echo done >TASK_COMPLETE.md"
    site = make(command=once)
    asked = ("--repo", REPO, "--ralph", "--max-iterations", "9", "--timeout", "2m")
    told = json.loads(said(site, "dispatch", "bramble", "Go on.", *asked, "--wait", "--json", "--execute"))
    assert (told["outcome"], told["summary"]) == ("pr_opened", "done")


def test_what_was_tried_on_other_branches_can_be_looked_at(make: Make, gitea: DemoForge) -> None:
    """As the prompt says, each time as the forge has them: the first time, moved on, moved back, gone."""
    listed = "git for-each-ref --format='%(refname:strip=3): %(contents:subject)' refs/remotes/origin"
    site = make(command=f"echo >>widgets.py; {listed} | grep -v task-; git diff --stat main..origin/tried")

    def seen() -> list[str]:
        said(site, "dispatch", "bramble", "Look.", "--repo", REPO, "--wait", "--execute")
        return [line.split(" ", 1)[1].strip() for line in said(site, "logs", "bramble").splitlines()]

    stat = ["1 file changed, 1 insertion(+)"]
    first = gitea.commit(REPO, "tried", "Try #101", {"tried.txt": "1\n"})
    assert seen() == ["main: Start", "tried: Try #101", "tried.txt | 1 +", *stat]
    gitea.commit(REPO, "tried", "Try again", {"tried.txt": "2\n"})
    gitea.commit(REPO, "else/where", "Else", {"else.txt": "1\n"})
    assert seen()[:3] == ["else/where: Else", "main: Start", "tried: Try again"]
    update_ref(gitea.repo(REPO), "refs/heads/tried", first)
    gitea.delete_branch(REPO, "else/where")
    assert seen()[:2] == ["main: Start", "tried: Try #101"]


def test_what_may_not_be_published_is_told(make: Make, gitea: DemoForge) -> None:
    site = make(command="mkdir -p .github/workflows && echo x >.github/workflows/ci.yml")
    site.settings["repos"][0]["limits"] = {"check_rounds": 0}
    site.write()
    asked = ("dispatch", "bramble", "Go.", "--repo", REPO, "--wait", "--execute")
    told = site.sprint("sprite", *asked)
    assert (told.returncode, "policy_refused: .github/workflows/ci.yml" in told.stdout) == (1, True)
    assert gitea.pulls(REPO) == []
    assert [row["outcome"] for row in site.rows()] == ["policy_refused"]


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("Bad_Name", "x", "--repo", REPO), "is no name for a sprite"),
        (("bramble", "x", "--repo", "widgets"), "expected OWNER/NAME"),
        (("bramble", "use sk-ant-api03-abcdefghijkl", "--repo", REPO), "looks like a secret"),
        (("bramble", "", "--repo", REPO), "there is nothing to do"),
        (("bramble", "x", "--repo", REPO, "--agent", "aider"), "--agent: 'aider' is none of claude, codex"),
        (("bramble", "x", "--repo", REPO, "--max-iterations", "3"), "goes with --ralph"),
        (("bramble", "x", "--repo", REPO, "--branch", "a..b"), "no name that git accepts"),
        (("bramble", "x", "--repo", REPO, "--env", "ANTHROPIC_AUTH_TOKEN=moonshine"), "with --env-file"),
        (("bramble", "x", "--repo", REPO, "--env-file", "open.env"), "chmod 600"),
        (("bramble", "x", "--repo", REPO, "--env-file", "both.env"), "ANTHROPIC_AUTH_TOKEN"),
        (
            ("bramble", "x", "--repo", REPO, "--agent", "claude", "--env-file", "key.env"),
            "billed by Anthropic",
        ),
    ],
)
def test_nothing_is_begun_that_does_not_hold(make: Make, args: tuple[str, ...], says: str) -> None:
    site = make()
    (site.path / "open.env").write_text("A=b\n")
    (site.path / "open.env").chmod(0o644)
    (site.path / "both.env").write_text("ANTHROPIC_API_KEY=x\nANTHROPIC_BASE_URL=y\n")
    (site.path / "both.env").chmod(0o600)
    (site.path / "key.env").write_text("ANTHROPIC_API_KEY=x\n")
    (site.path / "key.env").chmod(0o600)
    error = said(site, "dispatch", *args, "--execute", code=2)
    assert says in error
    assert "moonshine" not in error
    assert error.count("\n") == 1


def test_an_issue_is_a_run_like_any_other(make: Make, gitea: DemoForge) -> None:
    site = make()
    said(site, "dispatch", "bramble", "--issue", "1", "--repo", REPO, "--execute")
    [run] = site.runs()
    assert (run["issue"], run["worker"], run["purpose"]) == (1, "far", "issue")
    note = json.loads((site.path / "results/runs" / run["id"] / "sprite.json").read_text())
    assert note["sprite"] == "bramble"
    number = gitea.add_issue(REPO, "vague", "do it", labels=["blocked-by-2"])
    error = said(site, "dispatch", "willow", "--issue", "1", "--repo", REPO, "--timeout", "5m", code=2)
    assert "--issue goes alone" in error
    error = said(site, "dispatch", "willow", "--issue", str(number), "--repo", REPO, "--execute", code=2)
    assert "blocked-by-2 says to wait; it has neither acceptance criteria nor a checkbox" in error


def test_an_agent_is_told_to_end_in_its_sandbox_too(make: Make) -> None:
    """By its supervisor, who hears how long it may take, and says how it ended."""
    trap = "trap 'read told <.bb-agent/supervisor.pid.stop; echo $told; exit' TERM"
    site = make(command=f"{trap}; echo begun; while true; do sleep 0.1; done")
    said(site, "dispatch", "bramble", "Sleep.", "--repo", REPO, "--execute")
    assert wait_until(lambda: "begun" in site.sprint("sprite", "logs", "bramble").stdout)
    assert "is no duration" in said(site, "stop", "bramble", "--timeout", "30x", code=2)
    assert "was ended" in said(site, "stop", "bramble", "--timeout", "59s")
    assert '"grace": 59.0' in said(site, "logs", "bramble", "--raw")
    there = json.loads(said(site, "exec", "bramble", "--", "cat", "work/acme--widgets/repo/STATUS.json"))
    assert (there["status"], there["exit_code"]) == ("stopped", 130)


GOOD = (
    "Double adds one too many",
    "It must not.\n\n## Acceptance criteria\n\nA test shows that double(2) is 4.",
)


@pytest.mark.parametrize(
    ("title", "body", "labels", "is_open", "says"),
    [
        (*GOOD, [], True, ""),
        (*GOOD, [], False, "it is closed"),
        *(
            (*GOOD, [label], True, "says to wait")
            for label in ("blocked", "needs-info", "waiting-on-x", "On-Hold")
        ),
        (GOOD[0], "- [ ] a checkbox", [], True, "16 characters"),
        (GOOD[0], "x" * 60, [], True, "neither acceptance criteria"),
        ("short", GOOD[1], [], True, "its title has 5"),
    ],
)
def test_bbs_rules_of_readiness(title: str, body: str, labels: list[str], is_open: bool, says: str) -> None:
    reasons = unready(title, body, labels, is_open=is_open)
    assert (says in "; ".join(reasons)) if says else not reasons


@pytest.mark.parametrize(
    ("text", "minutes"), [("90s", 1.5), ("30m", 30), ("1h30m", 90), ("", 0), ("5", 0), ("0m", 0)]
)
def test_a_timeout_is_a_duration(text: str, minutes: float) -> None:
    if minutes:
        assert minutes_of(text) == minutes
        return
    with pytest.raises(ConfigError):
        minutes_of(text)


def test_a_sprite_is_set_up_once_and_may_be_again(make: Make, workspaces: Path) -> None:
    """At sprites.dev: a persona's files, the clone at the seed's place, its set-up, a checkpoint."""
    (workspaces / "cloud").mkdir()
    with SpritesDev(workspaces / "cloud") as service:
        site = make(backend={"kind": "sprites", "base_url": service.url, "token_file": "sprite.token"})
        site._secret("sprite.token", service.token)
        site.settings["repos"][0]["setup"] = ["echo made >made.txt"]
        site.write()
        told = said(site, "setup", "bramble", "--repo", REPO, "--composition", "fae-court")
        assert "its clean state is v1" in told
        home = service.boxes["bramble"].home
        assert (home / "workspace" / REPO.split("/")[1] / "widgets.py").exists()
        assert (home / "workspace" / REPO.split("/")[1] / "made.txt").read_text() == "made\n"
        assert "Bramble" in (home / ".codex/AGENTS.md").read_text()
        assert "persona=bramble" in service.boxes["bramble"].labels
        assert "its clean state is v2" in said(site, "setup", "bramble", "--repo", REPO)
        begun = said(site, "dispatch", "bramble", "Mend it.", "--repo", REPO, "--wait", "--execute")
        assert "pr_opened" in begun


@pytest.mark.machine
def test_a_projects_own_set_up_is_not_run_outside_of_the_sandbox(make: Make, workspaces: Path) -> None:
    with backend_of("ssh", workspaces) as section:
        site = make(backend=section)
        site.settings["repos"][0]["setup"] = ["echo made >made.txt"]
        site.write()
        assert "not run outside of the sandbox" in said(site, "setup", "bramble", "--repo", REPO)
        assert "widgets.py" in (there := said(site, "exec", "bramble", "--", "ls", "workspace/widgets"))
        assert "made.txt" not in there


def test_node_and_the_agent_are_put_where_they_are_missing(tmp_path: Path) -> None:
    """A site as nodejs.org's: what does not fit its sum is refused, what does is unpacked and used."""
    npm = '#!/bin/sh\nmkdir -p "$4/bin"; printf \'#!/bin/sh\\n\' >"$4/bin/claude"; chmod +x "$4/bin/claude"\n'
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, text in {"npm": npm, "node": "#!/bin/sh\necho v22.9.0\n"}.items():
            entry = tarfile.TarInfo(f"node-v22.9.0/bin/{name}")
            entry.size, entry.mode = len(text), 0o755
            archive.addfile(entry, io.BytesIO(text.encode()))
    site, home = tmp_path / "site/latest-v22.x", tmp_path / "home"
    site.mkdir(parents=True)
    home.mkdir()
    name = "node-v22.9.0-linux-x64.tar.gz"
    (site / name).write_bytes(packed.getvalue())

    def file(request: Request) -> Answer:
        path = tmp_path / "site" / request.path.lstrip("/")
        return Answer(200, path.read_bytes()) if path.is_file() else Answer(404)

    tools = tmp_path / "tools"
    tools.mkdir()
    programs = "git python3 curl sed mktemp rm grep sha256sum mkdir tar gzip sh chmod"
    for needed in programs.split():
        found = subprocess.run(
            ["sh", "-c", f"command -v {needed}"], capture_output=True, text=True
        ).stdout.strip()
        (tools / needed).symlink_to(found)
    (tools / "uname").write_text("#!/bin/sh\necho x86_64\n")
    (tools / "uname").chmod(0o755)
    env = {"PATH": str(tools), "HOME": str(home)}
    argv = ["/bin/sh", *installing.words(claude.INSTALL)[1:]]

    def put(server: LoopbackServer) -> subprocess.CompletedProcess[str]:
        with_mirror = {**env, "NODE_MIRROR": server.url}
        return subprocess.run(argv, env=with_mirror, capture_output=True, text=True, timeout=60)

    with LoopbackServer(file) as server:
        (site / "SHASUMS256.txt").write_text(f"{'0' * 64}  {name}\n")
        refused = put(server)
        assert (refused.returncode, refused.stderr.splitlines()[-1]) == (1, f"{name} is damaged")
        assert not (home / ".local").exists()
        (site / "SHASUMS256.txt").write_text(f"{sha256(packed.getvalue()).hexdigest()}  {name}\n")
        done = put(server)
        assert done.returncode == 0, done.stderr
        assert "Node v22.9.0 is in" in done.stdout
        assert put(server).stdout == f"claude is there: {home}/.local/bin/claude\n"


def test_a_task_at_work_is_seen_heard_and_ended(make: Make, workspaces: Path) -> None:
    """In the sandbox its supervisor has process numbers of its own: it is asked where it is."""
    site = make(command="echo begun; sleep 4717")
    said(site, "dispatch", "bramble", "Sleep.", "--repo", REPO, "--execute")
    assert wait_until(lambda: "begun" in site.sprint("sprite", "logs", "bramble").stdout)
    assert f"running {REPO} since" in said(site, "status")
    assert "is at work" in site.sprint("sprite", "collect", "bramble").stdout
    assert "was ended" in said(site, "stop", "bramble")
    assert subprocess.run(["pgrep", "-f", "sleep 4717"], capture_output=True).returncode == 1
    assert "running" not in said(site, "status")
    told = site.sprint("sprite", "collect", "bramble", "--wait", "--json")
    assert told.returncode == 1
    assert json.loads(told.stdout)["outcome"] == "cancelled"
    said(site, "dispatch", "bramble", "Sleep.", "--repo", REPO, "--execute")
    assert f"{REPO} task Sleep.: cancelled" in site.sprint("stop", site.runs()[-1]["id"]).stdout
    assert subprocess.run(["pgrep", "-f", "sleep 4717"], capture_output=True).returncode == 1
