"""What a pull request says was proven, end to end: environment, verdict, draft."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sprint.config import SandboxConfig
from sprint.sandbox.variables import environment
from tests.servers.forge import DemoForge
from tests.servers.model import DemoModel
from tests.servers.replies import call, finish
from tests.site import Site
from tests.widgets import CHECK, FILES, FIX, FIXED, REPO

VENV = "python3 -m venv --without-pip ~/.venv"

MakeSite = Callable[..., Site]


@pytest.fixture
def make_site(workspaces: Path, model_server: Callable[..., DemoModel]) -> MakeSite:
    def make(forge: DemoForge, script: Any, **repo: Any) -> Site:
        forge.add_repo(REPO, {**FILES, "requirements.txt": ""})
        forge.add_issue(REPO, "double() is off by one", "double(2) must be 4.")
        repos = [{"name": REPO, "checks": [CHECK], "pick": {"max_open_prs": 9}, **repo}]
        return Site(workspaces / "site", forge, model_server(script), repos=repos)

    return make


def proposed(forge: DemoForge) -> tuple[str, bool]:
    """The first line of the newest pull request's description, and whether it is a draft."""
    issue = forge.pulls(REPO)[-1]
    assert issue.pull is not None
    return issue.body.splitlines()[0], issue.pull.draft or issue.title.startswith("WIP: ")


def test_a_proven_change_is_ready_for_review(forge_server: DemoForge, make_site: MakeSite) -> None:
    site = make_site(forge_server, FIXED)
    assert site.sprint("run", REPO).returncode == 0
    line, is_draft = proposed(forge_server)
    assert line == "**Proven**: one check passes at the base and with this change (1 test)."
    assert not is_draft
    (run,) = site.runs()
    assert run["environment"]["setup"] == []
    assert "proof      proven\n" in site.sprint("show", run["id"]).stdout


@pytest.mark.parametrize("unproven", ["draft", "ready"])
def test_an_unproven_change_is_a_draft_unless_it_may_be_ready(
    gitea: DemoForge, make_site: MakeSite, unproven: str
) -> None:
    site = make_site(gitea, FIXED, checks=["no-such-tool --all"], publish={"unproven": unproven})
    assert site.sprint("run", REPO).returncode == 0
    line, is_draft = proposed(gitea)
    assert line == "**Unproven**: `no-such-tool --all` could not run (its program is not there)."
    assert is_draft is (unproven == "draft")
    assert "proof      unproven" in site.sprint("show", site.runs()[0]["id"]).stdout
    told = str(site.model.asked[-1].body["messages"])
    assert "What cannot run here proves nothing" in told


def test_no_checks_is_no_proof_and_no_draft(gitea: DemoForge, make_site: MakeSite) -> None:
    site = make_site(gitea, FIXED, checks=[])
    assert site.sprint("run", REPO).returncode == 0
    line, is_draft = proposed(gitea)
    assert line.startswith("**Not proven**: this repository has no checks")
    assert not is_draft


def test_the_second_run_finds_the_environment_of_the_first(gitea: DemoForge, make_site: MakeSite) -> None:
    check = f"test -x ~/.venv/bin/python && {CHECK}"
    site = make_site(gitea, [*FIXED, *FIXED], setup=[VENV], checks=[check])
    assert site.sprint("run", REPO).returncode == 0
    gitea.add_issue(REPO, "double() is wrong", "It adds one.")
    assert site.sprint("run", REPO).returncode == 0
    first, second = (run["environment"] for run in site.runs())
    assert (first["is_hit"], second["is_hit"]) == (False, True)
    assert first["key"] == second["key"]
    assert first["bytes"] == second["bytes"] > 0
    assert [run["proof"]["comparisons"][0]["result"]["status"] for run in site.runs()] == ["passed"] * 2
    log = (site.path / "results/runs" / site.runs()[1]["id"] / "run.log").read_text()
    assert "environment: put from where it is kept in " in log
    assert VENV in str(site.model.asked[0].body["messages"]), "the model is told what was set up"
    folder = site.path / "cache/environments/home" / REPO
    assert len([path for path in folder.iterdir() if path.is_dir()]) == 1


def with_pip() -> str:
    """The system's own where it has one: to install another takes seconds each time."""
    path = environment(SandboxConfig(), home="/nonexistent", tmp="/nonexistent")["PATH"]
    found = subprocess.run([shutil.which("python3", path=path) or "python3", "-I", "-c", "import pip"])
    return "python3 -m venv ~/.venv" if found.returncode else f"{VENV} --system-site-packages"


def test_a_manifest_that_no_longer_sets_up_leaves_the_change_unproven(
    gitea: DemoForge, make_site: MakeSite
) -> None:
    install = "~/.venv/bin/python -m pip install --no-index -r requirements.txt"
    wanted = call("write_file", {"path": "requirements.txt", "content": "no-such-package==1\n"})
    site = make_site(
        gitea,
        [FIX, wanted, finish(), finish()],
        setup=[with_pip(), install],
        limits={"check_rounds": 1},
    )
    assert site.sprint("run", REPO).returncode == 0
    told = str(site.model.asked[-1].body["messages"])
    assert "The runner set your result up anew" in told
    assert "No matching distribution found for no-such-package" in told
    line, is_draft = proposed(gitea)
    assert line == f"**Unproven**: `set-up fails with this change: {install}`."
    assert is_draft
    folder = site.path / "cache/environments/home" / REPO
    assert [path.name for path in folder.iterdir() if path.is_dir()] == [site.runs()[0]["environment"]["key"]]


def test_a_build_that_breaks_goes_back_to_the_model(gitea: DemoForge, make_site: MakeSite) -> None:
    build = "python3 -m py_compile widgets.py"
    broken = call("edit_file", {"path": "widgets.py", "old": "n + n + 1", "new": "n +"})
    mended = call("edit_file", {"path": "widgets.py", "old": "n +", "new": "n + n"})
    site = make_site(gitea, [broken, finish(), mended, finish()], setup=[], build=[build])
    assert site.sprint("run", REPO).returncode == 0
    assert proposed(gitea)[0].startswith("**Proven**")
    told = str(site.model.asked[-1].body["messages"])
    assert build in told
    assert "it worked at the base" in told
