"""`sprint demo`, whole: the real `sprint run` in processes of its own."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import pytest

from sprint.cli import main
from sprint.demo import demo_command
from sprint.demo.demo_command import run_demo
from sprint.demo.forge import DemoForge
from sprint.demo.replies import Reply, finish
from sprint.errors import ConfigError


@pytest.mark.parametrize("kind", ["gitea", "github"])
def test_two_pull_requests_and_an_untouched_epic(
    kind: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    forges: list[DemoForge] = []

    class Watched(DemoForge):
        def __init__(self, *args: Any, **more: Any) -> None:
            super().__init__(*args, **more)
            forges.append(self)

    monkeypatch.setattr(demo_command, "DemoForge", Watched)
    out = io.StringIO()
    keep = tmp_path / "kept"
    assert run_demo(keep, kind, out) == 0, out.getvalue()
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
    assert "100 - discount" in forge.file("demo/stocktake", "feat/issue-2", "stocktake/prices.py")
    assert "as_json" in forge.file("demo/stocktake", "feat/issue-3", "stocktake/report.py")
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
    assert run_demo(None, "gitea", out) == 1
    assert "This is NOT what should be" in out.getvalue()


def test_keep_takes_no_folder_that_is_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/file").touch()
    with pytest.raises(ConfigError, match="new or empty"):
        run_demo(tmp_path / "mine", "gitea", io.StringIO())
    assert main(["demo", "--keep", str(tmp_path / "mine")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
