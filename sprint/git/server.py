"""What git says to servers and hears from them, with tokens that show nowhere."""

from __future__ import annotations

import contextlib
import fnmatch
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from sprint.domain import Completed, Secret
from sprint.errors import ForgeError, SprintError
from sprint.git.process import GitError, git, is_full_hex
from sprint.git.server_errors import remote_fault, server_words

_REF = re.compile(r"refs/[^\x00-\x20\x7f~^:?*\[\\]+")
_USERNAME = "x-access-token"  # GitHub and Gitea look at the password alone where it is a token
_PROXIES = ("http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY")
_CERTIFICATES = ("GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "SSL_CERT_FILE", "SSL_CERT_DIR")


@dataclass(frozen=True)
class Remote:
    """Where a repository is served: http(s) without credentials in it, or an absolute path."""

    url: str
    token: Secret | None = None

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if "@" in parts.netloc:
            raise SprintError(f"the address of {parts.hostname} holds credentials; they belong in token_file")
        if parts.scheme not in ("http", "https", "file") and not self.url.startswith("/"):
            raise SprintError(f"cannot use {self.url!r} as a git address: it must be http or https")

    @property
    def is_http(self) -> bool:
        return self.url.startswith(("http://", "https://"))

    @property
    def origin(self) -> str:
        """Scheme, host and port, as git names them to credential helpers."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"


class PushResult(StrEnum):
    OK = "ok"
    LOST_RACE = "lost_race"  # the ref is not what it was expected to be
    REJECTED = "rejected"  # the server said no


def ls_remote(remote: Remote, *patterns: str, timeout: float = 60) -> dict[str, str]:
    """Refs of the server by full name ("refs/heads/*") and their shas; HEAD only where asked for."""
    done = _talk(remote, "ls-remote", "--quiet", remote.url, *patterns, git_dir=None, timeout=timeout)
    if not done.ok:
        raise _fault(remote, "read", done)
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
) -> None:
    """Fetch refspecs, checking every object; `keep_pack` stores them as one pack, however few they are.

    Raises ForgeError, and Unexplained where the fault may as well be in `git_dir`.
    """
    args = ["fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head"]
    args += ["--prune"] if prune else []
    args += [f"--depth={depth}"] if depth else []
    settings = ("-c", f"fetch.unpackLimit={1 if keep_pack else 100}", *_TOLERATED)
    done = _talk(
        remote, *args, "--", remote.url, *refspecs, git_dir=git_dir, timeout=timeout, settings=settings
    )
    if not done.ok:
        raise _fault(remote, "fetch", done)


# Faults of old commits that are harmless and that large public repositories have had for years.
_TOLERATED = tuple(
    part
    for name in ("zeroPaddedFilemode", "missingSpaceBeforeDate", "badTimezone", "missingSpaceBeforeEmail")
    for part in ("-c", f"fetch.fsck.{name}=ignore")
)


def push(
    git_dir: Path, remote: Remote, sha: str, ref: str, *, expected: str | None, timeout: float = 300
) -> tuple[PushResult, str]:
    """Push one commit to one ref; never forced blindly, never a deletion.

    `expected` None: a plain fast-forward. "": the ref must not exist yet. A sha: the ref must be at it, and
    then it may go anywhere. Returns the result and the server's reason as one line ("" when OK). Raises
    ForgeError where there was no answer: the push may then have happened or not.
    """
    if not is_full_hex(sha):
        raise GitError(f"refusing to push {sha!r} to {ref}: not a full commit id")
    result, why = _push(git_dir, remote, f"{sha}:{ref}", ref, expected, timeout)
    # libcurl says a request again whose connection broke off; the second finds what the first one did.
    if result is PushResult.LOST_RACE and ls_remote(remote, ref).get(ref) == sha:
        return PushResult.OK, ""
    return result, why


def delete_ref(git_dir: Path, remote: Remote, ref: str, *, expected: str, timeout: float = 60) -> PushResult:
    """Delete a ref of the server that is still at `expected`."""
    if not is_full_hex(expected):
        raise GitError(f"refusing to delete {ref} without knowing where it is")
    return _push(git_dir, remote, f":{ref}", ref, expected, timeout)[0]


def _push(
    git_dir: Path, remote: Remote, refspec: str, ref: str, expected: str | None, timeout: float
) -> tuple[PushResult, str]:
    if not _REF.fullmatch(ref) or ".." in ref or (expected and not is_full_hex(expected)):
        raise GitError(
            f"refusing to push to {ref!r}: not a full ref name, or its expected place is no commit id"
        )
    lease = [] if expected is None else [f"--force-with-lease={ref}:{expected}"]
    args = ["push", "--porcelain", "--no-verify", "--no-follow-tags", "--recurse-submodules=no", *lease]
    done = _talk(remote, *args, "--", remote.url, refspec, git_dir=git_dir, timeout=timeout)
    for line in done.out.splitlines():
        flag, moved, summary, *_ = [*line.split("\t"), "", ""]
        if len(flag) == 1 and moved.endswith(f":{ref}"):
            if flag != "!":
                return PushResult.OK, ""
            lost = _LOST.search(summary) is not None
            return (PushResult.LOST_RACE if lost else PushResult.REJECTED), _rejection(summary, done.err)
    raise _fault(remote, "push to", done)


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


# --- how it is said, and what stays unsaid ---


def _talk(
    remote: Remote, *args: str, git_dir: Path | None, timeout: float, settings: tuple[str, ...] = ()
) -> Completed:
    """Run a git command that talks to `remote`, with its token within reach of nothing else."""
    passed = {name: os.environ[name] for name in (*_PROXIES, *_CERTIFICATES) if os.environ.get(name)}
    if "SSL_CERT_FILE" in passed:  # GnuTLS builds of libcurl do not look at it
        passed.setdefault("GIT_SSL_CAINFO", passed["SSL_CERT_FILE"])
    allowed = "http:https" if remote.is_http else "file"
    with _credentials(remote) as (options, fds):
        return git(
            *options,
            *settings,
            *args,
            git_dir=git_dir,
            timeout=timeout,
            check=False,
            env={**(passed if remote.is_http else {}), "GIT_ALLOW_PROTOCOL": allowed},
            pass_fds=fds,
        )


@contextlib.contextmanager
def _credentials(remote: Remote) -> Iterator[tuple[tuple[str, ...], tuple[int, ...]]]:
    """Git options and file descriptors that let git, and only for this very host, find the token.

    The token lives in memory that has no name (a memfd), handed down as an open descriptor. A credential
    helper, unlike askpass, needs no executable on disk and is told protocol and host apart from each other.
    """
    if not remote.token or not remote.is_http:
        yield (), ()
        return
    token = remote.token.reveal()
    if not token.isprintable() or not token.isascii():
        raise SprintError(f"the token for {remote.origin} has characters that no token has")
    fd = os.memfd_create("credential", os.MFD_CLOEXEC)
    try:
        os.write(fd, token.encode())
        helper = (
            '!f() { test "$1" = get || exit 0; while IFS== read -r k v; do case "$k" in'
            ' protocol) p=$v;; host) h=$v;; esac; done; test "$p://$h" = "' + remote.origin + '" || exit 0;'
            f" echo username={_USERNAME}; printf password=; cat /proc/self/fd/{fd}; echo; }}; f"
        )
        yield ("-c", f"credential.{remote.origin}.helper={helper}"), (fd,)
    finally:
        os.close(fd)


def _fault(remote: Remote, doing: str, done: Completed) -> ForgeError:
    return remote_fault(remote.url, remote.token, doing, done)
