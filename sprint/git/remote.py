"""Where a repository is served, and how git talks to its server with a token that shows nowhere."""

from __future__ import annotations

import contextlib
import os
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Protocol, TypeVar
from urllib.parse import urlsplit

from msgspec import Struct

from sprint import retries
from sprint.domain import Completed, Secret
from sprint.errors import ForgeError, SprintError
from sprint.git.process import git
from sprint.git.server_errors import remote_fault

T = TypeVar("T")

_USERNAME = "x-access-token"  # GitHub and Gitea look at the password alone where it is a token
_PROXIES = ("http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY")
_CERTIFICATES = ("GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "SSL_CERT_FILE", "SSL_CERT_DIR")
_TRACE_CAP = 1_000_000  # bytes of a trace's end that are looked through
_RECEIVED = "<= Recv header: "


class Remote(Struct, frozen=True):
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


class Answer(Struct, frozen=True):
    """How a command ended, and the headers of the server's last answer; None where nobody listened."""

    remote: Remote
    done: Completed
    headers: Mapping[str, str] | None

    def fault(self, doing: str) -> ForgeError:
        """The error for a command that did not get what it wanted."""
        return remote_fault(self.remote.url, self.remote.token, doing, self.done, self.headers)


class Ask(Protocol):
    """Runs a git command that talks to the server; `args` may begin with `-c` settings."""

    def __call__(
        self,
        *args: str,
        git_dir: Path | None = None,
        timeout: float,
        stdin: bytes = b"",
        watch: Callable[[], str] | None = None,
    ) -> Answer: ...


def patiently(remote: Remote, attempt: Callable[[Ask], T]) -> T:
    """What `attempt` returns, called again while the server fails in a way that passes.

    git tells no headers unless it is traced: only from the second attempt on is heard how long the server
    asks to wait, and whether a 403 is a limit. Raises ForgeError.
    """
    listens = False

    def ask(
        *args: str,
        git_dir: Path | None = None,
        timeout: float,
        stdin: bytes = b"",
        watch: Callable[[], str] | None = None,
    ) -> Answer:
        return talk(
            remote, *args, git_dir=git_dir, timeout=timeout, listens=listens, stdin=stdin, watch=watch
        )

    def once() -> T:
        nonlocal listens
        try:
            return attempt(ask)
        finally:
            listens = True

    return retries.repeat(once)


def talk(
    remote: Remote,
    *args: str,
    git_dir: Path | None,
    timeout: float,
    listens: bool = False,
    env: Mapping[str, str] | None = None,
    stdin: bytes = b"",
    watch: Callable[[], str] | None = None,
) -> Answer:
    """Run a git command that talks to `remote` once, with its token within reach of nothing else. `env` is
    added to git's environment; `watch` is `proc.run`'s."""
    passed = {name: os.environ[name] for name in (*_PROXIES, *_CERTIFICATES) if os.environ.get(name)}
    if "SSL_CERT_FILE" in passed:  # GnuTLS builds of libcurl do not look at it
        passed.setdefault("GIT_SSL_CAINFO", passed["SSL_CERT_FILE"])
    allowed = "http:https" if remote.is_http else "file"
    with _credentials(remote) as (options, fds), _trace(listens) as trace:
        done = git(
            *options,
            *args,
            git_dir=git_dir,
            timeout=timeout,
            check=False,
            env={
                **(passed if remote.is_http else {}),
                **_tracing(trace),
                **(env or {}),
                "GIT_ALLOW_PROTOCOL": allowed,
            },
            pass_fds=fds if trace is None else (*fds, trace),
            stdin=stdin,
            watch=watch,
        )
        return Answer(remote, done, None if trace is None else _last_headers(trace))


@contextlib.contextmanager
def _credentials(remote: Remote) -> Iterator[tuple[tuple[str, ...], tuple[int, ...]]]:
    """Git options and file descriptors that let git, and only for this very host, find the token.

    The token lives in memory that has no name (a memfd), handed down as an open descriptor: as a header that
    is sent at once, for else each dialogue begins with a refusal, and for a credential helper, which is asked
    where the header is refused. Unlike askpass it needs no executable on disk and is told protocol and host
    apart from each other.
    """
    if not remote.token or not remote.is_http:
        yield (), ()
        return
    token = remote.token.reveal()
    if not token.isprintable() or not token.isascii():
        raise SprintError(f"the token for {remote.origin} has characters that no token has")
    pair = b64encode(f"{_USERNAME}:{token}".encode()).decode()
    header = f'[http "{remote.origin}/"]\n\textraHeader = "Authorization: Basic {pair}"\n'
    with _unnamed(token) as fd, _unnamed(header) as settings:
        helper = (
            '!f() { test "$1" = get || exit 0; while IFS== read -r k v; do case "$k" in'
            ' protocol) p=$v;; host) h=$v;; esac; done; test "$p://$h" = "' + remote.origin + '" || exit 0;'
            f" echo username={_USERNAME}; printf password=; cat /proc/self/fd/{fd}; echo; }}; f"
        )
        options = ("-c", f"credential.{remote.origin}.helper={helper}")
        yield (*options, "-c", f"include.path=/proc/self/fd/{settings}"), (fd, settings)


@contextlib.contextmanager
def _unnamed(text: str) -> Iterator[int]:
    """A descriptor of memory without a name that holds it."""
    fd = os.memfd_create("credential", os.MFD_CLOEXEC)
    try:
        os.write(fd, text.encode())
        yield fd
    finally:
        os.close(fd)


@contextlib.contextmanager
def _trace(wanted: bool) -> Iterator[int | None]:
    """Memory without a name that git can write a trace to."""
    if not wanted:
        yield None
        return
    trace = os.memfd_create("trace", os.MFD_CLOEXEC)
    try:
        yield trace
    finally:
        os.close(trace)


def _tracing(trace: int | None) -> dict[str, str]:
    """The environment that has git write down the headers of its requests, credentials blacked out."""
    if trace is None:
        return {}
    return {
        "GIT_TRACE_CURL": f"/proc/self/fd/{trace}",
        "GIT_TRACE_CURL_NO_DATA": "1",
        "GIT_TRACE_REDACT": "1",
    }


def _last_headers(trace: int) -> dict[str, str]:
    size = os.fstat(trace).st_size
    text = os.pread(trace, _TRACE_CAP, max(size - _TRACE_CAP, 0)).decode("latin-1")
    headers: dict[str, str] = {}
    for line in text.splitlines():
        _, is_header, header = line.partition(_RECEIVED)
        if is_header and header.startswith("HTTP/"):
            headers = {}
        elif is_header:
            name, _, value = header.partition(":")
            headers[name] = value.strip()
    return headers
