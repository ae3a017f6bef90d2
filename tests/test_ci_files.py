"""What CI starts for a branch of ours, as far as its files tell for sure."""

from __future__ import annotations

from pathlib import Path

import pytest

from sprint import git
from sprint.policy import ci
from tests.tree_store import Store

ALL = ("GitHub Actions", "Gitea Actions", "Forgejo Actions")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    git.init_bare(tmp_path / "store.git")
    return Store(tmp_path / "store.git")


def told(store: Store, workflow: str, *, by_fork: bool = False, branch: str = "feat/issue-0") -> str:
    tree = store.tree({".github/workflows/x.yml": workflow.encode()})
    commit = git.commit_tree(store.path, tree, [], "base", "a", "a@x")
    found = list(ci.started(store.path, commit, branch, by_fork=by_fork, of_forge=ALL))
    return found[0].says if found else ""


PUSH = "at the push of feat/issue-0"
PULL = "at its pull request"


@pytest.mark.parametrize(
    ("on", "says", "by_fork"),
    [
        ("push", f"runs {PUSH}", ""),
        ("[push, pull_request]", f"runs {PUSH} and runs {PULL}", f"runs {PULL}"),
        ("{push: {branches: [main]}}", "", ""),
        ("{push: {branches: ['**']}}", f"runs {PUSH}", ""),
        ("{push: {branches: [main, 'feat/**']}}", f"runs {PUSH}", ""),
        ("{push: {branches: ['*']}}", "", ""),
        ("{push: {branches: ['**', '!feat/*']}}", "", ""),
        ("{push: {branches: ['feat/issue-[0-9]']}}", f"may run {PUSH}", ""),
        ("{push: {branches-ignore: ['feat/**']}}", "", ""),
        ("{push: {branches-ignore: [main]}}", f"runs {PUSH}", ""),
        ("{push: {tags: ['v*']}}", "", ""),
        ("{push: {paths: ['src/**']}}", f"may run {PUSH}", ""),
        ("{pull_request: {types: [opened]}}", f"may run {PULL}", f"may run {PULL}"),
        ("[pull_request_target]", *2 * (f"runs {PULL}, with the repository's secrets",)),
        ("{schedule: [{cron: '0 0 * * *'}], workflow_dispatch: null}", "", ""),
        ("7", *2 * ("may run; it cannot be read",)),
        ("*nothing", *2 * ("may run; it cannot be read",)),
    ],
)
def test_a_workflows_own_filters_decide(store: Store, on: str, says: str, by_fork: str) -> None:
    assert told(store, f"on: {on}\njobs: {{}}\n") == says
    assert told(store, f"on: {on}\njobs: {{}}\n", by_fork=True) == by_fork


def test_the_files_of_every_ci_are_named_and_those_of_another_forge_are_not(store: Store) -> None:
    ours = [".gitea/workflows/a.yml", ".github/workflows/b.yaml", "ci/Jenkinsfile", ".Drone.yml"]
    files = dict.fromkeys([*ours, ".github/workflows/README.md", "src/action.yml"], b"on: push\n")
    commit = git.commit_tree(store.path, store.tree(files), [], "base", "a", "a@x")

    def paths(of_forge: tuple[str, ...]) -> set[str]:
        return {one.path for one in ci.started(store.path, commit, "x", by_fork=False, of_forge=of_forge)}

    assert paths(ALL) == set(ours)
    assert paths(("GitHub Actions",)) == set(ours) - {".gitea/workflows/a.yml"}


def test_hostile_workflows_cost_nothing(store: Store) -> None:
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{','.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(20)
    )
    assert told(store, bomb + "name: *u\non: *u\n") == ""
    assert told(store, "on: " + "[" * 50_000)
    assert told(store, 'name: "\\e[2Jx\u202e"\non: push\n') == f'"x" runs {PUSH}'
