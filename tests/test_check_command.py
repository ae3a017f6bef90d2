"""`sprint check`: what a user sees before the first night, with the real command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.servers.forge import DemoForge
from tests.servers.model import DemoModel
from tests.site import Site

REPO = "acme/widgets"
TEST = (
    "import unittest\n\n\nclass T(unittest.TestCase):\n    def test_one(self):\n        self.assertTrue({})\n"
)


def site_of(
    forge: DemoForge,
    model_server: Callable[..., DemoModel],
    workspaces: Path,
    files: dict[str, str],
    **repo: Any,
) -> Site:
    forge.add_repo(REPO, files)
    return Site(workspaces / "site", forge, model_server([]), repos=[{"name": REPO, **repo}])


def test_a_project_that_needs_nothing(
    forge_server: DemoForge, model_server: Callable[..., DemoModel], workspaces: Path
) -> None:
    site = site_of(forge_server, model_server, workspaces, {"test_a.py": TEST.format("True")})
    done = site.sprint("check", REPO)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert [line.split("  ")[0] for line in lines if not line.startswith(" ")] == [
        "commit", "tools", "check", "proof",
    ]  # fmt: skip
    assert "python and python3 3." in done.stdout
    assert "check         python3 -m unittest discover -p '*test*.py': passed, 1 test" in lines
    assert lines[-1] == "proof         a change can be proven"
    assert site.model.asked == []
    assert site.rows() == []
    assert not list(site.workspaces.iterdir())
    assert not [ref for ref in forge_server.refs(REPO) if "sprint" in ref]


def test_set_up_is_shown_and_kept(
    gitea: DemoForge, model_server: Callable[..., DemoModel], workspaces: Path
) -> None:
    venv = "python3 -m venv --without-pip ~/.venv"
    files = {"test_a.py": TEST.format("True"), "requirements.txt": ""}
    site = site_of(gitea, model_server, workspaces, files, setup=[venv])
    done = site.sprint("check", REPO)
    assert done.returncode == 0, done.stderr
    assert f"set-up        configured: {venv}" in done.stdout
    assert "environment   made by set-up in " in done.stdout
    assert "environment   put from where it is kept in " in site.sprint("check", REPO).stdout


def test_what_fails_is_shown_with_its_last_words(
    gitea: DemoForge, model_server: Callable[..., DemoModel], workspaces: Path
) -> None:
    site = site_of(gitea, model_server, workspaces, {"test_a.py": TEST.format("False")})
    done = site.sprint("check", REPO)
    assert done.returncode == 1
    assert "| AssertionError: False is not true" in done.stdout
    assert done.stdout.splitlines()[-1] == ("proof         no change can be proven: no check passes as it is")
    site.settings["repos"] = [{"name": REPO, "setup": ["echo no such index >&2; exit 1"]}]
    site.write()
    done = site.sprint("check", REPO)
    assert done.returncode == 1
    assert "| no such index" in done.stdout
    assert "mend it, or `setup` in the configuration" in done.stdout.splitlines()[-1]


def test_a_check_that_cannot_run_names_the_keys(
    gitea: DemoForge, model_server: Callable[..., DemoModel], workspaces: Path
) -> None:
    site = site_of(gitea, model_server, workspaces, {"README.md": ""}, checks=["no-such-tool --all"])
    last = site.sprint("check", REPO).stdout.splitlines()[-1]
    assert last == (
        "proof         no change can be proven: the checks cannot run; "
        "set `setup` and `checks` of it in sprint.yaml"
    )
    site.settings["repos"] = [REPO]
    site.write()
    done = site.sprint("check", REPO)
    assert (done.returncode, "none: no checks were found" in done.stdout) == (1, True)


def test_another_commit(gitea: DemoForge, model_server: Callable[..., DemoModel], workspaces: Path) -> None:
    site = site_of(gitea, model_server, workspaces, {"test_a.py": TEST.format("True")})
    done = site.sprint("check", REPO, "--ref", "main")
    assert (done.returncode, " of main" in done.stdout) == (0, True)
    commit = done.stdout.splitlines()[0].split()[1]
    assert site.sprint("check", REPO, "--ref", commit).returncode == 0
    missing = site.sprint("check", REPO, "--ref", "-x")
    assert missing.returncode == 2
    missing = site.sprint("check", REPO, "--ref", "no-such")
    assert (missing.returncode, missing.stderr) == (
        2,
        "sprint: acme/widgets has no branch, tag or commit 'no-such'\n",
    )


def test_the_doctor_shows_what_was_found_and_runs_it_when_asked(
    gitea: DemoForge, model_server: Callable[..., DemoModel], workspaces: Path
) -> None:
    files = {
        "test_a.py": TEST.format("True"),
        "package.json": '{"scripts": {"test": "x", "build": "y"}, "dependencies": {"a": "1"}}',
    }
    site = site_of(gitea, model_server, workspaces, files, setup=None)
    said = site.sprint("doctor").stdout
    assert f"ok    {REPO} set-up: npm install --no-package-lock\n" in said
    assert f"ok    {REPO} build: npm run build\n" in said
    assert f"{REPO} checks: python3 -m unittest discover -p '*test*.py'; npm test (not run: " in said
    site.settings["repos"] = [{"name": REPO, "setup": [], "checks": ["python3 -m unittest"]}]
    site.write()
    assert f"ok    {REPO} proof: a change can be proven\n" in site.sprint("doctor", "--deep").stdout
