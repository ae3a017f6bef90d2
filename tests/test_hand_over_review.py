"""What a worker that does not look at its own work is shown of it, once, before it counts: whole ticks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from sprint.config import load
from sprint.domain import Liveness
from sprint.run_command import Options, run_command
from sprint.worker.agents import way
from tests.agents.claude_stream import INIT, RESULT, use
from tests.agents.claude_stream import result as answered
from tests.agents.conftest import serve as serve  # a fixture
from tests.agents.model import ScriptedModel
from tests.agents.standin import HostRoute
from tests.around import around
from tests.detached import fix, plant
from tests.servers.forge import DemoForge
from tests.servers.model import DemoModel
from tests.site import Site
from tests.widgets import CHECK, FILES, FIX_COMMAND, REPO

SCRATCH = "echo 'print(1)' >reproduce_issue.py"
REVIEW = "this is what a reviewer would see"

MakeSite = Callable[..., Site]


@pytest.fixture
def make_site(gitea: DemoForge, workspaces: Path, model_server: Callable[..., DemoModel]) -> MakeSite:
    def make(**worker: str) -> Site:
        gitea.add_repo(REPO, FILES)
        gitea.add_issue(REPO, "double() is off by one", "double(2) must be 4.")
        return Site(
            workspaces / "site",
            gitea,
            model_server([]),
            workers={"one": worker},
            repos=[{"name": REPO, "checks": [CHECK], "worker": "one"}],
        )

    return make


def told(site: Site) -> list[str]:
    """What the worker was told, without the task itself."""
    (run,) = site.runs()
    return [event["text"] for event in site.transcript(run["id"]) if event["event"] == "user"][1:]


def tick(site: Site) -> int:
    config = load(site.path / "sprint.yaml", around(site.path))
    return run_command(config, Options(repos=(REPO,)), around(site.path, site.environ))


@pytest.mark.parametrize(
    ("second", "left_out"), [("rm reproduce_issue.py", False), ("true", True), ("exit 3", True)]
)
def test_a_command_is_shown_its_scratch(
    make_site: MakeSite, gitea: DemoForge, second: str, left_out: bool
) -> None:
    """What it leaves all the same is left out, and said; a second time that fails takes nothing back."""
    first = f"{FIX_COMMAND}; {SCRATCH}"
    site = make_site(kind="command", command=f"if grep -q '{REVIEW}'; then {second}; else {first}; fi")
    assert site.sprint("run", REPO).returncode == 0
    (review,) = told(site)
    assert "- `widgets.py`: +1 -1" in review
    assert "- `reproduce_issue.py`" in review
    assert "then write the summary again to hand it in" in review
    assert "Run since the last edit" not in review, "nobody saw what it ran"
    (pull,) = gitea.pulls(REPO)
    assert pull.body.startswith("**Proven**")
    assert "Fixed it." in pull.body, "the first summary holds where no second one is written"
    assert ("Left out as scratch, which nothing refers to: `reproduce_issue.py`." in pull.body) is left_out
    assert site.rows()[0]["outcome"] == "pr_opened"


def test_a_command_whose_work_holds_no_surprise_is_not_run_again(make_site: MakeSite) -> None:
    site = make_site(kind="command", command=FIX_COMMAND)
    assert site.sprint("run", REPO).returncode == 0
    assert told(site) == []


def test_an_agent_is_shown_it_in_its_own_session(
    make_site: MakeSite,
    gitea: DemoForge,
    workspaces: Path,
    serve: Callable[..., ScriptedModel],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = serve(lambda asked, number: None)
    monkeypatch.setattr(way, "route", lambda services, price=None: HostRoute(server))
    said = "\n".join(json.dumps(line) for line in (INIT, use("t1", CHECK), answered("t1", "OK"), RESULT))
    program = workspaces / "programs" / "claude"
    program.parent.mkdir(mode=0o755)
    program.write_text(
        "#!/bin/sh\ncat >../tmp/told\n"
        f'case "$*" in *--resume*) rm reproduce_issue.py;; *) {FIX_COMMAND}; {SCRATCH};; esac\n'
        f"cat <<'STREAM_ENDS'\n{said}\nSTREAM_ENDS\n"
    )
    program.chmod(0o755)
    site = make_site(kind="claude", program=str(program))
    assert tick(site) == 0
    (review,) = told(site)
    assert REVIEW in review
    assert f"- `{CHECK}`: yes" in review
    (pull,) = gitea.pulls(REPO)
    assert "Left out" not in pull.body
    assert site.rows()[0]["outcome"] == "pr_opened"


def test_what_outlives_the_tick_is_shown_it_too(
    make_site: MakeSite, gitea: DemoForge, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = plant(monkeypatch)
    site = make_site(kind="fake")
    assert tick(site) == 0

    def untidy(job: object) -> None:
        fix(job)  # type: ignore[arg-type]
        (job.workspace.checkout / "reproduce_issue.py").write_text("print(1)\n")  # type: ignore[attr-defined]

    backend.work, backend.liveness = untidy, Liveness.DONE
    assert tick(site) == 0
    assert len(backend.messages) == 1
    assert REVIEW in backend.messages[0]
    assert gitea.pulls(REPO) == []
    assert tick(site) == 0
    assert (len(backend.messages), len(gitea.pulls(REPO))) == (1, 1)
