"""Which set-ups may be kept for other commits with the same manifests."""

from __future__ import annotations

import pytest

from sprint.environment import propose
from sprint.environment.dependencies_only import are_dependencies_only
from tests.environment.manifests import PROJECT, TEST, TOOLS, of, package


@pytest.mark.parametrize(
    "command",
    [
        "pip install -e .[test]", "pip install -e '.[test,dev]' --group test",
        "pip install -r requirements.txt", "python3 -m pip install --upgrade pip",
        "~/.venv/bin/pip install pytest==8.1 'attrs>=22,<24' mock[x]",
        "python3 -m venv ~/.venv && . ~/.venv/bin/activate && pip install -e .",
        "uv sync --locked --all-extras", "FOO=1 npm ci --no-audit", "pnpm install --frozen-lockfile",
        "yarn", "go mod download", "cargo fetch --locked", "bundle install",
        "uv pip install --python ~/.venv -r pyproject.toml --extra test", "true", "",
        "pip install --editable . --no-deps", "cd sub && npm ci",
    ],
)  # fmt: skip
def test_what_only_fetches(command: str) -> None:
    assert are_dependencies_only([command])


@pytest.mark.parametrize(
    "command",
    [
        "pip install .", "pip install '.[test]'", "pip install ./lib", "pip install /work/repo",
        "pip install ..", "pip install -r requirements.txt .", "pip install -e . && pip install .",
        "pip install -e . | tee log", "python3 -m pip install .", "python setup.py install",
        "uv pip install .", "uv sync --no-editable", "make", "make deps", "./configure && make",
        "npm run build", "npm ci && npm run build", "npm ci; make", "cargo build",
        "cargo install --path .", "go build ./...", "bash setup.sh", "./setup.sh", "cp -r src lib",
        "pip install 'pkg @ file:///work/repo'", "pip install git+https://example.org/x", "true & make",
        "pip install $(echo .)", "pip install `echo .`", "pip install 'unclosed", "npm ci\nmake",
        "cat x > y", "poetry build", "pip install *.whl", "env make", "sh -c 'pip install -e .'",
    ],
)  # fmt: skip
def test_what_may_hold_the_sources(command: str) -> None:
    assert not are_dependencies_only([command])
    assert not are_dependencies_only(["npm ci", command])


def test_what_is_proposed_only_fetches() -> None:
    projects = [
        {"tests/test_a.py": TEST},
        {"tests/test_a.py": TEST, "requirements.txt": "x", "requirements-dev.txt": "pytest"},
        {"tests/test_a.py": TEST, "setup.py": "extras_require={'dev': []}"},
        *(
            {"tests/test_a.py": TEST, "pyproject.toml": PROJECT, lock: ""}
            for lock in ("uv.lock", "poetry.lock", "pdm.lock")
        ),
        {"tests/test_a.py": TEST, "pyproject.toml": "[project]\nname = 'x'\n"},
        *(
            {"package.json": package(), lock: ""}
            for lock in ("pnpm-lock.yaml", "yarn.lock", "bun.lock", "package-lock.json")
        ),
        {"package.json": package()},
        {"go.mod": "require x", "Cargo.toml": "[dependencies]"},
    ]  # fmt: skip
    for files in projects:
        setup = propose(of(files), TOOLS).setup
        assert setup
        assert are_dependencies_only(setup), [
            command for command in setup if not are_dependencies_only([command])
        ]
