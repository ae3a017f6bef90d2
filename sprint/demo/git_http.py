"""Git over HTTP: `git http-backend` as a CGI program, both directions streamed."""

from __future__ import annotations

import contextlib
import subprocess
import threading
from collections.abc import Callable, Generator
from pathlib import Path

from sprint.demo.bare import environment
from sprint.demo.http_messages import Answer, Request

_CHUNK = 65536


def serve_git(
    request: Request,
    repo: Path,
    path_info: str,
    user: str,
    on_pushed: Callable[[], None],
    *,
    refusal: str = "",
) -> Answer:
    """Answer a request below a repository's address.

    `on_pushed` runs before a push's answer ends; `refusal` is what the repository's hook says to every push.
    """
    # proc.run keeps whole outputs in memory; packs have to flow through.
    backend = subprocess.Popen(
        ["git", "http-backend"],
        env=_cgi_environment(request, repo, path_info, user) | {"FORGE_REFUSAL": refusal},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    feeder = threading.Thread(target=_feed, args=(request, backend), daemon=True)
    feeder.start()
    status, headers = _cgi_headers(backend)
    return Answer(
        status, _body(backend, feeder, on_pushed if path_info == "/git-receive-pack" else None), headers
    )


def _cgi_environment(request: Request, repo: Path, path_info: str, user: str) -> dict[str, str]:
    headers = request.headers
    env = {
        **environment(),
        "GIT_PROJECT_ROOT": str(repo),
        "GIT_HTTP_EXPORT_ALL": "1",
        "REQUEST_METHOD": request.method,
        "PATH_INFO": path_info,
        "QUERY_STRING": request.query_string,
        "CONTENT_TYPE": headers.get("content-type", ""),
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_USER": user,
        "HTTP_CONTENT_ENCODING": headers.get("content-encoding", ""),
        "GIT_PROTOCOL": headers.get("git-protocol", ""),
        "LC_ALL": "C",
    }
    if "content-length" in headers:
        env["CONTENT_LENGTH"] = headers["content-length"]
    return {name: value for name, value in env.items() if value}


def _feed(request: Request, backend: subprocess.Popen[bytes]) -> None:
    assert backend.stdin is not None
    alive = True
    with contextlib.suppress(OSError):
        for piece in request.pieces():
            try:
                if alive:
                    backend.stdin.write(piece)
            except BrokenPipeError:
                alive = False  # the rest of the body still has to be taken off the connection
    with contextlib.suppress(OSError):
        backend.stdin.close()


def _cgi_headers(backend: subprocess.Popen[bytes]) -> tuple[int, dict[str, str]]:
    assert backend.stdout is not None
    status, headers = 200, {}
    while line := backend.stdout.readline().decode("latin-1").strip():
        name, _, value = line.partition(":")
        if name.lower() == "status":
            status = int(value.split()[0])
        else:
            headers[name] = value.strip()
    return status, headers


def _body(
    backend: subprocess.Popen[bytes], feeder: threading.Thread, on_pushed: Callable[[], None] | None
) -> Generator[bytes, None, None]:
    assert backend.stdout is not None
    try:
        while piece := backend.stdout.read1(_CHUNK):  # type: ignore[attr-defined]
            yield piece
        feeder.join()
        backend.wait()
        if on_pushed is not None:
            on_pushed()
    finally:
        ended = backend.poll() is not None
        if not ended:
            backend.kill()
            backend.wait()
        backend.stdout.close()
