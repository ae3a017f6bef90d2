"""Hermes by its agent server: outside the sandbox where that is allowed, and everything else inside."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from sprint import credentials
from sprint.config import HermesWorkerConfig, load
from sprint.domain import Ending, Liveness, Secret, WorkerResult, replace
from sprint.errors import ConfigError, ModelError, ModelTrouble, Stopped
from sprint.runs import RunStore
from sprint.worker.agents import state
from sprint.worker.agents.hermes_via import HermesPerformer
from sprint.worker.attached import Attached
from tests.agents.hermes_agent_server import Act, HermesAgentServer
from tests.agents.model import ScriptedModel
from tests.agents.standin import HostRoute
from tests.around import around
from tests.servers.forge import DemoForge
from tests.servers.model import DemoModel
from tests.site import Site
from tests.widgets import CHECK, FILES, REPO
from tests.worker.conftest import Bench

Ask = Callable[..., HermesAgentServer]


@pytest.fixture
def agent_server() -> Iterator[Ask]:
    with ExitStack() as stack:
        yield lambda *acts: stack.enter_context(HermesAgentServer([*acts] or [Act()]))


def made(bench: Bench, server: HermesAgentServer, serve: Any = None, **config: Any) -> Attached:
    told = {"via": "server", "outside_sandbox": True, "server": server.url, **config}
    route = HostRoute(serve(lambda asked, number: None) if serve else ScriptedModel(lambda *asked: None))
    performer = HermesPerformer(HermesWorkerConfig(**told), route, Secret(server.key))
    return Attached(performer, RunStore(bench.results))


def run(bench: Bench, server: HermesAgentServer, **config: Any) -> WorkerResult:
    worker = made(bench, server, **config)
    worker.start(bench.job)
    return worker.collect(bench.job)


def checkout_in(prompt: str) -> Path:
    found = re.match(r"Work in (\S+), and change nothing outside of it", prompt)
    assert found, prompt
    return Path(found[1])


def writes(name: str, text: str = "made\n") -> Callable[[str], object]:
    return lambda prompt: (checkout_in(prompt) / name).write_text(text)


def test_it_works_at_the_workspaces_place_on_this_machine(bench: Bench, agent_server: Ask) -> None:
    server = agent_server(
        Act(writes("a.txt"), (("terminal", "ls -la"), ("write_file", "a.txt")), "Wrote a.txt.")
    )
    done = run(bench, server)
    assert (done.ending, done.summary) == (Ending.IMPLEMENTED, "Wrote a.txt.")
    assert checkout_in(server.told[0]) == bench.job.workspace.checkout
    assert "Fix issue 3." in server.told[0]
    assert bench.file("a.txt").read_text() == "made\n"
    assert bench.file("a.txt").stat().st_uid == (bench.job.workspace.uid or os.getuid())
    assert [tool["name"] for tool in bench.events("tool")] == ["terminal", "write_file"]
    assert [turn["content"] for turn in bench.events("assistant")][-1] == "Wrote a.txt."
    assert all(turn["estimated"] and turn["usage"]["cost_usd"] is None for turn in bench.events("assistant"))
    used = (done.usage.prompt_tokens, done.usage.completion_tokens, done.usage.cost_usd)
    assert used == (2000, 34, None)
    log = (bench.job.folder / "agent.log").read_text()
    assert "hermes.tool.progress" in log
    kept = [path for path in bench.job.folder.rglob("*") if path.is_file()]
    assert not [path for path in kept if server.key in path.read_text(errors="replace")]


def test_it_hands_over_by_files_and_goes_on_in_its_own_session(bench: Bench, agent_server: Ask) -> None:
    def asks(prompt: str) -> None:
        folder = checkout_in(prompt).parent / "tmp" / "handover"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "question.md").write_text("Which one?")

    server = agent_server(Act(writes("a.txt")), Act(asks))
    worker = made(bench, server)
    worker.start(bench.job)
    worker.resume(bench.job, "A check failed.")
    assert worker.collect(bench.job).ending is Ending.QUESTION
    assert server.sessions == ["", "api-1"]
    assert server.told[1].endswith("A check failed.")
    assert state.load(bench.job.folder).session == "server:api-2"


@pytest.mark.parametrize(
    ("act", "kind"),
    [
        (Act(failure="Error code: 401 - no such key"), ModelTrouble.REFUSED),
        (Act(cut=True), ModelTrouble.AWAY),
        (Act(status=429), ModelTrouble.BUSY),
        (Act(status=502), ModelTrouble.AWAY),
    ],
)
def test_what_is_not_the_issues_fault_pauses_the_run(
    bench: Bench, agent_server: Ask, act: Act, kind: ModelTrouble
) -> None:
    with pytest.raises(ModelError) as told:
        run(bench, agent_server(act))
    assert told.value.kind is kind
    assert "\n" not in str(told.value)


def test_a_failure_of_its_own_is_one(bench: Bench, agent_server: Ask) -> None:
    done = run(bench, agent_server(Act(failure="the tool loop broke")))
    assert (done.ending, done.detail) == (Ending.ERROR, "hermes: the tool loop broke")


def test_a_wrong_key_is_said(bench: Bench, agent_server: Ask) -> None:
    server = agent_server()
    worker = made(bench, server)
    server.key = "another"
    with pytest.raises(ModelError, match="refuses API_SERVER_KEY"):
        worker.start(bench.job)


def test_it_is_stopped_by_hanging_up(bench: Bench, agent_server: Ask) -> None:
    server = agent_server(Act(hang=600))
    bench.job = replace(bench.job, watch=lambda: "the issue was closed" if server.told else "")
    done = run(bench, server)
    assert (done.ending, done.detail) == (Ending.CANCELLED, "the issue was closed")
    assert "cut off" not in str(bench.events("note"))


def test_a_runner_that_has_to_stop_lets_it_rest(bench: Bench, agent_server: Ask) -> None:
    server = agent_server(Act(hang=600))

    def watch() -> str:
        if server.told:
            raise Stopped("stopped")
        return ""

    bench.job = replace(bench.job, watch=watch)
    worker = made(bench, server)
    with pytest.raises(Stopped):
        worker.start(bench.job)
    assert worker.poll(bench.job.run).liveness is Liveness.DONE
    assert worker.collect(bench.job).ending is Ending.INTERRUPTED


def test_its_time_is_bounded(bench: Bench, agent_server: Ask) -> None:
    bench.limit(minutes=0.02)
    done = run(bench, agent_server(Act(hang=600)))
    assert (done.ending, done.detail) == (Ending.LIMIT, "limits.minutes: 0.02 minutes are over")


def test_an_empty_answer_is_the_command_lines_turn(
    bench: Bench, agent_server: Ask, workspaces: Path, serve: Any
) -> None:
    program = workspaces / "hermes-venv" / "bin" / "hermes"
    program.parent.mkdir(parents=True, mode=0o755)
    program.write_text("import sys; open('b.txt', 'w').write('by the command line'); print('Done here.')\n")
    (program.parent / "python").symlink_to("/usr/bin/python3")
    (program.parents[1] / "pyvenv.cfg").write_text("")
    server = agent_server(Act(text=""))
    done = run(bench, server, serve=serve, program=str(program))
    assert (done.ending, done.summary) == (Ending.IMPLEMENTED, "Done here.")
    assert bench.file("b.txt").read_text() == "by the command line"
    assert "command line" in str(bench.events("note"))


def test_auto_is_the_server_where_it_is_up_and_allowed(bench: Bench, agent_server: Ask) -> None:
    server = agent_server()
    up = HermesPerformer(config(server, via="auto", outside_sandbox=True), route(), Secret(server.key))
    assert up.version() == "0.19.0"
    up.check()
    for other in (
        HermesPerformer(config(server, via="auto"), route(), Secret(server.key)),
        HermesPerformer(config(server, via="auto", outside_sandbox=True), route(), None),
        HermesPerformer(
            HermesWorkerConfig(outside_sandbox=True, server="http://localhost:9"),
            route(),
            Secret("k"),
        ),
    ):
        with pytest.raises(ConfigError, match="hermes is not on the PATH"):
            other.check()


def config(server: HermesAgentServer, **more: Any) -> HermesWorkerConfig:
    return HermesWorkerConfig(**{"server": server.url, **more})


def route() -> HostRoute:
    return HostRoute(ScriptedModel(lambda *asked: None))


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ("{kind: hermes, via: server}", "outside the sandbox; say so with `outside_sandbox: true`"),
        (
            "{kind: hermes, via: server, outside_sandbox: true, server: 'http://10.0.0.1:8642'}",
            "it is one on this machine, at localhost",
        ),
        ("{kind: hermes, server_key_file: a, server_key_env: B}", "are both there; keep one"),
    ],
)
def test_the_configuration_says_it_in_so_many_words(tmp_path: Path, section: str, says: str) -> None:
    path = tmp_path / "sprint.yaml"
    path.write_text(f"workers: {{hermes: {section}}}\n")
    with pytest.raises(ConfigError, match=re.escape(says)):
        load(path, around(tmp_path))


def test_its_key_is_found_where_hermes_has_it(tmp_path: Path) -> None:
    worker = HermesWorkerConfig()
    assert credentials.hermes_server_key(worker, around(tmp_path)) is None
    (tmp_path / ".hermes").mkdir()
    (tmp_path / ".hermes" / ".env").write_text("API_SERVER_KEY=of-hermes-own-file\n")
    found = credentials.hermes_server_key(worker, around(tmp_path))
    assert found is not None
    assert found.reveal() == "of-hermes-own-file"
    found = credentials.hermes_server_key(worker, around(tmp_path, {"API_SERVER_KEY": "of-the-shell"}))
    assert found is not None
    assert found.reveal() == "of-the-shell"


def test_a_tick_by_the_server_opens_a_pull_request(
    gitea: DemoForge, workspaces: Path, model_server: Callable[..., DemoModel], agent_server: Ask
) -> None:
    gitea.add_repo(REPO, FILES)
    number = gitea.add_issue(REPO, "double() is off by one", "double(2) must be 4.")

    def fixes(prompt: str) -> None:
        (checkout_in(prompt) / "widgets.py").write_text("def double(n):\n    return n + n\n")

    server = agent_server(Act(fixes, (("patch", "widgets.py"),), "Doubling adds nothing more."))
    worker = {"kind": "hermes", "via": "server", "outside_sandbox": True, "server": server.url}
    site = Site(
        workspaces / "site",
        gitea,
        model_server([]),
        workers={"hermes": {**worker, "server_key_file": "hermes.key"}},
        repos=[{"name": REPO, "checks": [CHECK], "worker": "hermes"}],
    )
    (site.path / "hermes.key").write_text(server.key)
    (site.path / "hermes.key").chmod(0o600)
    done = site.sprint("run", REPO)
    assert done.returncode == 0, done.stderr
    (pull,) = gitea.pulls(REPO)
    assert "Doubling adds nothing more." in pull.body
    assert gitea.file(REPO, f"feat/issue-{number}", "widgets.py") == "def double(n):\n    return n + n\n"
    (row,) = site.rows()
    found = (
        row["outcome"],
        row["proof"],
        row["worker"],
        row["worker_version"],
        row["cost_usd"],
        row["model"],
    )
    assert found == ("pr_opened", "proven", "hermes", "0.19.0", "", "hermes-agent")
