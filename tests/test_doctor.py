"""What the doctor finds, and what of it would stop a tick."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sprint.config import load
from sprint.doctor.repository_findings import examine_repository
from sprint.surroundings import Surroundings
from tests.servers import forks
from tests.servers.able import able
from tests.servers.forge import DemoForge, Fault
from tests.servers.model import DemoModel
from tests.servers.replies import bad_key
from tests.servers.store import update_ref
from tests.site import PRICE, Site

REPO = "acme/widgets"


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


def test_a_fault_of_a_repository_names_it_once(
    gitea: DemoForge, model_server: Callable[..., DemoModel], workspaces: Path
) -> None:
    gitea.add_repo(REPO, {})
    done = Site(workspaces / "site", gitea, model_server(able), repos=[REPO]).sprint("doctor")
    assert f"FAIL  {REPO}: it has no commits yet; push a first one" in done.stdout.splitlines()


def test_a_forge_that_asks_for_patience_is_told_of_at_once(
    gitea: DemoForge, tmp_path: Path, slept: list[float]
) -> None:
    gitea.faults.append(Fault(status=429, headers={"Retry-After": "30"}, times=None))
    (tmp_path / "sprint.yaml").write_text(
        f"forges: {{ours: {{kind: gitea, url: '{gitea.url}'}}}}\nrepos: [{{name: {REPO}}}]\n"
    )
    around = Surroundings({"GITEA_TOKEN": gitea.token}, tmp_path, tmp_path)
    config = load(None, around)
    (found,) = examine_repository(config, config.repos[0], around, deep=False)
    assert "limits our requests (429)" in found.says
    assert "try again after 20" in found.says
    assert slept == []


def test_what_set_up_reaches_is_listed_with_who_said_so(
    gitea: DemoForge, model_server: Callable[..., DemoModel], workspaces: Path
) -> None:
    site = site_of(gitea, model_server, workspaces, able)
    indexes = {
        "pypi": "https://pypi.example/simple",
        "npm": "none",
        "go": "none",
        "maven": "none",
    }
    site.settings["gateway"] = {"indexes": indexes}
    site.settings["public"] = {"url": "http://127.0.0.1:1"}
    site.write()
    done = site.sprint("doctor")
    lines = done.stdout.splitlines()
    assert lines, done.stderr
    assert "ok    index pypi: https://pypi.example/simple, by gateway.indexes.pypi" in lines
    (public,) = (line for line in lines if "public.url" in line)
    assert public.startswith("warn  public.url: http://127.0.0.1:1 does not answer")
    assert public.endswith("start `sprint serve --public`")
    assert "ok    index npm: off, by gateway.indexes.npm" in lines
    (crates,) = [line for line in lines if "index crates: " in line]
    assert "as cargo here is set up" in crates or "off: " in crates
    assert "gateway.indexes.crates" in crates
    assert any(line.startswith("ok    toolchains: ") for line in lines)
    assert any(line.startswith("ok    disk: results 0.0 of 10.0 GB, ") for line in lines)


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


def test_where_there_is_no_token_it_is_not_said_to_lack_a_right(
    gitea: DemoForge, model_server: Callable[..., DemoModel], workspaces: Path
) -> None:
    """A public repository can be read by anybody."""
    site = site_of(gitea, model_server, workspaces, able)
    for forge in site.settings["forges"].values():
        del forge["token_file"]
    site.write()
    for command in ("run", "doctor"):
        done = site.sprint(command)
        assert "no token is configured: set token_file or token_env" in done.stdout + done.stderr
        assert "may not push" not in done.stdout + done.stderr


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


def test_a_folder_on_a_full_disk_is_not_called_writable(tmp_path: Path) -> None:
    code = (
        "import resource, sys; from pathlib import Path; from sprint import files;"
        "files.check_folder(Path(sys.argv[1])); print('it is');"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)); files.check_folder(Path(sys.argv[1]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == "it is\n", done.stderr
    assert f"cannot write in {tmp_path}: No space left on device; free some space" in done.stderr


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


def test_what_ci_starts_with_our_branches_is_told(
    github: DemoForge, model_server: Callable[..., DemoModel], workspaces: Path
) -> None:
    site = site_of(github, model_server, workspaces, able)
    assert f"{REPO} CI: no file at the base starts any" in site.sprint("doctor").stdout
    workflow = "name: Tests\non: [push, pull_request]\njobs: {}\n"
    github.commit(REPO, "main", "CI", {".github/workflows/ci.yml": workflow, "Jenkinsfile": "x\n"})
    told = [line for line in site.sprint("doctor").stdout.splitlines() if " CI: " in line]
    assert told == [
        f"ok    {REPO} CI: GitHub Actions: .github/workflows/ci.yml: "
        '"Tests" runs at the push of feat/issue-0 and runs at its pull request',
        f"ok    {REPO} CI: Jenkins: Jenkinsfile: may run; its own rules decide",
        f"ok    {REPO} CI: our branches are in the repository itself: CI has its secrets "
        "(publish.via: fork keeps them)",
    ]
    site.settings["repos"] = [{"name": REPO, "publish": {"via": "fork"}}]
    site.write()
    by_fork = site.sprint("doctor", "--deep").stdout
    assert f"{REPO} fork: branches go to a fork of {github.login}: it is made with" in by_fork
    assert '.github/workflows/ci.yml: "Tests" runs at its pull request\n' in by_fork
    forks.make(github.store, github.repo(REPO), github.login, "widgets")
    before = github.refs(f"{github.login}/widgets")
    deep = site.sprint("doctor", "--deep")
    assert deep.returncode == 0, deep.stdout
    assert f"{github.login}/widgets is there" in deep.stdout
    assert "feat/issue-0 could be pushed and removed" in deep.stdout
    assert github.refs(f"{github.login}/widgets") == before
    pushes = [seen.path for seen in github.requests if seen.path.endswith("/git-receive-pack")]
    assert {path.split("/")[1] for path in pushes} == {"acme", github.login}


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
    assert "--deep" not in deep.stdout
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


def test_whether_ci_reports_on_our_pull_requests_is_told(
    forge_server: DemoForge, model_server: Callable[..., DemoModel], workspaces: Path
) -> None:
    site = site_of(forge_server, model_server, workspaces, able)
    site.settings["follow"] = {"enabled": True}
    site.write()

    def told() -> str:
        done = site.sprint("doctor")
        return "\n".join(line for line in done.stdout.splitlines() if f"{REPO} follow-ups:" in line)

    assert "no pull request of ours is open" in told()
    head = forge_server.commit(REPO, "feat/issue-7", "change", {"a": "b"})
    number = forge_server.add_pull(REPO, "feat/issue-7", author=forge_server.login)
    assert f"no check has reported on #{number}" in told()
    forge_server.set_status(REPO, head, "test", "failure")
    assert f"1 check reported on #{number}" in told()
    assert "the forge tells who may write" in told()
    assert "logs of failed jobs can be read; the label needs-human may be set" in told()
    forge_server.repo(REPO).held.append(head)
    assert f"CI on #{number} waits for a person to let it run: ci.yml" in told()
