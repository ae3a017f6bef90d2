"""A gateway between a server of the test's and whoever knocks, with and without a sandbox around him."""

from __future__ import annotations

import array
import contextlib
import http.client
import http.server
import json
import os
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sprint import sandbox
from sprint.config import GatewayConfig, SandboxConfig
from sprint.config.schema import IndexesConfig
from sprint.domain import Completed, Workspace
from sprint.gateway import INSIDE, Gateway
from sprint.gateway.clients import Machine
from sprint.gateway.connect import Network
from sprint.gateway.journal import NAME
from sprint.gateway.packages import package_gateway
from sprint.sandbox import Command
from tests.around import around

IS_ROOT = os.getuid() == 0
UID = 41_000 + os.getpid() % 9_000 if IS_ROOT else os.getuid()
INDEXES = ("pypi", "npm", "go", "crates", "maven")


@dataclass
class Page:
    """What the upstream answers at a path: `body` whole, or piece by piece where it is a function."""

    body: bytes | Callable[[], Iterator[bytes]] = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    length: int | None = None  # what it says it will send


class Upstream:
    """A server outside, on loopback: `pages` by path, and the requests that reached it."""

    def __init__(self) -> None:
        self.pages: dict[str, Page] = {}
        self.asked: list[str] = []
        self.headers: list[dict[str, str]] = []
        upstream = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                upstream.asked.append(self.path)
                upstream.headers.append({name.lower(): value for name, value in self.headers.items()})
                page = upstream.pages.get(self.path, Page(b"no such page", 404))
                pieces = [page.body] if isinstance(page.body, bytes) else page.body()
                length = len(page.body) if isinstance(page.body, bytes) else page.length
                self.send_response(page.status)
                for name, value in page.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(page.length if page.length is not None else length))
                self.end_headers()
                if self.command == "GET":
                    for piece in pieces:
                        self.wfile.write(piece)
                self.close_connection = page.length is not None and isinstance(page.body, bytes)

            do_HEAD = do_POST = do_GET  # noqa: N815 - http.server's own names

            def log_message(self, *args: Any) -> None:
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *args: Any) -> None:
                pass  # the gateway may hang up

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with contextlib.closing(Upstream()) as server:
        yield server


@dataclass
class Answer:
    status: int
    reason: str
    body: bytes
    headers: Mapping[str, str]


class Visitor:
    """In the place of a sandboxed command: hands over doors as enter.py does, at ports of its own."""

    def __init__(self, gateway: Gateway, *, token: str = "") -> None:
        self._stack = contextlib.ExitStack()
        self.inside = next(path for path, at in gateway.read_only.items() if at == INSIDE)
        doors = json.loads((self.inside / "doors.json").read_text())
        self.listening = {
            name: self._stack.enter_context(socket.create_server(("127.0.0.1", 0))) for name in doors["ports"]
        }
        self.said = hand_over(
            self.inside,
            {"token": token or doors["token"], "routes": list(self.listening)},
            self.listening.values(),
        )
        self.ports = {name: door.getsockname()[1] for name, door in self.listening.items()}

    def connect(self, route: str, timeout: float = 20.0) -> socket.socket:
        return self._stack.enter_context(socket.create_connection(("127.0.0.1", self.ports[route]), timeout))

    def get(self, route: str, path: str, *, method: str = "GET", **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[route], timeout=20)
        with contextlib.closing(connection):
            connection.putrequest(method, path, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name.replace("_", "-"), value)
            connection.endheaders()
            response = connection.getresponse()
            return Answer(response.status, response.reason, response.read(), dict(response.getheaders()))

    def raw(self, route: str, data: bytes) -> bytes:
        """Everything that comes back for these bytes until the other side hangs up."""
        came = b""
        with self.connect(route) as client, contextlib.suppress(ConnectionError):
            client.sendall(data)
            with contextlib.suppress(OSError):  # it may have hung up already
                client.shutdown(socket.SHUT_WR)
            while piece := client.recv(65536):
                came += piece
        return came

    def close(self) -> None:
        self._stack.close()


def hand_over(inside: Path, message: object, listening: Any) -> bytes:
    """What the gateway answers; b"" where it hangs up."""
    descriptors = array.array("i", [one.fileno() for one in listening])
    with socket.socket(socket.AF_UNIX) as gateway:
        gateway.settimeout(20)
        folder = os.open(inside, os.O_RDONLY)
        try:
            gateway.connect(f"/proc/self/fd/{folder}/socket")
        finally:
            os.close(folder)
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)] if descriptors else []
        gateway.sendmsg([json.dumps(message).encode()], rights)
        try:
            return gateway.recv(10)
        except ConnectionResetError:
            return b""


class Site:
    """Where a gateway is opened: a run's folder, a mirror with lock files, the indexes all at `upstream`."""

    def __init__(self, root: Path, upstream: Upstream) -> None:
        self.upstream = upstream
        self.folder = root / "run"
        self.folder.mkdir()
        self.files: dict[str, str] = {}
        self.config: dict[str, Any] = {}
        self.indexes = {name: f"{upstream.url}/{name}" for name in INDEXES}
        self.network: Network | None = None
        self.machine = Machine(around(root / "home"), root / "cache")
        self._mirror = root / "mirror.git"

    def base(self) -> tuple[Path, str]:
        """The mirror and the base commit in it."""
        return self._mirror, self._commit()

    def gateway(self) -> contextlib.AbstractContextManager[Gateway]:
        return package_gateway(
            self.folder,
            GatewayConfig(indexes=IndexesConfig(**self.indexes), **self.config),
            self.machine,
            mirror=self._mirror,
            base=self._commit(),
            network=self.network,
        )

    @contextlib.contextmanager
    def visitor(self) -> Iterator[Visitor]:
        with self.gateway() as gateway, contextlib.closing(Visitor(gateway)) as visitor:
            assert visitor.said == b"+"
            yield visitor

    def journal(self, event: str = "") -> list[dict[str, Any]]:
        path = self.folder / NAME
        lines = path.read_text().splitlines() if path.exists() else []
        return [one for one in map(json.loads, lines) if not event or one["event"] == event]

    def refusals(self) -> list[str]:
        return [f"{one['route']}: {one['what']}: {one['why']}" for one in self.journal("refused")]

    def _commit(self) -> str:
        if not self._mirror.exists():
            git("init", "-q", "--bare", str(self._mirror))
        entries = []
        for name, text in self.files.items():
            sha = git("-C", str(self._mirror), "hash-object", "-w", "--stdin", stdin=text)
            entries.append(f"100644 blob {sha}\t{name}\n")
        tree = git("-C", str(self._mirror), "mktree", stdin="".join(entries))
        return git("-C", str(self._mirror), "commit-tree", "-m", "base", tree)


def git(*arguments: str, stdin: str = "") -> str:
    return subprocess.run(
        ["git", *arguments], input=stdin, capture_output=True, text=True, check=True, timeout=20
    ).stdout.strip()


@pytest.fixture
def site(tmp_path: Path, upstream: Upstream) -> Site:
    return Site(tmp_path, upstream)


@pytest.fixture
def visitor(site: Site) -> Iterator[Visitor]:
    """At a gateway with nothing special about it."""
    with site.visitor() as visitor:
        yield visitor


class Inside:
    """A sandbox with a workspace, and the gateway open for each command."""

    def __init__(self, root: Path, site: Site) -> None:
        self.site = site
        self.space = Workspace(Path(tempfile.mkdtemp(dir=root)), UID if IS_ROOT else None)
        for path in (self.space.root, self.space.checkout, self.space.home, self.space.tmp):
            path.mkdir(exist_ok=True)
            os.chown(path, UID, UID if IS_ROOT else -1)

    def run(
        self, script: str, *, timeout: float = 60, show: Mapping[Path, str] | None = None, **env: str
    ) -> Completed:
        """A shell script in the sandbox, with all that it needs of a gateway in its environment."""
        with self.site.gateway() as gateway:
            return self.within(gateway, script, timeout=timeout, show=show, **env)

    def within(
        self,
        gateway: Gateway,
        script: str,
        *,
        timeout: float = 60,
        show: Mapping[Path, str] | None = None,
        **env: str,
    ) -> Completed:
        return sandbox.make(SandboxConfig()).run(
            Command(
                gateway.wrap(["/bin/bash", "-c", script]),
                timeout=timeout,
                env={**gateway.env, **env},
                read_only={**gateway.read_only, **(show or {})},
            ),
            self.space,
        )

    def write(self, name: str, text: str) -> None:
        path = self.space.checkout / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        for made in (path, *path.parents):
            if made == self.space.checkout:
                break
            os.chown(made, UID, -1)


@pytest.fixture
def inside(workspaces: Path, site: Site) -> Inside:
    return Inside(workspaces, site)
