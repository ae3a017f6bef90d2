"""Environments are made once, put by copy, and never hold what another commit's sources were made into."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sprint.domain import CheckResult, CheckStatus, EnvironmentUse, Workspace
from sprint.environment import Project, clean, failure
from sprint.environment import recipe as recipes
from sprint.environment.proposal import Proposal
from sprint.workspace import layers
from tests.environment.conftest import Repository

Seen = Callable[[Project, Workspace, str], str]

# A set-up that only fetches, by its words, and needs no network: nothing of it is the project's own.
VENV = "python3 -m venv --without-pip ~/.venv"
ALL = """
cd /work && find home repo -path repo/.git -prune -o -not -path 'repo' -printf '%p %y %m %s %T@ %l\\n' |
    grep -v '^home d ' | sort
"""


MANY_KINDS = r"""
mkdir -p build/deep ~/.cache/x ~/.cache/pip node_modules/.bin ~/locked
echo 1 >build/deep/ignored; echo two >untracked; ln -s ../untracked build/link; ln -s /etc/hostname ~/absolute
echo x >~/one; ln ~/one ~/.cache/two; chmod 600 ~/one; touch ~/locked/in; chmod 700 ~/locked
echo '#!' >node_modules/.bin/tool; chmod 755 node_modules/.bin/tool
touch -d '2001-02-03 04:05:06.789' untracked build/deep ~/.cache/x
touch 'name with  space' $'new\nline' -- -dash
head -c 3000000 /dev/zero >~/large; echo no >~/.cache/pip/download; echo gone >/work/tmp/scratch
"""


@pytest.mark.parametrize(
    ("tail", "status", "said"),
    [
        ("npm error 404\nnpm error no such x\nnpm error A complete log of this run can be found in: /w\n",
         CheckStatus.FAILED, "npm ci: npm error no such x"),
        ("", CheckStatus.FAILED, "npm ci: failed"),
        ("half", CheckStatus.TIMED_OUT, "npm ci: it ran out of time"),
    ],
)  # fmt: skip
def test_what_a_failed_command_said(tail: str, status: CheckStatus, said: str) -> None:
    assert failure(CheckResult("npm ci", status, 1, tail=tail)) == said


def test_set_up_runs_once_for_all_commits_with_the_same_manifests(repository: Repository, seen: Seen) -> None:
    project = repository.project(VENV)
    first = repository.prepare(project)
    assert first.failed is None
    assert not first.use.is_hit
    assert first.use.bytes > 1000
    assert repository.ran == [VENV]
    commit = repository.change({"lib/a.py": "A = 2\n", "README.md": "more\n"})
    second = repository.prepare(project, commit)
    assert repository.ran == [VENV]
    assert second.use.is_hit
    assert (second.use.key, second.use.bytes) == (first.use.key, first.use.bytes)
    assert seen(project, second.workspace, "cat lib/a.py; command -v python; python -c 'print(6 * 7)'") == (
        "A = 2\n/work/home/.venv/bin/python\n42\n"
    )


@pytest.mark.usefixtures("archives")
def test_what_is_put_by_copy_is_what_set_up_left(repository: Repository, seen: Seen) -> None:
    test_what_is_put_is_what_set_up_left(repository, seen)


def test_what_is_put_is_what_set_up_left(repository: Repository, seen: Seen) -> None:
    project = repository.project(MANY_KINDS)
    first = repository.prepare(project)
    second = repository.prepare(project)
    assert (first.use.is_hit, second.use.is_hit, first.use.note) == (False, True, "")
    made = [line for line in seen(project, first.workspace, ALL).splitlines() if "/pip" not in line]
    put = seen(project, second.workspace, ALL).splitlines()
    ignored = ("repo/lib", "repo/README", "repo/req", "repo/.git", "home/.cache d")  # the checkout's own
    assert [line for line in put if not line.startswith(ignored)] == [
        line for line in made if not line.startswith(ignored)
    ]
    assert "repo/untracked f 644 4 981173106.7890000000 " in put
    script = "stat -c '%h %U' ~/one untracked; git status --short lib README.md; ls -A /work/tmp"
    assert seen(project, second.workspace, script) == "2 sprint\n1 sprint\n"


def test_another_manifest_is_another_environment(repository: Repository) -> None:
    project = repository.project(VENV)
    base = repository.prepare(project).use
    keys = {base.key}
    for files in (
        {"requirements.txt": "attrs\nrich\n"},
        {"sub/package.json": "{}"},
        {"lib/__init__.py": "__version__ = '2'\n"},
    ):
        repository.change(files)
        keys.add(repository.prepare(project).use.key)
    keys.add(repository.prepare(repository.project(f"{VENV} --clear")).use.key)
    assert len(keys) == 5
    assert len(repository.kept) == 5
    repository.change({"lib/b.py": "", "docs/x.txt": ""})
    assert repository.prepare(project).use.is_hit


@pytest.mark.parametrize(
    "setup", ["mkdir ~/lib && cp lib/a.py ~/lib", "sh -c 'mkdir ~/lib; cp lib/a.py ~/lib'"]
)
def test_what_is_made_of_the_sources_is_made_for_each(repository: Repository, seen: Seen, setup: str) -> None:
    """`pip install .` in set-up would have the checks prove the code of another commit."""
    project = repository.project(setup)
    base = repository.prepare(project)
    assert repository.prepare(project).use.is_hit, "at the very same commit it is the same"
    commit = repository.change({"lib/a.py": "A = 'changed'\n"})
    proof = repository.prepare(project, commit, base.use)
    assert not proof.use.is_hit
    assert seen(project, proof.workspace, "cat ~/lib/a.py") == "A = 'changed'\n"
    assert len(repository.kept) == 1


def test_a_manifest_that_names_the_project_itself_counts_as_its_sources(repository: Repository) -> None:
    repository.change({"requirements.txt": "attrs\n.\n"})
    project = repository.project(VENV)
    base = repository.prepare(project).use
    repository.change({"lib/a.py": "A = 3\n"})
    assert repository.prepare(project).use.key != base.key


def test_a_proof_takes_the_bases_environment_and_keeps_none(repository: Repository) -> None:
    project = repository.project(VENV)
    base = repository.prepare(project).use
    commit = repository.change({"lib/a.py": "A = 2\n"})
    assert repository.prepare(project, commit, base).use.is_hit
    assert repository.ran == [VENV]
    commit = repository.change({"requirements.txt": "attrs>1\n"})
    for _ in range(2):
        proof = repository.prepare(project, commit, base)
        assert (proof.use.is_hit, proof.use.bytes, proof.failed) == (False, 0, None)
    assert repository.ran == [VENV] * 3
    assert [path.name for path in repository.kept] == [base.key]


def test_build_runs_each_time(repository: Repository, seen: Seen) -> None:
    project = repository.project(VENV, build=("mkdir -p build", "cat lib/a.py >build/out"))
    base = repository.prepare(project)
    commit = repository.change({"lib/a.py": "A = 2\n"})
    proof = repository.prepare(project, commit, base.use)
    assert repository.ran == [VENV, *2 * ("mkdir -p build", "cat lib/a.py >build/out")]
    assert seen(project, proof.workspace, "cat build/out") == "A = 2\n"
    commit = repository.change({"lib/a.py": None})
    broken = repository.prepare(project, commit, base.use)
    assert broken.failed is not None
    assert (broken.failed.command, broken.is_built) == ("cat lib/a.py >build/out", True)


def test_a_configured_set_up_that_fails_comes_back(repository: Repository) -> None:
    project = repository.project("echo before", "echo why >&2; exit 3", "echo never")
    prepared = repository.prepare(project)
    assert prepared.failed is not None
    assert (prepared.failed.command, prepared.failed.exit_code) == ("echo why >&2; exit 3", 3)
    assert repository.ran == ["echo before", "echo why >&2; exit 3"]
    assert repository.kept == []
    assert not list(repository.root.glob("cache/environments/*/*/*/.*"))


def proposed(monkeypatch: pytest.MonkeyPatch, proposal: Proposal) -> None:
    monkeypatch.setattr(recipes, "propose", lambda files, tools: proposal)


def test_a_found_set_up_that_fails_is_done_without(
    repository: Repository, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = ("echo half >~/half", "echo no index; exit 1")
    proposed(monkeypatch, Proposal(setup, ("touch built",), ("true",)))
    project = repository.project()
    base = repository.prepare(project)
    assert base.failed is None
    assert (base.use.setup, base.use.build, base.checks) == ((), (), ("true",))
    assert base.use.note == "set-up was found and failed: echo no index; exit 1: no index"
    assert seen(project, base.workspace, "ls ~/half built 2>/dev/null") == ""
    assert base.workspace.root.name == "sprint-run1"
    ran = len(repository.ran)
    proof = repository.prepare(project, "", base.use)
    assert (proof.failed, len(repository.ran)) == (None, ran), "the proof does without as the base did"


def test_a_found_build_that_fails_at_the_base_is_done_without(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    proposed(monkeypatch, Proposal((), ("test -e lib/b.py",), ("true",)))
    project = repository.project()
    base = repository.prepare(project)
    assert (base.failed, base.use.build) == (None, ())
    assert base.use.note == "build was found and failed: test -e lib/b.py: failed"
    repository.change({"lib/b.py": ""})
    better = repository.prepare(project)
    assert better.use.build == ("test -e lib/b.py",)
    worse = repository.prepare(project, repository.change({"lib/b.py": None}), better.use)
    assert worse.failed is not None
    assert worse.is_built


def test_in_so_many_words_none(repository: Repository) -> None:
    repository.change({"tests/test_a.py": "def test_a(): pass\n"})
    found = repository.prepare(repository.project(box={"setup_network": "none"}))
    assert (found.use.setup, found.checks) == ((), ("python3 -m pytest -q",))
    assert found.use.note == "nothing is fetched: sandbox.setup_network is none"
    assert recipes.choose(repository.project().config, Proposal(("x",), ("y",), ("z",))).setup == ("x",)
    none = repository.project(VENV).config
    assert recipes.choose(none, Proposal(("x",), ("y",), ("z",))).build == ()


def test_unconfined_commands_are_kept_nowhere(repository: Repository) -> None:
    project = repository.project(VENV, kind="none")
    for _ in range(2):
        prepared = repository.prepare(project)
        assert (prepared.use.is_hit, prepared.use.bytes) == (False, 0)
        assert prepared.use.note == "not kept: commands are not isolated (sandbox: none)"
    assert repository.kept == []


def test_a_set_up_that_changes_tracked_files_is_not_kept(repository: Repository) -> None:
    project = repository.project("echo changed >lib/a.py")
    for _ in range(2):
        prepared = repository.prepare(project)
        assert prepared.use.note.startswith("not kept: set-up changes tracked files (lib/a.py)")
        assert (prepared.workspace.checkout / "lib/a.py").read_text() == "changed\n"
    assert repository.kept == []


@pytest.fixture
def archives(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for a runner that is not root."""

    def refuse(space: Workspace, lower: Path) -> None:
        raise layers.NoLayersError("not here")

    monkeypatch.setattr(layers, "check", refuse)


@pytest.mark.usefixtures("archives")
def test_a_damaged_archive_is_made_anew(repository: Repository, seen: Seen) -> None:
    project = repository.project(VENV)
    repository.prepare(project)
    (folder,) = repository.kept
    part = folder / "part.0000"
    part.write_bytes(part.read_bytes()[:5000] + b"\xff" * (part.stat().st_size - 5000))
    again = repository.prepare(project)
    assert (again.use.is_hit, repository.ran) == (False, [VENV, VENV])
    assert "Python 3" in seen(project, again.workspace, "~/.venv/bin/python --version")
    assert repository.prepare(project).use.is_hit


def test_a_file_that_is_tracked_by_now_stays_as_it_is_committed(repository: Repository) -> None:
    project = repository.project("python3 -m venv --without-pip generated")
    repository.prepare(project)
    repository.change({"generated/pyvenv.cfg": "mine\n"})
    later = repository.prepare(project)
    assert later.use.is_hit
    assert (later.workspace.checkout / "generated/pyvenv.cfg").read_text() == "mine\n"
    assert (later.workspace.checkout / "generated/bin/python").is_symlink()


def test_two_at_once_make_it_once(repository: Repository) -> None:
    slow = f"{VENV} && sleep 1"  # not known to fetch only: the same for the same commit
    project = repository.project(slow)
    commit = repository.update()[1]
    results: list[EnvironmentUse] = []

    def one() -> None:
        results.append(repository.prepare(project, commit).use)

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert sorted(use.is_hit for use in results) == [False, True]
    assert repository.ran == [slow]


@pytest.mark.usefixtures("archives")
def test_an_environment_larger_than_the_disk_limit_is_not_kept(repository: Repository) -> None:
    make = "for i in $(seq 20); do head -c 4000000 /dev/urandom >~/$i; done"
    project = repository.project(make, box={"disk_mb": 100, "file_mb": 30})
    assert repository.prepare(project).use.bytes > 80_000_000
    (folder,) = repository.kept
    assert len(list(folder.glob("part.*"))) == 3, "in parts, for no file may be larger than 30 MB"
    small = repository.project(f"{make}; sleep 2", box={"disk_mb": 60, "file_mb": 30})
    failed = repository.prepare(small).failed
    assert failed is not None


HOSTILE = """
ln -s / ~/root; ln -s /etc/passwd ~/passwd; ln -sfn / ~/.venv; mkfifo ~/pipe
python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("/work/home/socket")'
ln -s ../../../../../../../../etc/sprint-escaped build-link; printf 'x' > $'-\\n --checkpoint-action=exec=sh'
mkdir -p ~/..x; touch ~/..x/-f; ln -s ~/root/tmp tmp-link; chmod 7777 ~/pipe
python3 - <<'END'
import os
os.chdir('/work/home')
for _ in range(200):
    os.mkdir('deep'); os.chdir('deep')
END
"""


def test_whatever_set_up_leaves_the_runner_neither_follows_nor_runs_it(
    repository: Repository, seen: Seen
) -> None:
    project = repository.project(HOSTILE)
    for is_hit in (False, True):
        started = time.monotonic()
        prepared = repository.prepare(project)
        assert (prepared.failed, prepared.use.is_hit, prepared.use.note) == (None, is_hit, "")
        assert time.monotonic() - started < 30
        assert seen(project, prepared.workspace, "readlink ~/root; readlink tmp-link; stat -c %F ~/pipe") == (
            "/\n/work/home/root/tmp\nfifo\n"
        )
    (folder,) = repository.kept
    assert {path.name for path in folder.iterdir()} <= {"made.json", "used", "part.0000", "tree", "users"}
    assert not [path for path in repository.kept if path.is_symlink()]
    assert not Path("/etc/sprint-escaped").exists()


def test_what_cannot_be_read_is_not_kept(repository: Repository) -> None:
    prepared = repository.prepare(repository.project("touch ~/x; chmod 0 ~/x"))
    assert prepared.failed is None
    assert prepared.use.note.startswith("not kept: it cannot be packed")
    assert repository.kept == []
    assert not list(repository.root.glob("cache/environments/*/*/*/.*"))


# --- sweeping ----------------------------------------------------------------------------------


def aged(folder: Path, days: float) -> None:
    import os

    when = time.time() - days * 86400
    for path in (folder / "made.json", folder / "used", folder):
        if path.exists():
            os.utime(path, (when, when))


def test_old_and_many_environments_are_removed(repository: Repository) -> None:
    uses = [repository.prepare(repository.project(f"{VENV} --prompt {name}")).use for name in "abc"]
    cache = repository.root / "cache"
    assert clean(cache, days=14, most_bytes=10**9) == []
    folders = {path.name: path for path in repository.kept}
    aged(folders[uses[0].key], 15)
    assert clean(cache, days=14, most_bytes=10**9) == [str(folders[uses[0].key])]
    aged(folders[uses[1].key], 1)  # used less recently than the third
    assert clean(cache, days=14, most_bytes=uses[2].bytes + 10) == [str(folders[uses[1].key])]
    assert [path.name for path in repository.kept] == [uses[2].key]


def test_what_killed_ticks_left_is_swept_and_what_is_in_use_stays(repository: Repository) -> None:
    from sprint.environment import kept

    use = repository.prepare(repository.project(VENV)).use
    cache = repository.root / "cache"
    (folder,) = repository.kept
    half = folder.with_name(f".{folder.name}.new-0123abcd")
    (half / "home").mkdir(parents=True)
    with kept.alone(folder, wait=0):
        aged(folder, 30)
        assert clean(cache, days=14, most_bytes=10**9) == []
        assert half.exists()
    assert clean(cache, days=14, most_bytes=10**9) == [str(folder)]
    clean(cache, days=14, most_bytes=10**9)
    assert not half.exists()
    assert not list(folder.parent.iterdir())
    assert not repository.prepare(repository.project(VENV), "", None).use.is_hit
    assert use.key == repository.kept[0].name


def test_an_archive_is_taken_only_from_plain_files(repository: Repository, tmp_path: Path) -> None:
    from sprint.environment import kept

    space = Workspace(tmp_path / "packing")
    space.home.mkdir(parents=True)
    (tmp_path / "secret").write_text("secret")
    made = tmp_path / "made"
    made.mkdir()
    plants: list[Any] = [
        lambda path: path.symlink_to(tmp_path / "secret"),
        lambda path: path.hardlink_to(tmp_path / "secret"),
        lambda path: path.mkdir(),
    ]
    for plant in plants:
        plant(space.home / "part.0000")
        with pytest.raises((kept.NotKept, OSError)):
            kept._collect(space, made)
        assert not list(made.iterdir())
        assert (tmp_path / "secret").stat().st_mode & 0o777 != 0o644 or (
            tmp_path / "secret"
        ).stat().st_uid == 0
        (space.home / "part.0000").rmdir() if (space.home / "part.0000").is_dir() and not (
            space.home / "part.0000"
        ).is_symlink() else (space.home / "part.0000").unlink()
