"""Where the runner is root, kept environments are shown below workspaces: nothing of them is copied."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from sprint import workspace
from sprint.domain import EnvironmentUse, Workspace, replace
from sprint.environment import Project, clean
from sprint.workspace import base_tree, layers
from tests.environment.conftest import Repository

SETUP = "mkdir -p ~/.venv/bin node_modules/a; echo kept | tee ~/.venv/x ~/.venv/bin/y >node_modules/a/z"
SPOIL = """
echo spoilt >~/.venv/x; rm -r ~/.venv/bin; mv node_modules/a node_modules/b; chmod 600 node_modules/b/z
touch -d 2001-02-03 node_modules/b/z; ls /work/.layers 2>/dev/null; cat ~/.venv/x node_modules/*/z; ls ~/.venv
"""
LOOK = "cat ~/.venv/x ~/.venv/bin/y node_modules/a/z; stat -c %U ~/.venv ~/.venv/x node_modules/a/z"
WHOLE = "kept\n" * 3 + "sprint\n" * 3
VENV = "python3 -m venv --without-pip ~/.venv"  # known to fetch only: for all commits
Seen = Callable[[Project, Workspace, str], str]


@pytest.fixture
def project(repository: Repository) -> Project:
    project = repository.project(SETUP)
    repository.prepare(project)
    (folder,) = repository.kept
    if not (folder / "tree").is_dir():
        pytest.skip("kept trees cannot be shown here: no root, or a file system that cannot be layered")
    return project


def mounted_below(root: Path) -> list[str]:
    return [
        line for line in Path("/proc/thread-self/mountinfo").read_text().splitlines() if str(root) in line
    ]


def test_what_is_written_stays_in_its_workspace(repository: Repository, project: Project, seen: Seen) -> None:
    first, second = repository.prepare(project), repository.prepare(project)
    assert (first.use.is_hit, second.use.is_hit) == (True, True)
    assert seen(project, first.workspace, SPOIL) == "spoilt\nkept\nx\n"
    assert (first.workspace.home / ".venv/x").read_text() == "spoilt\n"
    assert seen(project, second.workspace, LOOK) == WHOLE
    assert seen(project, repository.prepare(project).workspace, LOOK) == WHOLE
    (folder,) = repository.kept
    assert (folder / "tree/home/.venv/x").read_text() == "kept\n"
    for prepared in (first, second):
        workspace.remove(prepared.workspace.root)
        assert not prepared.workspace.root.exists()
        assert mounted_below(prepared.workspace.root) == []


def test_a_killed_process_leaves_no_mount_and_the_next_one_shows_the_same(
    repository: Repository, project: Project, seen: Seen
) -> None:
    def prepare_and_wait(told: Connection) -> None:
        told.send(repository.prepare(project).workspace)
        told.recv()

    here, there = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=prepare_and_wait, args=(there,))
    child.start()
    space: Workspace = here.recv()
    assert child.pid is not None
    child.kill()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert mounted_below(space.root) == []
    assert not (space.home / ".venv").exists()
    layers.cover_again(space)
    assert seen(project, space, LOOK) == WHOLE
    layers.cover_again(space)
    assert len(mounted_below(space.root)) == 2
    (space.root / ".layers/of.json").write_bytes(b"")
    with pytest.raises(layers.NoLayersError, match="damaged"):
        layers.cover_again(space)


def test_what_a_workspace_needs_is_not_swept(
    repository: Repository, project: Project, tmp_path: Path
) -> None:
    space = repository.prepare(project).workspace
    cache, (folder,) = repository.root / "cache", repository.kept
    assert clean(cache, days=0, most_bytes=0) == []
    layers.uncover(space.root)
    assert clean(cache, days=0, most_bytes=0) == [str(folder)]
    with pytest.raises(layers.NoLayersError):
        layers.cover(space, {"home": folder / "tree/home"}, 0, tmp_path)
    assert mounted_below(space.root) == []


@pytest.fixture
def trees(repository: Repository, project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A repository whose files are many enough for its tree to be kept."""
    monkeypatch.setattr(base_tree, "_FEWEST", 1)
    monkeypatch.setattr(base_tree, "_SHARE", 2)
    repository.change({f"lib/{number}.py": f"N = {number}\n" for number in range(40)})
    return repository.project(VENV)


STATUS = (
    "git status --short | grep -v node_modules; cat lib/7.py; stat -c %U lib/7.py README.md; ls lib | wc -l"
)


def kept_trees(project: Project) -> list[str]:
    return sorted(path.name for path in base_tree.place(project.mirror).iterdir())


def test_a_checkout_writes_what_is_different_from_the_kept_tree(
    repository: Repository, trees: Project, seen: Seen, tmp_path: Path
) -> None:
    base = repository.update()[1]
    first = repository.prepare(trees).workspace
    assert kept_trees(trees) == [base]
    whole = "N = 7\nsprint\nsprint\n41\n"
    assert seen(trees, first, STATUS) == whole
    for folder in ("repo", "home"):
        with pytest.raises(layers.NoLayersError):
            layers.cover(first, {folder: tmp_path / "nowhere"}, 0, tmp_path)
        assert seen(trees, first, STATUS) == whole, "what was shown there before still is"
        assert seen(trees, first, "ls ~/.venv/pyvenv.cfg") == "/work/home/.venv/pyvenv.cfg\n"
    later = repository.change({"lib/7.py": "N = 70\n", "lib/new.py": "new\n"})
    second = repository.prepare(trees, later)
    assert (kept_trees(trees), second.use.is_hit) == ([base], True)
    assert seen(trees, second.workspace, STATUS) == whole.replace("N = 7", "N = 70").replace("41", "42")
    assert seen(trees, second.workspace, "ls ~/.venv/pyvenv.cfg") == "/work/home/.venv/pyvenv.cfg\n"
    upper = [path.name for path in Path(second.workspace.root, "repo/lib").iterdir()]
    layers._unmount(second.workspace.checkout)
    assert sorted(path.name for path in Path(second.workspace.root, "repo/lib").iterdir()) == [
        "7.py",
        "new.py",
    ]
    assert len(upper) == 42
    for space in (first, second.workspace):
        workspace.remove(space.root)
    fewer = repository.change({"lib/3.py": None})
    assert seen(trees, repository.prepare(trees, fewer).workspace, STATUS).endswith("\n41\n")
    assert kept_trees(trees) == [fewer], "what the base has lost hides nothing"


def test_work_over_a_kept_tree_comes_out_whole_also_when_its_process_was_killed(
    repository: Repository, trees: Project, seen: Seen, tmp_path: Path
) -> None:
    repository.prepare(trees)
    base = repository.update()[1]
    space = repository.prepare(trees).workspace
    left = workspace.leftovers(space, trees.sandbox, base)
    seen(
        trees, space, "echo more >>lib/1.py; rm lib/2.py; chmod +x lib/3.py; mv lib/4.py lib/5.py; echo >n.py"
    )
    layers._unmount(space.checkout)
    store = workspace.own_objects(tmp_path, trees.mirror)
    work = workspace.import_work(space, store, base, trees.sandbox, leftovers=left, scratch=tmp_path)
    assert [(change.status, change.path) for change in work.changes] == [
        *(("M", "lib/1.py"), ("D", "lib/2.py"), ("M", "lib/3.py"), ("D", "lib/4.py"), ("M", "lib/5.py")),
        ("A", "n.py"),
    ]
    commit = workspace.commit(store, work, "work", "a", "a@example.org")
    proof = repository.prepare(replace(trees, mirror=store), commit, EnvironmentUse()).workspace
    assert seen(trees, proof, "cat lib/1.py; ls lib/2.py lib/4.py 2>&1 | wc -l; git status --short") == (
        "N = 1\nmore\n2\n"
    )
    assert kept_trees(trees) == [base], "of commits of the mirror's alone"
    workspace.write_out(space)
    assert mounted_below(space.root) == []
    assert len(list((space.checkout / "lib").iterdir())) == 39
    assert (space.checkout / "lib/1.py").stat().st_uid == space.uid
