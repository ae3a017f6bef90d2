"""A workspace, a sandbox, and a pytest that works in it."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from sprint import sandbox, verify
from sprint.config import SandboxConfig
from sprint.domain import CheckResult, Workspace
from tests.temporary import open_to_all

IS_ROOT = os.getuid() == 0
UID = 30_000 + os.getpid() % 10_000 if IS_ROOT else os.getuid()
PYTEST = "PYTHONPATH=/work/home/packages python3 -m pytest -q -p no:cacheprovider"

GOOD = "def test_good(): pass\n"
BAD = "def test_bad(): assert False, '\\x1b[31mred'\n"
UNITTEST = "import unittest\nclass T(unittest.TestCase):\n    def test_one(self): pass\n"


@pytest.fixture
def box() -> sandbox.Sandbox:
    return sandbox.make(SandboxConfig())


@pytest.fixture
def space(workspaces: Path) -> Workspace:
    made = Workspace(Path(tempfile.mkdtemp(dir=workspaces)), UID if IS_ROOT else None)
    for path in (made.root, made.checkout, made.home, made.tmp):
        path.mkdir(exist_ok=True)
        os.chown(path, UID, -1)
    return made


@pytest.fixture(scope="module")
def runners_pytest() -> Iterator[Path]:
    """The pytest that runs this very test: there is no network to install another from."""
    with tempfile.TemporaryDirectory(prefix="sprint-test-", dir=open_to_all()) as folder:
        for name in ("pytest", "pluggy", "iniconfig", "packaging", "pygments"):
            for file in importlib.metadata.files(name) or ():
                if ".." not in file.parts and file.suffix == ".py":
                    target = Path(folder, file)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(file.locate(), target)
        yield Path(folder)


@pytest.fixture
def has_pytest(space: Workspace, runners_pytest: Path) -> None:
    shutil.copytree(runners_pytest, space.home / "packages", copy_function=os.link)
    (space.home / "packages").chmod(0o755)


def write(space: Workspace, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = space.checkout / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def run(box: sandbox.Sandbox, space: Workspace, *commands: str, **options: Any) -> tuple[CheckResult, ...]:
    return verify.run_checks(box, space, commands, **{"timeout": 30, **options})
