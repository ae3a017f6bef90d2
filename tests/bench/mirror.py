"""Getting a workspace of a large repository: the first tick, the second, and `git clone`."""

from __future__ import annotations

import random
import shutil
import statistics
import subprocess
from collections.abc import Iterator
from pathlib import Path

from sprint import workspace
from sprint.domain import Workspace
from sprint.git import Remote
from tests.bench import measure
from tests.servers.forge import DemoForge

COMMITS = 50_000
FILES = 20_000
TIMES = 5
REPO = "acme/large"
_WORDS = [b"%x" % (number * 2654435761 % 2**28) for number in range(3000)]


def _text(index: int, version: int) -> bytes:
    """About 4 kB that compress as source code does, with one line that tells the version."""
    draw = random.Random(index)
    lines = [b" ".join(draw.choice(_WORDS) for _ in range(9)) for _ in range(80)]
    lines[version % 80] = b"version %d" % version
    return b"\n".join(lines) + b"\n"


def _history() -> Iterator[bytes]:
    """A fast-import stream: all files in the first commit, then one changed in each."""
    for number in range(1, COMMITS + 1):
        yield b"commit refs/heads/main\n"
        yield b"committer A <a@example.org> %d +0000\ndata 3\nc%d\n" % (1_600_000_000 + number, number % 10)
        for index in range(FILES) if number == 1 else (number * 7919 % FILES,):
            text = _text(index, number)
            yield b"M 100644 inline src/d%03d/f%05d.txt\ndata %d\n%s\n" % (
                index // 100,
                index,
                len(text),
                text,
            )


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
        subprocess.run(["git", "-C", str(path), "repack", "-adfq"], check=True)
        url = f"{forge.url}/{REPO}.git"
        remote = Remote(url)
        spaces = scratch / "spaces"
        spaces.mkdir(mode=0o711)

        def tick(name: str) -> Workspace:
            mirror, sha = workspace.update_mirror(scratch / "cache", "home", REPO, remote, branch="main")
            return workspace.create(spaces, name, mirror, sha, "main", "feat/issue-1")

        def clone() -> None:
            subprocess.run(["git", "clone", "-q", url, str(scratch / "clone")], check=True)

        first = measure.seconds(lambda: workspace.remove(tick("first").root))
        later, clones = [], []
        for number in range(TIMES):
            spaces_made: list[Workspace] = []
            later.append(measure.seconds(lambda: spaces_made.append(tick(f"later-{number}"))))  # noqa: B023
            workspace.remove(spaces_made[0].root)
            clones.append(measure.seconds(clone))
            shutil.rmtree(scratch / "clone")
        fetch = measure.seconds(
            lambda: workspace.update_mirror(scratch / "cache", "home", REPO, remote, branch="main")
        )
        second, cloned = statistics.median(later), statistics.median(clones)
        yield f"{COMMITS} commits, {FILES} files of 4 kB over HTTP on loopback; medians of {TIMES}"
        yield f"first tick {first:.2f} s, later tick {second:.2f} s, git clone {cloned:.2f} s"
        yield f"of a later tick the fetch takes {fetch:.2f} s; the rest is writing {FILES} files"
        yield f"git clone / later tick: {cloned / second:.1f} (aim: at least 10)"
