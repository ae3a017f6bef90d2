"""What others call, through the real tick: a sprite that asks its model and calls back; a question."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sprint.config import load
from sprint.domain import Phase
from sprint.serve import tick_starter
from sprint.serve.public_site import PublicSite
from tests.agents.model import ScriptedModel
from tests.around import around
from tests.one_host import Host
from tests.serve import signed
from tests.serve.serving import Served, serving
from tests.servers.forge import DemoForge
from tests.servers.replies import say
from tests.servers.sprites_dev import SpritesDev
from tests.sprite.conftest import make_host as make_host  # a fixture
from tests.sprite.far_work import CLAUDE, FIX
from tests.waiting import wait_until
from tests.widgets import REPO

SECRET = "of-the-forge-0123456789"


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in {"GATHER_SECONDS": 0.2, "LEAST_SECONDS": 1.0, "_LOOK_SECONDS": 0.05}.items():
        monkeypatch.setattr(tick_starter, name, seconds)


@contextmanager
def public_site(host: Host) -> Iterator[Served[PublicSite]]:
    """That of a host's own configuration, which has its address, and the forge's secret, from now on."""
    listener = socket.create_server(("127.0.0.1", 0))
    host.site.settings["public"] = {"url": f"http://127.0.0.1:{listener.getsockname()[1]}"}
    host.site.settings["forges"]["home"]["webhook_secret_file"] = "hooks.secret"
    host.site._secret("hooks.secret", SECRET)
    host.site.write()
    found = around(host.site.path, host.site.environ)
    with serving(PublicSite(load(host.site.path / "sprint.yaml", found), found), listener) as served:
        yield served


class Sprites(SpritesDev):
    section: dict[str, Any]


@contextmanager
def sprites_dev(root: Path) -> Iterator[Sprites]:
    with Sprites(root) as service:
        (root / "sprite.token").write_text(service.token)
        (root / "sprite.token").chmod(0o600)
        service.section = {"kind": "sprites", "base_url": service.url}
        service.section["token_file"] = str(root / "sprite.token")
        yield service


def test_what_works_in_a_sandbox_here_is_settled_when_it_ends(
    make_host: Callable[..., Host], at_once: None
) -> None:
    """It has no network: who started it calls, and the agent has not even the key."""
    host = make_host(command=f'ls "$(dirname "$SPRINT_PROMPT")" >names.txt; {FIX}')
    with public_site(host):
        assert host.tick() == 0
        assert wait_until(lambda: host.run().phase is Phase.SETTLED)
    assert host.outcomes() == ["pr_opened"], host.run()
    patch = (host.store.folder(host.run().id) / "patch.diff").read_text()
    assert "prompt.md" in patch
    assert "callback" not in patch
    notes = [event["text"] for event in host.site.transcript(host.run().id) if event["event"] == "note"]
    assert "called back: completed" in notes


def test_a_sprite_elsewhere_asks_its_model_calls_back_and_is_settled_by_nobody_else(
    make_host: Callable[..., Host], gitea: DemoForge, workspaces: Path, at_once: None
) -> None:
    """With no key there, and no tick but the first one."""
    program = workspaces / "claude"
    program.write_text(CLAUDE)
    program.chmod(0o755)
    with ScriptedModel(lambda asked, number: say("I look.")) as model, sprites_dev(workspaces) as service:
        host = make_host(backend=service.section, agent="claude", command="", program=str(program))
        host.site.settings["model"] |= {"base_url": f"{model.url}/v1"}
        (host.site.path / "model.key").write_text(model.key)
        with public_site(host):
            assert host.tick() == 0
            assert wait_until(lambda: host.run().phase is Phase.SETTLED)
        assert host.outcomes() == ["pr_opened"], host.run()
        (row,) = host.site.rows()
        assert int(row["prompt_tokens"]) == model.sent.prompt + model.sent.cached
        (box,) = service.boxes.values()
        there = b"".join(path.read_bytes() for path in box.home.rglob("*") if path.is_file())
        assert model.key.encode() not in there
        assert b"I look." in there, "what its agent wrote was read"
    notes = [event["text"] for event in host.site.transcript(host.run().id) if event["event"] == "note"]
    assert "called back: completed: I look." in notes


# Asks by itself, waits for ever, and goes on where it finds the answer.
ASKS = r"""
if grep -q "Both of them" "$SPRINT_PROMPT"; then FIX; exit; fi
exec python3 -c '
import hashlib, hmac, json, os, time, urllib.request
key, run = open(os.environ["WEBHOOK_SECRET_FILE"], "rb").read(), os.environ["SPRINT_RUN"]
question = {"type": "question", "taskId": run, "sessionId": run, "question": "Which of the two?"}
body = json.dumps(question).encode()
signature = "sha256=" + hmac.new(key, body, hashlib.sha256).hexdigest()
request = urllib.request.Request(os.environ["WEBHOOK_URL"], body, {"X-Webhook-Signature": signature})
urllib.request.urlopen(request, timeout=60).read()
time.sleep(600)
'
"""


def test_a_question_becomes_a_comment_and_its_answer_goes_to_the_next_attempt(
    make_host: Callable[..., Host], gitea: DemoForge, workspaces: Path, at_once: None
) -> None:
    """At once, by the forge's webhook: whatever back-off is configured."""
    with sprites_dev(workspaces) as service:
        host = make_host(backend=service.section, command=ASKS.replace("FIX", FIX))
        gitea.add_user("carl")
        gitea.grant(REPO, "carl")
        with public_site(host) as site:

            def comment(author: str, body: str) -> int:
                gitea.add_comment(REPO, 1, author, body)
                payload = signed.issue_event("created", sender=author, repo=REPO, is_pull=False)
                headers, data = signed.by_gitea(SECRET, "issue_comment", payload)
                return site.get("/webhooks/forge", method="POST", body=data, **headers).status

            assert host.tick() == 0
            assert wait_until(lambda: host.outcomes() == ["needs_human"]), host.run()
            assert wait_until(lambda: host.run().phase is Phase.SETTLED)
            (said,) = gitea.comments(REPO, 1)
            assert "Which of the two?" in said.body
            started = site.site.ticks.started
            assert comment("sprint-bot", "Noted.") == 200
            assert comment("carl", "Both of them.") == 202
            assert wait_until(lambda: host.outcomes() == ["needs_human", "pr_opened"]), host.run()
            assert site.site.ticks.started > started
    assert len(gitea.pulls(REPO)) == 1
