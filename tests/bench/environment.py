"""A project's environment: made by set-up, and put from where it is kept; archive and plain copy compared."""

from __future__ import annotations

import os
import random
import shutil
import statistics
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from sprint import sandbox, workspace
from sprint.config import Limits, Paths, RepoConfig, SandboxConfig
from sprint.domain import EnvironmentUse
from sprint.environment import Checkout, Project, prepare
from sprint.git import Remote
from sprint.sandbox import Command
from tests.bench import measure
from tests.servers.forge import DemoForge

PACKAGES = 60
MODULES = 33  # a package: 2,000 of them, and as many compiled files, are about 100 MB
TIMES = 5
REPO = "acme/widgets"
COPY = "cp -a --reflink=auto /run/sprint/tree/home/. /work/home/"


def _wheel(folder: Path, name: str, draw: random.Random) -> None:
    """A package as people publish them: modules that compile, and a record of them."""
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as wheel:
        for number in range(MODULES):
            words = [f"{draw.getrandbits(48):x}" for _ in range(12)]
            body = "\n\n\n".join(
                f"def function_{n}(first, second):\n    # {' '.join(draw.sample(words, 5))}\n"
                f"    return [first, second, {n}, {draw.choice(words)!r}, {draw.choice(words)!r}]"
                for n in range(140)
            )
            wheel.writestr(f"{name}/module_{number}.py", body + "\n")
        wheel.writestr(f"{name}/__init__.py", "")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


def bench(scratch: Path) -> Iterator[str]:
    with (
        DemoForge("gitea", scratch / "forge") as forge,
        # Where a sandbox can be shown them: /tmp is its own.
        tempfile.TemporaryDirectory(prefix="sprint-bench-", dir="/var/tmp") as outside,
    ):
        wheels = Path(outside) / "wheels"
        wheels.mkdir()
        Path(outside).chmod(0o755)
        names = [f"bench_{number}" for number in range(PACKAGES)]
        draw = random.Random(1)
        for name in names:
            _wheel(wheels, name, draw)
        forge.add_repo(REPO, {"requirements.txt": "\n".join(names)})
        remote = Remote(f"{forge.url}/{REPO}.git")
        mirror, sha = workspace.update_mirror(scratch / "cache", "home", REPO, remote, branch="main")
        install = f"pip install --no-index --find-links {wheels} -r requirements.txt"
        box = SandboxConfig(readable=(outside,))
        repo = RepoConfig(
            name=REPO,
            setup=("python3 -m venv ~/.venv", install),
            checks=(),
            sandbox=box,
            limits=Limits(check_minutes=10.0),
        )
        (scratch / "spaces").mkdir(mode=0o711)
        paths = Paths(results=scratch / "results", cache=scratch / "cache", workspaces=scratch / "spaces")
        project = Project("home", REPO, repo, paths, mirror, sandbox.make(box))

        def once(name: str) -> EnvironmentUse:
            prepared = prepare(project, Checkout(name, sha, "main", "feat/x"))
            assert prepared.failed is None, prepared.failed
            workspace.remove(prepared.workspace.root)
            return prepared.use

        first = once("first")
        later = [once(f"later-{number}") for number in range(TIMES)]
        assert not first.is_hit
        assert all(use.is_hit for use in later)
        put = statistics.median(use.seconds for use in later)
        sources = sum(path.stat().st_size for path in wheels.iterdir()) / 1e6
        yield f"{PACKAGES * MODULES} modules, wheels of {sources:.0f} MB, {first.bytes / 1e6:.0f} MB kept"
        yield f"set-up {first.seconds:.1f} s, put by copy {put:.2f} s (median of {TIMES}; aim: below 2)"
        yield f"set-up / put: {first.seconds / put:.0f} (aim: at least 20)"
        yield f"with {os.getloadavg()[0]:.0f} at work on {os.cpu_count()} processors: both wait for the disk"
        yield f"the same by {COPY.split(' /')[0]}: {_copied(project, sha, scratch):.2f} s"


def _copied(project: Project, sha: str, scratch: Path) -> float:
    """What a tree instead of an archive would take."""
    prepared = prepare(project, Checkout("tree", sha, "main", "feat/x"))
    tree = scratch / "tree"
    subprocess.run(["cp", "-a", str(prepared.workspace.root), str(tree)], check=True)
    subprocess.run(["chmod", "-R", "a+rX", str(tree)], check=True)
    times = []
    for number in range(TIMES):
        space = workspace.create(
            project.paths.workspaces, f"copy-{number}", project.mirror, sha, "main", "feat/x"
        )

        def copy() -> None:
            shown = {tree: "/run/sprint/tree"}
            argv = ["/bin/sh", "-c", COPY]
            done = project.sandbox.run(Command(argv, timeout=120, read_only=shown), space)  # noqa: B023
            assert done.ok, done.err

        times.append(measure.seconds(copy))
        workspace.remove(space.root)
    shutil.rmtree(tree)
    workspace.remove(prepared.workspace.root)
    return statistics.median(times)
