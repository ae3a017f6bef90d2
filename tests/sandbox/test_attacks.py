"""Attacks from inside the sandbox. Each works outside it, so that its failure inside says something."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from sprint import sandbox
from sprint.domain import Workspace
from sprint.sandbox import Command
from tests.sandbox.conftest import IS_ROOT, RUNNER, UID, Inside, Outside, as_uid, attack, end, sleepers
from tests.waiting import wait_until

DECOY = "decoy-5ad1f0c2"


# --- seeing what is not theirs -----------------------------------------------------------------


def test_the_environment_of_every_visible_process(
    inside: Inside, space: Workspace, outside: Outside, marker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DECOY_TOKEN", DECOY)
    script = f"cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n' | grep {DECOY[:5]}"
    victim = subprocess.Popen(["sleep", marker], **as_uid())
    try:
        assert wait_until(lambda: bool(sleepers(marker)))
        assert DECOY in outside(script)
        assert DECOY not in inside.attack(space, script).out
    finally:
        victim.kill()
        victim.wait()
    names = inside.attack(space, "tr '\\0' '\\n' </proc/1/environ | cut -d= -f1").out.split()
    assert set(names) <= {"PATH", "PWD"}
    assert inside.attack(space, "tr '\\0' '\\n' </proc/1/environ | grep ^PWD").out in ("", "PWD=/\n")


def test_the_arguments_and_memory_of_the_runner(inside: Inside, space: Workspace, outside: Outside) -> None:
    script = f"tr '\\0' ' ' </proc/{os.getpid()}/cmdline; ls -d /proc/[0-9]*"
    assert "python" in outside(script)
    seen = inside.attack(space, script).out.split()
    assert len(seen) < 8
    assert not any("python" in word for word in seen)


def test_what_a_command_is_told_cannot_be_read_by_other_users_of_the_host(
    box: sandbox.Sandbox, space: Workspace, marker: str
) -> None:
    """Everybody may read everybody's arguments in /proc, and nobody another's environment."""
    told, given = f"told{os.urandom(8).hex()}", f"given{os.urandom(8).hex()}"
    seen: list[str] = []

    def look() -> str:
        if not sleepers(marker):
            return ""
        seen.append(all_arguments())
        return "seen"

    script = f": {told} $GIVEN; sleep {marker}"
    control = subprocess.Popen(["sh", "-c", f"{script}; true"], **as_uid())
    try:
        assert wait_until(lambda: bool(sleepers(marker)))
        assert told in all_arguments()
    finally:
        end([*sleepers(marker), control.pid])
        control.wait()
    assert wait_until(lambda: not sleepers(marker))
    done = box.run(Command(["bash", "-c", script], timeout=20, env={"GIVEN": given}, watch=look), space)
    assert done.killed_by == "seen"
    assert marker in seen[0]
    assert told not in seen[0]
    assert given not in seen[0]


def all_arguments() -> str:
    """Of every process on the machine, in one text."""
    texts = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            texts.append(path.read_text("utf-8", "replace"))
    return "\n".join(texts)


@pytest.mark.parametrize("where", ["home", "other workspace", "temporary folder"])
def test_files_of_others(
    space: Workspace, make_space: Callable[..., Workspace], workspaces: Path, outside: Outside, where: str
) -> None:
    """All of them belong to the very uid that asks."""
    other = make_space()
    places = {"home": workspaces, "other workspace": other.checkout, "temporary folder": other.tmp}
    path = places[where] / "token"
    path.write_text(DECOY)
    os.chown(path, UID, -1)
    assert DECOY in outside(f"cat {path}")
    assert DECOY not in attack(space, f"cat {path}; cat /proc/1/root{path}; cat /proc/1/cwd{path}").out
    assert not {"home", "root", "var", "sys", "mnt"} & set(attack(space, "ls /").out.split())
    assert attack(space, "ls /run").out.split() == ["sprint"]


def test_links_that_the_agent_put_in_the_place_of_its_folders(
    inside: Inside, space: Workspace, workspaces: Path
) -> None:
    (workspaces / "token").write_text(DECOY)
    planted = (
        "rm -rf /work/repo /work/home /work/tmp; ln -s / /work/repo; ln -s / /work/home; ln -s / /work/tmp"
    )
    assert inside.attack(space, planted).ok
    assert DECOY in (space.checkout / str(workspaces / "token")[1:]).read_text(), "the link does lead there"
    for script in (
        "ls",
        f"cat /work/repo{workspaces}/token",
        f"cat /tmp{workspaces}/token",
        "echo >x; echo >/tmp/x",
    ):
        done = inside.attack(space, script)
        assert DECOY not in done.out
        assert "root" not in done.out.split()
    assert not Path("/x").exists()


def test_the_workspaces_mount_cannot_be_moved_away(inside: Inside, space: Workspace) -> None:
    done = inside.attack(
        space,
        "mv /work /gone || mv /work/repo/.. /tmp/gone || rmdir /work; mv ../tmp ../moved && ls -d /work/*",
    )
    assert done.out.split() == ["/work/home", "/work/moved", "/work/repo"]
    assert sorted(path.name for path in space.root.iterdir()) == ["home", "moved", "repo"]


def test_descriptors_of_the_runner(
    inside: Inside, space: Workspace, workspaces: Path, outside: Outside
) -> None:
    (workspaces / "token").write_text(DECOY)
    descriptor = os.open(workspaces / "token", os.O_RDONLY)
    os.set_inheritable(descriptor, True)
    try:
        script = f"cat <&{descriptor}"
        with_it = subprocess.run(
            ["bash", "-c", script], pass_fds=[descriptor], capture_output=True, text=True
        )
        assert DECOY in with_it.stdout
        done = inside.attack(space, f"{script}; ls -l /proc/self/fd /proc/1/fd")
    finally:
        os.close(descriptor)
    assert DECOY not in done.out
    assert "token" not in done.out
    assert "memfd" not in done.out


def test_the_kernels_keyring(box: sandbox.Sandbox, space: Workspace, tmp_path: Path) -> None:
    """A session's keyring is inherited by whatever it starts, across changes of uid and namespaces."""
    calls = {"x86_64": (248, 250), "aarch64": (217, 219)}[os.uname().machine]
    read = textwrap.dedent(f"""
        import ctypes
        libc = ctypes.CDLL(None)
        held = ctypes.create_string_buffer(99)
        key = libc.syscall({calls[1]}, 10, -3, b"user", b"decoy", 0)
        print(key > 0 and libc.syscall({calls[1]}, 11, key, held, 99) > 0 and held.value)
    """)
    (tmp_path / "runner.py").write_text(
        textwrap.dedent(f"""
        import ctypes, subprocess, sys
        from pathlib import Path
        from sprint import sandbox
        from sprint.config import SandboxConfig
        from sprint.domain import Workspace
        libc = ctypes.CDLL(None)
        assert libc.syscall({calls[1]}, 1, None) > 0
        assert libc.syscall({calls[0]}, b"user", b"decoy", b"{DECOY}", {len(DECOY)}, -3) > 0
        subprocess.run([sys.executable, "-c", {read!r}])
        space = Workspace(Path({str(space.root)!r}), {space.uid})
        box = sandbox.make(SandboxConfig(kind={box.kind!r}))
        print(box.run(sandbox.Command(["python3", "-c", {read!r}], timeout=20), space).out)
        """)
    )
    shown = subprocess.run(
        [sys.executable, str(tmp_path / "runner.py")], capture_output=True, text=True, timeout=30, **RUNNER
    )
    assert shown.stdout.split() == [f"b'{DECOY}'", "False"], shown.stderr


def test_calls_that_namespaces_do_not_cover(inside: Inside, space: Workspace, outside: Outside) -> None:
    io_uring_setup = 425
    script = (
        "python3 -c 'import ctypes, errno; c = ctypes.CDLL(None, use_errno=True); "
        f"c.syscall({io_uring_setup}, 1, None); print(errno.errorcode[ctypes.get_errno()])'"
    )
    assert outside(script) in ("EFAULT\n", "EPERM\n")  # EPERM where the host forbids it to all
    assert inside.attack(space, script).out == "ENOSYS\n"


# --- reaching others ---------------------------------------------------------------------------


@pytest.fixture
def listener() -> Iterator[Callable[[object], socket.socket]]:
    with ExitStack() as stack:

        def listen(address: object) -> socket.socket:
            family = socket.AF_INET if isinstance(address, tuple) else socket.AF_UNIX
            server = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
            server.bind(address)  # type: ignore[arg-type]
            server.listen(16)

            def serve() -> None:
                with suppress(OSError):
                    while True:
                        client, _ = server.accept()
                        client.sendall(DECOY.encode())
                        client.close()

            stack.callback(server.shutdown, socket.SHUT_RDWR)
            threading.Thread(target=serve, daemon=True).start()
            return server

        yield listen


def test_a_listener_on_loopback(
    space: Workspace, outside: Outside, listener: Callable[[object], socket.socket]
) -> None:
    port = listener(("127.0.0.1", 0)).getsockname()[1]
    script = f"cat </dev/tcp/127.0.0.1/{port}"
    assert DECOY in outside(script)
    assert DECOY in attack(space, script, network=True).out
    assert DECOY not in attack(space, script).out


@pytest.mark.parametrize("kind", ["abstract", "path"])
def test_unix_sockets(
    space: Workspace,
    workspaces: Path,
    outside: Outside,
    listener: Callable[[object], socket.socket],
    kind: str,
) -> None:
    address = f"\0sprint-test-{os.getpid()}" if kind == "abstract" else str(workspaces / "socket")
    listener(address)
    if kind == "path":
        Path(address).chmod(0o777)
    script = f"""python3 -c '
import socket
s = socket.socket(socket.AF_UNIX)
s.connect("{address.replace(chr(0), "!")}".replace("!", chr(0)))
print(s.recv(99))'"""
    assert DECOY in outside(script)
    assert DECOY not in attack(space, script).out


def test_signals_and_traces_of_processes_outside(
    inside: Inside, space: Workspace, outside: Outside, marker: str
) -> None:
    victim = subprocess.Popen(["sleep", marker], **as_uid())
    try:
        assert wait_until(lambda: bool(sleepers(marker)))
        look = f"kill -0 {victim.pid} && cat /proc/{victim.pid}/maps | grep -c sleep"
        assert int(outside(look)) > 0
        done = inside.attack(space, f"{look}; kill -9 -1; kill -9 {victim.pid}")
        assert done.out == ""
        assert victim.poll() is None
    finally:
        victim.kill()
        victim.wait()


# --- writing outside ---------------------------------------------------------------------------


def test_writes_outside(inside: Inside, space: Workspace, workspaces: Path, outside: Outside) -> None:
    open_to_all = workspaces / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    script = f"echo GOT >{open_to_all}/"
    outside(f"{script}control")
    assert (open_to_all / "control").read_text() == "GOT\n"
    inside.attack(space, f"mkdir -p {open_to_all}; {script}attack")
    assert not (open_to_all / "attack").exists()


@pytest.mark.parametrize(
    "path",
    [
        "/usr/x",
        "/usr/bin/env",
        "/bin/x",
        "/etc/x",
        "/etc/passwd",
        "/etc/ld.so.cache",
        "/x",
        "/dev/x",
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/kernel/hostname",
        "/proc/sysrq-trigger",
        "/sys/x",
        "/run/x",
        "/var/x",
    ],
)
def test_nothing_but_the_workspace_can_be_written(space: Workspace, path: str) -> None:
    done = attack(space, f"(echo x >>{path}) 2>/dev/null && echo GOT; (echo x >/work/repo/x) && echo CONTROL")
    assert done.out == "CONTROL\n"


@pytest.mark.parametrize(
    "trick",
    [
        "mount -o remount,rw /usr",
        "mount -o remount,rw,bind /",
        "mount -t tmpfs none /usr",
        "mount --bind /work /usr",
        "umount /usr",
        "umount -l /proc",
        "unshare --user --map-root-user true",
        "unshare --mount true",
        "unshare --net true",
        "nsenter --target 1 --mount true",
        "chroot /work true",
        "mknod /work/repo/disk b 8 0",
        "setpriv --reuid 0 true",
        "chown 0 /work/repo",
        "hostname changed",
        "date --set=2001-01-01",
    ],
)
def test_privileged_tricks(space: Workspace, trick: str) -> None:
    done = attack(
        space, f"PATH=$PATH:/usr/sbin:/sbin; {trick} && echo GOT; echo x 2>/dev/null >/usr/x && echo GOT"
    )
    assert "GOT" not in done.out
    assert done.exit_code != 127, "the trick was not even tried"


def test_user_namespaces_work_outside(outside: Outside) -> None:
    """The control for the tricks above: the same uid can do this where nothing forbids it."""
    assert outside("unshare --user --map-root-user id -u") == "0\n"
    assert (
        outside("unshare --user --map-root-user --mount sh -c 'mount -t tmpfs none /mnt && echo GOT'")
        == "GOT\n"
    )


@pytest.mark.skipif(not IS_ROOT, reason="only root can make a program setuid root")
def test_setuid_programs(inside: Inside, space: Workspace, outside: Outside) -> None:
    program = space.checkout / "id"
    program.write_bytes(Path("/usr/bin/id").read_bytes())
    program.chmod(0o4755)
    assert outside(f"{program} -u") == "0\n"
    assert inside.attack(space, "./id -u; grep NoNewPrivs /proc/self/status").out.split() == [
        str(inside.uid),
        "NoNewPrivs:",
        "1",
    ]


def test_typing_into_the_terminal(space: Workspace, tmp_path: Path) -> None:
    """A runner with a terminal; what it starts must not have it, or it could type commands there."""
    script = textwrap.dedent(f"""
        import sys
        from pathlib import Path
        from sprint import sandbox
        from sprint.config import SandboxConfig
        from sprint.domain import Workspace
        open("/dev/tty").close()
        print("CONTROL")
        box = sandbox.make(SandboxConfig())
        space = Workspace(Path({str(space.root)!r}), {space.uid})
        done = box.run(sandbox.Command(["bash", "-c", "exec 3<>/dev/tty && echo GOT"], timeout=20), space)
        print(done.exit_code, done.out, done.err)
    """)
    (tmp_path / "runner.py").write_text(script)
    shown = subprocess.run(
        ["script", "-qec", f"{sys.executable} {tmp_path / 'runner.py'}", "/dev/null"],
        capture_output=True,
        text=True,
        timeout=30,
        **RUNNER,
    ).stdout
    assert "CONTROL" in shown
    assert "No such device or address" in shown
    assert "GOT" not in shown
