"""What commands see of the host's /etc, and where the copies of it lie meanwhile."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sprint import sandbox
from sprint.config import SandboxConfig
from sprint.domain import Workspace
from sprint.errors import SandboxError
from sprint.sandbox import Command, profile, stages, system_files
from sprint.sandbox.stages import Stages
from sprint.sandbox.system_files import SystemFiles
from tests.sandbox.conftest import IS_ROOT, RUNNER, UID

LISTED = 'cd /etc && find . ! -name . -printf "%p %y %l\\n" | sort'


@pytest.fixture
def own(workspaces: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this test's sandboxes put what they stage."""
    folder = Path(tempfile.mkdtemp(dir=workspaces))
    folder.chmod(0o711)
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return folder


@pytest.fixture
def etc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A host's /etc."""
    folder = tmp_path / "etc"
    (folder / "small/empty").mkdir(parents=True)
    (folder / "large").mkdir()
    for number in range(9):
        (folder / f"large/{number}").touch()
    (folder / "small/file").write_text("small")
    (folder / "file").write_text("old")
    (folder / "link").symlink_to("/usr/share")
    monkeypatch.setattr(system_files, "_ETC", folder)
    mask = os.umask(0o077)
    yield folder
    os.umask(mask)


def shown(system: SystemFiles, etc: Path) -> tuple[Path, list[str]]:
    """The folder that stands for it, and the other options."""
    paths = [etc / name for name in ("file", "link", "small", "large", "missing")]
    option, folder, at, *others = system.options(paths, {f"{etc}/made/up": "text"}, UID)
    assert (option, at) == ("--ro-bind", str(etc))
    return Path(folder), others


def test_commands_see_what_the_host_has(space: Workspace) -> None:
    box = sandbox.make(SandboxConfig())
    seen = {line.split()[0]: line for line in said(box, space, LISTED).splitlines()}
    assert {"./passwd", "./group", "./hosts"} <= set(seen)
    for path in map(str, profile.shown_of_etc(has_network=False)):
        name = f".{path.removeprefix('/etc')}"
        assert (name in seen) == os.path.lexists(path), name
        listing = f'find {path} -printf "%P %y\\n" | sort; find {path} -type f | sort | xargs -r cat'
        host = subprocess.run(["sh", "-c", listing], stdout=subprocess.PIPE, check=False).stdout
        if Path(path).is_dir() or (Path(path).is_file() and not Path(path).is_symlink()):
            assert (
                box.run(Command(["sh", "-c", listing], timeout=20, output_cap=10**8), space).stdout == host
            ), name


def test_nothing_of_it_can_be_written(space: Workspace) -> None:
    box = sandbox.make(SandboxConfig())
    script = "for path in /etc /etc/passwd /etc/ld.so.cache; do test -w $path && echo $path; done; true"
    assert said(box, space, script) == ""
    before = said(box, space, f"{LISTED}; cat passwd")
    for attempt in ("chmod 777 /etc", "echo x >>/etc/passwd", "mv /etc/group /etc/g", "umount /etc"):
        assert not box.run(Command(["sh", "-c", attempt], timeout=20), space).ok, attempt
    assert said(box, space, f"{LISTED}; cat passwd") == before


def test_small_files_are_copied_and_the_rest_is_mounted(own: Path, etc: Path) -> None:
    system = SystemFiles(Stages())
    folder, others = shown(system, etc)
    assert others == ["--ro-bind-try", f"{etc}/large", f"{etc}/large"]
    found = {str(path.relative_to(folder)): path for path in folder.rglob("*")}
    assert sorted(found) == ["file", "large", "link", "made", "made/up", "small", "small/empty", "small/file"]
    assert [found[name].read_text() for name in ("file", "small/file", "made/up")] == ["old", "small", "text"]
    assert str(found["link"].readlink()) == "/usr/share"
    for path in (folder, *found.values()):
        mode = stat.S_IMODE(path.lstat().st_mode)
        assert path.is_symlink() or mode == (0o755 if path.is_dir() else 0o644), path


@pytest.mark.parametrize("name", ["file", "small", "small/file"])
def test_what_not_everybody_may_read_is_not_copied(own: Path, etc: Path, name: str) -> None:
    """As it is mounted, its mode still holds for the command's user; a copy would be for all."""
    (etc / name).chmod(0o750 if (etc / name).is_dir() else 0o640)
    folder, others = shown(SystemFiles(Stages()), etc)
    mounted = str(etc / name.partition("/")[0])
    assert ["--ro-bind-try", mounted, mounted] == others[:3]
    copied = folder / name
    assert not copied.exists() or copied.is_dir() or copied.read_text() == ""


def test_a_small_folder_with_a_link_to_nowhere_is_mounted(own: Path, etc: Path) -> None:
    (etc / "small/nowhere").symlink_to("missing")
    _, others = shown(SystemFiles(Stages()), etc)
    assert f"{etc}/small" in others


def test_a_copy_is_not_made_anew_of_what_is_no_longer_for_everybody(own: Path, etc: Path) -> None:
    system = SystemFiles(Stages())
    before, _ = shown(system, etc)
    (etc / "file").chmod(0o600)
    after, _ = shown(system, etc)
    assert ((before / "file").exists(), (after / "file").exists()) == (True, False)


def test_a_file_that_was_changed_is_seen_as_it_is_now(own: Path, etc: Path) -> None:
    system = SystemFiles(Stages())
    before, _ = shown(system, etc)
    assert shown(system, etc)[0] == before
    status = (etc / "file").stat()
    (etc / "file").write_text("new")
    os.utime(etc / "file", ns=(status.st_atime_ns, status.st_mtime_ns))
    after, _ = shown(system, etc)
    assert ((before / "file").read_text(), (after / "file").read_text()) == ("old", "new")
    (etc / "file").unlink()
    assert not (shown(system, etc)[0] / "file").exists()


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="there is none on this system")
def test_it_is_in_memory_unless_a_folder_is_named(
    own: Path, etc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named, _ = shown(SystemFiles(Stages()), etc)
    monkeypatch.delenv("TMPDIR")
    usual, _ = shown(SystemFiles(Stages()), etc)
    monkeypatch.setattr(stages, "_is_usable", lambda place, uid: place == own)  # the other is full
    full, _ = shown(SystemFiles(Stages()), etc)
    assert named.is_relative_to(own)
    assert usual.is_relative_to("/dev/shm") == (os.geteuid() < 1000)
    assert full.is_relative_to(own)


@pytest.mark.skipif(not IS_ROOT, reason="only root can be another user")
def test_an_ordinary_users_is_not_where_it_is_removed_when_he_logs_out(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TMPDIR")
    monkeypatch.setattr(tempfile, "tempdir", str(own))
    os.chown(own, UID, UID)
    os.seteuid(UID)
    try:
        assert Stages().new_folder(UID).is_relative_to(own)
    finally:
        os.seteuid(0)


@pytest.mark.skipif(not IS_ROOT, reason="only root can mount there")
@pytest.mark.parametrize("limit", ["size=8m", "nr_inodes=2"])
def test_it_is_elsewhere_where_there_is_no_room_in_memory(
    limit: str, make_space: Callable[[Path], Workspace]
) -> None:
    """Anybody may fill it, with files of no size too."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:  # the tests' own files may be in memory
        Path(folder).chmod(0o711)
        _see_that_it_is_elsewhere(limit, make_space(Path(folder)))


def _see_that_it_is_elsewhere(limit: str, space: Workspace) -> None:
    script = f"""
from pathlib import Path
from sprint import sandbox
from sprint.config import SandboxConfig
from sprint.domain import Workspace
box = sandbox.make(SandboxConfig())
done = box.run(sandbox.Command(["true"], timeout=60), Workspace(Path({str(space.root)!r}), {space.uid}))
print(done.ok, list(Path("/dev/shm").iterdir()))
"""
    mount = f'mount -t tmpfs -o {limit},mode=1777 shm /dev/shm && exec "$0" -c "$1"'
    argv = ["unshare", "--mount", "sh", "-c", mount, sys.executable, script]
    assert subprocess.run(argv, stdout=subprocess.PIPE, check=True, **RUNNER).stdout == b"True []\n"


def test_what_cannot_be_made_is_said(own: Path, etc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "_ELSEWHERE", own / "missing")
    monkeypatch.setattr(tempfile, "tempdir", str(own / "missing/folder"))
    with pytest.raises(SandboxError, match=r"cannot stage .+: .+; "):
        shown(SystemFiles(Stages()), etc)


def test_all_is_gone_with_the_sandbox(own: Path, space: Workspace) -> None:
    box = sandbox.make(SandboxConfig())
    said(box, space, "true")
    assert len(list(own.iterdir())) == 1
    del box
    assert list(own.iterdir()) == []


def test_what_a_killed_runner_left_is_taken_away_by_the_next(own: Path, space: Workspace) -> None:
    foreign = own / "sprint-staged-foreign"  # no stage: made by whoever else may write there
    foreign.mkdir(mode=0o700)
    script = f"""
import os, signal, sys
from pathlib import Path
from sprint import sandbox
from sprint.config import SandboxConfig
from sprint.domain import Workspace
os.environ["TMPDIR"] = {str(own)!r}
box = sandbox.make(SandboxConfig())
box.run(sandbox.Command(["true"], timeout=60), Workspace(Path({str(space.root)!r}), {space.uid}))
print("there", flush=True)
sys.stdin.read()
"""
    argv = [sys.executable, "-c", script]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **RUNNER) as runner:
        assert runner.stdout is not None
        assert runner.stdout.readline() == b"there\n"
        (left,) = set(own.iterdir()) - {foreign}
        box = sandbox.make(SandboxConfig())
        said(box, space, "true")
        assert left.exists(), "it is in use"
        runner.send_signal(signal.SIGKILL)
    assert left.exists()
    another = sandbox.make(SandboxConfig())
    said(another, space, "true")
    assert not left.exists()
    assert foreign.exists()
    del box, another
    assert list(own.iterdir()) == [foreign]


@pytest.mark.skipif(not IS_ROOT, reason="only root runs commands as somebody else")
def test_a_folder_for_temporary_files_that_only_root_may_enter_is_not_used(
    tmp_path: Path, space: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    assert said(sandbox.make(SandboxConfig()), space, "cat /etc/hosts").startswith("127.0.0.1 ")
    assert list(tmp_path.iterdir()) == []


def said(box: sandbox.Sandbox, space: Workspace, script: str) -> str:
    done = box.run(Command(["sh", "-c", script], timeout=20), space)
    assert done.ok, done
    return done.out
