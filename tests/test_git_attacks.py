"""What an agent plants in its checkout to have the runner's git execute it, and what is made of it.

Each attack is shown to work on the careless way first: the runner's git, run in the agent's checkout.
"""

from __future__ import annotations

import os
import struct
import subprocess
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha1
from pathlib import Path

import pytest

from sprint import git, policy, proc, workspace
from sprint.config import PublishConfig, SandboxConfig
from sprint.domain import Change, Workspace
from sprint.sandbox import Command
from sprint.sandbox.bwrap import Bwrap
from sprint.workspace import HandoverError
from sprint.workspace.bundle import BundleError, open_bundle

REPO = "octo/widgets"


@dataclass
class Field:
    """A repository, a workspace of it, and a canary that nothing inside can know about."""

    space: Workspace
    mirror: Path
    base: str
    canary: Path
    scratch: Path
    sandbox: Bwrap

    def plant(self, script: str) -> None:
        """Run by the agent: $PAYLOAD is a command that makes the canary wherever it runs outside."""
        done = self.sandbox.run(
            Command(["bash", "-euc", script], timeout=60, env={"PAYLOAD": f"touch {self.canary}"}), self.space
        )
        assert done.ok, done.err

    def work(self, left: tuple[str, ...] = ()) -> list[Change]:
        work = workspace.import_work(
            self.space, self.mirror, self.base, self.sandbox, leftovers=left, scratch=self.scratch
        )
        if work.changes:
            workspace.diff(self.mirror, work.base, work.tree)
            policy.judge(self.mirror, work, PublishConfig())
            sha = workspace.commit(self.mirror, work, "fix", "s", "s@localhost")
            git.log(self.mirror, sha, limit=2)
            remote = git.Remote(str(self.scratch.parent / "server.git"))
            git.push(self.mirror, remote, sha, "refs/heads/x", expected=None)
        return list(work.changes)

    def carelessly(self, *commands: str) -> None:
        """What a runner does that trusts the checkout: git, in it, as itself."""
        env = {
            **os.environ,
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            "SERVER": str(self.scratch.parent / "server.git"),
            "EDITOR": "true",
        }
        for command in commands:
            if not self.canary.exists():
                proc.run(["sh", "-c", command], cwd=self.space.checkout, env=env, timeout=20)


@pytest.fixture
def field(tmp_path: Path, workspaces: Path) -> Iterator[Field]:
    server = tmp_path / "server.git"
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    subprocess.run(["git", "init", "-q", "--bare", "-b", "trunk", str(server)], check=True)
    source = tmp_path / "source"
    source.mkdir()
    (source / "a.txt").write_text("a\n")
    (source / "b.txt").write_text("b\n")
    for command in ("init -q -b trunk", "add .", "commit -qm one", f"push -q {server} trunk"):
        subprocess.run(["git", *command.split()], cwd=source, check=True)
    mirror, base = workspace.update_mirror(
        tmp_path / "cache", "home", REPO, git.Remote(str(server)), branch="trunk"
    )
    space = workspace.create(workspaces, "run1", mirror, base, "trunk", "feat/issue-1")
    outside = tmp_path / "outside"
    outside.mkdir()
    yield Field(space, mirror, base, outside / "canary", scratch, Bwrap(SandboxConfig()))
    workspace.remove(space.root)


ALL = (
    "git status; git add -A; git diff --cached; git diff HEAD; git st; git log -1 -p",
    "git -c user.name=s -c user.email=s@x commit -m work; git show; git commit --amend --reset-author",
    "printf 'protocol=https\nhost=example.org\n\n' | git credential fill",  # as any request that meets a 401
    "git push $SERVER HEAD:refs/heads/naive; git push origin HEAD; git fetch origin; git gc",
)
HOOK = 'mkdir -p .git/hooks; echo "$PAYLOAD" > .git/hooks/{0}; chmod +x .git/hooks/{0}'
PROGRAM = 'printf "#!/bin/sh\\n$PAYLOAD\\nexit 1\\n" > .x; chmod +x .x; '
INCLUDED = r"""printf '[core]\n\tfsmonitor = "%s; false"\n' "$PAYLOAD" > .included; """

# What runs the payload where git is used carelessly.
RUNS_CODE = {
    **{
        f"{hook} hook": HOOK.format(hook)
        for hook in (
            "pre-commit",
            "prepare-commit-msg",
            "commit-msg",
            "post-commit",
            "pre-push",
            "reference-transaction",
            "post-index-change",
        )
    },
    "core.hooksPath": 'mkdir h; echo "$PAYLOAD" > h/pre-commit; chmod +x h/*; git config core.hooksPath h',
    "core.fsmonitor": 'git config core.fsmonitor "$PAYLOAD; false"',
    "core.editor": 'git config core.editor "$PAYLOAD; true"',
    "alias": 'git config alias.st "!$PAYLOAD"',
    "clean filter": 'git config filter.x.clean "$PAYLOAD; cat"; echo "* filter=x" > .gitattributes',
    "process filter": 'git config filter.x.process "$PAYLOAD"; echo "* filter=x" > .gitattributes',
    "lfs filter": 'git config filter.lfs.clean "$PAYLOAD; cat"; echo "*.txt filter=lfs" > .gitattributes',
    "info/attributes": 'git config filter.x.clean "$PAYLOAD; cat"; echo "* filter=x" > .git/info/attributes',
    "textconv": 'git config diff.x.textconv "$PAYLOAD; cat"; echo "* diff=x" > .gitattributes',
    "diff.external": 'git config diff.external "$PAYLOAD; true"',
    "diff driver": 'git config diff.x.command "$PAYLOAD; true"; echo "* diff=x" > .gitattributes',
    "include.path": INCLUDED + "git config include.path ../.included",
    "includeIf": INCLUDED + 'git config "includeIf.gitdir:**.path" ../.included',
    "config.worktree": (
        'git config extensions.worktreeConfig true; git config --worktree core.fsmonitor "$PAYLOAD; false"'
    ),
    "gpg.program": PROGRAM + "git config commit.gpgSign true; git config gpg.program ./.x",
    "core.sshCommand": 'git config core.sshCommand "$PAYLOAD; false"; git config remote.origin.url ssh://x/y',
    "ext transport": (
        PROGRAM + "git config protocol.ext.allow always; git config remote.origin.url 'ext::./.x'"
    ),
    "url.insteadOf": (
        PROGRAM + 'git config protocol.ext.allow always; git config url."ext::./.x ".insteadOf /'
    ),
    "remote.uploadpack": (
        'git config remote.origin.url "$PWD"; git config remote.origin.uploadpack "$PAYLOAD; false"'
    ),
    "remote.receivepack": (
        'git config remote.origin.url "$PWD"; git config remote.origin.receivepack "$PAYLOAD; false"'
    ),
    "credential.helper": 'git config credential.helper "!$PAYLOAD; false"',
    "core.askPass": PROGRAM + "git config core.askPass ./.x",
    "a .git file that leads to a planted one": (
        'git config core.fsmonitor "$PAYLOAD; false"; mv .git .planted; echo "gitdir: .planted" > .git'
    ),
    "a repository inside": (
        "git init -q sub; cd sub; echo x > f; git add f; git commit -qm x;"
        'git config core.fsmonitor "$PAYLOAD; false"; cd ..; git add sub; echo y > sub/f'
    ),
}


@pytest.mark.parametrize("name", RUNS_CODE)
def test_nothing_planted_runs_outside(field: Field, name: str) -> None:
    field.plant(f"echo changed >> a.txt; {RUNS_CODE[name]}")
    changes = field.work()
    assert not field.canary.exists()
    assert "a.txt" in [change.path for change in changes]
    field.carelessly(*ALL)
    assert field.canary.exists(), "the careless way was not fooled: the attack proves nothing"


def test_replace_refs_do_not_swap_what_is_judged_for_what_is_pushed(field: Field) -> None:
    field.plant(
        "echo evil > a.txt; git add -A; evil=$(git write-tree); git read-tree HEAD;"
        "echo good > b.txt; rm a.txt;"
        "git checkout -q HEAD a.txt; git add -A; good=$(git write-tree); "
        "git replace -f $good $evil"
    )
    assert [change.path for change in field.work()] == ["b.txt"]
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "replace", "-l"],
        cwd=field.space.checkout,
        capture_output=True,
        check=True,
    )
    assert listed.stdout


def test_alternates_do_not_fetch_other_repositories_objects(field: Field, tmp_path: Path) -> None:
    private = tmp_path / "private.git"
    git.init_bare(private)
    secret = git.git("hash-object", "-w", "--stdin", git_dir=private, stdin=b"private\n").out.strip()
    field.plant(
        f"echo {private}/objects > .git/objects/info/alternates || mkdir -p .git/objects/info;"
        f"echo {private}/objects > .git/objects/info/alternates;"
        f"git update-index --add --cacheinfo 100644,{secret},stolen; echo x > b.txt"
    )
    assert [change.path for change in field.work()] == ["b.txt"]
    assert git.sizes(field.mirror, [secret])[secret].kind == "missing"
    # The careless way: a trusted git that follows the checkout's alternates.
    read = subprocess.run(
        ["git", "--git-dir", str(field.space.checkout / ".git"), "cat-file", "blob", secret],
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
        },
        check=False,
    )
    assert read.stdout == "private\n"


def test_work_is_taken_from_nowhere_else(field: Field) -> None:
    field.plant("git config core.worktree /usr/share; echo x > b.txt")
    assert [change.path for change in field.work()] == ["b.txt"]


@pytest.mark.parametrize("name", [".gitattributes", ".gitignore", "sub/.gitattributes"])
def test_a_pipe_that_git_would_wait_on_is_an_error_at_once(field: Field, name: str) -> None:
    field.plant(f"mkdir -p sub; echo x > sub/f; echo x > b.txt; mkfifo {name}")
    started = time.monotonic()
    with pytest.raises(HandoverError, match="no regular file"):
        field.work()
    assert time.monotonic() - started < 20
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run(
            ["git", "-c", "safe.directory=*", "add", "-A"],
            cwd=field.space.checkout,
            timeout=1,
            capture_output=True,
        )


def test_pipes_elsewhere_and_sockets_are_passed_over(field: Field) -> None:
    field.plant(
        "mkfifo p; python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"s\")'; echo x > b.txt"
    )
    assert [change.path for change in field.work()] == ["b.txt"]


def test_links_are_taken_as_links(field: Field, tmp_path: Path) -> None:
    (tmp_path / "outside/private").write_text("private\n")
    field.plant(f"ln -s {tmp_path}/outside all; ln -sf {tmp_path}/outside/private b.txt")
    changes = {change.path: change for change in field.work()}
    assert {path: change.new_mode for path, change in changes.items()} == {"all": "120000", "b.txt": "120000"}
    found = git.read_blobs(field.mirror, [c.new_sha for c in changes.values()], 1000)
    assert b"private\n" not in found.values()


def test_a_checkout_replaced_by_a_link_is_no_way_to_the_host(field: Field) -> None:
    """As a runner that is not root would meet it: there, the agent may replace the checkout itself."""
    field.space.checkout.rename(field.space.root / "was")
    field.space.checkout.symlink_to(field.scratch.parent / "outside")
    field.canary.write_text("of the host")
    with pytest.raises(HandoverError, match="could not be exported"):
        field.work()


def test_too_much_is_an_error_not_an_import(field: Field) -> None:
    field.plant("truncate -s 80M big")
    with pytest.raises(HandoverError, match="new and changed files are over"):
        field.work()


def test_too_many_are_an_error_not_an_import(field: Field) -> None:
    field.plant("mkdir many; cd many; seq 1 20500 | xargs touch")
    with pytest.raises(HandoverError, match="more than 20000 new files"):
        field.work()


def test_a_tree_deeper_than_any_path_ends_in_a_sentence(field: Field) -> None:
    script = "import os\nfor _ in range(600):\n os.mkdir('d' * 8); os.chdir('d' * 8)\nopen('f', 'w').close()"
    field.sandbox.run(Command(["python3", "-c", script], timeout=60), field.space)
    field.sandbox.run(Command(["sh", "-c", "echo x > b.txt"], timeout=60), field.space)
    said = "stopped by its limit (files)"  # where the sandbox looks in time; git skips what no path can name
    try:
        assert [change.path for change in field.work()] == ["b.txt"]
    except HandoverError as error:
        said = str(error)
    assert said.endswith("stopped by its limit (files)")


def test_names_like_gits_own_never_come_out(field: Field) -> None:
    field.plant("mkdir -p .GIT/hooks 'git~1'; echo x > .GIT/config; echo x > 'git~1/config'; echo x > b.txt")
    assert [change.path for change in field.work()] == ["b.txt"]


def test_a_git_of_the_agents_own_is_not_what_exports(field: Field) -> None:
    field.plant(
        "mkdir -p ~/.local/bin; printf '#!/bin/sh\\nexit 0\\n' > ~/.local/bin/git;"
        "chmod +x ~/.local/bin/git; echo x > b.txt"
    )
    assert [change.path for change in field.work()] == ["b.txt"]


def test_configuration_in_the_agents_home_has_no_say(field: Field) -> None:
    field.plant(
        "git config --global core.excludesFile ~/x; git config --global core.autocrlf true; echo '*' > ~/x;"
        "printf 'a\\r\\n' > new"
    )
    changes = field.work()
    assert [(change.path, change.size) for change in changes] == [("new", 3)]


# --- bundles that no export of ours makes ---


def head_of(kind: int, size: int) -> bytes:
    """How a pack writes an entry's kind and size: seven bits at a time, the first time four."""
    byte, rest = (kind << 4) | (size & 15), size >> 4
    head = bytearray()
    while rest:
        head.append(byte | 0x80)
        byte, rest = rest & 0x7F, rest >> 7
    return bytes([*head, byte])


def entry(kind: int, data: bytes, size: int | None = None) -> bytes:
    return head_of(kind, len(data) if size is None else size) + zlib.compress(data, 9)


def bundle(base: str, *entries: bytes) -> bytes:
    pack = b"PACK" + struct.pack(">II", 2, len(entries)) + b"".join(entries)
    header = f"# v2 git bundle\n-{base} base\n{'1' * 40} refs/heads/work\n\n".encode()
    return header + pack + sha1(pack).digest()


BASE = "2" * 40
COMMIT = entry(1, b"tree x")


def bomb() -> bytes:
    """Two megabytes that unpack to two gigabytes."""
    packer = zlib.compressobj(9)
    first = packer.compress(b"\0" * (1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(b"\0" * (1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    data = first + again * 2047
    return head_of(3, 2048 << 20) + data


def test_a_proper_bundle_passes() -> None:
    open_bundle(bundle(BASE, COMMIT, entry(2, b"t"), entry(3, b"x" * 100_000)), BASE, 200_000)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no bundle"),
        (bundle("3" * 40, COMMIT), "no bundle on the base"),
        (bundle(BASE, COMMIT).replace(b"-2", b"-2" + b"2" * 40 + b" x\n-2", 1), "no bundle"),
        (bundle(BASE), "more than one state"),
        (bundle(BASE, COMMIT, COMMIT), "more than one state"),
        (bundle(BASE, COMMIT) + b"more", "more than one state"),
        (bundle(BASE, COMMIT, entry(4, b"tag")), "no plain objects"),
        (bundle(BASE, COMMIT, entry(6, b"delta")), "no plain objects"),
        (bundle(BASE, COMMIT, entry(7, b"delta")), "no plain objects"),
        (bundle(BASE, COMMIT, entry(3, b"x" * 2000)), "more than 1000 bytes"),
        (bundle(BASE, COMMIT, entry(3, b"x" * 900_000, size=10)), "not as big as it says"),
        (bundle(BASE, COMMIT, entry(3, b"x", size=500)), "not as big as it says"),
        (bundle(BASE, COMMIT, entry(3, b"x" * 50))[:-40], "cut short|damaged"),
        (bundle(BASE, COMMIT, b"\x3fgarbage that is no zlib stream"), "damaged"),
        (bundle(BASE, COMMIT, b"\xbf" + b"\xff" * 30), "absurd|cut short"),
    ],
)
def test_other_bundles_are_refused(data: bytes, reason: str) -> None:
    with pytest.raises(BundleError, match=reason):
        open_bundle(data, BASE, 1000)


def test_two_megabytes_that_become_two_gigabytes_are_refused_at_once() -> None:
    data = bundle(BASE, COMMIT, bomb())
    assert len(data) < 3_000_000
    started = time.monotonic()
    with pytest.raises(BundleError, match="unpacks to more than"):
        open_bundle(data, BASE, 64_000_000)
    assert time.monotonic() - started < 1


class Forger:
    """A sandbox whose export was taken over: it answers with whatever it likes."""

    kind = "forger"

    def __init__(self, answer: bytes) -> None:
        self.answer = answer

    def probe(self) -> None: ...

    def run(self, *args: object) -> object:
        from sprint.domain import Completed

        return Completed(0, self.answer, b"")


def test_a_forged_bundle_without_its_objects_is_refused(field: Field) -> None:
    missing = (
        f"tree {'5' * 40}\nparent {field.base}\nauthor a <> 0 +0000\ncommitter a <> 0 +0000\n\nx\n".encode()
    )
    sha = sha1(b"commit %d\0" % len(missing) + missing).hexdigest()
    data = bundle(field.base, entry(1, missing)).replace(b"1" * 40, sha.encode(), 1)
    with pytest.raises(HandoverError, match="git refuses"):
        workspace.import_work(
            field.space,
            field.mirror,
            field.base,
            Forger(data),
            leftovers=(),
            scratch=field.scratch,
        )


def test_a_forged_tree_with_a_git_directory_in_it_is_refused(field: Field) -> None:
    blob = b"[core]\n"
    blob_sha = sha1(b"blob %d\0" % len(blob) + blob).digest()
    inner = b"100644 config\0" + blob_sha
    inner_sha = sha1(b"tree %d\0" % len(inner) + inner).digest()
    tree = b"40000 .git\0" + inner_sha
    tree_sha = sha1(b"tree %d\0" % len(tree) + tree).hexdigest()
    text = (
        f"tree {tree_sha}\nparent {field.base}\nauthor a <> 0 +0000\ncommitter a <> 0 +0000\n\nx\n".encode()
    )
    sha = sha1(b"commit %d\0" % len(text) + text).hexdigest()
    data = bundle(field.base, entry(1, text), entry(2, tree), entry(2, inner), entry(3, blob))
    with pytest.raises(HandoverError, match=r"hasDotgit|\.git"):
        workspace.import_work(
            field.space,
            field.mirror,
            field.base,
            Forger(data.replace(b"1" * 40, sha.encode(), 1)),
            leftovers=(),
            scratch=field.scratch,
        )
