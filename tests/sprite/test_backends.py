"""What every backend promises: a folder here, one behind a real sshd, sprites.dev by its unmodified SDK."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from msgspec import structs
from sprites import websocket

from sprint.config import LocalBackendConfig, SandboxConfig, SpritesBackendConfig, SshBackendConfig
from sprint.domain import Secret
from sprint.errors import ConfigError
from sprint.sandbox import probing
from sprint.sprite import boxed, folders, sprites_dev
from sprint.sprite.backend import Backend, Failed, Missing, Refused, SpriteState, Unreachable
from sprint.sprite.examining import examine
from sprint.sprite.sprites_dev import SpritesBackend
from tests.around import around
from tests.servers.sprites_dev import SpritesDev
from tests.servers.sshd import sshd
from tests.sprite.some_backend import made
from tests.waiting import wait_until
from tests.worker.conftest import NO_CONFIG


@pytest.fixture(params=["local", pytest.param("ssh", marks=pytest.mark.machine), "sprites"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    with made(request.param, tmp_path) as backend:
        yield backend


def test_a_sprite_from_beginning_to_end(backend: Backend) -> None:
    assert list(backend.list()) == []
    assert backend.state("bramble") is SpriteState.GONE
    for name in ("bramble", "willow", "fern"):
        backend.create(name, {"managed_by": "sprint", "persona": name})
    assert [(one.name, one.labels["persona"]) for one in backend.list()] == [
        ("bramble", "bramble"),
        ("fern", "fern"),
        ("willow", "willow"),
    ]
    assert backend.state("bramble") is SpriteState.UP
    before = next(iter(backend.list()))
    backend.label("bramble", {"managed_by": "sprint", "persona": "other"})
    after = next(iter(backend.list()))
    assert (after.labels["persona"], after.created) == ("other", before.created)
    with pytest.raises(Refused, match="bramble already"):
        backend.create("bramble", {})
    backend.destroy("bramble")
    backend.destroy("bramble")
    assert backend.state("bramble") is SpriteState.GONE
    assert {one.name for one in backend.list()} == {"willow", "fern"}


def test_commands_have_input_environment_and_a_code(backend: Backend) -> None:
    backend.create("bramble", {})
    script = 'cat; echo "$A $1 $PWD" >&2; exit 255'
    done = backend.exec(
        "bramble", ["sh", "-c", script, "sh", 'it\'s "x"'], timeout=60, stdin=b"in\0put", env={"A": "b c"}
    )
    assert (done.exit_code, done.stdout) == (255, b"in\0put")
    told = done.stderr.decode().split()
    assert told[:4] == ["b", "c", "it's", '"x"']
    assert backend.exec("bramble", ["sh", "-c", 'test "$HOME" = "$PWD"'], timeout=60).exit_code == 0
    assert backend.exec("bramble", ["sh", "-c", "exit 90"], timeout=60).exit_code == 90
    with pytest.raises(Missing):
        backend.exec("nobody", ["true"], timeout=60)


def test_a_command_that_does_not_end_is_given_up(backend: Backend) -> None:
    backend.create("bramble", {})
    with pytest.raises(Failed, match="did not end within 1 s"):
        backend.exec("bramble", ["sleep", "20"], timeout=1)


def test_nothing_of_the_runner_is_seen_there(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITEA_TOKEN", "gitea-token-of-the-runner")
    backend.create("bramble", {})
    assert b"gitea-token" not in backend.exec("bramble", ["env"], timeout=60).stdout


def test_files_go_there_and_back_whole(backend: Backend) -> None:
    backend.create("bramble", {})
    for data in (b"", b"x\0y\n", os.urandom(9 << 20)):
        backend.put("bramble", "some/folder/file", data, mode=0o640)
        assert backend.get("bramble", "some/folder/file") == data
    mode = backend.exec("bramble", ["stat", "-c", "%a", "some/folder/file"], timeout=60).stdout
    assert mode == b"640\n"
    assert backend.exec("bramble", ["sh", "-c", "ls some/folder"], timeout=60).stdout == b"file\n"
    with pytest.raises(Missing):
        backend.get("bramble", "some/other")
    with pytest.raises(Refused, match="larger than"):
        backend.get("bramble", "some/folder/file", cap=1000)


def test_a_checkpoint_brings_back_what_was(backend: Backend) -> None:
    backend.create("bramble", {})
    backend.put("bramble", "kept", b"1")
    first = backend.checkpoint("bramble", "clean state")
    backend.put("bramble", "kept", b"2")
    backend.put("bramble", "new", b"3")
    second = backend.checkpoint("bramble")
    assert [(one.id, one.comment) for one in backend.checkpoints("bramble")] == [
        (first.id, "clean state"),
        (second.id, ""),
    ]
    backend.restore("bramble", first.id)
    assert backend.get("bramble", "kept") == b"1"
    with pytest.raises(Missing):
        backend.get("bramble", "new")
    with pytest.raises(Missing):
        backend.restore("bramble", "v99")
    assert backend.get("bramble", "kept") == b"1"


@pytest.mark.parametrize("name", ["", "../x", "A", "-a", "a b", "x" * 64, "a/b"])
def test_a_name_that_is_none_goes_nowhere(tmp_path: Path, name: str) -> None:
    with made("local", tmp_path) as backend, pytest.raises(ConfigError, match="is no name for a sprite"):
        backend.create(name, {})


def test_a_restore_that_was_cut_off_loses_nothing(tmp_path: Path) -> None:
    with made("local", tmp_path) as backend:
        backend.create("bramble", {})
        backend.put("bramble", "kept", b"1")
        folder = tmp_path / "sprites" / "bramble"
        (folder / "home").rename(folder / ".old")  # killed between its two renames
        assert backend.state("bramble") is SpriteState.UP
        assert backend.get("bramble", "kept") == b"1"


@pytest.mark.machine
def test_a_machine_that_is_away_is_unreachable_and_its_sprites_unknown(tmp_path: Path) -> None:
    with sshd(tmp_path / "ssh") as server:
        backend = folders.ssh("there", server.config)
        backend.create("bramble", {})
    with pytest.raises(Unreachable):
        backend.list()
    assert backend.state("bramble") is SpriteState.UNKNOWN


@pytest.mark.machine
def test_a_machine_that_stops_answering_is_seen_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over a connection that is open, and by a new one."""
    monkeypatch.setattr(folders, "_LOGIN_SECONDS", 1)
    monkeypatch.setattr(folders, "_SILENT_SECONDS", 1)
    with sshd(tmp_path / "ssh") as server:
        backend = folders.ssh("there", server.config)
        backend.create("bramble", {})
        server.signal(signal.SIGSTOP)
        try:
            with pytest.raises(Unreachable):
                backend.exec("bramble", ["true"], timeout=600)
            assert backend.state("bramble") is SpriteState.UNKNOWN
        finally:
            server.signal(signal.SIGCONT)
        assert wait_until(lambda: backend.state("bramble") is SpriteState.UP)


@pytest.mark.machine
def test_requests_share_a_connection_of_which_nothing_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody else can reach its socket. Of many at once each logs in by itself, and says nothing of it."""
    monkeypatch.setattr(folders, "_SHARED_SECONDS", 1)
    with tempfile.TemporaryDirectory(dir="/tmp") as short, sshd(tmp_path / "ssh") as server:
        monkeypatch.setattr(tempfile, "tempdir", short)
        backend = folders.ssh("there", server.config)
        backend.create("bramble", {})
        (socket,) = Path(short).glob("*/*")
        assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
        assert len(server.connections()) == 1
        backend.list()
        assert len(server.connections()) == 1
        assert wait_until(lambda: not socket.exists() and not server.connections())
        with ThreadPoolExecutor(8) as pool:
            said = pool.map(
                lambda _: backend.exec("bramble", ["sh", "-c", "echo a >&2"], timeout=60).stderr, range(8)
            )
            assert set(said) == {b"a\n"}


def test_a_connection_is_not_shared_where_others_could_reach_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor where the path of its socket were longer than the 108 bytes that there are."""
    config = SshBackendConfig(host="box")
    with tempfile.TemporaryDirectory(dir="/tmp") as short:
        monkeypatch.setattr(tempfile, "tempdir", short)
        assert folders._shared(config)
        (folder,) = Path(short).iterdir()
        folder.chmod(0o755)
        assert folders._shared(config) == []
        folder.rename(f"{short}/elsewhere")
        folder.symlink_to(f"{short}/elsewhere")
        assert folders._shared(config) == []
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / ("x" * 80)))
    assert folders._shared(config) == []


@pytest.mark.machine
def test_a_sandbox_that_does_not_hold_there_is_seen_by_trying(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sshd(tmp_path / "ssh") as server:
        backend = folders.ssh("there", server.config)
        config = structs.replace(NO_CONFIG, backends={"there": server.config})
        assert [one.says for one in examine(config, around(tmp_path), deep=False)][1] == "a command ran in it"
        monkeypatch.setattr(probing, "ATTEMPTS", probing.ATTEMPTS.replace("exit 0", "echo the network is on"))
        with pytest.raises(Refused, match="does not hold: the network is on"):
            boxed.probe(backend, SandboxConfig())


@pytest.mark.skipif(os.getuid() != 0, reason="only root is root")
def test_root_is_not_put_into_a_sandbox_elsewhere(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="its user is root"):
        boxed.probe(folders.local("here", LocalBackendConfig(path=str(tmp_path))), SandboxConfig())


@pytest.mark.machine
def test_a_key_may_be_with_an_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with sshd(tmp_path / "ssh") as server:
        config, sock = server.config, tmp_path / "agent"
        agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(sock)], stdout=subprocess.PIPE)
        try:
            assert agent.stdout
            agent.stdout.readline()
            env = {**os.environ, "SSH_AUTH_SOCK": str(sock)}
            subprocess.run(["ssh-add", "-q", config.identity_file], env=env, check=True)
            backend = folders.ssh("there", structs.replace(config, identity_file=""))
            with pytest.raises(Refused):
                backend.list()
            monkeypatch.setenv("SSH_AUTH_SOCK", str(sock))
            assert list(backend.list()) == []
        finally:
            agent.kill()
            agent.wait()


@pytest.mark.machine
def test_a_machine_that_does_not_let_us_in_refuses(tmp_path: Path) -> None:
    with sshd(tmp_path / "ssh") as server:
        stranger = structs.replace(server.config, identity_file=str(tmp_path / "ssh" / "host"))
        with pytest.raises(Refused, match="by hand"):
            folders.ssh("there", stranger).list()


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[tuple[SpritesDev, SpritesBackend]]:
    with SpritesDev(tmp_path) as service:
        service.create("bramble", ["managed_by=sprint"])
        yield (
            service,
            SpritesBackend("cloud", SpritesBackendConfig(base_url=service.url), Secret(service.token)),
        )


@pytest.mark.parametrize(
    ("status", "headers", "body", "kind", "said"),
    [
        (401, {}, b"{}", Refused, "the token is refused"),
        (429, {"Retry_After": "7"}, b"{}", Refused, "too many requests"),
        (500, {}, b"oops", Unreachable, "500"),
        (200, {}, b"<html>", Failed, "no sprites.dev"),
    ],
)
def test_answers_of_the_cloud_that_are_none(
    cloud: tuple[SpritesDev, SpritesBackend],
    status: int,
    headers: dict[str, str],
    body: bytes,
    kind: type[Exception],
    said: str,
) -> None:
    service, backend = cloud
    service.fault = lambda _method, _path: (status, headers, body)
    with pytest.raises(kind, match=said):
        backend.list()
    assert backend.state("bramble") is SpriteState.UNKNOWN


def test_a_command_whose_connection_breaks_is_unreachable(cloud: tuple[SpritesDev, SpritesBackend]) -> None:
    service, backend = cloud
    service.drop_exec_after = 3
    with pytest.raises(Unreachable):
        backend.exec("bramble", ["echo", "hello"], timeout=60)


def test_a_service_that_stops_answering_is_unreachable(
    cloud: tuple[SpritesDev, SpritesBackend], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of a request and of a handshake: whether the command began, nobody knows."""
    service, _ = cloud
    monkeypatch.setattr(sprites_dev, "_SILENT_SECONDS", 0.3)
    monkeypatch.setattr(sprites_dev, "_PAUSE", 0.0)
    monkeypatch.setattr("sprites.websocket.connect", partial(websocket.connect, open_timeout=0.3))
    config = SpritesBackendConfig(base_url=service.url)
    backend = SpritesBackend("cloud", config, Secret(service.token))
    over = threading.Event()
    service.fault = lambda _method, _path: over.wait() and None  # type: ignore[assignment, return-value]
    try:
        with pytest.raises(Unreachable):
            backend.exec("bramble", ["true"], timeout=600)
        assert backend.state("bramble") is SpriteState.UNKNOWN
    finally:
        over.set()
    assert backend.state("bramble") is SpriteState.UP


@pytest.mark.parametrize(
    ("events", "kind"),
    [([{"type": "error", "error": "disk full"}], Failed), ([{"type": "info", "data": "..."}], Unreachable)],
)
def test_a_checkpoint_stream_that_did_not_complete_is_none(
    cloud: tuple[SpritesDev, SpritesBackend], events: list[dict[str, str]], kind: type[Exception]
) -> None:
    service, backend = cloud
    service.checkpoint_events = events
    with pytest.raises(kind):
        backend.checkpoint("bramble")


def test_one_asleep_is_told_from_one_that_is_gone(cloud: tuple[SpritesDev, SpritesBackend]) -> None:
    service, backend = cloud
    service.boxes["bramble"].status = "cold"
    assert backend.state("bramble") is SpriteState.ASLEEP
    assert [one.state for one in backend.list()] == [SpriteState.ASLEEP]


def test_the_sdk_is_loaded_for_the_cloud_alone() -> None:
    code = "import sys, sprint.cli, sprint.sprite.sprites_dev; assert 'sprites' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
