"""`sprint demo`, whole: the real `sprint run` in processes of its own."""

from __future__ import annotations

import base64
import io
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sprint.cli import main
from sprint.demo import demo_command, git_server
from sprint.demo.demo_command import run_demo
from sprint.demo.demo_gitea import DemoGitea
from sprint.demo.loopback import Answer, Request
from sprint.errors import ConfigError
from tests.servers.forge import DemoForge
from tests.servers.replies import Reply, finish
from tests.waiting import until_agents_ended


class GitHub(DemoForge):
    def __init__(self, root: Path) -> None:
        super().__init__("github", root)

    def add_repo(self, name: str, **more: Any) -> Any:
        return super().add_repo(name, private=True, **more)


@pytest.mark.parametrize("kind", [DemoGitea, GitHub])
def test_two_pull_requests_and_an_untouched_epic(
    kind: type[DemoGitea], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the forge that is shipped, and on GitHub."""
    forges: list[DemoGitea] = []
    unanswered: list[str] = []

    class Watched(kind):  # type: ignore[misc, valid-type]
        def __init__(self, root: Path) -> None:
            super().__init__(root)
            forges.append(self)

        def answer(self, request: Request) -> Answer:
            answer: Answer = super().answer(request)
            if answer.status >= 400 and (answer.status, request.path.endswith("/info/refs")) != (401, True):
                unanswered.append(f"{request.method} {request.target}: {answer.status}")
            return answer

    monkeypatch.setattr(demo_command, "DemoGitea", Watched)
    out = io.StringIO()
    keep = tmp_path / "kept"
    assert run_demo(keep, out) == 0, out.getvalue()
    told = out.getvalue()
    assert "SCRIPTED" in told
    assert "The epic, #1, is untouched." in told
    assert told.count("pr_opened (passed)") == 2
    (forge,) = forges
    pulls = forge.pulls("demo/stocktake")
    assert [(p.pull.head, p.pull.base) for p in pulls if p.pull] == [
        ("feat/issue-2", "main"),
        ("feat/issue-3", "main"),
    ]
    assert unanswered == [], "the demo asks what its forge does not know"
    path = forge.store.repos["demo/stocktake"].path
    assert "100 - discount" in git_server.run_git(path, "show", "feat/issue-2:stocktake/prices.py")
    assert "as_json" in git_server.run_git(path, "show", "feat/issue-3:stocktake/report.py")
    _check_no_token(keep, forge.token)
    assert main(["--config", str(keep / "sprint.yaml"), "show", "demo/stocktake#2"]) == 0
    assert "It has to fail now." in capsys.readouterr().out


def _check_no_token(folder: Path, token: str) -> None:
    own = folder / "forge.token"
    assert token in own.read_text()
    forms = [token.encode(), token.encode().hex().encode(), base64.b64encode(token.encode())]
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink() and path != own]
    assert len(files) > 20
    assert [path for path in files if any(form in path.read_bytes() for form in forms)] == []


def test_a_demo_that_goes_wrong_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(_request: Any, _number: int) -> Reply:
        return finish("question", "?", question="What?")

    monkeypatch.setattr(demo_command, "policy", lost)
    out = io.StringIO()
    assert run_demo(None, out) == 1
    assert "This is NOT what should be" in out.getvalue()


def test_what_it_says_to_type_works_where_sprint_is_not_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [".venv/bin/sprint", "demo"])
    monkeypatch.setenv("PATH", str(tmp_path))
    assert demo_command._called() == ".venv/bin/sprint"
    (tmp_path / "sprint").touch(0o755)
    assert demo_command._called() == "sprint"


def test_keep_takes_no_folder_that_is_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/file").touch()
    with pytest.raises(ConfigError, match="new or empty"):
        run_demo(tmp_path / "mine", io.StringIO())
    assert main(["demo", "--keep", str(tmp_path / "mine")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_same_on_a_sprite_while_ticks_come_and_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    between = SimpleNamespace(monotonic=time.monotonic, sleep=lambda _seconds: until_agents_ended(tmp_path))
    monkeypatch.setattr(demo_command, "time", between)
    out = io.StringIO()
    assert run_demo(tmp_path / "kept", out, on_sprite=True) == 0, out.getvalue()
    told = out.getvalue()
    assert told.count("pr_opened (passed)") == 2
    assert "The epic, #1, is untouched." in told
    assert "bramble" in told.partition("$ sprint sprite status")[2]
    assert not list((tmp_path / "kept" / "sprites").glob("*/.sprint-reservation"))
