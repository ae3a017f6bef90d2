"""Python projects: a virtual environment in ~/.venv, with what the tests need by its usual names."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from msgspec import Struct

from sprint.environment.proposal import Check, Part, Tools
from sprint.environment.snapshot import Snapshot, is_python_test

_FOR_TESTS = ("test", "tests", "testing", "pytest", "unittest", "unittests", "unit-test", "unit-tests")
_FOR_DEVELOPMENT = ("dev", "develop", "development", "devel", "ci")
_FILES_FOR_TESTS = (
    *("requirements-test.txt", "requirements-tests.txt", "requirements-testing.txt"),
    *("requirements_test.txt", "requirements_tests.txt", "requirements_testing.txt"),
    *("test-requirements.txt", "test_requirements.txt", "tests/requirements.txt", "test/requirements.txt"),
    *("requirements/test.txt", "requirements/tests.txt", "requirements/testing.txt"),
)
_FILES_FOR_DEVELOPMENT = (
    *("requirements-dev.txt", "requirements_dev.txt", "dev-requirements.txt", "dev_requirements.txt"),
    *("requirements/dev.txt", "requirements/develop.txt", "requirements/development.txt"),
    *("requirements/local.txt", "requirements/ci.txt", "requirements-ci.txt"),
)
_FILES = ("requirements.txt", "requirements/base.txt", "requirements/requirements.txt")
# Each with what shows in a configuration that pytest will not run without it.
_PLUGINS = {
    "pytest-cov": ("pytest-cov", "pytest_cov", "--cov"),
    "pytest-xdist": ("pytest-xdist", "xdist"),
    "pytest-asyncio": ("pytest-asyncio", "pytest_asyncio", "asyncio_mode"),
    "pytest-mock": ("pytest-mock", "pytest_mock"),
    "pytest-timeout": ("pytest-timeout", "pytest_timeout", "--timeout"),
    "pytest-benchmark": ("pytest-benchmark", "pytest_benchmark"),
    "pytest-django": ("pytest-django", "DJANGO_SETTINGS_MODULE"),
    "pytest-randomly": ("pytest-randomly",),
    "pytest-httpserver": ("pytest-httpserver", "pytest_httpserver"),
    "hypothesis": ("hypothesis",),
}
_COMPILED = re.compile(
    r"\b(?:ext_modules|Extension|cythonize|Cython|maturin|setuptools[-_]rust|scikit[-_]build|meson[-_]python"
    r"|mesonpy|pybind11|nanobind|mypyc|cffi_modules|CMakeExtension)\b"
)
_NEWEST = 30  # minor versions of Python 3 that are looked for


def python(project: Snapshot, tools: Tools) -> Part:
    checks = tuple(_checks(project))
    if not checks:
        return Part()
    needs = _needs(project, any(check.tool == "pytest" for check in checks))
    manager = _manager(project)
    setup = list(manager.setup(project, tools, needs))
    if needs.pytest and not needs.bring_pytest:
        setup.append(f"{manager.install} {' '.join(_runner(project))}")
    if setup and manager is _PIP:
        setup.insert(0, f"{_interpreter(project, tools)} -m venv ~/.venv")
    is_compiled = bool(setup) and _is_installable(project) and _is_compiled(project)
    return Part(tuple(setup), (f"{manager.install} --no-deps -e .",) if is_compiled else (), checks)


def _manager(project: Snapshot) -> _Manager:
    """The tool that the project's lock file belongs to, else pip."""
    for lock, manager in _LOCKS.items():
        if project.has(lock) and project.has("pyproject.toml"):
            return manager
    poetry = _table(project.toml("pyproject.toml"), "tool", "poetry")
    return _POETRY if "group" in poetry or "dev-dependencies" in poetry else _PIP


# --- checks ------------------------------------------------------------------------------------


def _checks(project: Snapshot) -> Iterator[Check]:
    tests = [path for path in project.paths if is_python_test(path)]
    folders = [name for name in ("tests", "test") if any(path.startswith(f"{name}/") for path in tests)]
    files = [path for path in tests if "/" not in path]
    configured = (
        project.has("pytest.ini", ".pytest.ini", "conftest.py")
        or "[tool.pytest" in project.text("pyproject.toml")
        or "[tool:pytest]" in project.text("setup.cfg")
        or "[pytest]" in project.text("tox.ini")
    )
    if project.has("manage.py") and not configured and "pytest" not in _declared(project):
        yield Check("python3 manage.py test", "manage.py test")
    elif not (folders or configured or files):
        return
    elif configured or "pytest" in _declared(project) or not _is_unittest(project, tests):
        yield Check("python3 -m pytest -q", "pytest")
    else:
        yield from _unittest(project, folders)


def _declared(project: Snapshot) -> str:
    """All that manifests say of what is to be installed."""
    names = ("pyproject.toml", "setup.cfg", "setup.py", "tox.ini", "noxfile.py", "Pipfile")
    requirements = [name for name in project.texts if name.endswith((".txt", ".in"))]
    return "\n".join(project.text(name) for name in (*names, *requirements))


def _is_unittest(project: Snapshot, tests: Collection[str]) -> bool:
    """Whether the tests are the standard library's, and none of them needs pytest."""
    texts = [project.text(path) for path in tests]
    return any("unittest" in text for text in texts) and not any(
        re.search(r"^\s*(?:import|from)\s+pytest\b", text, re.MULTILINE) for text in texts
    )


def _unittest(project: Snapshot, folders: list[str]) -> Iterator[Check]:
    for folder in folders:
        top = " -t ." if project.has(f"{folder}/__init__.py") else ""
        yield Check(f"python3 -m unittest discover -s {folder}{top}", "unittest")
    if not folders:
        yield Check("python3 -m unittest discover -p '*test*.py'", "unittest")


# --- what the tests need -----------------------------------------------------------------------


class _Needs(Struct, frozen=True):
    """The extras, dependency groups and requirement files whose names say that they are for tests."""

    extras: tuple[str, ...]
    groups: tuple[str, ...]
    files: tuple[str, ...]
    pytest: bool
    bring_pytest: bool


_NOTHING = _Needs((), (), (), pytest=False, bring_pytest=False)


def _needs(project: Snapshot, needs_pytest: bool) -> _Needs:
    """Those for tests; those for development too where the former do not bring the test runner."""
    offered = (_extras(project), _groups(project), _files(project))
    chosen = [[name for name in names if name in _FOR_TESTS + _FILES_FOR_TESTS] for names in offered]
    if not _bring_pytest(chosen, offered):
        chosen = [list(names) for names in offered]
    extras, groups, files = (tuple(names) for names in chosen)
    plain = "\n".join([_dependencies(project), *(project.text(name) for name in _plain_files(project))])
    is_locked = _manager(project) is not _PIP and "pytest" in project.text("pyproject.toml")
    bring_pytest = is_locked or "pytest" in plain or _bring_pytest(chosen, offered)
    return _Needs(extras, groups, files, needs_pytest, bring_pytest)


def _bring_pytest(chosen: Sequence[Sequence[str]], offered: Sequence[Mapping[str, str]]) -> bool:
    return any("pytest" in have[name] for names, have in zip(chosen, offered, strict=True) for name in names)


def _files(project: Snapshot) -> dict[str, str]:
    known = (*_FILES_FOR_TESTS, *_FILES_FOR_DEVELOPMENT)
    return {name: project.text(name) for name in known if _asks_for_something(project, name)}


def _asks_for_something(project: Snapshot, name: str) -> bool:
    lines = [line.strip() for line in project.text(name).splitlines()]
    return any(line and not line.startswith("#") for line in lines)


def _extras(project: Snapshot) -> dict[str, str]:
    """Usual names of extras to what they bring, from every place where extras are declared."""
    pyproject = project.toml("pyproject.toml")
    declared: dict[str, str] = {}
    tool = _table(pyproject, "tool")
    for table in (_table(pyproject, "project", "optional-dependencies"), _table(tool, "poetry", "extras")):
        declared |= {str(name): repr(value) for name, value in table.items()}
    section = re.search(
        r"^\[options\.extras_require\]$(.*?)(?=^\[|\Z)", project.text("setup.cfg"), re.MULTILINE | re.DOTALL
    )
    for name, value in re.findall(
        r"^(\w[\w-]*) *=((?:.*\n)(?:[ \t]+.*\n)*)", section[1] if section else "", re.M
    ):
        declared[name] = value
    _, _, extras = project.text("setup.py").partition("extras_require")
    for name in _usual():
        if at := re.search(rf"""["']{name}["']\s{{0,9}}(?::|\]\s{{0,9}}=)""", extras):
            declared[name] = extras[at.end() : at.end() + 500]
    return _usual_of(declared)


def _groups(project: Snapshot) -> dict[str, str]:
    groups = _table(project.toml("pyproject.toml"), "dependency-groups")
    return _usual_of({str(name): repr(value) for name, value in groups.items()})


def _usual() -> tuple[str, ...]:
    return (*_FOR_TESTS, *_FOR_DEVELOPMENT)


def _usual_of(declared: Mapping[str, str]) -> dict[str, str]:
    """By our spelling of a name, which installers take for the same as the project's."""
    same = {re.sub(r"[-_.]+", "-", name).lower(): value for name, value in declared.items()}
    return {name: same[name] for name in _usual() if name in same}


def _dependencies(project: Snapshot) -> str:
    pyproject = project.toml("pyproject.toml")
    declared = _table(pyproject, "project").get("dependencies")
    _, found, required = project.text("setup.py").partition("install_requires")
    in_cfg = re.search(r"^install_requires *=(.*(?:\n[ \t]+.*)*)", project.text("setup.cfg"), re.MULTILINE)
    return "\n".join(
        [
            repr(declared) if declared else "",
            repr(poetry) if (poetry := _table(pyproject, "tool", "poetry", "dependencies")) else "",
            required[:2_000] if found else "",
            in_cfg[1] if in_cfg else "",
        ]
    )


def _table(value: object, *path: str) -> Mapping[str, object]:
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


# --- set-up ------------------------------------------------------------------------------------


def _interpreter(project: Snapshot, tools: Tools) -> str:
    """`python3` unless the project says that it needs another one, and that one is there."""
    said = _required_python(project)
    least = max([int(minor) for minor in re.findall(r"(?:>=|==|~=|\^|~)\s*3\.(\d{1,2})", said)], default=0)
    below = min([int(minor) for minor in re.findall(r"<\s*3\.(\d{1,2})", said)], default=99)
    usual = re.match(r"3\.(\d+)", tools.get("python3", ""))
    if usual is None or least <= int(usual[1]) < below:
        return "python3"
    fit = [minor for minor in range(min(_NEWEST, below - 1), least - 1, -1) if f"python3.{minor}" in tools]
    return f"python3.{fit[0]}" if fit else "python3"


def _required_python(project: Snapshot) -> str:
    pyproject = project.toml("pyproject.toml")
    declared = _table(pyproject, "project").get("requires-python")
    declared = declared or _table(pyproject, "tool", "poetry", "dependencies").get("python")
    older = project.text("setup.cfg") + project.text("setup.py")
    found = re.search(r"python_requires\s{0,9}=\s{0,9}[\"']?([^\n\"']{1,60})", older)
    return str(declared or (found[1] if found else ""))


def _with_pip(project: Snapshot, tools: Tools, needs: _Needs) -> Sequence[str]:
    """An editable install of the project with what its tests need, or the requirement files alone."""
    is_installable = _is_installable(project)
    files = "".join(f" -r {name}" for name in (*_plain_files(project), *needs.files))
    groups = "".join(f" --group {name}" for name in needs.groups)
    if is_installable and not (_runs_as_it_is(project) and needs == _NOTHING):
        upgrade = ["pip install --upgrade pip"] if groups else []  # --group came with pip 25.1
        target = f"'.[{','.join(needs.extras)}]'" if needs.extras else "."
        return [*upgrade, f"pip install -e {target}{groups}{files}"]
    if "project" in project.toml("pyproject.toml") and not is_installable:
        # Not to be built, only to be run: what it depends on is all that can be installed, and pip cannot.
        options = "".join(f" --extra {name}" for name in needs.extras) + groups
        fetch = [] if "uv" in tools else ["pip install uv"]
        rest = [f"pip install{files}"] if files else []
        return [*fetch, f"uv pip install --python ~/.venv -r pyproject.toml{options}", *rest]
    return [f"pip install{files}"] if files else []


def _plain_files(project: Snapshot) -> list[str]:
    """What is there to be installed where the project itself cannot be, or where it has its test runner."""
    files = [name for name in _FILES if _asks_for_something(project, name)][:1]
    return [name for name in files if not _is_installable(project) or "pytest" in project.text(name)]


def _is_installable(project: Snapshot) -> bool:
    pyproject = project.toml("pyproject.toml")
    return (
        "build-system" in pyproject
        or "poetry" in _table(pyproject, "tool")
        or project.has("setup.py")
        or "[metadata]" in project.text("setup.cfg")
    )


def _runs_as_it_is(project: Snapshot) -> bool:
    """Whether what tests import is all there: no folder for sources alone, and no dependencies."""
    return not project.below("src") and not _dependencies(project).strip()


def _is_compiled(project: Snapshot) -> bool:
    return any(_COMPILED.search(project.text(name)) for name in ("pyproject.toml", "setup.py", "setup.cfg"))


def _runner(project: Snapshot) -> list[str]:
    """pytest, and the plugins of it that the project's files speak of."""
    names = ("pyproject.toml", "setup.cfg", "setup.py", "tox.ini", "noxfile.py", "pytest.ini", "Makefile")
    said = "\n".join(project.text(name) for name in names)
    return ["pytest", *(plugin for plugin, marks in _PLUGINS.items() if any(mark in said for mark in marks))]


# Each of the others keeps an environment of its own: ~/.venv leads to it, and so does the PATH.


def _with_uv(project: Snapshot, tools: Tools, needs: _Needs) -> Sequence[str]:
    """As `uv sync --frozen`, which fetches from the very addresses in the lock file: exported, the same
    versions come from the index, held to the same checksums."""
    options = "".join(f" --extra {name}" for name in needs.extras)
    options += "".join(f" --group {name}" for name in needs.groups)
    return [
        *_own_tool("uv", tools),
        f"uv venv --python {_interpreter(project, tools)}",
        f"uv export --frozen --quiet{options} --output-file ~/.uv-requirements.txt",
        "uv pip install -r ~/.uv-requirements.txt",
        'ln -sfn "$PWD/.venv" ~/.venv',
    ]


def _with_poetry(project: Snapshot, tools: Tools, needs: _Needs) -> Sequence[str]:
    groups = _table(project.toml("pyproject.toml"), "tool", "poetry", "group")
    optional = [name for name in _usual() if _table(groups, name).get("optional") is True]
    options = "".join(f" --extras {name}" for name in needs.extras)
    options += f" --with {','.join(optional)}" if optional else ""
    interpreter = _interpreter(project, tools)
    chosen = [f"poetry env use {interpreter}"] if interpreter != "python3" else []
    install = f"poetry install --no-interaction{options}"
    # It goes to the address in its own code unless a plugin tells it of another index: whatever poetry
    # there is here, one with that plugin is needed.
    made = _own_tool("poetry", {}, "poetry-plugin-pypi-mirror")
    return [*made, *chosen, install, 'ln -sfn "$(poetry env info --path)" ~/.venv']


def _with_pdm(project: Snapshot, tools: Tools, needs: _Needs) -> Sequence[str]:
    options = "".join(f" -G {name}" for name in (*needs.extras, *needs.groups))
    made = f"pdm venv create --with venv {_interpreter(project, tools)}"
    return [*_own_tool("pdm", tools), made, f"pdm sync{options}", 'ln -sfn "$PWD/.venv" ~/.venv']


def _own_tool(name: str, tools: Tools, *plugins: str) -> Sequence[str]:
    """A tool that is not there comes from the index, apart from the project: it has dependencies too."""
    if name in tools:
        return []
    return [
        f"python3 -m venv ~/.{name} && ~/.{name}/bin/pip install {' '.join((name, *plugins))}",
        f"mkdir -p ~/.local/bin && ln -sf ~/.{name}/bin/{name} ~/.local/bin/{name}",
    ]


class _Manager(Struct, frozen=True):
    """`setup` makes the environment; `install` puts more into it."""

    setup: Callable[[Snapshot, Tools, _Needs], Sequence[str]]
    install: str


_PIP = _Manager(_with_pip, "pip install")
_POETRY = _Manager(_with_poetry, "poetry run python -m pip install")
_LOCKS = {
    "uv.lock": _Manager(_with_uv, "uv pip install"),
    "poetry.lock": _POETRY,
    "pdm.lock": _Manager(_with_pdm, "pdm run python -m ensurepip && pdm run python -m pip install"),
}
