"""Mirrors, checkouts, and the import of what was made in them."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sprint import git, workspace
from sprint.config import SandboxConfig
from sprint.domain import Completed, ImportedWork, Secret, Workspace
from sprint.errors import ForgeError, SprintError
from sprint.sandbox import Command, Sandbox
from sprint.sandbox.bwrap import Bwrap
from sprint.sandbox.none import Unconfined
from sprint.workspace import HandoverError, base_tree
from sprint.workspace.junk import junk_patterns
from sprint.workspace.scratch import is_scratch
from sprint.workspace.uids import free_uid
from tests.servers.forge import DemoForge, Fault

REPO = "octo/widgets"
FILES = {
    "README.md": "widgets\n",
    "lib/a.py": "A = 1\n",
    "lib/b.py": "B = 1\n",
    "vendor/node_modules/x.js": "x\n",
    ".gitignore": "*.log\nbuild/\n",
}


@dataclass
class Bench:
    """One repository on a forge, and everything to make and import a workspace of it."""

    forge: DemoForge
    cache: Path
    workspaces: Path
    scratch: Path
    sandbox: Sandbox
    made: int = 0

    @property
    def remote(self) -> git.Remote:
        return git.Remote(f"{self.forge.url}/{REPO}.git", Secret(self.forge.token))

    def update(self) -> tuple[Path, str]:
        return workspace.update_mirror(self.cache, "home", REPO, self.remote, branch="trunk")

    def create(self) -> tuple[Workspace, Path, str]:
        mirror, sha = self.update()
        self.made += 1
        space = workspace.create(self.workspaces, f"run{self.made}", mirror, sha, "trunk", "feat/issue-1")
        return space, mirror, sha

    def sh(self, space: Workspace, script: str) -> Completed:
        done = self.sandbox.run(Command(["sh", "-ec", script], timeout=60), space)
        assert done.ok, done.err
        return done

    def bring(self, space: Workspace, mirror: Path, sha: str, left: tuple[str, ...] = ()) -> ImportedWork:
        return workspace.import_work(space, mirror, sha, self.sandbox, leftovers=left, scratch=self.scratch)

    def imported(self, script: str, *, setup: str = "") -> tuple[dict[str, str], ImportedWork, Path]:
        space, mirror, sha = self.create()
        left: tuple[str, ...] = ()
        if setup:
            self.sh(space, setup)
            left = workspace.leftovers(space, self.sandbox, sha)
        self.sh(space, script)
        work = self.bring(space, mirror, sha, left)
        return {change.path: change.status for change in work.changes}, work, mirror


@pytest.fixture
def bench(gitea: DemoForge, tmp_path: Path, workspaces: Path) -> Bench:
    gitea.add_repo(REPO, FILES, "trunk", private=True)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    return Bench(gitea, tmp_path / "cache", workspaces, scratch, Bwrap(SandboxConfig()))


# --- the mirror ---


def requests(forge: DemoForge) -> list[str]:
    return [seen.path for seen in forge.requests if "/git-upload-pack" in seen.path]


def test_the_second_tick_costs_a_fetch(bench: Bench) -> None:
    mirror, sha = bench.update()
    packs = sorted((mirror / "objects/pack").glob("*.pack"))
    assert git.resolve(mirror, "refs/heads/trunk") == sha
    assert bench.update() == (mirror, sha)
    assert sorted((mirror / "objects/pack").glob("*.pack")) == packs
    new = bench.forge.commit(REPO, "trunk", "more", {"more": "more\n"})
    assert bench.update() == (mirror, new)
    assert len(list((mirror / "objects/pack").glob("*.pack"))) == 2


def test_deleted_branches_go_and_claims_never_come(bench: Bench) -> None:
    bench.forge.commit(REPO, "other", "x", {"x": "x"})
    mirror, sha = bench.update()
    git.push(mirror, bench.remote, sha, "refs/sprint/issue-1", expected="")
    assert "refs/heads/other" in git.read_refs(mirror, "refs/")
    git.delete_ref(
        mirror, bench.remote, "refs/heads/other", expected=git.resolve(mirror, "refs/heads/other") or ""
    )
    bench.update()
    assert set(git.read_refs(mirror, "refs/")) == {"refs/heads/trunk"}


def test_a_branch_that_became_a_folder_of_branches_is_followed(bench: Bench) -> None:
    bench.forge.commit(REPO, "topic", "x", {"x": "x"})
    mirror, _ = bench.update()
    at = git.resolve(mirror, "refs/heads/topic") or ""
    git.delete_ref(mirror, bench.remote, "refs/heads/topic", expected=at)
    git.push(mirror, bench.remote, at, "refs/heads/topic/sub", expected="")
    bench.update()
    assert set(git.read_refs(mirror, "refs/heads/")) == {"refs/heads/topic/sub", "refs/heads/trunk"}


def cut(mirror: Path) -> None:
    pack = next((mirror / "objects/pack").glob("*.pack"))
    pack.chmod(0o644)
    with pack.open("r+b") as file:
        file.truncate(pack.stat().st_size // 2)


def lose_pack(mirror: Path) -> None:
    next((mirror / "objects/pack").glob("*.pack")).unlink()


def lose_objects(mirror: Path) -> None:
    shutil.rmtree(mirror / "objects")


def lose_head(mirror: Path) -> None:
    (mirror / "HEAD").unlink()


def spoil_ref(mirror: Path) -> None:
    ref = mirror / "refs/heads/trunk"
    ref.parent.mkdir(parents=True, exist_ok=True)
    ref.write_text("garbage\n")


def held_lock(mirror: Path) -> None:
    (mirror / "packed-refs.lock").touch()
    (mirror / "refs/heads/trunk.lock").touch()


@pytest.mark.parametrize("harm", [cut, lose_pack, lose_objects, lose_head, spoil_ref, held_lock])
def test_a_broken_mirror_is_made_anew(bench: Bench, harm: Callable[[Path], None]) -> None:
    mirror, _ = bench.update()
    harm(mirror)
    new = bench.forge.commit(REPO, "trunk", "more", {"more": "more\n"})
    assert bench.update() == (mirror, new)
    git.git("fsck", "--full", "--strict", git_dir=mirror)
    space, _, _ = bench.create()
    assert (space.checkout / "more").read_text() == "more\n"
    assert [entry.name for entry in mirror.parent.iterdir() if entry.name.startswith(".")] == []


def test_a_killed_clone_leaves_nothing_behind_for_long(bench: Bench) -> None:
    mirror = workspace.mirror_path(bench.cache, "home", REPO)
    half = mirror.with_name(".widgets.git.new-0123abcd")
    half.mkdir(parents=True)
    (half / "HEAD").write_text("ref: refs/heads/none\n")
    bench.update()
    assert not half.exists()


def test_old_locks_of_killed_ticks_are_removed_without_cloning(bench: Bench) -> None:
    mirror, _ = bench.update()
    held_lock(mirror)
    for held in (mirror / "packed-refs.lock", mirror / "refs/heads/trunk.lock"):
        os.utime(held, (time.time() - 3600,) * 2)
    inode = mirror.stat().st_ino
    new = bench.forge.commit(REPO, "trunk", "more", {"more": "more\n"})
    assert bench.update() == (mirror, new)
    assert mirror.stat().st_ino == inode


def test_a_failing_server_does_not_cost_the_mirror(bench: Bench, slept: list[float]) -> None:
    mirror, sha = bench.update()
    inode = mirror.stat().st_ino
    for fault in (
        Fault("info/refs", status=503, times=None),
        Fault(
            "info/refs",
            status=200,
            headers={"Content-Type": "text/html"},
            body="<html>log in</html>",
            times=None,
        ),
        Fault("upload-pack", drop=True, times=None),
    ):
        bench.forge.faults.append(fault)
        with pytest.raises(ForgeError):
            bench.update()
        bench.forge.faults.clear()
        assert mirror.stat().st_ino == inode
        assert git.resolve(mirror, "refs/heads/trunk") == sha


def test_a_login_page_is_not_an_empty_repository(bench: Bench) -> None:
    page = {"Content-Type": "text/html"}
    bench.forge.faults.append(
        Fault("info/refs", status=200, headers=page, body="<html>log in</html>", times=None)
    )
    with pytest.raises(ForgeError, match=r"has no refs/heads/trunk"):
        bench.update()
    assert not workspace.mirror_path(bench.cache, "home", REPO).exists()


def test_many_fetches_do_not_make_many_packs(bench: Bench) -> None:
    for number in range(23):
        bench.forge.commit(REPO, "trunk", "more", {"more": f"{number}\n"})
        mirror, sha = bench.update()
    assert len(list((mirror / "objects/pack").glob("*.pack"))) < 20
    git.git("fsck", "--full", git_dir=mirror)
    assert git.git("show", f"{sha}:more", git_dir=mirror).out == "22\n"


@pytest.mark.parametrize("repo", ["../../etc", "a", "a/b/c", "a/..", "/a/b", "-x/y"])
def test_only_repository_names_become_paths(tmp_path: Path, repo: str) -> None:
    with pytest.raises(SprintError, match="OWNER/REPO"):
        workspace.mirror_path(tmp_path, "home", repo)


def test_a_forge_name_stays_one_folder(tmp_path: Path) -> None:
    path = workspace.mirror_path(tmp_path, "../x", REPO)
    assert path.relative_to(tmp_path / "mirrors").parts[1:] == ("octo", "widgets.git")
    assert ".." not in path.parts


def test_mirrors_that_nobody_uses_are_removed(bench: Bench) -> None:
    mirror, _ = bench.update()
    assert workspace.clean_mirrors(bench.cache, days=30) == []
    os.utime(mirror / "sprint-used", (time.time() - 31 * 86400,) * 2)
    assert workspace.clean_mirrors(bench.cache, days=30) == [str(mirror)]
    assert not mirror.exists()
    bench.update()


# --- the checkout ---


def test_a_checkout_has_its_history(bench: Bench) -> None:
    bench.forge.commit(REPO, "other", "elsewhere", {"other.txt": "x\n"})
    bench.forge.commit(REPO, "trunk", "second", {"lib/a.py": "A = 2\n"})
    space, _, sha = bench.create()
    said = bench.sh(
        space,
        "git status --porcelain; git branch --show-current; git rev-parse HEAD; git log --format=%s;"
        "git blame -s lib/a.py; git diff --stat origin/trunk origin/other; git rev-parse trunk",
    ).out
    assert said.splitlines()[:4] == ["feat/issue-1", sha, "second", "Start"]
    assert "A = 2" in said
    assert "other.txt" in said
    assert said.splitlines()[-1] == sha
    bench.sh(space, "echo x >> README.md; git commit -qam mine; git fsck --full")


def test_a_checkout_shares_no_file_with_the_mirror(bench: Bench) -> None:
    space, mirror, _ = bench.create()
    theirs = {p.stat().st_ino for p in mirror.rglob("*") if p.is_file()}
    ours = [p for p in space.root.rglob("*") if p.is_file() and not p.is_symlink()]
    assert len(ours) > 5
    assert not [p for p in ours if p.stat().st_ino in theirs]
    assert not (space.checkout / ".git/objects/info/alternates").exists()
    config = (space.checkout / ".git/config").read_text()
    assert bench.forge.token not in config
    assert str(mirror) not in config
    assert bench.remote.url in config


def test_hurting_a_checkout_does_not_hurt_the_mirror(bench: Bench) -> None:
    space, mirror, _ = bench.create()
    bench.sh(space, "find .git/objects -type f -exec chmod u+w {} + -exec truncate -s 0 {} +")
    git.git("fsck", "--full", "--strict", git_dir=mirror)


def test_an_ordinary_user_copies_a_kept_tree_and_writes_what_is_different(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() or 1000)
    monkeypatch.setattr(base_tree, "_FEWEST", 1)
    monkeypatch.setattr(base_tree, "_SHARE", 1)

    def create(name: str) -> Workspace:
        mirror, sha = bench.update()
        return workspace.create(bench.workspaces, name, mirror, sha, "trunk", "feat/issue-1", may_show=True)

    def status(space: Workspace) -> str:
        return git.git("status", "--short", git_dir=space.checkout / ".git", work_tree=space.checkout).out

    first = create("first")
    base = bench.update()[1]
    bench.forge.commit(
        REPO, "trunk", "more", {"lib/a.py": "A = 2\n", "lib/b.py": None, "lib/c.py": "C = 1\n"}
    )
    second = create("second")
    (kept,) = base_tree.place(bench.update()[0]).iterdir()
    assert kept.name == base
    assert sorted(path.name for path in (second.checkout / "lib").iterdir()) == ["a.py", "c.py"]
    assert (second.checkout / "lib/a.py").read_text() == "A = 2\n"
    assert (status(first), status(second)) == ("", "")
    times = {(space.checkout / "README.md").stat().st_mtime_ns for space in (first, second)}
    assert len(times) == 1, "what is the same was not written by git"
    (second.checkout / "README.md").write_text("spoilt\n")
    assert status(second) == " M README.md\n"
    assert (kept / "tree/README.md").read_text() == "widgets\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives workspaces to other uids")
def test_a_place_that_other_users_cannot_reach_is_named(bench: Bench) -> None:
    bench.workspaces = bench.workspaces / "private" / "workspaces"
    bench.workspaces.parent.mkdir(mode=0o700)
    mirror, _ = bench.update()
    with pytest.raises(SprintError, match=f"for {bench.workspaces.parent} is closed to others; set paths"):
        bench.create()
    assert not (mirror / "sprint-broken").exists()
    assert list(bench.workspaces.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives workspaces to other uids")
def test_each_workspace_of_root_has_a_uid_of_its_own(bench: Bench) -> None:
    (one, _, _), (two, _, _) = bench.create(), bench.create()
    assert one.uid
    assert two.uid
    assert one.uid != two.uid
    for path in [one.checkout, one.home, one.tmp, *one.checkout.rglob("*")]:
        assert path.lstat().st_uid == one.uid, path
    denied = subprocess.run(
        ["ls", str(one.checkout)], user=two.uid, group=two.uid, extra_groups=[], capture_output=True
    )
    assert denied.returncode != 0
    assert one.root.stat().st_mode & 0o007 == 0


def test_a_squatter_gets_nothing(bench: Bench, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (bench.workspaces / "sprint-run1").symlink_to(precious)
    space, _, _ = bench.create()
    assert space.root.name.startswith("sprint-run1-")
    assert list(precious.iterdir()) == []


def test_a_folder_that_others_may_change_is_refused(bench: Bench) -> None:
    bench.workspaces.chmod(0o777)
    with pytest.raises(SprintError, match=r"open to other users.*paths\.workspaces"):
        bench.create()
    bench.workspaces.chmod(0o1777)
    bench.create()


def test_a_mirror_without_the_files_is_reported_and_made_anew(bench: Bench) -> None:
    mirror, sha = bench.update()
    blob = git.git("rev-parse", f"{sha}:lib/a.py", git_dir=mirror).out.strip()
    packs = list((mirror / "objects/pack").glob("*"))
    data = next(p for p in packs if p.suffix == ".pack").read_bytes()
    for pack in packs:
        pack.unlink()
    git.git("unpack-objects", "-q", git_dir=mirror, stdin=data)
    (mirror / "objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(SprintError, match="the next tick clones the repository anew"):
        bench.create()
    assert list(bench.workspaces.iterdir()) == []
    bench.create()


def test_a_branch_above_the_new_one_is_no_obstacle(bench: Bench) -> None:
    bench.forge.commit(REPO, "feat", "x", {"x": "x"})
    mirror, sha = workspace.update_mirror(bench.cache, "home", REPO, bench.remote, branch="feat")
    space = workspace.create(bench.workspaces, "r", mirror, sha, "feat", "feat/issue-1")
    assert bench.sh(space, "git branch --show-current; git status --porcelain").out == "feat/issue-1\n"
    bench.sh(space, "git commit -q --allow-empty -m x")


# --- what comes out ---


def test_added_changed_moved_and_deleted_files_come_out(bench: Bench) -> None:
    changes, work, mirror = bench.imported(
        "echo 'A = 2' > lib/a.py; git rm -q lib/b.py; mkdir -p new/deep; echo n > new/deep/n;"
        "chmod +x new/deep/n; ln -s a.py lib/link; git mv README.md READ.md; echo x > 'sp ace';"
        "printf x > \"$(printf 'new\\nline')\""
    )
    assert changes == {
        "READ.md": "A",
        "README.md": "D",
        "lib/a.py": "M",
        "lib/b.py": "D",
        "lib/link": "A",
        "new/deep/n": "A",
        "new\nline": "A",
        "sp ace": "A",
    }
    modes = {change.path: change.new_mode for change in work.changes}
    assert modes["new/deep/n"] == "100755"
    assert modes["lib/link"] == "120000"
    assert {c.path: c.size for c in work.changes}["lib/a.py"] == 6
    sha = workspace.commit(mirror, work, "fix: it", "sprint", "sprint@localhost")
    assert git.git("log", "-1", "--format=%P %s", sha, git_dir=mirror).out == f"{work.base} fix: it\n"
    assert git.git("show", f"{sha}:lib/a.py", git_dir=mirror).out == "A = 2\n"


def test_nothing_made_is_nothing(bench: Bench) -> None:
    changes, work, mirror = bench.imported("true")
    assert changes == {}
    assert work.tree == git.resolve(mirror, work.base, "tree")


def test_an_edit_that_keeps_size_and_times_is_seen(bench: Bench) -> None:
    changes, _, _ = bench.imported(
        "touch -r lib/a.py /tmp/t; echo 'A = 3' > lib/a.py; touch -r /tmp/t lib/a.py"
    )
    assert changes == {"lib/a.py": "M"}


def test_it_works_without_isolation_as_well(bench: Bench) -> None:
    bench.sandbox = Unconfined(SandboxConfig(kind="none"))
    changes, _, _ = bench.imported(
        "echo 'A = 2' > lib/a.py; touch new x.log", setup="mkdir made; touch made/f"
    )
    assert changes == {"lib/a.py": "M", "new": "A"}


@pytest.mark.parametrize(
    "script",
    [
        "git add -A; git commit -qm mine; git checkout -q -b elsewhere; git commit -q --allow-empty -m x",
        "git add -A; git commit -qm mine; git reset -q --hard origin/trunk~0; {edit}",
        "rm -rf .git",
        "rm -rf .git; mkfifo .git",
        "rm -rf .git; echo gitdir: /nonexistent > .git",
        "rm -rf .git; ln -s / .git",
        "git update-index --assume-unchanged lib/a.py; git update-index --skip-worktree new",
        "git config core.sparseCheckout true; echo /README.md > .git/info/sparse-checkout",
        "echo '*' > .git/info/exclude; git config core.excludesFile ~/x; echo '*' > ~/x",
        "git config core.fileMode false; git config core.ignoreStat true; git config core.worktree /",
        "echo garbage > .git/index; echo garbage > .git/HEAD",
        "git replace HEAD $(git commit-tree -m x HEAD^{{tree}})",
        "echo $(git rev-parse HEAD) > .git/shallow; echo $(git rev-parse HEAD) > .git/info/grafts",
    ],
)
def test_the_work_tree_alone_counts(bench: Bench, script: str) -> None:
    edit = "echo 'A = 2' > lib/a.py; echo n > new"
    changes, _, _ = bench.imported(f"{edit}; touch new; git add -AN .; {script.format(edit=edit)}")
    assert changes == {"lib/a.py": "M", "new": "A"}


def test_ignored_files_and_junk_stay_out(bench: Bench) -> None:
    changes, _, _ = bench.imported(
        "touch x.log; mkdir -p build lib/__pycache__ pkg/node_modules/y .venv/bin x.egg-info .tox;"
        "touch build/o lib/__pycache__/a.pyc pkg/node_modules/y/z .venv/bin/python x.egg-info/PKG;"
        "touch .tox/t .DS_Store;"
        "touch lib/a.py.orig .coverage; mkdir -p .mypy_cache .pytest_cache;"
        "touch .mypy_cache/x .pytest_cache/x;"
        "echo real > pkg/real.py; echo y > vendor/node_modules/x.js"
    )
    assert changes == {"pkg/real.py": "A", "vendor/node_modules/x.js": "M", "pkg/node_modules/y/z": "A"}


def test_junk_is_junk_only_where_the_project_does_not_track_it() -> None:
    assert "node_modules/" in junk_patterns(["a/b.js"])
    assert "node_modules/" not in junk_patterns(["vendor/node_modules/x.js"])
    assert "*.orig" not in junk_patterns(["tests/data/x.orig"])
    assert "target/" not in junk_patterns(["src/target.rs"])
    assert "target/" in junk_patterns(["Cargo.toml"])
    assert "target/" not in junk_patterns(["Cargo.toml", "src/target/mod.rs"])


def test_negated_ignores_do_not_bring_junk_in(bench: Bench) -> None:
    changes, _, _ = bench.imported(
        "echo '!__pycache__/' >> .gitignore; mkdir __pycache__; touch __pycache__/a.x"
    )
    assert changes == {".gitignore": "M"}


def test_what_setup_left_is_not_the_work(bench: Bench) -> None:
    setup = (
        "mkdir -p gen/deep 'odd [dir]*'; echo 1 > gen/deep/x; echo 1 > 'odd [dir]*/f'; echo 1 > made.txt;"
        "echo locked >> README.md; rm lib/b.py; mkdir build; touch build/o;"
        "printf 1 > \"$(printf 'b\\377d')\""
    )
    changes, _, _ = bench.imported(
        "echo 2 > gen/deep/x; touch gen/deep/y gen/z; echo 2 > made.txt; echo 'A = 2' > lib/a.py;"
        "printf '!build/\\n' >> .gitignore; touch build/p; echo mine > odd",
        setup=setup,
    )
    assert changes == {"lib/a.py": "M", ".gitignore": "M", "odd": "A"}


def test_files_that_setup_changed_and_then_the_agent_are_the_work(bench: Bench) -> None:
    changes, work, mirror = bench.imported(
        "echo mine >> README.md; echo back > lib/b.py", setup="echo locked >> README.md; rm lib/b.py"
    )
    assert changes == {"README.md": "M", "lib/b.py": "M"}
    assert git.git("show", f"{work.tree}:README.md", git_dir=mirror).out == "widgets\nlocked\nmine\n"


def test_leftovers_are_text_that_any_file_can_hold(bench: Bench) -> None:
    space, _, sha = bench.create()
    bench.sh(space, 'touch "$(printf \'b\\377d\\nx\')" "per%cent"; mkdir d; touch d/f')
    left = workspace.leftovers(space, bench.sandbox, sha)
    assert left == ("+ b%FFd%0Ax", "+ d/", "+ per%25cent")


def test_what_comes_out_as_it_is_need_not_be_listed(bench: Bench) -> None:
    windows = {"dos.txt": b"one\r\ntwo\r\n", "n\xf6 space.txt": b"latin: \xf6\n", ".gitignore": b"*.txt\n"}
    for number, files in enumerate([windows, {**windows, "sub/.gitattributes": b"* text=auto\n"}]):
        bench.forge.commit(REPO, "trunk", "more", files)
        space, mirror, sha = bench.create()
        assert workspace.comes_out_as_it_is(mirror, sha) is (number == 0)
        if number == 0:
            assert workspace.leftovers(space, bench.sandbox, sha) == ()
    link = f"160000 commit {sha}\tmodule\n".encode()
    tree = git.git("mktree", "--missing", stdin=link, git_dir=mirror).out.strip()
    assert not workspace.comes_out_as_it_is(mirror, git.commit_tree(mirror, tree, [sha], "x", "x", "x@x"))


def test_a_full_disk_is_not_the_mirrors_fault(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    run = git.git

    def on_a_full_disk(*args: str, **options: Any) -> Completed:
        if "read-tree" in args:
            raise git.GitError("git read-tree failed: error: unable to write file 'big.txt'")
        return run(*args, **options)

    mirror, _ = bench.update()
    monkeypatch.setattr("sprint.git.git", on_a_full_disk)
    with pytest.raises(SprintError, match=r"'big\.txt'; see that there is space in"):
        bench.create()
    assert not (mirror / "sprint-broken").exists()
    assert list(bench.workspaces.iterdir()) == []


def test_what_lies_behind_a_link_is_not_counted(bench: Bench) -> None:
    script = "mkdir build; truncate -s 80M build/a.py build/b.py; rm -r lib; ln -s build lib"
    changes, _, _ = bench.imported(script)
    assert changes == {"lib": "A", "lib/a.py": "D", "lib/b.py": "D"}


def test_unreadable_files_are_opened_not_lost(bench: Bench) -> None:
    changes, _, _ = bench.imported(
        "mkdir shut; echo s > shut/s; chmod 000 shut; echo 'A = 2' > lib/a.py; chmod 0 lib/a.py"
    )
    assert changes == {"lib/a.py": "M", "shut/s": "A"}


def test_a_repository_inside_is_seen_as_one(bench: Bench) -> None:
    changes, work, _ = bench.imported(
        "git init -q sub; cd sub; touch f; git add f; git commit -qm x; git init -q ../empty"
    )
    assert changes == {"sub": "A", "empty": "A"}
    assert {change.new_mode for change in work.changes} == {"160000"}


def test_a_checkout_that_is_gone_is_an_error(bench: Bench) -> None:
    space, mirror, sha = bench.create()
    bench.sandbox.run(
        Command(
            ["sh", "-c", "cd /work; mv repo repo2; rm -rf repo; rm -rf repo2; rm -rf /work/repo"], timeout=20
        ),
        space,
    )
    shutil.rmtree(space.checkout, ignore_errors=True)
    with pytest.raises(HandoverError, match="could not be exported"):
        bench.bring(space, mirror, sha)


def test_work_survives_a_mirror_that_was_made_anew(bench: Bench) -> None:
    space, mirror, sha = bench.create()
    bench.sh(space, "echo 'A = 2' > lib/a.py")
    shutil.rmtree(mirror)
    bench.update()
    assert [change.path for change in bench.bring(space, mirror, sha).changes] == ["lib/a.py"]


def test_work_on_a_base_that_is_gone_is_an_error(bench: Bench) -> None:
    space, mirror, _ = bench.create()
    with pytest.raises(HandoverError, match="no longer"):
        bench.bring(space, mirror, "1" * 40)


def test_importing_twice_gives_the_same(bench: Bench) -> None:
    space, mirror, sha = bench.create()
    bench.sh(space, "echo 'A = 2' > lib/a.py")
    assert bench.bring(space, mirror, sha) == bench.bring(space, mirror, sha)
    assert list(bench.scratch.iterdir()) == []


def test_a_lost_index_costs_only_time(bench: Bench) -> None:
    space, mirror, sha = bench.create()
    bench.sh(space, "echo 'A = 2' > lib/a.py")
    (space.root / ".index").unlink()
    os.mkfifo(space.root / ".index")
    assert [change.path for change in bench.bring(space, mirror, sha).changes] == ["lib/a.py"]


def test_the_result_can_be_checked_out_by_itself(bench: Bench) -> None:
    _, work, mirror = bench.imported("echo 'A = 2' > lib/a.py; touch junk.log")
    sha = workspace.commit(mirror, work, "fix", "s", "s@localhost")
    proof = workspace.create(bench.workspaces, "run1-proof", mirror, sha, "trunk", "feat/issue-1")
    assert (
        bench.sh(proof, "cat lib/a.py; ls; git status --porcelain").out == "A = 2\nREADME.md\nlib\nvendor\n"
    )


def test_what_a_run_made_is_in_no_other_checkout(bench: Bench) -> None:
    space, mirror, sha = bench.create()
    bench.sh(space, "echo refused-secret >lib/a.py")
    own = workspace.own_objects(bench.scratch, mirror)
    work = bench.bring(space, own, sha)
    (blob,) = [change.new_sha for change in work.changes]
    commit = workspace.commit(own, work, "fix", "s", "s@localhost")
    # The run itself has all of it: its proof is made of the commit, which stands on the mirror's.
    proof = workspace.create(bench.workspaces, "run1-proof", own, commit, "trunk", "feat/issue-1")
    assert bench.sh(proof, f"cat lib/a.py; git cat-file -p {blob}; git log --format=%s").out == (
        "refused-secret\nrefused-secret\nfix\nStart\n"
    )
    assert git.push(own, bench.remote, commit, "refs/heads/pushed", expected="")[0] is git.PushResult.OK
    remade = workspace.own_objects(bench.scratch, mirror)
    assert (remade, bench.bring(space, remade, sha)) == (own, work)
    workspace.drop_objects(bench.scratch)
    workspace.drop_objects(bench.scratch)
    assert git.resolve(mirror, blob, "blob") is None
    bench.forge.delete_branch(REPO, "pushed")
    later, _, _ = bench.create()
    assert bench.sh(later, f"git cat-file -t {sha}; ! git cat-file -e {blob} 2>&1").out.startswith("commit\n")


def test_a_patch_applies(bench: Bench, tmp_path: Path) -> None:
    _, work, mirror = bench.imported(
        "echo 'A = 2' > lib/a.py; printf '\\000\\001' > bin; git rm -q lib/b.py;"
        "echo '* -diff' > .gitattributes"
    )
    patch = workspace.diff(mirror, work.base, work.tree)
    assert b"+A = 2" in patch
    git.git("worktree", "add", "-q", "--detach", str(tmp_path / "tree"), work.base, git_dir=mirror)
    subprocess.run(["git", "apply", "--index", "-"], input=patch, cwd=tmp_path / "tree", check=True)
    tree = subprocess.run(
        ["git", "write-tree"], cwd=tmp_path / "tree", capture_output=True, text=True, check=True
    )
    assert tree.stdout.strip() == work.tree
    cut_short = workspace.diff(mirror, work.base, work.tree, cap=200)
    assert b"left out" in cut_short
    assert len(cut_short) < 300


# --- scratch ---


TRACKED = ["README.md", "widgets.py", "src/a.py", "tests/test_a.py", "docs/fix_it.md"]


@pytest.mark.parametrize(
    ("path", "tracked", "expected"),
    [
        ("reproduce_issue.py", TRACKED, True),
        ("src/reproduce.js", TRACKED, True),
        ("src/a.py.bak", TRACKED, True),
        ("src/a.py.backup", TRACKED, True),
        ("patch.txt", TRACKED, True),
        ("fix1.patch", TRACKED, True),
        ("final_test.py", TRACKED, True),
        ("FIX_Issue.py", TRACKED, True),
        ("apply_fix.py", TRACKED, True),
        ("test_fix.py", TRACKED, True),
        ("simple_test.py", TRACKED, True),
        ("debug_parse.sh", TRACKED, True),
        ("test_fix.py", ["widgets.py", "README.md"], False),  # the project's first test
        ("test_fix.py", ["widgets.py", "test_widgets.py", "tests/x"], False),  # tests lie in the root here
        ("tests/test_fix.py", TRACKED, False),
        ("tests/final_test.py", TRACKED, False),
        ("new/reproduce.py", TRACKED, False),  # a folder of its own was made on purpose
        ("patches/b.patch", [*TRACKED, "patches/a.patch"], False),
        ("src/b.patch", [*TRACKED, "patches/a.patch"], True),
        ("fix_it.md", TRACKED, False),
        ("widgets_test.go", [*TRACKED, "widgets.go"], False),
        ("widgets.py", TRACKED, False),
        ("debug", TRACKED, False),
        ("prefix_table.py", TRACKED, False),
    ],
)
def test_scratch_is_told_by_name_and_place(path: str, tracked: list[str], expected: bool) -> None:
    assert is_scratch(path, tracked) is expected


def test_scratch_is_found_and_left_out(bench: Bench) -> None:
    space, mirror, sha = bench.create()
    bench.sh(
        space,
        "echo A = 2 >lib/a.py; echo x >reproduce_issue.py; cp lib/b.py lib/b.py.bak; mkdir sub;"
        "echo x >sub/new.py; echo import fix_names >lib/c.py; echo x >fix_names.py; echo x >debug_tool.py;"
        "echo y >notes.md; printf 'x\\0y' >'verify_:(top)*.sh'; echo 'see reproduce_issue' >apply_it.py;"
        "echo x >repro.py; echo x >.rc",
    )
    work = bench.bring(space, mirror, sha)
    asked: list[int] = []

    def issue() -> str:
        asked.append(1)
        return "Please add debug_tool.py."

    found = workspace.strays(mirror, work, issue)
    assert sorted(found.scratch) == [
        "apply_it.py",
        "lib/b.py.bak",
        "repro.py",
        "reproduce_issue.py",
        "verify_:(top)*.sh",
    ]
    assert found.others == ("notes.md",)
    assert asked == [1]
    left = workspace.leave_out(mirror, work, found.scratch, bench.scratch)
    assert {change.path for change in left.changes} == {
        *(".rc", "debug_tool.py", "fix_names.py", "lib/a.py", "lib/c.py", "notes.md", "sub/new.py"),
    }
    assert git.git("ls-tree", "-r", "--name-only", left.tree, git_dir=mirror).out.count("repro") == 0
    assert workspace.leave_out(mirror, left, ["nothing"], bench.scratch) == left


def test_nothing_new_asks_nobody(bench: Bench) -> None:
    _, work, mirror = bench.imported("echo A = 2 >lib/a.py; mkdir sub; echo x >sub/reproduce.py")

    def never() -> str:
        raise AssertionError

    assert workspace.strays(mirror, work, never) == workspace.Strays()


def test_what_changed_is_counted_in_lines(bench: Bench) -> None:
    _, work, mirror = bench.imported(
        "echo B = 2 >lib/a.py; rm lib/b.py; head -c 99 /dev/zero >z.bin;"
        "printf 'a\\nb\\n' >'new\ttab'; chmod +x README.md"
    )
    counted = workspace.diffstat(mirror, work.base, work.tree)
    assert [stat.path for stat in counted] == [change.path for change in work.changes]
    assert sorted((stat.path, stat.status, stat.lines) for stat in counted) == [
        ("README.md", "M", (0, 0)),
        ("lib/a.py", "M", (1, 1)),
        ("lib/b.py", "D", (0, 1)),
        ("new\ttab", "A", (2, 0)),
        ("z.bin", "A", None),
    ]


# --- removal ---


def test_removal_survives_depth_modes_and_links(bench: Bench, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("precious")
    space, _, _ = bench.create()
    (space.tmp / "out").symlink_to(precious)
    (space.root / "out").symlink_to(precious)
    shut = space.tmp / "shut"
    (shut / "in").mkdir(parents=True)
    shut.chmod(0)
    here = os.open(space.tmp, os.O_RDONLY)
    try:
        for _ in range(3000):
            os.mkdir("d" * 10, dir_fd=here)
            below = os.open("d" * 10, os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
    finally:
        os.close(here)
    workspace.remove(space.root)
    assert list(bench.workspaces.iterdir()) == []
    assert (precious / "file").read_text() == "precious"
    workspace.remove(space.root)


def test_only_what_is_ours_is_removed(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(SprintError, match="no workspace"):
        workspace.remove(tmp_path)
    (bench.workspaces / "sprint-link").symlink_to(tmp_path)
    with pytest.raises(SprintError, match="no directory of ours"):
        workspace.remove(bench.workspaces / "sprint-link")
    (bench.workspaces / "sprint-1776000000-42").mkdir()  # another program's
    (bench.workspaces / "sprint-file").touch()
    assert workspace.clean(bench.workspaces, keep=0, in_use=set()) == []
    assert len(list(bench.workspaces.iterdir())) == 3
    assert tmp_path.is_dir()


def test_the_newest_and_those_in_use_are_kept(bench: Bench) -> None:
    spaces = [bench.create()[0] for _ in range(4)]
    for age, space in enumerate(spaces):
        os.utime(space.root / ".sprint", (time.time() - age * 1000,) * 2)
    half = bench.workspaces / ".sprint-run9.gone-0123abcd"
    half.mkdir()
    removed = workspace.clean(bench.workspaces, keep=1, in_use={str(spaces[2].root)})
    assert sorted(removed) == [str(spaces[1].root), str(spaces[3].root)]
    assert sorted(bench.workspaces.iterdir()) == sorted([spaces[0].root, spaces[2].root])
    assert workspace.clean(bench.workspaces / "none", keep=1, in_use=set()) == []


def test_a_marker_says_whose_it_is(bench: Bench) -> None:
    space, _, _ = bench.create()
    marker = (space.root / ".sprint").lstat()
    assert stat.S_ISREG(marker.st_mode)
    assert marker.st_mode & 0o077 == 0


# --- many at once ---


def at_once(work: Callable[[int], None], times: int = 20) -> None:
    """Run it in so many threads; what the first of them raised is raised here."""
    with ThreadPoolExecutor(times) as pool:
        for done in [pool.submit(work, number) for number in range(times)]:
            done.result(60)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives workspaces to other uids")
def test_a_uid_is_found_while_others_come_and_go(workspaces: Path) -> None:
    deadline = time.monotonic() + 1.5

    def come_and_go(number: int) -> None:
        root = workspaces / f"sprint-run{number}"
        while time.monotonic() < deadline:
            root.mkdir()
            free_uid(workspaces)
            root.rmdir()

    at_once(come_and_go)


def test_workspaces_are_made_and_removed_by_twenty_at_once(bench: Bench) -> None:
    mirror, sha = bench.update()

    def tick(number: int) -> None:
        space = workspace.create(bench.workspaces, f"run{number}", mirror, sha, "trunk", "feat/issue-1")
        assert (space.checkout / "README.md").exists()
        workspace.clean(bench.workspaces, keep=100, in_use=set())
        workspace.remove(space.root)

    at_once(tick)
    assert list(bench.workspaces.iterdir()) == []


def test_what_one_removes_another_may_remove_as_well(workspaces: Path) -> None:
    """Every tick clears away what killed ticks left half removed, and what others are just removing."""
    for number in range(8):
        gone = workspaces / f".sprint-run{number}.gone-{number:08x}"
        for folder in range(40):
            (gone / f"{folder}/inner").mkdir(parents=True)
            for file in range(10):
                (gone / f"{folder}/inner/{file}").touch()
    at_once(lambda number: bool(workspace.clean(workspaces, keep=0, in_use=set())))
    assert list(workspaces.iterdir()) == []


def test_git_in_the_checkout_says_nothing_of_what_tools_leave(bench: Bench) -> None:
    space, _, _ = bench.create()
    script = (
        "mkdir -p lib/__pycache__ node_modules vendor/node_modules; touch lib/__pycache__/a.pyc "
        "node_modules/x vendor/node_modules/new work.py; git status --short --untracked-files=all"
    )
    seen = bench.sandbox.run(Command(["sh", "-c", script], timeout=20), space)
    # The base tracks one node_modules, so that name alone tells nothing here.
    assert seen.out.split() == ["??", "node_modules/x", "??", "vendor/node_modules/new", "??", "work.py"]
