"""Set-up, build and checks are found by the files of a project."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from sprint.environment import propose, snapshot
from sprint.environment.proposal import COMPILE_GO, COMPILE_RUST, YARN_BY_REGISTRY, Proposal
from tests.environment.manifests import PROJECT, TEST, TOOLS, of, package

_UNITTEST = "import unittest\nclass T(unittest.TestCase):\n    def test_one(self): pass\n"
_GO = "module example.org/m\n"
_VENV = "python3 -m venv ~/.venv"
_PYTEST = "python3 -m pytest -q"


def found(files: Mapping[str, str], **more: str) -> Proposal:
    return propose(of(files), {**TOOLS, **more})


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, ()),
        ({"README.md": "pytest", "test.txt": "no"}, ()),
        ({"tests/test_a.py": TEST}, (_PYTEST,)),
        ({"tests/unit/test_a.py": TEST}, (_PYTEST,)),
        ({"tests/deep/in/it/test_a.py": TEST}, ()),
        ({"test_a.py": TEST}, (_PYTEST,)),
        ({"pyproject.toml": "[tool.pytest.ini_options]\n"}, (_PYTEST,)),
        ({"pyproject.toml": "[project]\nname='x'\n", "tests/data.json": "{}"}, ()),
        ({"tests/test_a.py": _UNITTEST}, ("python3 -m unittest discover -s tests",)),
        (
            {"tests/test_a.py": _UNITTEST, "tests/__init__.py": ""},
            ("python3 -m unittest discover -s tests -t .",),
        ),
        ({"pytest.ini": "", "tests/test_a.py": _UNITTEST}, (_PYTEST,)),
        ({"tests/test_a.py": _UNITTEST + "import pytest\n"}, (_PYTEST,)),
        ({"tests/test_a.py": _UNITTEST, "requirements-dev.txt": "pytest>7\n"}, (_PYTEST,)),
        ({"manage.py": "", "shop/tests/test_a.py": _UNITTEST}, ("python3 manage.py test",)),
        ({"package.json": package()}, ("npm test",)),
        ({"package.json": package(), "yarn.lock": ""}, ("yarn test",)),
        ({"package.json": package(), "pnpm-lock.yaml": ""}, ("pnpm test",)),
        ({"package.json": package(), "bun.lockb": ""}, ("bun run test",)),
        ({"package.json": '{"scripts": {"test": "echo \\"Error: no test specified\\" && exit 1"}}'}, ()),
        ({"package.json": '{"scripts": {"build": "x"}}'}, ()),
        ({"package.json": '{"scripts": ["test"]}'}, ()),
        ({"package.json": "not json"}, ()),
        ({"package.json": "[" * 100_000}, ()),
        ({"go.mod": _GO}, ("go test ./...",)),
        ({"Cargo.toml": "[package]"}, ("cargo test",)),
        ({"Cargo.toml": "[workspace]\nmembers = ['a']\n"}, ("cargo test --workspace",)),
        ({"Makefile": "all:\n\ttrue\n\ntest: all\n\t./run-tests\n"}, ("make test",)),
        ({"Makefile": ".PHONY: test\ncheck:\n\ttrue\n"}, ("make check",)),
        ({"Makefile": "TESTS := a\ntest := b\nlatest: x\n\ttest: y\n"}, ()),
        ({"Makefile": "test:\n\tgo test ./...\n", "go.mod": _GO}, ("go test ./...",)),
        ({"Makefile": "test:\n\t./more\n", "go.mod": _GO}, ("go test ./...", "make test")),
        ({"tox.ini": "[testenv]\ncommands = pytest\n", "tests/test_a.py": TEST}, (_PYTEST,)),
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
        ({"tests/test_a.py": TEST, "package.json": package()}, (_PYTEST, "npm test")),
    ],
)  # fmt: skip
def test_checks(files: dict[str, str], expected: tuple[str, ...]) -> None:
    assert found(files).checks == expected


_EXTRAS = "[project.optional-dependencies]\n"
_GROUPS = "[dependency-groups]\n"
_OLD_SETUP = (
    "setup(install_requires=['attrs'], extras_require={'docs': [], 'tests': ['pytest'], 'dev': ['tox']})"
)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, (_VENV, "pip install pytest")),
        ({"pytest.ini": "[pytest]\naddopts = --cov=x -n auto\n", "tox.ini": "deps = pytest-xdist"},
         (_VENV, "pip install pytest pytest-cov pytest-xdist")),
        ({"requirements.txt": "attrs\n"}, (_VENV, "pip install -r requirements.txt", "pip install pytest")),
        ({"requirements.txt": "attrs\n", "requirements-dev.txt": "pytest\n", "requirements-docs.txt": "x\n"},
         (_VENV, "pip install -r requirements.txt -r requirements-dev.txt")),
        ({"requirements/base.txt": "attrs\n", "requirements/test.txt": "-r base.txt\npytest\n"},
         (_VENV, "pip install -r requirements/base.txt -r requirements/test.txt")),
        ({"pyproject.toml": PROJECT}, (_VENV, "pip install -e .", "pip install pytest")),
        ({"pyproject.toml": PROJECT, "requirements.txt": "attrs\n"},
         (_VENV, "pip install -e .", "pip install pytest")),
        ({"pyproject.toml": PROJECT, "requirements.txt": "-e .[cli]\npytest==8\ntrio\n"},
         (_VENV, "pip install -e . -r requirements.txt")),
        ({"pyproject.toml": PROJECT + _EXTRAS + "tests = ['pytest']\ndev = ['tox']\ndocs = ['sphinx']\n"},
         (_VENV, "pip install -e '.[tests]'")),
        ({"pyproject.toml": PROJECT + _EXTRAS + "test = ['mock']\ndev = ['pytest']\n"},
         (_VENV, "pip install -e '.[test,dev]'")),
        ({"pyproject.toml": PROJECT + _EXTRAS + "Unit_Tests = ['pytest']\n"},
         (_VENV, "pip install -e '.[unit-tests]'")),
        ({"pyproject.toml": PROJECT + _GROUPS + "test = ['pytest']\nlint = ['ruff']\n"},
         (_VENV, "pip install --upgrade pip", "pip install -e . --group test")),
        ({"setup.py": _OLD_SETUP}, (_VENV, "pip install -e '.[tests]'")),
        ({"setup.cfg": "[metadata]\n[options.extras_require]\ntest =\n  pytest\n  mock\ndocs = sphinx\n"},
         (_VENV, "pip install -e '.[test]'")),
        ({"pyproject.toml": "[project]\ndependencies = ['attrs']\n" + _GROUPS + "dev = ['pytest']\n"},
         (_VENV, "pip install uv", "uv pip install --python ~/.venv -r pyproject.toml --group dev")),
        ({"pyproject.toml": PROJECT + _GROUPS + "dev = ['pytest']\n", "uv.lock": ""},
         ("python3 -m venv ~/.uv && ~/.uv/bin/pip install uv",
          "mkdir -p ~/.local/bin && ln -sf ~/.uv/bin/uv ~/.local/bin/uv",
          "uv venv --python python3",
          "uv export --frozen --quiet --group dev --output-file ~/.uv-requirements.txt",
          "uv pip install -r ~/.uv-requirements.txt", 'ln -sfn "$PWD/.venv" ~/.venv')),
        ({"pyproject.toml": "[tool.poetry]\n[tool.poetry.group.dev.dependencies]\npytest = '^8'\n"},
         ("python3 -m venv ~/.poetry && ~/.poetry/bin/pip install poetry poetry-plugin-pypi-mirror",
          "mkdir -p ~/.local/bin && ln -sf ~/.poetry/bin/poetry ~/.local/bin/poetry",
          "poetry install --no-interaction", 'ln -sfn "$(poetry env info --path)" ~/.venv')),
    ],
)  # fmt: skip
def test_what_python_tests_need(files: dict[str, str], expected: tuple[str, ...]) -> None:
    proposal = found({"tests/test_a.py": TEST, **files})
    assert proposal.setup == expected
    assert proposal.checks == (_PYTEST,)


def test_a_tool_that_is_there_is_not_fetched() -> None:
    files = {
        "tests/test_a.py": TEST,
        "pyproject.toml": PROJECT + _EXTRAS + "test = ['pytest']",
        "uv.lock": "",
    }
    assert found(files, uv="0.9").setup == (
        "uv venv --python python3",
        "uv export --frozen --quiet --extra test --output-file ~/.uv-requirements.txt",
        "uv pip install -r ~/.uv-requirements.txt", 'ln -sfn "$PWD/.venv" ~/.venv',
    )  # fmt: skip
    node = {"package.json": package(), "pnpm-lock.yaml": "lockfileVersion: '9.0'\n"}
    assert found(node, pnpm="9.1.0").setup == ("pnpm install --frozen-lockfile",)


@pytest.mark.parametrize(
    ("requires", "there", "expected"),
    [
        (">=3.9", {}, "python3"),
        (">=3.12", {"python3.12": "3.12.1", "python3.13": "3.13.0"}, "python3.13"),
        (">=3.12", {}, "python3"),
        (">=3.8,<3.11", {"python3.10": "3.10.13", "python3.12": "3.12.1"}, "python3.10"),
    ],
)
def test_the_interpreter_that_a_project_asks_for(requires: str, there: dict[str, str], expected: str) -> None:
    pyproject = f"[project]\nname = 'x'\nrequires-python = '{requires}'\n[build-system]\nrequires = []\n"
    setup = found({"tests/test_a.py": TEST, "pyproject.toml": pyproject}, **there).setup
    assert setup[0] == f"{expected} -m venv ~/.venv"


def test_tests_that_need_nothing_are_set_up_with_nothing() -> None:
    assert found({"tests/test_a.py": _UNITTEST}).setup == ()
    assert found({"tests/test_a.py": _UNITTEST, "pyproject.toml": PROJECT, "x.py": ""}).setup == ()
    assert found({"tests/test_a.py": _UNITTEST, "requirements.txt": "# none\n\n"}).setup == ()
    with_source = {"tests/test_a.py": _UNITTEST, "pyproject.toml": PROJECT, "src/x.py": ""}
    assert found(with_source).setup == (_VENV, "pip install -e .")
    assert found({"package.json": json.dumps({"scripts": {"test": "node --test"}})}).setup == ()
    assert found({"go.mod": _GO}).setup == (COMPILE_GO,)
    assert found({"go.mod": _GO + "require a.b/c v1.0.0\n", "vendor/modules.txt": ""}).setup == (COMPILE_GO,)
    assert found({"Cargo.toml": "[package]\nname = 'x'\n"}).setup == ()


def test_a_compiled_project_is_built_each_time() -> None:
    text = "[project]\nname = 'x'\n[build-system]\nrequires = ['maturin']\n"
    assert found({"tests/test_a.py": TEST, "pyproject.toml": text}).build == ("pip install --no-deps -e .",)
    assert found({"tests/test_a.py": TEST, "pyproject.toml": PROJECT}).build == ()


@pytest.mark.parametrize(
    ("files", "setup"),
    [
        ({"package-lock.json": ""}, ("npm ci",)),
        ({}, ("npm install --no-package-lock",)),
        ({"pnpm-lock.yaml": "lockfileVersion: '6.0'\n"},
         ("npm install --global pnpm@8", "pnpm install --frozen-lockfile")),
        ({"yarn.lock": "# yarn lockfile v1\n"},
         ("npm install --global yarn@1", YARN_BY_REGISTRY, "yarn install --frozen-lockfile",
          "git checkout --quiet yarn.lock")),
        ({"yarn.lock": "__metadata:\n  version: 8\n"},
         ("npm install --global --force @yarnpkg/cli-dist", "yarn install --immutable")),
    ],
)  # fmt: skip
def test_node_by_lock_file(files: dict[str, str], setup: tuple[str, ...]) -> None:
    assert found({"package.json": package(), **files}).setup == setup


def test_the_addresses_in_a_lock_file_of_the_first_yarn_become_the_registrys(tmp_path: Path) -> None:
    lock = """# yarn lockfile v1
"@types/node@22.0.0":
  resolved "https://registry.example/@types/node/-/node-22.0.0.tgz#0486"
left-pad@1:
  resolved "https://user@registry.example/npm/left-pad/-/left-pad-1.3.0.tgz#5b8a"
"chalk@^4":
  resolved "http://mirror.example/a/b/chalk/-/chalk-4.1.2.tgz"
"own@https://files.example/own.tgz":
  resolved "https://files.example/own.tgz#abc"
"""
    (tmp_path / "yarn.lock").write_text(lock)

    def rewritten(env: dict[str, str]) -> list[str]:
        subprocess.run(["bash", "-c", YARN_BY_REGISTRY], cwd=tmp_path, env=env, check=True, timeout=20)
        return re.findall('resolved "(.*)"', (tmp_path / "yarn.lock").read_text())

    path = {"PATH": os.defpath}
    assert rewritten(path) == re.findall('resolved "(.*)"', lock)
    here = "http://127.0.0.1:47102"
    expected = [
        f"{here}/@types/node/-/node-22.0.0.tgz#0486",
        f"{here}/left-pad/-/left-pad-1.3.0.tgz#5b8a",
        f"{here}/chalk/-/chalk-4.1.2.tgz",
        "https://files.example/own.tgz#abc",
    ]
    assert rewritten({**path, "YARN_REGISTRY": f"{here}/"}) == expected
    assert rewritten({**path, "YARN_REGISTRY": f"{here}/"}) == expected


def test_node_is_built_as_its_scripts_say() -> None:
    scripts = {"test": "jest", "build": "tsc", "prepare": "husky install", "lint": "x"}
    assert found({"package.json": package(scripts=scripts)}).build == ("npm run build",)
    scripts["prepare"] = "node make.js"
    assert found({"package.json": package(scripts=scripts)}).build == ("npm run prepare", "npm run build")


def test_go_and_rust_fetch_what_they_name() -> None:
    assert found({"go.mod": _GO + "require (\n\ta.b/c v1.0.0\n)\n"}).setup == ("go mod download", COMPILE_GO)
    manifest = "[package]\nname = 'x'\n[dev-dependencies]\nrand = '1'\n"
    assert found({"Cargo.toml": manifest}).setup == ("cargo fetch", COMPILE_RUST)
    assert found({"Cargo.toml": manifest, "Cargo.lock": ""}).setup == ("cargo fetch --locked", COMPILE_RUST)


def test_commands_are_made_of_fixed_words_only() -> None:
    """Whatever a project writes into its manifests, none of it gets into a command."""
    evil = "$(touch hacked)`;x"
    quoted = json.dumps(evil)
    pyproject = (
        f"[project]\nname = {quoted}\nrequires-python = {quoted}\n[build-system]\nrequires = [{quoted}]\n"
        f"[project.optional-dependencies]\n{quoted} = ['pytest']\ntest = [{quoted}]\n"
        f"[dependency-groups]\n{quoted} = ['pytest']\n[tool.poetry.group.{quoted}]\noptional = true\n"
    )
    files = {
        "tests/test_a.py": evil,
        f"tests/test_{evil}.py": TEST,
        "pyproject.toml": pyproject,
        "setup.cfg": f"[options.extras_require]\n{evil} = pytest\n",
        "setup.py": f"extras_require={{'{evil}': ['pytest']}}",
        "tox.ini": evil,
        "pytest.ini": evil,
        f"requirements-{evil}.txt": "pytest",
        "package.json": package(packageManager=evil, scripts={"test": evil, "build": evil, evil: evil}),
        "pnpm-lock.yaml": f"lockfileVersion: '{evil}'",
        "go.mod": f"module {evil}\nrequire {evil}\n",
        "Cargo.toml": f"[package]\nname = {quoted}\n[dependencies]\n",
        "Makefile": f"test: {evil}\n",
    }
    proposal = found(files)
    commands = [*proposal.setup, *proposal.build, *proposal.checks]
    assert len(commands) > 8
    assert not [command for command in commands if re.search(r"touch|hacked|[`;]", command)]


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
        ("pyproject.toml", "[a]\n" + "a.b." * 49_000 + "c = 1\n"),
        ("pyproject.toml", "x = " + "[" * 190_000),
        ("pyproject.toml", "".join(f"[{'a.' * 40}b{n}]\n" for n in range(2_000))),
        ("setup.cfg", "[options.extras_require]\n" + "test =\n" + "  x\n" * 240_000),
        ("setup.cfg", "[options.extras_require]\n" * 40_000),
        ("setup.cfg", "[metadata]\ninstall_requires" + " " * 900_000),
        ("setup.py", "extras_require" + "'test' " * 140_000),
        ("setup.py", "python_requires" + " =" * 490_000),
        ("setup.py", "Extension " * 99_000),
        ("Cargo.toml", "[dependencies" * 70_000),
        ("Cargo.toml", "[a.\n" * 240_000),
        ("go.mod", "require" * 140_000),
        ("pnpm-lock.yaml", "lockfileVersion:" + " " * 900_000),
        ("tests/test_a.py", "import " * 9_000),
        ("tests/test_a.py", " " * 64_000),
        ("requirements-dev.txt", "pytest " * 140_000),
    ],
)  # fmt: skip
def test_no_file_takes_long_to_look_at(name: str, text: str) -> None:
    files = {"tests/test_b.py": "import unittest\n", "package.json": package(), name: text}
    started = time.process_time()
    found(files)
    assert time.process_time() - started < 2.0


# --- reading -----------------------------------------------------------------------------------


def test_a_commit_is_read_without_its_links(tmp_path: Path) -> None:
    def git(*args: str) -> None:
        subprocess.run(["git", "-C", str(tmp_path / "r"), *args], check=True, timeout=20, capture_output=True)

    (tmp_path / "secret").write_text('{"scripts": {"test": "x"}}')
    checkout = tmp_path / "r"
    (checkout / "tests").mkdir(parents=True)
    (checkout / "pkg/deep/deeper/requirements").mkdir(parents=True)
    (checkout / "package.json").symlink_to(tmp_path / "secret")
    (checkout / "go.mod").write_text(_GO)
    (checkout / "tests/test_ä.py").write_text(TEST)
    (checkout / "pkg/deep/deeper/requirements/x.txt").write_text("attrs")
    (checkout / "big.json").write_text("x")
    git("init", "-q", ".")
    git("add", "-A")
    git("commit", "-qm", "one")
    seen = snapshot.of_commit(checkout / ".git", "HEAD")
    assert seen.has("go.mod", "tests/test_ä.py")
    assert not seen.has("package.json")
    assert seen.text("go.mod") == _GO
    assert seen.text("big.json") == ""
    assert propose(seen, TOOLS).checks == (_PYTEST, "go test ./...")


def test_a_folder_is_read_without_its_links(tmp_path: Path) -> None:
    (tmp_path / "else").mkdir()
    (tmp_path / "else/test_a.py").write_text(TEST)
    folder = tmp_path / "checkout"
    folder.mkdir()
    (folder / "package.json").symlink_to(tmp_path / "else")
    os.mkfifo(folder / "pyproject.toml")
    (folder / "Makefile").mkdir()
    (folder / "tests").symlink_to(tmp_path / "else")
    (folder / "go.mod").write_text("x" * 1_100_000)
    seen = snapshot.of_folder(folder)
    assert seen.paths == {"go.mod"}
    assert seen.text("go.mod") == ""
    assert snapshot.of_folder(tmp_path / "missing").paths == frozenset()


@pytest.mark.parametrize(
    ("path", "is_one"),
    [
        ("pyproject.toml", True), ("sub/deep/package-lock.json", True), ("requirements-dev.txt", True),
        ("requirements/ci.in", True), ("a/requirements/x.txt", True), ("src/setup.pyc", False),
        ("README.md", False), ("docs/notes.txt", False), ("x.csproj", True), ("go.sum", True),
    ],
)  # fmt: skip
def test_manifests_by_name(path: str, is_one: bool) -> None:
    assert snapshot.is_manifest(path) is is_one
