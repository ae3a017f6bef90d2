"""What the doctor finds, and what of it would stop a tick."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.servers.forge import DemoForge
from tests.servers.model import DemoModel
from tests.servers.replies import Reply, bad_key, call, say
from tests.servers.store import update_ref
from tests.site import PRICE, Site

REPO = "acme/widgets"


def able(request: dict[str, Any], _number: int) -> Reply:
    """Calls the tool with the number it is told, and finds the needle."""
    text = str(request["messages"])
    if request.get("tools"):
        number = next(word for word in text.replace(".", " ").split() if word.isdigit() and len(word) == 4)
        return call("report_number", {"number": int(number)})
    return say(text.split("password is ")[1].split(".")[0].split("\\n")[0].strip())


def site_of(
    gitea: DemoForge, model_server: Callable[..., DemoModel], workspaces: Path, script: Any, **more: Any
) -> Site:
    gitea.add_repo(REPO, {"README.md": "widgets\n"})
    return Site(workspaces / "site", gitea, model_server(script, **more), repos=[REPO])


def test_all_is_well(gitea: DemoForge, model_server: Callable[..., DemoModel], workspaces: Path) -> None:
    site = site_of(gitea, model_server, workspaces, able)
    done = site.sprint("doctor")
    assert done.returncode == 0, done.stdout
    for what in ("git:", "sandbox bwrap:", f"{REPO}:", f"{REPO} token:", f"{REPO} git:", "model scripted:"):
        assert any(line.startswith("ok") and what in line for line in done.stdout.splitlines()), what


def test_a_model_that_refuses_the_key_is_a_fault_unless_another_is_sound(
    gitea: DemoForge, model_server: Callable[..., DemoModel], workspaces: Path
) -> None:
    site = site_of(gitea, model_server, workspaces, lambda _request, _number: bad_key(), is_fit=False)
    done = site.sprint("doctor")
    assert done.returncode == 1
    assert "FAIL  model scripted" in done.stdout
    sound = model_server(able, name="sound")
    (site.path / "sound.key").write_text(sound.key)
    site.settings["model"]["fallbacks"] = [
        {"name": "sound", "base_url": sound.base_url, "api_key_file": "sound.key", "price": PRICE}
    ]
    site.write()
    done = site.sprint("doctor")
    assert done.returncode == 0, done.stdout
    assert "warn  model scripted" in done.stdout


def test_a_wrong_token_is_a_fault_with_a_remedy(
    gitea: DemoForge, model_server: Callable[..., DemoModel], workspaces: Path
) -> None:
    site = site_of(gitea, model_server, workspaces, able)
    (site.path / "forge.token").write_text("wrong")
    done = site.sprint("doctor")
    assert done.returncode == 1
    assert f"FAIL  {REPO}" in done.stdout
    assert "wrong" not in done.stdout.replace("is wrong", "")


@pytest.mark.parametrize("command", ["run", "doctor"])
def test_results_that_cannot_be_written_are_said_once(
    gitea: DemoForge, model_server: Callable[..., DemoModel], workspaces: Path, command: str
) -> None:
    site = site_of(gitea, model_server, workspaces, able)
    site.settings["paths"]["results"] = "/proc/self"  # where not even root makes a file
    site.write()
    done = site.sprint(command)
    said = [line for line in (done.stdout + done.stderr).splitlines() if "/proc/self" in line]
    assert (done.returncode, len(said)) == (2 if command == "run" else 1, 1)
    assert "cannot write in /proc/self: No such file or directory; see that the path is right" in said[0]


def test_rules_against_our_branches_are_told(
    github: DemoForge, model_server: Callable[..., DemoModel], workspaces: Path
) -> None:
    site = site_of(github, model_server, workspaces, able)
    assert "branch rules: none against feat/issue-0" in site.sprint("doctor").stdout
    github.protect(REPO, "feat/issue-0")
    done = site.sprint("doctor")
    assert (
        "warn  acme/widgets branch rules: pushes of feat/issue-0 may be refused: the rule update"
        in done.stdout
    )
    assert done.returncode == 0


def test_what_the_forge_does_not_tell_is_tried_with_deep(
    gitea: DemoForge, model_server: Callable[..., DemoModel], workspaces: Path
) -> None:
    """Gitea tells its rules to administrators only."""
    site = site_of(gitea, model_server, workspaces, able)
    before = gitea.refs(REPO)
    flat = site.sprint("doctor").stdout
    assert "`sprint doctor --deep` tries a push" in flat
    assert not [seen for seen in gitea.requests if seen.method == "POST" and "receive-pack" in seen.path]
    deep = site.sprint("doctor", "--deep")
    assert deep.returncode == 0, deep.stdout
    lines = deep.stdout.splitlines()
    said, pushed, claimed = (
        next(n for n, line in enumerate(lines) if text in line)
        for text in (
            "may start CI",
            "feat/issue-0 could be pushed and removed",
            "refs/sprint/issue-0 could be",
        )
    )
    assert said < pushed < claimed
    assert gitea.refs(REPO) == before


def test_deep_finds_the_server_that_refuses_every_push(
    forge_server: DemoForge, model_server: Callable[..., DemoModel], workspaces: Path
) -> None:
    site = site_of(forge_server, model_server, workspaces, able)
    forge_server.protect(REPO, "feat/issue-0")
    before = forge_server.refs(REPO)
    done = site.sprint("doctor", "--deep")
    assert done.returncode == 1
    assert f"FAIL  {REPO} push: the server refuses refs/heads/feat/issue-0" in done.stdout
    assert "set publish.branch" in done.stdout
    assert forge_server.refs(REPO) == before


def test_deep_clears_up_after_one_that_was_killed_and_leaves_a_persons_branch_alone(
    gitea: DemoForge, model_server: Callable[..., DemoModel], workspaces: Path
) -> None:
    site = site_of(gitea, model_server, workspaces, able)
    main = gitea.refs(REPO)["refs/heads/main"]
    for ref in ("refs/heads/feat/issue-0", "refs/sprint/issue-0"):
        update_ref(gitea.repo(REPO), ref, main)
    assert site.sprint("doctor", "--deep").returncode == 0
    assert set(gitea.refs(REPO)) == {"refs/heads/main"}
    theirs = gitea.commit(REPO, "feat/issue-0", "Mine", {"mine": "x\n"})
    done = site.sprint("doctor", "--deep")
    assert "there is a branch feat/issue-0 already" in done.stdout
    assert gitea.refs(REPO)["refs/heads/feat/issue-0"] == theirs


def test_an_agent_is_found_and_started_where_it_works(
    gitea: DemoForge, model_server: Callable[..., DemoModel], workspaces: Path
) -> None:
    folder = workspaces / "node_modules" / "@anthropic-ai" / "claude-code"
    folder.mkdir(parents=True, mode=0o755)
    (folder / "package.json").write_text('{"name": "@anthropic-ai/claude-code", "version": "1.0.0"}')
    (folder / "claude").write_text('#!/bin/sh\n[ -z "$(ls /sys 2>/dev/null)" ] && echo 1.0.0\n')
    (folder / "claude").chmod(0o755)
    site = site_of(gitea, model_server, workspaces, able)
    site.settings["workers"] = {
        "careful": {"kind": "claude", "program": str(folder / "claude")},
        "quick": {"kind": "codex", "program": "/nowhere/codex"},
    }
    site.write()
    said = site.sprint("doctor").stdout
    assert "worker careful: claude 1.0.0; tried was 2." in said
    assert "ok    worker careful: starts in the sandbox" in said
    assert "billed at the API's rates" in said
    assert "FAIL  worker quick: worker codex: there is no /nowhere/codex" in said
