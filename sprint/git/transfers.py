"""What is asked of git servers: refs, fetches, and pushes that compare and swap."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable
from enum import StrEnum
from pathlib import Path

from sprint import files
from sprint.git.process import GitError, is_full_hex
from sprint.git.remote import Answer, Ask, Remote, patiently, talk
from sprint.git.server_errors import server_words
from sprint.retries import PassingFault

_PUSH = ("push", "--porcelain", "--no-verify", "--no-follow-tags", "--recurse-submodules=no")
_PUSH_SECONDS, _DELETE_SECONDS = 300.0, 60.0
_FETCH = ("fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head")
_REF = re.compile(r"refs/[^\x00-\x20\x7f~^:?*\[\\]+")


class PushResult(StrEnum):
    OK = "ok"
    LOST_RACE = "lost_race"  # the ref is not what it was expected to be
    REJECTED = "rejected"  # the server said no


def ls_remote(
    remote: Remote, *patterns: str, timeout: float = 60, watch: Callable[[], str] | None = None
) -> dict[str, str]:
    """Refs of the server by full name ("refs/heads/*") and their shas; HEAD only where asked for.

    `watch` may end it by raising.
    """

    def attempt(ask: Ask) -> Answer:
        answer = ask("ls-remote", "--quiet", remote.url, *patterns, timeout=timeout, watch=watch)
        if not answer.done.ok:
            raise answer.fault("read")
        return answer

    done = patiently(remote, attempt).done
    found = {}
    for line in done.out.splitlines():
        sha, _, ref = line.partition("\t")
        if is_full_hex(sha) and not ref.endswith("^{}"):
            found[ref] = sha
    # The server matches the tail of a name: refs/x/refs/heads/main would answer for refs/heads/main.
    return {
        ref: sha
        for ref, sha in found.items()
        if not patterns or any(fnmatch.fnmatchcase(ref, pattern) for pattern in patterns)
    }


def fetch(
    git_dir: Path,
    remote: Remote,
    *refspecs: str,
    prune: bool = False,
    depth: int | None = None,
    keep_pack: bool = False,
    timeout: float = 600,
    watch: Callable[[], str] | None = None,
) -> None:
    """Fetch refspecs, checking every object; `keep_pack` stores them as one pack, however few they are.

    `watch` may end it by raising. Raises ForgeError, and Unexplained where the fault may as well be in
    `git_dir`.
    """
    args = [*_FETCH, *(["--prune"] if prune else [])]
    args += [f"--depth={depth}"] if depth else []
    settings = ("-c", f"fetch.unpackLimit={1 if keep_pack else 100}", *_TOLERATED)

    def attempt(ask: Ask) -> None:
        command = (*settings, *args, "--", remote.url, *refspecs)
        answer = ask(*command, git_dir=git_dir, timeout=timeout, watch=watch)
        if not answer.done.ok:
            raise answer.fault("fetch")

    patiently(remote, attempt)


def fetch_many(
    git_dir: Path,
    remote: Remote,
    *patterns: str,
    fewest: int,
    watch: Callable[[], str] | None = None,
) -> bool:
    """Fetch refs of the server ("refs/x/*") under their own names into a repository that has none yet.

    False, with nothing done, where they are fewer than that. For git writes a file for each ref, and a file
    for all of them costs a fifth of it. `watch` may end it by raising. Raises ForgeError.
    """
    refs = ls_remote(remote, *patterns, watch=watch)
    if len(refs) < fewest:
        return False
    wanted = "".join(f"{sha}\n" for sha in sorted(set(refs.values()))).encode()

    def attempt(ask: Ask) -> None:
        command = (*_TOLERATED, *_FETCH, "--stdin", "--", remote.url)
        answer = ask(*command, git_dir=git_dir, timeout=600, stdin=wanted, watch=watch)
        if not answer.done.ok:
            raise answer.fault("fetch")

    patiently(remote, attempt)
    packed = "".join(f"{sha} {ref}\n" for ref, sha in sorted(refs.items()))
    files.replace(git_dir / "packed-refs", packed.encode(), durable=False)
    return True


# Faults of old commits that are harmless and that large public repositories have had for years.
_TOLERATED = tuple(
    part
    for name in ("zeroPaddedFilemode", "missingSpaceBeforeDate", "badTimezone", "missingSpaceBeforeEmail")
    for part in ("-c", f"fetch.fsck.{name}=ignore")
)


def push(
    git_dir: Path, remote: Remote, sha: str, ref: str, *, expected: str | None
) -> tuple[PushResult, str]:
    """Push one commit to one ref; never forced blindly, never a deletion.

    `expected` None: a plain fast-forward. "": the ref must not exist yet. A sha: the ref must be at it, and
    then it may go anywhere. Returns the result and the server's reason as one line ("" when OK). Raises
    ForgeError where there was no answer in the end: the push may then have happened or not.
    """
    _see_that_it_is_a_commit(sha, ref)
    result, why = _push(git_dir, remote, sha, ref, expected, _PUSH_SECONDS)
    # libcurl says a request again whose connection broke off; the second finds what the first one did.
    if result is PushResult.LOST_RACE and ls_remote(remote, ref).get(ref) == sha:
        return PushResult.OK, ""
    return result, why


def push_together(
    git_dir: Path,
    remote: Remote,
    moves: Iterable[tuple[str, str, str]],
    *,
    more_objects: Path,
) -> bool:
    """Move refs of the server all at once or none: each to a commit, a ref, and where that must be by now
    ("": nowhere). `more_objects` is a repository whose objects count as well.

    Asked once. False: they may have been moved or not, and `push` each of them finds out.
    """
    options, targets = ["--atomic"], []
    for sha, ref, expected in moves:
        _see_that_it_is_a_commit(sha, ref)
        _see_that_it_is_a_ref(ref, expected)
        options.append(f"--force-with-lease={ref}:{expected}")
        targets.append(f"{sha}:{ref}")
    args = [*_PUSH, *options, "--", remote.url, *targets]
    env = {"GIT_ALTERNATE_OBJECT_DIRECTORIES": str((more_objects / "objects").absolute())}
    return talk(remote, *args, git_dir=git_dir, timeout=_PUSH_SECONDS, env=env).done.ok


def delete_ref(git_dir: Path, remote: Remote, ref: str, *, expected: str) -> PushResult:
    """Delete a ref of the server that is still at `expected`."""
    if not is_full_hex(expected):
        raise GitError(f"refusing to delete {ref} without knowing where it is")
    return _push(git_dir, remote, "", ref, expected, _DELETE_SECONDS)[0]


def _push(
    git_dir: Path, remote: Remote, sha: str, ref: str, expected: str | None, timeout: float
) -> tuple[PushResult, str]:
    """Move a ref to `sha`, or remove it (""); after an attempt without an answer only once that is clear."""
    _see_that_it_is_a_ref(ref, expected)
    lease = [] if expected is None else [f"--force-with-lease={ref}:{expected}"]
    args = [*_PUSH, *lease]
    is_in_doubt = False

    def attempt(ask: Ask) -> tuple[PushResult, str]:
        nonlocal is_in_doubt
        if is_in_doubt:
            there = ls_remote(remote, ref).get(ref, "")
            if there == sha:
                return PushResult.OK, ""
            if expected is not None and there != expected:
                return PushResult.LOST_RACE, ""
        answer = ask(*args, "--", remote.url, f"{sha}:{ref}", git_dir=git_dir, timeout=timeout)
        if judged := _judgement(answer, ref):
            return judged
        fault = answer.fault("push to")
        is_in_doubt = is_in_doubt or (isinstance(fault, PassingFault) and fault.maybe_done)
        raise fault

    return patiently(remote, attempt)


def _see_that_it_is_a_commit(sha: str, ref: str) -> None:
    if not is_full_hex(sha):
        raise GitError(f"refusing to push {sha!r} to {ref}: not a full commit id")


def _see_that_it_is_a_ref(ref: str, expected: str | None) -> None:
    if not _REF.fullmatch(ref) or ".." in ref or (expected and not is_full_hex(expected)):
        raise GitError(
            f"refusing to push to {ref!r}: not a full ref name, or its expected place is no commit id"
        )


def _judgement(answer: Answer, ref: str) -> tuple[PushResult, str] | None:
    """What the server decided about the ref; None where it did not get so far."""
    for line in answer.done.out.splitlines():
        flag, moved, summary, *_ = [*line.split("\t"), "", ""]
        if len(flag) == 1 and moved.endswith(f":{ref}"):
            if flag != "!":
                return PushResult.OK, ""
            lost = _LOST.search(summary) is not None
            return (PushResult.LOST_RACE if lost else PushResult.REJECTED), _rejection(
                summary, answer.done.err
            )
    return None


_LOST = re.compile(
    r"stale info|non-fast-forward|fetch first|cannot lock ref|already exists|incorrect old value"
    r"|failed to update ref|failed to lock|remote ref does not exist|unexpected old"
)


def _rejection(summary: str, stderr: str) -> str:
    remote = (line for line in stderr.splitlines() if line.startswith("remote:"))
    words = (line.removeprefix("remote:").strip() for line in remote)
    said = [line.removeprefix("error:") for line in words]  # Gitea frames a sentence with empty errors
    reason = re.sub(r"^\[[^\]]*\] ?", "", summary).strip("()")
    return server_words("\n".join([*said, reason]), everything=True)


def is_workflow_refusal(message: str) -> bool:
    """Whether a push was rejected because the token may not change workflow files."""
    return "workflow" in message and ("scope" in message or "permission" in message)
