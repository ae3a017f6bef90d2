"""Twenty runs at once in one process, beside twenty processes of mini-swe-agent where it is installed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sprint.sprite.supervisor.own_processes import descendants
from tests.bench import measure
from tests.bench.loop import script
from tests.servers.forge import DemoForge
from tests.servers.model import DemoModel
from tests.site import Site

RUNS, TURNS = 20, 10
_MINI = Path(__file__).with_name("mini_agent.py")


def bench(scratch: Path) -> Iterator[str]:
    names = [f"acme/widgets-{number}" for number in range(RUNS)]
    with DemoForge("gitea", scratch / "forge") as forge, DemoModel(script(TURNS)) as model:
        for name in names:
            forge.add_repo(name, {"README.md": "widgets\n"})
        site = Site(scratch / "site", forge, model, repos=names, limits={"turns": TURNS + 10})
        program = [sys.executable, "-m", "sprint", "run", "--all", "--jobs", str(RUNS)]
        measure.command(program, cwd=site.path, env=site.environ)  # the first one learns what there is
        for name in names:
            forge.add_issue(name, "Change the README", "It should say so.")
        with _watched() as most:
            cost = measure.command(program, cwd=site.path, env=site.environ)
        assert [row["outcome"] for row in site.rows()] == ["pr_opened"] * RUNS
        yield (
            f"{RUNS} runs of {TURNS} turns at once, --jobs {RUNS}: {cost}; "
            f"{most[0] >> 20} MB at most with all commands"
        )
        yield from _minis(scratch / "mini", site, model)


def _minis(root: Path, site: Site, model: DemoModel) -> Iterator[str]:
    program = shutil.which("mini")
    if program is None:
        yield "mini-swe-agent is not on the PATH: left out"
        return
    python = str(Path(program).parent / "python")
    began, before = time.perf_counter(), measure.own_cpu()
    with _watched() as most:
        for process in [_mini(python, root / str(number), site, model) for number in range(RUNS)]:
            assert process.wait() == 0
    wall, cpu = time.perf_counter() - began, measure.own_cpu() - before
    yield (
        f"mini-swe-agent, the turns alone, without a sandbox, {RUNS} processes: "
        f"{wall:.2f} s wall, {cpu:.2f} s CPU (with the scripted model's), {most[0] >> 20} MB at most"
    )


def _mini(python: str, folder: Path, site: Site, model: DemoModel) -> subprocess.Popen[bytes]:
    folder.mkdir(parents=True)
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    job = folder / "job.json"
    job.write_text(json.dumps({"model": model.base_url, "key": model.key, "folder": str(folder)}))
    quiet = {"MSWEA_CONFIGURED": "1", "MSWEA_SILENT_STARTUP": "1"}
    with job.open("rb") as given:
        return subprocess.Popen(
            [python, str(_MINI)],
            cwd=folder,
            env={**site.environ, "HOME": str(folder), **quiet},
            stdin=given,
            stdout=subprocess.DEVNULL,
        )


@contextmanager
def _watched() -> Iterator[list[int]]:
    """The most bytes of memory that this process's children have together, shared pages counted once."""
    most, over = [0], threading.Event()

    def watch() -> None:
        while not over.wait(0.2):
            most[0] = max(most[0], _memory(descendants(os.getpid())))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield most
    finally:
        over.set()
        thread.join()


def _memory(pids: set[int]) -> int:
    total = 0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:"))
    return total
