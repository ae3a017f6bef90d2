"""How a sandbox comes to its gateway, and who does not."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sprint.gateway import DOORS, server
from sprint.sandbox import Command
from tests.gateway.conftest import Inside, Page, Site, Upstream, Visitor, hand_over
from tests.waiting import wait_until

JAR = "/org/acme/gadget/1.0/gadget-1.0.jar"


@pytest.fixture(autouse=True)
def gadget(upstream: Upstream) -> None:
    upstream.pages[f"/maven{JAR}"] = Page(b"the jar")


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def doors_of(visitor: Visitor) -> dict[str, object]:
    read: dict[str, object] = json.loads((visitor.inside / "doors.json").read_text())
    return read


def test_only_the_runner_can_enter_the_folder(visitor: Visitor) -> None:
    assert stat.S_IMODE(visitor.inside.parent.stat().st_mode) == 0o700
    assert visitor.inside.parent.stat().st_uid == os.getuid()


def test_another_runs_token_opens_nothing(site: Site, tmp_path: Path, upstream: Upstream) -> None:
    (tmp_path / "other").mkdir()
    other = Site(tmp_path / "other", upstream)
    with site.visitor() as own, other.visitor() as stranger:
        theirs = {"token": doors_of(stranger)["token"], "routes": ["maven"]}
        door = [stranger.listening["maven"]]
        assert hand_over(own.inside, theirs, door) == b""
        assert hand_over(stranger.inside, theirs, door) == b"+"


@pytest.mark.parametrize(
    "message",
    [
        {"token": "", "routes": ["maven"]},
        {"token": None, "routes": ["maven"]},
        {"routes": ["maven"]},
        {"token": "TOKEN", "routes": []},
        {"token": "TOKEN", "routes": ["maven", "npm"]},
        {"token": "TOKEN", "routes": ["model"]},
        {"token": "TOKEN", "routes": "maven"},
        {"token": "TOKEN"},
        ["TOKEN"],
        "TOKEN",
        None,
    ],
)
def test_what_is_not_understood_is_not_served(
    visitor: Visitor, listening: socket.socket, message: object
) -> None:
    token = str(doors_of(visitor)["token"])
    text = json.dumps(message).replace("TOKEN", token)
    assert hand_over(visitor.inside, json.loads(text), [listening]) == b""
    assert hand_over(visitor.inside, {"token": token, "routes": ["maven"]}, [listening]) == b"+"


def test_only_doors_are_taken(visitor: Visitor, listening: socket.socket, tmp_path: Path) -> None:
    """Files, connections and sockets that listen elsewhere are closed unused."""
    message = {"token": doors_of(visitor)["token"], "routes": ["maven"]}
    (tmp_path / "file").touch()
    connected = socket.create_connection(listening.getsockname())
    with (
        (tmp_path / "file").open() as file,
        socket.socket(socket.AF_UNIX) as local,
        socket.socket() as idle,
        socket.socket(type=socket.SOCK_DGRAM) as datagrams,
        socket.create_server(("", 0)) as everywhere,
        connected,
    ):
        local.bind(str(tmp_path / "local"))
        local.listen()
        datagrams.bind(("127.0.0.1", 0))
        before = len(list(Path("/proc/self/fd").iterdir()))
        for thing in (file, local, idle, datagrams, everywhere, connected):
            assert hand_over(visitor.inside, message, [thing]) == b"", thing
        assert hand_over(visitor.inside, message, [listening]) == b"+"
        assert len(list(Path("/proc/self/fd").iterdir())) <= before + 4, (
            "the listener, its selector, and what ends soon"
        )


def test_the_socket_hands_out_nothing(visitor: Visitor) -> None:
    """Whatever is said to it: one character where it takes doors, else nothing. LLxprt#1954 was a socket that
    handed out keys."""
    folder = os.open(visitor.inside, os.O_RDONLY)
    for said in (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"{}", b"\0" * 5000, b"get credentials\n", b""):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(20)
            client.connect(f"/proc/self/fd/{folder}/socket")
            client.sendall(said)
            client.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionResetError):
                assert client.recv(4096) == b""
    os.close(folder)


def test_after_its_end_nothing_is_left(site: Site, upstream: Upstream) -> None:
    upstream.pages["/maven/org/acme/slow/1/slow-1.jar"] = Page(
        lambda: iter([b"x"] + [b"y"] * 10**6), length=10**6 + 1
    )
    with site.gateway() as gateway:
        visitor = Visitor(gateway)
        busy = visitor.connect("maven")
        busy.sendall(b"GET /org/acme/slow/1/slow-1.jar HTTP/1.1\r\nHost: a\r\n\r\n")
        assert busy.recv(1)
        idle = visitor.connect("npm")
        started = time.monotonic()
    assert time.monotonic() < started + 4
    assert not visitor.inside.parent.exists()
    assert not [one for one in threading.enumerate() if one.name == "sprint-gateway"]
    with pytest.raises(OSError, match=r"No such file|refused"):
        hand_over(visitor.inside, {}, [])
    with contextlib.suppress(ConnectionError):
        assert idle.recv(1) == b""
    while busy.recv(65536):
        pass
    visitor.close()


def test_the_newest_doors_stay_open(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command of a run hands over doors of its own; those of commands that are gone are let go."""
    monkeypatch.setattr(server, "HANDED_OVER", 2)
    with site.gateway() as gateway, contextlib.ExitStack() as stack:
        visitors = [stack.enter_context(contextlib.closing(Visitor(gateway))) for _ in range(3)]
        assert [one.get("maven", JAR).body for one in visitors[1:]] == [b"the jar"] * 2
        oldest = visitors[0].listening["maven"]
        assert wait_until(lambda: not oldest.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def test_a_run_may_lie_deep(site: Site, tmp_path: Path) -> None:
    """The address of a socket holds 107 bytes; a path may be longer."""
    site.folder = tmp_path.joinpath(*["a-folder-with-a-long-name"] * 8)
    site.folder.mkdir(parents=True)
    with site.visitor() as visitor:
        assert visitor.get("maven", JAR).body == b"the jar"


# --- in the sandbox ----------------------------------------------------------------------------


def test_a_command_uses_it_and_is_itself(inside: Inside) -> None:
    """Its exit code, its standard streams, its processes and its descriptors are those without a gateway."""
    done = inside.run(
        f"curl -sS http://127.0.0.1:{DOORS['maven']}{JAR}; echo; ls /proc/self/fd | wc -l; "
        "readlink /proc/[0-9]*/exe | grep -c python; cat; echo bad >&2; exit 7"
    )
    assert (done.exit_code, done.out.split(), done.err) == (7, ["the", "jar", "4", "0"], "bad\n")


def test_a_command_that_is_not_there(inside: Inside) -> None:
    from sprint import sandbox
    from sprint.config import SandboxConfig

    with inside.site.gateway() as gateway:
        for argv, code in ((["no-such-program"], 127), (["/etc/passwd"], 126)):
            done = sandbox.make(SandboxConfig()).run(
                Command(gateway.wrap(argv), timeout=20, read_only=gateway.read_only), inside.space
            )
            assert (done.exit_code, argv[0] in done.err) == (code, True)


def test_settings_are_put_into_home_but_not_over_its_own(inside: Inside) -> None:
    done = inside.run("cat ~/.cargo/config.toml ~/.m2/settings.xml; echo mine >~/.cargo/config.toml")
    assert f"sparse+http://127.0.0.1:{DOORS['crates']}/" in done.out
    assert f"<url>http://127.0.0.1:{DOORS['maven']}</url>" in done.out
    assert inside.run("cat ~/.cargo/config.toml").out == "mine\n"


def test_several_commands_at_once(inside: Inside) -> None:
    with inside.site.gateway() as gateway:
        outputs: list[str] = []
        script = f"for i in 1 2 3; do curl -sS http://127.0.0.1:{DOORS['maven']}{JAR}; done"
        threads = [
            threading.Thread(target=lambda: outputs.append(inside.within(gateway, script).out))
            for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert outputs == ["the jar" * 3] * 3


def test_what_a_command_leaves_behind_does_not_keep_the_door(inside: Inside) -> None:
    with inside.site.gateway() as gateway:
        inside.within(gateway, "sleep 300 & disown")
        done = inside.within(gateway, f"curl -sS http://127.0.0.1:{DOORS['maven']}{JAR}")
    assert done.out == "the jar"


def test_without_a_gateway_the_command_does_not_run(inside: Inside) -> None:
    """The runner that served it has died: that is said, and nothing runs that would find no index."""
    with inside.site.gateway() as gateway:
        shown = next(iter(gateway.read_only))
        (shown / "socket").unlink()
        done = inside.within(gateway, "echo ran")
    assert (done.exit_code, done.out) == (125, "")
    assert done.err.startswith("sprint: the gateway cannot be used: ")


def test_the_entrance_needs_only_an_old_python() -> None:
    """It runs on whatever Python the machine has, which need not be the runner's."""
    entrance = Path(__file__).parents[2] / "sprint" / "gateway" / "enter.py"
    code = "import ast, sys; ast.parse(open(sys.argv[1]).read(), feature_version=(3, 7))"
    subprocess.run([sys.executable, "-c", code, str(entrance)], check=True, timeout=20)


def test_the_runners_own_python_is_shown_where_the_system_has_none(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    if Path(sys.base_prefix) == Path("/usr"):
        pytest.skip("this Python is the system's")
    monkeypatch.setattr("sprint.gateway._SYSTEM_PYTHON", Path("/usr/bin/no-such-python"))
    done = inside.run(f"curl -sS http://127.0.0.1:{DOORS['maven']}{JAR}")
    assert (done.out, done.err) == ("the jar", "")
