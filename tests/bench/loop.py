"""A small tick beside the floor job, and the runner's own time per model turn beside loops of others."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sprint import proc, sandbox
from sprint.config import SandboxConfig
from sprint.domain import Workspace
from sprint.sandbox import Command
from tests.bench import measure
from tests.servers.forge import DemoForge
from tests.servers.model import DemoModel
from tests.servers.replies import Reply, call, finish
from tests.site import Site

TURNS = 100
TIMES = 5
THOUGHT = 0.05  # seconds
_FLOOR = Path(__file__).with_name("floor_job.py")
_MINI = Path(__file__).with_name("mini_agent.py")
_DONE = "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"


def script(turns: int) -> Any:
    """As many different commands as there are turns, the change among them, then the end."""

    def answer(request: dict[str, Any], number: int) -> Reply:
        number = sum(message["role"] == "assistant" for message in request["messages"])
        is_mini = request["tools"][0]["function"]["name"] == "bash"
        name = "bash" if is_mini else "run_command"
        if number == turns - 2:
            return call(name, {"command": "echo changed >> README.md"})
        if number >= turns - 1:
            return call(name, {"command": _DONE}) if is_mini else finish()
        return call(name, {"command": f"echo step {number}"})

    return answer


def bench(scratch: Path) -> Iterator[str]:
    yield from _small(scratch / "small")
    yield from _long(scratch / "long")
    box = sandbox.make(SandboxConfig())
    loose = sandbox.make(SandboxConfig(kind="none"))
    space = measure.space(scratch / "space")
    argv = ["bash", "-c", "echo step"]
    bare = [
        "bwrap",
        "--unshare-all",
        "--die-with-parent",
        "--ro-bind",
        "/",
        "/",
        "--proc",
        "/proc",
        "--",
        *argv,
    ]
    plain, bwrap, ours, none = (
        measure.fastest(function)
        for function in (
            lambda: proc.run(argv, timeout=10),
            lambda: proc.run(bare, timeout=10),
            lambda: box.run(Command(argv, timeout=10), space),
            lambda: loose.run(Command(argv, timeout=10), space),
        )
    )
    yield (
        f"a command, at best: {plain * 1000:.1f} ms plain, {bwrap * 1000:.1f} in bare bwrap, "
        f"{ours * 1000:.1f} in the sandbox (aim: 13), {none * 1000:.1f} with sandbox: none (aim: less)"
    )
    ready = min(_ahead(box, space, argv))
    yield f"the same after a model that thought for {THOUGHT * 1000:.0f} ms: {ready * 1000:.1f} ms"


def _ahead(box: sandbox.Sandbox, space: Workspace, argv: list[str]) -> Iterator[float]:
    """The seconds of commands for which a sandbox stands."""
    with box.ahead():
        box.run(Command(argv, timeout=10), space)
        for _ in range(20):
            time.sleep(THOUGHT)
            yield measure.seconds(lambda: box.run(Command(argv, timeout=10), space))


def _small(root: Path) -> Iterator[str]:
    """Three turns on a small repository, after a first tick that has learned what there is."""
    root.mkdir(mode=0o711)
    with DemoForge("gitea", root / "forge") as forge, DemoModel(script(3)) as model:
        site = _site(root, forge, model, 3)
        ours = [_tick(site, forge) for _ in range(TIMES + 1)][1:]
        floor = [_floor(root / str(number), site, forge, model)[0] for number in range(TIMES)]
        own, least = measure.median(ours), measure.median(floor)
        yield f"a tick of three turns, median of {TIMES}: {own}"
        yield f"the floor job: {least}"
        yield f"ratio: {own.wall / least.wall:.2f} of wall (aim: 2.5), {own.cpu / least.cpu:.2f} of CPU"


def _long(root: Path) -> Iterator[str]:
    root.mkdir(mode=0o711)
    with DemoForge("gitea", root / "forge") as forge, DemoModel(script(TURNS)) as model:
        site = _site(root, forge, model, TURNS)
        whole = _tick(site, forge)
        ours = site.loop_seconds(site.rows()[-1]["run_id"]) / TURNS
        bare, turn = _floor(root / "floor", site, forge, model)
        yield f"a run of {TURNS} turns: {whole}; the floor job: {bare}"
        yield f"a turn: {ours * 1000:.1f} ms; a loop on plain requests with bare bwrap: {turn * 1000:.1f} ms"
        yield f"ratio: {ours / turn:.2f} (aim: 1.6)"
        yield from _mini(root / "mini", site, model)


def _site(root: Path, forge: DemoForge, model: DemoModel, turns: int) -> Site:
    forge.add_repo("acme/widgets", {"README.md": "widgets\n"})
    repo = {"name": "acme/widgets", "pick": {"max_open_prs": 100}}
    return Site(root / "site", forge, model, repos=[repo], limits={"turns": turns + 10})


def _tick(site: Site, forge: DemoForge) -> measure.Cost:
    forge.add_issue("acme/widgets", "Change the README", "It should say so.")
    argv = [sys.executable, "-m", "sprint", "run", "acme/widgets"]
    cost = measure.command(argv, cwd=site.path, env=site.environ)
    assert site.rows()[-1]["outcome"] == "pr_opened", site.rows()[-1]
    return cost


def _floor(folder: Path, site: Site, forge: DemoForge, model: DemoModel) -> tuple[measure.Cost, float]:
    """What the floor job took, and the seconds of a turn in it."""
    folder.mkdir(mode=0o711)
    forge.add_issue("acme/widgets", "Change the README", "It should say so.")
    given = {
        "forge": forge.api_url,
        "token": forge.token,
        "repo": "acme/widgets",
        "clone": f"{forge.url}/acme/widgets.git",
        "model": model.base_url,
        "key": model.key,
        "tools": next(asked.body["tools"] for asked in model.asked if len(asked.body["tools"]) > 1),
        "folder": str(folder),
    }
    return _program(sys.executable, _FLOOR, given, folder, site)


def _mini(folder: Path, site: Site, model: DemoModel) -> Iterator[str]:
    program = shutil.which("mini")
    if program is None:
        yield "mini-swe-agent is not on the PATH: left out"
        return
    folder.mkdir(mode=0o711)
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    given = {"model": model.base_url, "key": model.key, "folder": str(folder)}
    python = str(Path(program).parent / "python")
    cost, turn = _program(python, _MINI, given, folder, site, MSWEA_CONFIGURED="1", MSWEA_SILENT_STARTUP="1")
    yield f"mini-swe-agent, the turns alone, without a sandbox: {cost}; {turn * 1000:.1f} ms a turn"


def _program(
    python: str, path: Path, given: dict[str, Any], folder: Path, site: Site, **environ: str
) -> tuple[measure.Cost, float]:
    job, out = folder / "job.json", folder / "out"
    job.write_text(json.dumps(given))
    env = {**site.environ, "HOME": str(folder), **environ}
    cost = measure.command([python, str(path)], cwd=folder, env=env, stdin=job, stdout=out)
    return cost, float(out.read_text().split()[-1])
