"""Work on sprites through the real tick: claimed, sent, left alone, collected, a pull request."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sprint.domain import Phase
from sprint.sandbox import elsewhere
from tests.agents.model import ScriptedModel
from tests.one_host import Host
from tests.servers.forge import DemoForge
from tests.servers.replies import say
from tests.sprite.far_work import CLAUDE, FIX, OF_ITS_OWN, ticked_to_the_end
from tests.sprite.some_backend import backend_of
from tests.waiting import wait_until
from tests.widgets import REPO

TOOL = "mkdir -p ~/.local/bin && printf '#!/bin/sh\n' >~/.local/bin/made && chmod +x ~/.local/bin/made"


@pytest.mark.machine
def test_a_machine_without_a_sandbox_is_refused_before_an_issue_is_claimed(
    make_host: Callable[..., Host],
    workspaces: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(elsewhere, "BWRAP", "bwrap-that-is-not-there")
    with backend_of("ssh", workspaces) as backend:
        host = make_host(backend=backend)
        assert host.tick() == 6
    assert "there is no bwrap-that-is-not-there: install bubblewrap; or say `sandbox: none`" in caplog.text
    assert list(host.store.all()) == []


@pytest.mark.parametrize("token", ["good", "bad"])
def test_a_sprite_fetches_by_itself_where_it_is_given_a_token(
    make_host: Callable[..., Host],
    gitea: DemoForge,
    workspaces: Path,
    caplog: pytest.LogCaptureFixture,
    token: str,
) -> None:
    """And so may its agent; afterwards the token is there no longer. A bad one costs no attempt."""
    gitea.repo(REPO).private = True
    (workspaces / "git.token").write_text(gitea.token if token == "good" else "f" * 40)
    (workspaces / "git.token").chmod(0o600)
    with backend_of("sprites", workspaces) as backend:
        look = (
            'git fetch -q && [ "$(git rev-parse origin/main)" = "$(git rev-parse HEAD)" ] && [ "$GH_TOKEN" ]'
        )
        host = make_host(
            backend=backend,
            command=f"{look} && {FIX}",
            git="token",
            git_token_file=str(workspaces / "git.token"),
        )
        if token == "bad":
            assert host.tick() == 6
            assert "sprite sprint-1: fatal: Authentication failed" in caplog.text
            return
        host.tick()
        ticked_to_the_end(host)
        assert host.outcomes() == ["pr_opened"], host.run()
        for path in (workspaces / "sprint-1").rglob("*"):
            assert not path.is_file() or gitea.token.encode() not in path.read_bytes(), path


@pytest.fixture
def claude(workspaces: Path) -> Path:
    program = workspaces / "claude"
    program.write_text(CLAUDE)
    program.chmod(0o755)
    return program


def spent_by(host: Host) -> float:
    """In the day's spending, of the newest run; the question before a claim is nobody's."""
    (path,) = (host.results / "spend").iterdir()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return float(sum(line["usd"] for line in lines if line["run"] == host.run().id))


@pytest.mark.parametrize("kind", ["local", pytest.param("ssh", marks=pytest.mark.machine), "sprites"])
def test_an_agent_on_a_sprite_becomes_a_pull_request_and_is_counted_once(
    make_host: Callable[..., Host], gitea: DemoForge, workspaces: Path, claude: Path, kind: str
) -> None:
    """It reaches its model through the gateway, its key outside; where that cannot be, with a limited key in
    a file. It finds what the project's set-up makes, but for a sandbox elsewhere, which cannot fetch it."""
    with (
        ScriptedModel(lambda asked, number: say("I look.")) as model,
        backend_of(kind, workspaces) as backend,
    ):
        (workspaces / "limited.key").write_text(model.key)
        (workspaces / "limited.key").chmod(0o600)
        own: dict[str, Any] = {"program": str(claude)}
        if kind == "sprites":
            own |= {"key": "file", "key_file": str(workspaces / "limited.key")}
        if kind == "ssh":
            own = {"bootstrap": [f"mkdir -p .local/bin && cp {claude} .local/bin/claude"]}
        host = make_host(backend=backend, agent="claude", command="", repo={"setup": [TOOL]}, **own)
        host.site.settings["model"] |= {"base_url": f"{model.url}/v1"}
        (host.site.path / "model.key").write_text(model.key)
        host.site.write()
        assert host.tick() == 0
        assert host.run().phase is Phase.WORKING, host.run()
        ticked_to_the_end(host)
        assert host.outcomes() == ["pr_opened"], host.run()
        (row,) = host.site.rows()
        launches = json.loads((host.store.folder(host.run().id) / "sprite.json").read_text())["launch"] + 1
        if kind != "sprites":
            assert int(row["prompt_tokens"]) == model.sent.prompt + model.sent.cached
        else:
            assert int(row["prompt_tokens"]) == 1000 * launches
        assert len(model.asked) == 2 * launches
    assert float(row["cost_usd"]) > 0
    assert spent_by(host) == pytest.approx(float(row["cost_usd"]))
    steps = [event for event in host.site.transcript(host.run().id) if event["event"] == "assistant"]
    assert "I look." in steps[0]["content"]
    (pull,) = gitea.pulls(REPO)
    assert "double() no longer adds one." in pull.body
    seen = json.loads(gitea.file(REPO, "feat/issue-1", "seen.json"))
    assert seen.pop("made") == (kind != "ssh")
    held = {"network": ["lo:"], "homes": [], "work": ["home", "repo", "task", "tmp"]}
    if kind == "ssh":
        held["homes"] = ["claude"]
    assert seen == (held if kind != "sprites" else {}), "the sandbox holds it"


@pytest.mark.parametrize("model", ["away", "slow"])
def test_without_a_gateway_the_agents_own_count_at_its_price_bounds_a_run(
    make_host: Callable[..., Host], gitea: DemoForge, workspaces: Path, model: str
) -> None:
    """One whose model does not answer is started with the next of that server; one that costs too much is
    ended there, and what it had is handed in as a draft."""
    program = workspaces / "claude"
    program.write_text(OF_ITS_OWN)
    program.chmod(0o755)
    (workspaces / "limited.key").write_text("of-its-own")
    (workspaces / "limited.key").chmod(0o600)
    with backend_of("sprites", workspaces) as backend:
        host = make_host(
            backend=backend,
            agent="claude",
            command="",
            program=str(program),
            model=model,
            price={"input": 100.0, "cached": 10.0, "output": 1000.0},
            key="file",
            key_file=str(workspaces / "limited.key"),
            repo={"limits": {"usd": 0.12 if model == "slow" else 9.0}},
        )
        address = host.site.settings["model"]["base_url"]
        price = {"input": 1.0, "output": 2.0}
        host.site.settings["model"]["fallbacks"] = [{"name": "next", "base_url": address, "price": price}]
        host.site.write()
        host.tick()
        ticked_to_the_end(host, while_at_work=model == "slow")
    (row,) = host.site.rows()
    if model == "slow":
        assert row["outcome"] == "limit", row
        assert "$0.1550 of $0.12 are spent" in row["detail"]
        assert (row["model"], float(row["cost_usd"])) == ("slow", pytest.approx(0.155))
        assert spent_by(host) == pytest.approx(0.155)
    else:
        assert (row["outcome"], row["model"]) == ("pr_opened", "next"), row
    assert len(gitea.pulls(REPO)) == 1


# As two that take their prompt as an argument: kimi by its variables, opencode by a file in its home.
BY_ARGUMENT = r"""#!/usr/bin/python3
import http.client, json, os, pathlib, re, sys
from urllib.parse import urlsplit
if "KIMI_MODEL_NAME" in os.environ:
    model, key, base = (os.environ["KIMI_MODEL_" + name] for name in ("NAME", "API_KEY", "BASE_URL"))
else:
    given = json.loads(pathlib.Path("~/.config/opencode/opencode.json").expanduser().read_text())
    options = given["provider"]["sprint"]["options"]
    model, key, base = given["model"].partition("/")[2], options["apiKey"], options["baseURL"]
prompt = next(word for word in sys.argv if word.startswith("Your task is in the file "))
told = pathlib.Path(re.search(r"file (\S+)\. ", prompt)[1]).read_text()
address = urlsplit(base)
connection = http.client.HTTPConnection(address.hostname, address.port, timeout=60)
body = {"model": model, "messages": [{"role": "user", "content": told}],
        "tools": [{"type": "function", "function": {"name": "x", "parameters": {"type": "object"}}}]}
connection.request("POST", address.path + "/chat/completions", json.dumps(body),
                   {"Authorization": "Bearer " + key, "Content-Type": "application/json"})
answer = connection.getresponse()
said = json.loads(answer.read())
assert answer.status == 200, said
print(json.dumps({"role": "assistant", "content": said["choices"][0]["message"]["content"]}), flush=True)
path = pathlib.Path("widgets.py")
path.write_text(path.read_text().replace("n + n + 1", "n + n"))
pathlib.Path(re.search(r"`(\S+/summary\.md)`", told)[1]).write_text("double() no longer adds one.")
"""


@pytest.mark.parametrize(("agent", "kind"), [("kimi-code", "sprites"), ("opencode", "local")])
def test_an_agent_that_takes_its_prompt_as_an_argument_reads_it_from_a_file(
    make_host: Callable[..., Host], workspaces: Path, agent: str, kind: str
) -> None:
    """With a key in a file there, and through the gateway with a file in its home; no key stays there."""
    program = workspaces / agent
    program.write_text(BY_ARGUMENT)
    program.chmod(0o755)
    with (
        ScriptedModel(lambda asked, number: say("I look.")) as model,
        backend_of(kind, workspaces) as backend,
    ):
        (workspaces / "limited.key").write_text(model.key)
        (workspaces / "limited.key").chmod(0o600)
        key = {"key": "file", "key_file": str(workspaces / "limited.key")} if kind == "sprites" else {}
        host = make_host(backend=backend, agent=agent, command="", program=str(program), **key)
        host.site.settings["model"] |= {"base_url": f"{model.url}/v1"}
        (host.site.path / "model.key").write_text(model.key)
        host.site.write()
        host.tick()
        ticked_to_the_end(host)
        assert host.outcomes() == ["pr_opened"], host.run()
        left = [path for path in workspaces.rglob("home/**/*") if path.name in ("opencode.json", "agent.env")]
        assert left == []


COURT = """
version: 1
name: Court
base: {claude_md: base.md}
sprites:
  bramble: {definition: persona.md, fallback: true}
  willow: {definition: persona.md, routing_labels: [frontend]}
"""


def test_an_issue_goes_to_the_sprite_that_its_labels_are_for(
    make_host: Callable[..., Host], gitea: DemoForge, workspaces: Path
) -> None:
    """With the persona in the agent's own home, and the reason on record."""
    (workspaces / "court.yaml").write_text(COURT)
    (workspaces / "base.md").write_text("Work alone.\n")
    (workspaces / "persona.md").write_text("---\nname: willow\n---\nYou care.\n")
    gitea.edit_issue(REPO, 1, labels=["Frontend"])
    told = 'cat "$HOME/.claude/CLAUDE.md" >persona.txt; ' + FIX
    host = make_host(composition=str(workspaces / "court.yaml"), command=told)
    ticked_to_the_end(host)
    assert gitea.file(REPO, "feat/issue-1", "persona.txt") == "Work alone.\n\nYou care.\n"
    notes = [event["text"] for event in host.site.transcript(host.run().id) if event["event"] == "note"]
    assert "works on sprite willow of backend here: routing label frontend" in notes


def test_a_workspace_that_went_while_the_agent_worked_is_made_anew(
    make_host: Callable[..., Host], workspaces: Path
) -> None:
    """The runner's machine went down, and /tmp with it; the sprite did not care."""
    host = make_host()
    host.tick()
    shutil.rmtree(host.run().workspace)
    ticked_to_the_end(host)
    assert host.outcomes() == ["pr_opened"], host.run()


def test_a_supervisor_that_is_killed_leaves_what_was_made(
    make_host: Callable[..., Host], gitea: DemoForge
) -> None:
    """Half-done is no success and no loss: a draft, and no attempt of the issue's."""
    host = make_host(command=f"{FIX}; kill -9 $PPID; sleep 600")
    host.tick()
    ticked_to_the_end(host)
    assert host.outcomes() == ["interrupted"], host.run()
    (pull,) = gitea.pulls(REPO)
    assert pull.title.startswith("WIP: ")


def test_where_all_sprites_are_taken_an_issue_waits_unclaimed(
    make_host: Callable[..., Host], gitea: DemoForge, workspaces: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gitea.add_issue(REPO, "Another thing", "Please.")
    waits = "while [ ! -e ../home/go ]; do sleep 0.1; done"
    host = make_host(command=f"{waits}; {FIX}", repo={"pick": {"at_once": 2}})
    assert host.tick() == 0
    assert "sprite sprint-1 has run" in capsys.readouterr().out
    assert len(list(host.store.all())) == 1
    home = workspaces / "sprites/sprint-1/home"
    (home / "work/acme--widgets/home/go").touch()
    assert wait_until(lambda: bool(list(home.glob(".sprint/runs/*/ended-0.json"))))
