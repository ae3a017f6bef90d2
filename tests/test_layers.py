"""Imports point down only, and the heavy ones stay out of the ticks that do not need them."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Collection, Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "sprint"

# From the bottom up. A module may import its own layer and those before it.
LAYERS = (
    ("domain", "errors", "outcomes"),
    (
        "beside",
        "clean_text",
        "cron_times",
        "decoding",
        "defects",
        "deferred",
        "disk_use",
        "early_imports",
        "files",
        "logs",
        "proc",
        "resources",
        "retries",
        "sinks",
        "strict_yaml",
        "surroundings",
        "terminal_text",
    ),
    ("config", "credentials", "git", "host", "json_file", "lock"),
    (
        "backlog_seen",
        "budget",
        "fleet",
        "callbacks",
        "health",
        "heartbeat",
        "ledger",
        "runs",
        "progress",
        "sharing",
        "spend",
        "standing_alarms",
        "task",
        "transcript",
    ),
    ("forge", "gateway", "model", "references", "sandbox", "sprite", "workspace"),
    ("claim", "pick", "policy", "prompts", "publish", "renewal", "repo_pause", "verify", "worker"),
    ("environment",),
    ("capacity", "context", "first_look"),
    ("assign", "backlog", "new_run", "scope"),
    ("settle", "retention"),
    ("follow",),
    ("check_command", "gateway_command", "view"),
    ("doctor", "monitor", "pause_command", "preview", "push_trial", "show", "tick", "tick_report"),
    ("dashboard", "init", "schedule"),
    ("run_command", "demo", "serve"),
    ("dispatch", "stop_command"),
    ("cli", "__main__"),
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}

# Names that several files have, and why that misleads nobody.
SAME_ON_PURPOSE = {
    "__init__": "it stands for its folder",
    "protocol": "what the kinds of its folder have to have",
    "__main__": "it is its folder as a program",
}


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts != ("__init__",):
            yield parts[0], path


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "sprint":
            yield from (alias.name for alias in node.names if alias.name != "__version__")
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sprint."):
            yield str(node.module).split(".")[1]
        elif isinstance(node, ast.Import):
            yield from (a.name.split(".")[1] for a in node.names if a.name.startswith("sprint."))


@pytest.mark.parametrize(("name", "path"), list(modules()), ids=lambda value: getattr(value, "stem", value))
def test_imports_point_down(name: str, path: Path) -> None:
    assert name in RANK, f"say in which layer {name} is"
    upward = {other for other in imported(path) if RANK[other] > RANK[name]}
    assert not upward, f"{path.name} imports {upward} from above"


def test_no_two_files_of_one_name_mean_different_things() -> None:
    names = Counter(path.stem for path in PACKAGE.rglob("*.py"))
    assert {name for name, count in names.items() if count > 1} <= SAME_ON_PURPOSE.keys()


def edges(path: Path, known: Collection[str]) -> Iterator[str]:
    """The modules of ours that one imports, by their dotted names: anywhere in it, for types only as well."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in known else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Not even inside functions, or for types only, where Python would let it pass."""
    paths = {".".join(p.relative_to(PACKAGE).with_suffix("").parts): p for p in PACKAGE.rglob("*.py")}
    known = {f"sprint.{name}".removesuffix(".__init__"): path for name, path in paths.items()}
    graph = {name: set(edges(path, known)) & known.keys() - {name, "sprint"} for name, path in known.items()}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_copies_of_records_have_one_door() -> None:
    """dataclasses.replace fails on a Struct, and no type check tells."""
    named = re.compile(r"from dataclasses import .*\breplace\b|dataclasses\.replace\(")
    found = {path.name for path in PACKAGE.rglob("*.py") if named.search(path.read_text())}
    assert found == {"changing.py"}


def test_records_are_not_taken_for_dataclasses() -> None:
    """asdict and fields fail on a Struct likewise; what travels without msgspec has dataclasses."""
    named = re.compile(r"from dataclasses import [\w, ]*\b(asdict|fields)\b|dataclasses\.(asdict|fields)\(")
    found = {path for path in PACKAGE.rglob("*.py") if named.search(path.read_text())}
    assert {path.parent.name for path in found} <= {"supervisor"}


def test_a_working_tick_makes_no_dataclass_but_few() -> None:
    """Each is compiled anew at each start."""
    code = (
        "import dataclasses, sys\nreal = dataclasses._process_class\nmade = []\n"
        "def noted(cls, *more):\n    made.append(cls.__module__)\n    return real(cls, *more)\n"
        "dataclasses._process_class = noted\nimport sprint.__main__, sprint.run_command, sprint.tick\n"
        "print(*[name for name in made if name.startswith('sprint.')])"
    )
    made = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert set(made.stdout.split()) <= {"sprint.surroundings", "sprint.sprite.detector"}


@pytest.mark.parametrize("what", ["fcntl.flock(", "raise refusal("])
def test_locks_and_refusals_of_files_have_one_door(what: str) -> None:
    found = {path.name for path in PACKAGE.rglob("*.py") if what in path.read_text()}
    assert found - {"pid_file.py", "errands.py"} == {"files.py"}  # these two travel without it


# What a tick does without that finds the repository locked, or nothing to do there.
ONLY_FOR_WORK = {"tick", "context", "git", "sandbox", "worker", "workspace", "settle", "monitor"}
HEAVY = {
    "requests",
    "tenacity",
    "openai",
    "httpx2",
    "pydantic",
    "asyncio",
    "typing_extensions",
    "jinja2",
    "git",
    "detect_secrets",
    "rich",
    "apprise",
    "pygal",
    "psycopg",
}


@pytest.mark.parametrize(
    ("needed", "spared"),
    [
        ("sprint.__main__, sprint.run_command", {"urllib3", "sprint.forge"}),
        ("sprint.__main__, sprint.run_command, sprint.first_look", set()),
        ("sprint.__main__, sprint.run_command, sprint.context, sprint.tick", None),
    ],
    ids=["busy", "idle", "with something to do"],
)
def test_a_tick_imports_nothing_that_it_does_not_need(needed: str, spared: set[str] | None) -> None:
    code = f"import {needed}, sys; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    ).stdout.split()
    own = set() if spared is None else {f"sprint.{name}" for name in ONLY_FOR_WORK} | spared
    heavy = HEAVY if spared is not None else HEAVY - {"requests", "tenacity"}
    assert not (heavy | own) & set(loaded)
    assert "sprint.run_command" in loaded


def test_no_test_module_is_imported() -> None:
    """What tests share has modules of its own, so that a test can be changed without a look at all others."""
    imports = re.compile(r"^\s*(from|import) tests\b.*\btest_\w", re.M)
    folder = Path(__file__).parent
    found = [path.relative_to(folder) for path in folder.rglob("*.py") if imports.search(path.read_text())]
    assert found == []
