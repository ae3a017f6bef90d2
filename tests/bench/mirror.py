"""Getting a workspace of a large repository: the first tick, the second, and `git clone`."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

from sprint import workspace
from sprint.demo.forge import DemoForge
from sprint.git import Remote
from tests.bench import measure

COMMITS = 50_000
FILES = 20_000
REPO = "acme/large"


def _history() -> Iterator[bytes]:
    """A fast-import stream: all files in the first commit, then one changed in each."""
    yield b"blob\nmark :1\ndata 4\none\n\n"
    for number in range(1, COMMITS + 1):
        yield b"commit refs/heads/main\n"
        yield b"committer A <a@example.org> %d +0000\ndata 3\nc%d\n" % (1_600_000_000 + number, number % 10)
        if number == 1:
            for index in range(FILES):
                yield b"M 100644 :1 src/d%03d/f%05d.txt\n" % (index // 100, index)
        text = b"change %d\n" % number
        yield b"M 100644 inline src/d%03d/f%05d.txt\n" % (number % FILES // 100, number % FILES)
        yield b"data %d\n%s\n" % (len(text), text)


def bench(scratch: Path) -> Iterator[str]:
    with DemoForge("gitea", scratch / "forge") as forge:
        forge.add_repo(REPO, {"README.md": "large\n"})
        path = forge.path(REPO)
        importer = subprocess.Popen(
            ["git", "-C", str(path), "fast-import", "--quiet", "--force"], stdin=subprocess.PIPE
        )
        assert importer.stdin is not None
        for piece in _history():
            importer.stdin.write(piece)
        importer.stdin.close()
        assert importer.wait() == 0
        subprocess.run(["git", "-C", str(path), "repack", "-adq"], check=True)
        url = f"{forge.url}/{REPO}.git"
        remote = Remote(url)
        spaces = scratch / "spaces"
        spaces.mkdir(mode=0o711)

        def tick(name: str) -> None:
            mirror, sha = workspace.update_mirror(scratch / "cache", "home", REPO, remote, branch="main")
            workspace.create(spaces, name, mirror, sha, "main", "feat/issue-1")

        def clone() -> None:
            subprocess.run(["git", "clone", "-q", url, str(scratch / "clone")], check=True)

        first = measure.seconds(lambda: tick("first"))
        second = measure.seconds(lambda: tick("second"))
        cloned = measure.seconds(clone)
        yield f"{COMMITS} commits, {FILES} files over HTTP on loopback"
        yield f"first tick {first:.2f} s, second tick {second:.2f} s, git clone {cloned:.2f} s"
        yield f"git clone / second tick: {cloned / second:.1f} (aim: at least 10)"
