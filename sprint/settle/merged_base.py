"""Where a follow-up begins: the pull request's head with the base merged in, and what it is a change of.

The worker begins with the merge as it is, marks of conflicts included. What it makes is compared with the
clean merge, where conflicted paths are as at the base: so the base's own changes are not ours, and all of a
conflict's resolution is.
"""

from __future__ import annotations

from sprint import git, workspace
from sprint.domain import ImportedWork, Phase, Refusal, Repository, replace
from sprint.errors import SprintError
from sprint.settle.under_way import UnderWay

_HEAD = "refs/follow/head"


class CannotBegin(SprintError):
    """The pull request cannot be followed, and waiting does not mend that."""


_LARGEST = 20_000_000  # bytes of a file that is looked through for marks


def fetch_head(current: UnderWay) -> str:
    """The commit that the pull request's branch is at, brought into the run's own repository; "" for none."""
    pull = current.pull
    home = home_of(current, pull.head_repo)
    branch = f"refs/heads/{pull.head}"
    remote = current.context.forge.remote(home)
    if branch not in git.ls_remote(remote, branch):
        return ""
    git.fetch(current.objects, remote, f"+{branch}:{_HEAD}")
    return git.resolve(current.objects, _HEAD) or ""


def home_of(current: UnderWay, head_repo: str) -> Repository:
    """Where the branch is. Raises CannotBegin where that is neither the repository nor our fork of it."""
    context = current.context
    if head_repo.lower() == context.repository.name.lower():
        return context.repository
    fork = context.forge.find_fork(context.repository)
    if fork is None or fork.name.lower() != head_repo.lower():
        raise CannotBegin(f"{head_repo or 'the repository of its branch'} is gone, or is not ours")
    return fork


def merged(current: UnderWay, head: str) -> UnderWay:
    """Note where the worker begins. Repeatable: the same commits come out of the same two.

    Raises CannotBegin where they have nothing in common.
    """
    run, store = current.run, current.objects
    if git.is_ancestor(store, run.base_sha, head):
        return current.advance(Phase.CLAIMED, start_sha=head, compared_sha=head)
    try:
        made = git.merge(store, head, run.base_sha)
    except git.GitError as error:
        raise CannotBegin(str(error)) from error
    start = _commit(current, made.tree, head)
    compared = start
    if made.conflicts:
        clean = workspace.leave_out(
            store,
            workspace.compared_with(store, run.base_sha, made.tree),
            made.conflicts,
            current.folder,
        )
        compared = _commit(current, clean.tree, head)
    occasion = current.context.store.occasion(run.id)
    current.context.store.keep_occasion(run.id, replace(occasion, conflicts=made.conflicts))
    return current.advance(Phase.CLAIMED, start_sha=start, compared_sha=compared)


def _commit(current: UnderWay, tree: str, head: str) -> str:
    run, publish = current.run, current.context.repo_config.publish
    message = f"Merge {run.base_branch} into {run.branch}"
    return git.commit_tree(
        *(current.objects, tree, [head, run.base_sha], message),
        *(publish.author_name, publish.author_email, run.started_at),
    )


def parents_of(current: UnderWay) -> tuple[str, ...]:
    """Of a follow-up's one commit: the head, and the base where that has moved; empty for other runs."""
    run = current.run
    if not run.is_follow_up:
        return ()
    return (run.head_sha,) if run.start_sha == run.head_sha else (run.head_sha, run.base_sha)


def as_change(current: UnderWay, work: ImportedWork) -> ImportedWork:
    """The work as a change of what it is to be compared with."""
    if not current.run.compared_sha or current.run.compared_sha == work.base:
        return work
    return workspace.compared_with(current.objects, current.run.compared_sha, work.tree)


def is_resolution(current: UnderWay) -> bool:
    """Whether there is something to push even where nothing differs from the clean merge."""
    return current.run.compared_sha != current.run.start_sha


def unresolved(current: UnderWay, work: ImportedWork) -> tuple[Refusal, ...]:
    """The conflicted paths that are still as the merge left them, or still have its marks."""
    if not is_resolution(current):
        return ()
    store, run = current.objects, current.run
    before, after = git.ls_tree(store, run.start_sha), git.ls_tree(store, work.tree)
    paths = [path for path in current.context.store.occasion(run.id).conflicts if path in after]
    texts = git.read_blobs(store, [after[path][1] for path in paths], _LARGEST)
    marks = (f"<<<<<<< {run.head_sha}".encode(), f">>>>>>> {run.base_sha}".encode())

    def is_left(path: str) -> bool:
        lines = texts.get(after[path][1], b"").splitlines()
        return after[path] == before.get(path) or any(line.startswith(marks) for line in lines)

    return tuple(
        Refusal(path, "its conflict with the base is not resolved") for path in paths if is_left(path)
    )
