"""Checks are found by the files of a project."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from sprint import sandbox, verify
from sprint.domain import Completed, Workspace
from tests.verify.conftest import UNITTEST, write


class OnlyModules:
    """Stands for a sandbox whose Python has only the modules named."""

    kind = "fake"

    def __init__(self, *modules: str) -> None:
        self._modules = modules

    def run(self, argv: list[str], workspace: Workspace, **_: Any) -> Completed:
        return Completed(0 if any(f"import {name}'" in argv[-1] for name in self._modules) else 1, b"", b"")


_TEST = "def test_one(): pass\n"
_GO = "module example.org/m\n"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, ()),
        ({"README.md": "pytest", "test.txt": "no"}, ()),
        ({"tests/test_a.py": _TEST}, ("python3 -m pytest -q",)),
        ({"tests/unit/test_a.py": _TEST}, ("python3 -m pytest -q",)),
        ({"test_a.py": _TEST}, ("python3 -m pytest -q",)),
        ({"pyproject.toml": "[tool.pytest.ini_options]\n"}, ("python3 -m pytest -q",)),
        ({"pyproject.toml": "[project]\nname='x'\n", "tests/data.json": "{}"}, ()),
        ({"tests/test_a.py": UNITTEST}, ("python3 -m unittest discover -s tests",)),
        (
            {"tests/test_a.py": UNITTEST, "tests/__init__.py": ""},
            ("python3 -m unittest discover -s tests -t .",),
        ),
        ({"pytest.ini": "", "tests/test_a.py": UNITTEST}, ("python3 -m pytest -q",)),
        ({"package.json": json.dumps({"scripts": {"test": "jest"}})}, ("npm test",)),
        ({"package.json": json.dumps({"scripts": {"test": "jest"}}), "yarn.lock": ""}, ("yarn test",)),
        ({"package.json": json.dumps({"scripts": {"test": "x"}}), "pnpm-lock.yaml": ""}, ("pnpm test",)),
        ({"package.json": json.dumps({"scripts": {"test": "x"}}), "bun.lockb": ""}, ("bun run test",)),
        ({"package.json": '{"scripts": {"test": "echo \\"Error: no test specified\\" && exit 1"}}'}, ()),
        ({"package.json": '{"scripts": {"build": "x"}}'}, ()),
        ({"package.json": '{"scripts": ["test"]}'}, ()),
        ({"package.json": "not json"}, ()),
        ({"package.json": "[" * 100_000}, ()),
        ({"go.mod": _GO}, ("go test ./...",)),
        ({"Cargo.toml": "[package]"}, ("cargo test",)),
        ({"Makefile": "all:\n\ttrue\n\ntest: all\n\t./run-tests\n"}, ("make test",)),
        ({"Makefile": ".PHONY: test\ncheck:\n\ttrue\n"}, ("make check",)),
        ({"Makefile": "TESTS := a\ntest := b\nlatest: x\n\ttest: y\n"}, ()),
        ({"Makefile": "test:\n\tgo test ./...\n", "go.mod": _GO}, ("go test ./...",)),
        ({"Makefile": "test:\n\t./more\n", "go.mod": _GO}, ("go test ./...", "make test")),
        ({"tox.ini": "[testenv]\ncommands = pytest\n", "tests/test_a.py": _TEST}, ("python3 -m pytest -q",)),
        ({"tox.ini": "[testenv]\ncommands = true\n"}, ("python3 -m tox",)),
        ({"pom.xml": "<project/>"}, ("mvn -B test",)),
        ({"build.gradle.kts": "", "gradlew": ""}, ("./gradlew test",)),
        ({"mix.exs": ""}, ("mix test",)),
        ({"a.sln": ""}, ("dotnet test",)),
        ({"deno.json": '{"tasks": {"test": "deno test -A"}}'}, ("deno task test",)),
        ({"Gemfile": "gem 'rspec'", "spec/a_spec.rb": ""}, ("bundle exec rspec",)),
        ({"Rakefile": "Rake::TestTask.new"}, ("rake test",)),
        ({"phpunit.xml.dist": ""}, ("vendor/bin/phpunit",)),
        ({"composer.json": '{"scripts": {"test": "phpunit"}}'}, ("composer test",)),
        (
            {"tests/test_a.py": _TEST, "package.json": json.dumps({"scripts": {"test": "vitest run"}})},
            ("python3 -m pytest -q", "npm test"),
        ),
    ],
)
def test_checks_are_found_by_files(
    space: Workspace, files: dict[str, str], expected: tuple[str, ...]
) -> None:
    write(space, files)
    has_pytest = OnlyModules() if "unittest" in str(expected) else OnlyModules("pytest")
    assert verify.find_checks(space, has_pytest) == expected  # type: ignore[arg-type]


def test_pytest_is_looked_for_in_the_sandbox(space: Workspace, box: sandbox.Sandbox) -> None:
    write(space, {"tests/test_a.py": UNITTEST, "pytest.py": "a decoy in the checkout"})
    found = verify.find_checks(space, box)
    if box.run(["python3", "-c", "import sys; sys.path.pop(0); import pytest"], space, timeout=20).ok:
        assert found == ("python3 -m pytest -q",)
    else:
        assert found == ("python3 -m unittest discover -s tests",)


def test_hostile_files_are_not_read(space: Workspace, tmp_path: Path) -> None:
    secret = tmp_path / "package.json"
    secret.write_text(json.dumps({"scripts": {"test": "x"}}))
    (space.checkout / "package.json").symlink_to(secret)
    os.mkfifo(space.checkout / "pyproject.toml")
    (space.checkout / "Makefile").mkdir()
    (space.checkout / "tests").symlink_to(Path(__file__).parent)
    assert verify.find_checks(space, OnlyModules("pytest")) == ()  # type: ignore[arg-type]


def test_a_checkout_that_is_a_link_is_not_followed(space: Workspace, tmp_path: Path) -> None:
    (tmp_path / "go.mod").write_text(_GO)
    space.checkout.rmdir()
    space.checkout.symlink_to(tmp_path)
    assert verify.find_checks(space, OnlyModules()) == ()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Makefile", "test " * 200_000),
        ("Makefile", "a:" * 500_000),
        ("deno.json", '"tasks":{' * 110_000),
        ("deno.json", '"tasks":{' + '"test"' * 160_000),
        ("Rakefile", "task" + " " * 999_000),
        ("Rakefile", "task " * 200_000),
        ("justfile", "test" + ":=" * 490_000),
    ],
)
def test_no_file_takes_long_to_look_at(space: Workspace, name: str, text: str) -> None:
    (space.checkout / name).write_text(text)
    started = time.process_time()
    verify.find_checks(space, OnlyModules())  # type: ignore[arg-type]
    assert time.process_time() - started < 2.0
