"""What every test stands on: no home, no network but loopback, forges and models of its own."""

from __future__ import annotations

import gc
import ipaddress
import os
import re
import shutil
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sprint.sandbox import toolchains
from tests.servers.forge import DemoForge
from tests.servers.model import DemoModel
from tests.temporary import open_to_all

_SCRUBBED = re.compile(
    r"(GITEA|FORGEJO|GITHUB|GH|OPENAI|OPENROUTER|OLLAMA|ANTHROPIC|SPRINT|HERMES|GIT|XDG)_.*"
    r"|(?i:(http|https|all|no)_proxy)|EDITOR|VISUAL|PAGER"
)
_IDENTITY = {"NAME": "Tess Tester", "EMAIL": "tess@example.org"}


def pytest_configure() -> None:
    """Commands can be interrupted, also where a script began the tests in the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """No collection of garbage need look again through thousands of tests and all modules: they stay."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _own_environment(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the machine's home, toolchains in it, tokens, proxies or git configuration."""
    for name in list(os.environ):
        if _SCRUBBED.fullmatch(name):
            monkeypatch.delenv(name)
    outside_homes = [path for path in os.environ["PATH"].split(":") if not toolchains.on(path).shown]
    monkeypatch.setenv("PATH", ":".join(outside_homes))
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    for name, folder in (
        ("CONFIG", ".config"),
        ("CACHE", ".cache"),
        ("DATA", ".local/share"),
        ("STATE", ".state"),
    ):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(home / folder))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_TERMINAL_PROMPT", "0")
    for role in ("AUTHOR", "COMMITTER"):
        for part, value in _IDENTITY.items():
            monkeypatch.setenv(f"GIT_{role}_{part}", value)


def _is_loopback(host: object) -> bool:
    if isinstance(host, bytes):
        host = host.decode("latin-1")
    if host in (None, "", "localhost"):
        return True
    try:
        return ipaddress.ip_address(str(host)).is_loopback
    except ValueError:
        return False


@pytest.fixture(autouse=True)
def _loopback_only(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A connection to anywhere else fails, and so does the test that tried it; names do not resolve."""
    tried: list[object] = []
    resolve = socket.getaddrinfo

    def guarded(name: str) -> Callable[..., Any]:
        original = getattr(socket.socket, name)

        def connect(self: socket.socket, address: Any) -> Any:
            if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_loopback(address[0]):
                tried.append(address)
                raise OSError(101, f"tests reach loopback only, not {address}")
            return original(self, address)

        return connect

    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        if _is_loopback(host):
            return resolve(host, *args, **kwargs)
        try:
            ipaddress.ip_address(host)
        except ValueError:
            raise socket.gaierror(socket.EAI_NONAME, f"tests resolve no name: {host}") from None
        return resolve(host, *args, **kwargs)

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, guarded(name))
    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    yield
    assert not tried, f"the test tried to leave the machine: {tried}"


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that were waited between two attempts, without waiting."""
    seconds: list[float] = []
    monkeypatch.setattr("tenacity.nap.time", SimpleNamespace(sleep=seconds.append))
    return seconds


@pytest.fixture
def make_forge(tmp_path: Path) -> Iterator[Callable[..., DemoForge]]:
    """Makes running forges: `make_forge("github")`, each with its own root."""
    with ExitStack() as stack:

        def make(kind: Any = "gitea", **options: Any) -> DemoForge:
            root = Path(tempfile.mkdtemp(prefix=f"{kind}-", dir=tmp_path))
            return stack.enter_context(DemoForge(kind, root, **options))

        yield make


@pytest.fixture
def gitea(make_forge: Callable[..., DemoForge]) -> DemoForge:
    return make_forge("gitea")


@pytest.fixture
def github(make_forge: Callable[..., DemoForge]) -> DemoForge:
    return make_forge("github")


@pytest.fixture(params=["gitea", "github"])
def forge_server(request: pytest.FixtureRequest, make_forge: Callable[..., DemoForge]) -> DemoForge:
    """One test, both kinds of forge."""
    return make_forge(request.param)


@pytest.fixture
def workspaces() -> Iterator[Path]:
    """A folder for workspaces that other users can pass through, which tmp_path is not."""
    folder = Path(tempfile.mkdtemp(prefix="sprint-test-", dir=open_to_all()))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def slash_tmp() -> Iterator[Path]:
    """A folder in /tmp, of which a sandbox has its own."""
    with tempfile.TemporaryDirectory(prefix="sprint-test-", dir="/tmp") as folder:
        yield Path(folder)


@pytest.fixture
def model_server() -> Iterator[Callable[..., DemoModel]]:
    """Makes running models: `model_server([say("hello"), finish()])` or `model_server(script)`."""
    with ExitStack() as stack:
        yield lambda script, **options: stack.enter_context(DemoModel(script, **options))
