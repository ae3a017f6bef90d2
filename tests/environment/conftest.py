"""A repository on a loopback forge, and workspaces of its commits."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from sprint import git, sandbox, verify, workspace
from sprint.config import Limits, Paths, RepoConfig, SandboxConfig
from sprint.domain import CheckResult, EnvironmentUse, Secret, Workspace
from sprint.environment import Checkout, Prepared, Project, prepare
from sprint.sandbox import Command
from tests import known_tools
from tests.servers.forge import DemoForge

REPO = "octo/widgets"
FILES = {
    "README.md": "widgets\n",
    "lib/a.py": "A = 1\n",
    "requirements.txt": "attrs\n",
    ".gitignore": "build/\n",
}


class Repository:
    """Commits are made here, and fetched into a mirror from which workspaces are made."""

    def __init__(self, forge: DemoForge, root: Path, workspaces: Path) -> None:
        self.forge = forge
        self.root = root
        self.workspaces = workspaces
        self.ran: list[str] = []  # set-up and build commands, in order
        self._names = iter(range(1, 1000))
        forge.add_repo(REPO, FILES)
        known_tools.put(root / "cache")

    def update(self) -> tuple[Path, str]:
        remote = git.Remote(f"{self.forge.url}/{REPO}.git", Secret(self.forge.token))
        return workspace.update_mirror(self.root / "cache", "home", REPO, remote, branch="main")

    def change(self, files: Mapping[str, str | None]) -> str:
        """A commit on main with these files written (None: removed); returns its id."""
        clone = self.root / "clone"
        if not clone.exists():
            self._git("clone", "-q", str(self.forge.path(REPO)), str(clone))
        for name, text in files.items():
            path = clone / name
            if text is None:
                path.unlink()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
        self._git("-C", str(clone), "add", "-A")
        self._git("-C", str(clone), "commit", "-qm", "a change")
        self._git("-C", str(clone), "push", "-q", "origin", "HEAD:main")
        return self.update()[1]

    @staticmethod
    def _git(*args: str) -> None:
        subprocess.run(["git", *args], check=True, timeout=30, capture_output=True)

    def project(self, *setup: str, kind: Any = "bwrap", **config: Any) -> Project:
        box = SandboxConfig(kind=kind, **config.pop("box", {}))
        repo = RepoConfig(
            name=REPO, setup=setup or None, sandbox=box, limits=Limits(check_minutes=2.0), **config
        )
        paths = Paths(results=self.root / "results", cache=self.root / "cache", workspaces=self.workspaces)
        return Project("home", REPO, repo, paths, self.update()[0], sandbox.make(box))

    def prepare(self, project: Project, commit: str = "", at_base: EnvironmentUse | None = None) -> Prepared:
        checkout = Checkout(f"run{next(self._names)}", commit or self.update()[1], "main", "feat/x")

        def ended(result: CheckResult) -> None:
            self.ran.append(result.command)

        return prepare(project, checkout, at_base, watching=verify.Watching(ended))

    @property
    def kept(self) -> list[Path]:
        return [path for path in self.root.glob("cache/environments/*/*/*/*") if path.is_dir()]


@pytest.fixture
def repository(gitea: DemoForge, tmp_path: Path, workspaces: Path) -> Repository:
    return Repository(gitea, tmp_path, workspaces)


@pytest.fixture
def seen() -> Callable[[Project, Workspace, str], str]:
    """What a script prints in a workspace."""

    def run(project: Project, space: Workspace, script: str) -> str:
        done = project.sandbox.run(Command(["bash", "-c", script], timeout=60), space)
        return done.out + done.err

    return run
