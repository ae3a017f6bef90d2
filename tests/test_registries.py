"""One idiom: a literal dict, its keys the very names that the configuration takes, told nowhere else."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from msgspec.structs import asdict

from sprint import config, credentials, forge, sandbox
from sprint.config import AgentWorkerConfig, ForgeConfig, ForgeKind, SandboxKind
from sprint.config.schema import (
    BACKEND_KINDS,
    FORGE_SITES,
    WORKER_KINDS,
    BackendKind,
    IndexesConfig,
    IndexKind,
    WorkerKind,
)
from sprint.credentials import find_forge_token, forge_token
from sprint.gateway import indexes
from sprint.gateway.clients import CLIENTS
from sprint.sprite import backends
from sprint.worker import kinds as workers
from sprint.worker.agents.catalogue import AGENTS
from tests.around import around

PACKAGE = Path(config.__file__).parent.parent
# Where a kind may be told by its name: the configuration takes it, its own package knows what it means. The
# embedded forge has kinds of its own.
AT_HOME = ("config/schema.py", "forge/", "sandbox/", "worker/", "demo/")
AT_HOME += ("sprite/folders.py",)
AT_HOME += ("sprite/supervisor/",)  # by itself on another machine, with kinds of its own
KINDS = {*get_args(ForgeKind), *get_args(SandboxKind), *get_args(WorkerKind), *get_args(BackendKind)}
KINDS -= {"none", "command", "local"}  # also said of networks, of what a tool runs, of a worker by name


@pytest.mark.parametrize(
    ("registry", "names"),
    [
        (forge.KINDS, ForgeKind),
        (sandbox.KINDS, SandboxKind),
        (WORKER_KINDS, WorkerKind),
        (BACKEND_KINDS, BackendKind),
        (indexes.KINDS, IndexKind),
        (CLIENTS, IndexKind),
        (asdict(IndexesConfig()), IndexKind),
    ],
    ids=["forges", "sandboxes", "workers", "backends", "indexes", "clients", "index-keys"],
)
def test_each_kind_has_its_row_and_nothing_else_has(registry: dict[str, Any], names: Any) -> None:
    assert set(registry) == set(get_args(names))


def test_each_section_of_a_kind_says_its_kind_and_leads_to_one() -> None:
    for sections in (WORKER_KINDS, BACKEND_KINDS):
        tags = {kind: section.__struct_config__.tag for kind, section in sections.items()}
        assert tags == {kind: kind for kind in sections}
    assert set(workers.KINDS) == set(WORKER_KINDS.values())
    assert set(backends.KINDS) == set(BACKEND_KINDS.values())
    assert set(AGENTS) == {one for one in WORKER_KINDS.values() if issubclass(one, AgentWorkerConfig)}


@pytest.mark.parametrize("table", [FORGE_SITES, credentials._TOKENS], ids=["sites", "tokens"])
def test_what_only_some_kinds_have_is_of_kinds_that_there_are(table: dict[str, Any]) -> None:
    assert set(table) <= set(get_args(ForgeKind))


def compared(path: Path) -> Iterator[str]:
    """Comparisons with a kind's name."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Compare):
            for side in (node.left, *node.comparators):
                for part in ast.walk(side):
                    if isinstance(part, ast.Constant) and part.value in KINDS:
                        yield f"{path}:{node.lineno}: {ast.unparse(node)}"


def test_no_kind_is_told_by_its_name_away_from_home() -> None:
    paths = [p for p in PACKAGE.rglob("*.py") if not str(p.relative_to(PACKAGE)).startswith(AT_HOME)]
    assert paths
    assert [found for path in paths for found in compared(path)] == []


def test_the_search_finds_such_a_comparison(tmp_path: Path) -> None:
    source = tmp_path / "x.py"
    source.write_text('if forge.kind == "github" or kind in ("gitea", "other") or kind == "x":\n    pass\n')
    assert len(list(compared(source))) == 2


def test_a_kind_that_nobody_knows_is_given_nobodys_token(tmp_path: Path) -> None:
    """Also where nothing says whom the tokens that lie about are for."""
    (tmp_path / ".hermes").mkdir()
    (tmp_path / credentials.GITEA_TOKEN_FILE).write_text("from-hermes")
    third = ForgeConfig(kind="third", url="https://third.example")  # type: ignore[arg-type]
    environ = {"GITEA_TOKEN": "a", "GITHUB_TOKEN": "b", "GH_TOKEN": "c", "GH_ENTERPRISE_TOKEN": "d"}
    assert find_forge_token(third, around(tmp_path, environ)) is None
    assert forge_token("third", third, around(tmp_path, environ)) is None
    assert third.site == "https://third.example"


def test_one_place_says_where_git_is_and_with_which_token() -> None:
    """An address from one place and a token from another is how a token gets to a stranger's server."""
    makers = []
    for path in PACKAGE.rglob("*.py"):
        name = str(path.relative_to(PACKAGE))
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("Remote", "git.Remote"):
                makers.append(name)
    assert [name for name in makers if not name.startswith("demo/")] == ["forge/rest.py"]
