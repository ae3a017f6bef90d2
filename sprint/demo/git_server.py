"""The demo's git server: bare repositories, and `git http-backend` in front of them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from sprint import proc
from sprint.demo.loopback import Answer, Request

_SECONDS = 120.0
_LARGEST_OUTPUT = 2**31
_SETTINGS = """\
[http]
    receivepack = true
[receive]
    autogc = false
[uploadpack]
    allowAnySHA1InWant = true
    allowFilter = true
"""
_ASKED_FIRST = "/info/refs", "service=git-upload-pack", "version=2"

_advertised: dict[tuple[str, int, int, int], Answer] = {}


@dataclass(frozen=True)
class Commit:
    """A commit to make: what each path shall hold, None to delete it."""

    message: str
    files: Mapping[str, str | bytes | None]
    author: str = "Ada Example"
    at: datetime | None = None


def run_git(path: Path, *args: str, stdin: bytes = b"", **env: str) -> str:
    """What git prints, run in a repository. Raises RuntimeError where it fails."""
    done = proc.run(
        ["git", f"--git-dir={path}", *args], timeout=_SECONDS, env=_environment(**env), stdin=stdin
    )
    if not done.ok:
        raise RuntimeError(f"git {args[0]} in {path}: {done.err.strip()}")
    return done.out


def _environment(**more: str) -> dict[str, str]:
    """No configuration of the machine or of its user."""
    return proc.minimal_environment(
        HOME="/nonexistent", GIT_CONFIG_NOSYSTEM="1", GIT_CONFIG_GLOBAL=os.devnull, **more
    )


def create(path: Path, default_branch: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    run_git(path, "init", "--quiet", "--bare", "--template=", f"--initial-branch={default_branch}")
    with (path / "config").open("a") as config:
        config.write(_SETTINGS)


def refs(path: Path) -> dict[str, str]:
    """Every reference but HEAD, by its full name, from the files that git keeps them in: nearly all of a
    forge's answers look at some."""
    loose = {}
    for inside, _, names in os.walk(path / "refs"):
        for name in names:
            with suppress(FileNotFoundError):  # packed since
                loose[f"{inside[len(str(path)) + 1 :]}/{name}"] = Path(inside, name).read_text().strip()
    packed = {}
    with suppress(FileNotFoundError):
        lines = (path / "packed-refs").read_text().splitlines()
        packed = {ref: sha for sha, _, ref in (line.partition(" ") for line in lines if line[:1] not in "#^")}
    return {ref: sha for ref, sha in sorted({**packed, **loose}.items()) if not ref.endswith(".lock")}


def commit(path: Path, branch: str, commits: Sequence[Commit]) -> str:
    """Add commits to a branch, made where it is not there yet; returns the last one's id."""
    ref = f"refs/heads/{branch}"
    stream = bytearray()
    parent = f"from {ref}^0\n" if ref in refs(path) else ""
    for entry in commits:
        at = int((entry.at or datetime.now(UTC)).timestamp())
        email = f"{entry.author.lower().replace(' ', '.')}@example.org"
        who = f"{entry.author} <{email}> {at} +0000"
        stream += f"commit {ref}\nauthor {who}\ncommitter {who}\n".encode()
        stream += _data(entry.message) + parent.encode()
        for name, content in entry.files.items():
            if content is None:
                stream += f"D {name}\n".encode()
            else:
                mode = "100755" if content[:2] in ("#!", b"#!") else "100644"
                stream += f"M {mode} inline {name}\n".encode() + _data(content)
        parent = ""
    in_a_pack = ("-c", "fastimport.unpackLimit=1")  # else another git takes it apart
    run_git(path, *in_a_pack, "fast-import", "--quiet", "--date-format=raw", stdin=bytes(stream))
    return refs(path)[ref]


def _data(content: str | bytes) -> bytes:
    raw = content.encode() if isinstance(content, str) else content
    return b"data %d\n%s\n" % (len(raw), raw)


def serve(request: Request, repo: Path, path_info: str, user: str) -> Answer:
    """Answer a request below a repository's address, by `git http-backend`, which is a CGI program.

    What each fetch asks first is what git can do here. In this version of its protocol it tells no
    references: as long as the repository's settings stay, so does the answer.
    """
    if (path_info, request.query_string, request.headers.get("git-protocol")) != _ASKED_FIRST:
        return _ask(request, repo, path_info, user)
    settings = _about(repo / "config")
    if settings not in _advertised:
        answer = _ask(request, repo, path_info, user)
        if answer.status != 200:
            return answer
        _advertised[settings] = answer
    return _advertised[settings]


def _about(file: Path) -> tuple[str, int, int, int]:
    with suppress(FileNotFoundError):
        about = file.stat()
        return str(file), about.st_ino, about.st_mtime_ns, about.st_size
    return str(file), 0, 0, 0


def _ask(request: Request, repo: Path, path_info: str, user: str) -> Answer:
    cgi = {
        "GIT_PROJECT_ROOT": str(repo),
        "GIT_HTTP_EXPORT_ALL": "1",
        "REQUEST_METHOD": request.method,
        "PATH_INFO": path_info,
        "QUERY_STRING": request.query_string,
        "CONTENT_TYPE": request.headers.get("content-type", ""),
        "CONTENT_LENGTH": str(len(request.body)),
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_USER": user,
        "HTTP_CONTENT_ENCODING": request.headers.get("content-encoding", ""),
        "GIT_PROTOCOL": request.headers.get("git-protocol", ""),
    }
    env = _environment(**{name: value for name, value in cgi.items() if value})
    done = proc.run([_backend()], timeout=_SECONDS, env=env, stdin=request.body, output_cap=_LARGEST_OUTPUT)
    head, ends, content = done.stdout.partition(b"\r\n\r\n")
    if not ends:
        return Answer(500, b"git http-backend did not answer\n", {"Content-Type": "text/plain"})
    headers = dict(line.split(": ", 1) for line in head.decode("latin-1").splitlines())
    return Answer(int(headers.pop("Status", "200").split()[0]), content, headers)


@cache
def _backend() -> str:
    """Where the program is: `git http-backend` would be a process that waits for it."""
    folder = proc.run(["git", "--exec-path"], timeout=_SECONDS, env=_environment()).out.strip()
    return f"{folder}/git-http-backend"
