"""Our account's fork of a repository: found, made once, refused where it is not what it should be."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from sprint import git
from sprint.domain import Repository
from sprint.errors import ForgeError
from sprint.forge import Forge
from sprint.publish import Proposal, publish, ready_fork
from tests.forge.conftest import REPO
from tests.servers import forks
from tests.servers.forge import DemoForge, Fault


@pytest.fixture
def repository(forge: Forge) -> Repository:
    return forge.repository(REPO)


def posts(server: DemoForge) -> int:
    return sum(seen.method == "POST" and seen.path.endswith("/forks") for seen in server.requests)


def test_it_is_made_once_and_found_from_then_on(
    server: DemoForge, forge: Forge, repository: Repository
) -> None:
    assert forge.find_fork(repository) is None
    made = forge.fork(repository)
    assert made.name == f"{server.login}/widgets"
    assert made.clone_url == f"{server.url}/{made.name}.git"
    assert forge.fork(repository) == forge.find_fork(repository) == made
    assert posts(server) == 1


@pytest.mark.parametrize("fault", [{"drop": True}, {"status": 502}])
@pytest.mark.parametrize("after", [True, False])
def test_one_in_doubt_is_made_once(
    server: DemoForge,
    forge: Forge,
    repository: Repository,
    slept: list[float],
    fault: dict[str, int],
    after: bool,
) -> None:
    server.faults.append(Fault(method="POST", path="/forks", after=after, **fault))
    assert forge.fork(repository).name == f"{server.login}/widgets"
    assert [name for name in server.store.repos if name != REPO] == [f"{server.login}/widgets"]


def test_a_name_that_is_taken_and_a_fork_that_was_renamed(
    server: DemoForge, forge: Forge, repository: Repository
) -> None:
    server.add_repo(f"{server.login}/widgets", {"mine": "own"})
    made = forge.fork(repository)
    assert made.name == f"{server.login}/{'octo-widgets' if server.kind == 'gitea' else 'widgets-1'}"
    assert forge.fork(repository) == made
    server.rename_repo(made.name, f"{server.login}/other")
    server.store.renamed.clear()
    assert forge.fork(repository).name == f"{server.login}/other"


def test_what_is_not_ours_to_push_to_is_refused(
    server: DemoForge, forge: Forge, repository: Repository
) -> None:
    own = server.add_repo(f"{server.login}/tools", {"a": "b"})
    with pytest.raises(ForgeError, match="nobody can fork"):
        forge.fork(forge.repository(own.name))
    made = forge.fork(repository)
    server.repo(made.name).archived = True
    with pytest.raises(ForgeError, match="archived"):
        forge.fork(repository)
    server.repo(made.name).archived = False
    server.repo(REPO).private = True  # and its fork is not
    with pytest.raises(ForgeError, match="is public and octo/widgets is not"):
        forge.fork(forge.repository(REPO))
    # A fork of something else is not taken for ours: another one is made.
    server.repo(REPO).private = False
    server.repo(made.name).fork_of = "octo/gadgets"
    assert forge.fork(repository).name != made.name


def proposal(server: DemoForge, tmp_path: Path) -> tuple[Path, Proposal]:
    objects = tmp_path / "objects.git"
    git.init_bare(objects)
    git.fetch(objects, git.Remote(str(server.path(REPO))), "+refs/heads/*:refs/heads/*")
    base = git.resolve(objects, "refs/heads/trunk") or ""
    tree = git.git("rev-parse", f"{base}^{{tree}}", git_dir=objects).out.strip()
    commit = git.commit_tree(objects, tree, [base], "fix", "s", "s@localhost")
    return objects, Proposal(commit, "feat/issue-1", "trunk", "fix: it (closes #1)", "Closes #1", False)


def test_a_fork_that_is_still_empty_is_waited_for_and_then_left_to_a_later_tick(
    server: DemoForge,
    forge: Forge,
    repository: Repository,
    slept: list[float],
    caplog: pytest.LogCaptureFixture,
) -> None:
    server.store.slow_forks = 3
    caplog.set_level(logging.INFO)
    assert ready_fork(forge, repository).name == f"{server.login}/widgets"
    assert sum("has not finished making this fork" in message for message in caplog.messages) == 2
    server.repo(f"{server.login}/widgets").unready = 99
    git.git("update-ref", "-d", "refs/heads/trunk", git_dir=server.path(f"{server.login}/widgets"))
    with pytest.raises(ForgeError, match=r"not finished making this fork.*later"):
        ready_fork(forge, repository)


def test_publishing_twice_makes_one_branch_and_one_pull_request(
    server: DemoForge, forge: Forge, repository: Repository, tmp_path: Path
) -> None:
    objects, wanted = proposal(server, tmp_path)
    fork = f"{server.login}/widgets"
    first = publish(forge, repository, objects, wanted, via="fork")
    assert (first.head, first.head_repo, first.author) == ("feat/issue-1", fork, server.login)
    assert publish(forge, repository, objects, wanted, via="fork").number == first.number
    assert [ref for ref in server.refs(REPO) if "issue" in ref] == [], "nothing of it is in the repository"
    assert server.refs(fork)["refs/heads/feat/issue-1"] == wanted.commit
    assert [pull.head_sha for pull in forge.pulls_of_branch(REPO, first.head, head_repo=fork)] == [
        wanted.commit
    ]
    assert forge.pulls_of_branch(REPO, first.head) == [], "a branch of the repository itself is another"
    assert len(server.pulls(REPO)) == 1
    # The control: without a fork it goes to the repository.
    assert publish(forge, repository, objects, wanted).head_repo == REPO
    assert server.refs(REPO)["refs/heads/feat/issue-1"] == wanted.commit


def test_a_strangers_fork_is_not_ours(server: DemoForge, forge: Forge, repository: Repository) -> None:
    forks.make(server.store, server.repo(REPO), "stranger", "widgets")
    assert forge.find_fork(repository) is None
    assert forge.fork(repository).name == f"{server.login}/widgets"
