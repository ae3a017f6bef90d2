"""`sprint demo`: the main job, twice, on an embedded forge and with a scripted model."""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import sprint
from sprint import ledger, proc
from sprint.demo.forge import DemoForge, Kind
from sprint.demo.model import DemoModel
from sprint.demo.scenario import EPIC, REPO, build, policy, write_config
from sprint.demo.store import StoredIssue
from sprint.domain import Completed, LedgerRow
from sprint.errors import ConfigError

_TICKS = 2
_COMMAND_SECONDS = 120.0


def run_demo(keep: Path | None, kind: Kind, out: TextIO) -> int:
    """Play the demo and tell it; returns 0 where it ends with two pull requests and an untouched epic.

    With `keep`, a folder that is new or empty, everything stays in it. Raises ConfigError where it is not.
    """
    started = time.monotonic()
    with (
        _stage(keep) as folder,
        _workspaces() as workspaces,
        DemoForge(kind, folder / "forge") as forge,
        DemoModel(policy) as model,
    ):
        build(forge)
        config = write_config(folder, forge, model, paths={"workspaces": str(workspaces)})
        _tell(out, _opening(forge, model, folder))
        for number in range(1, _TICKS + 1):
            _tell(out, [f"$ sprint run {REPO}          # tick {number} of {_TICKS}"])
            _tell(out, [f"  {line}" for line in _sprint(config, "run", REPO)])
        _tell(out, ["$ sprint monitor", *(f"  {line}" for line in _sprint(config, "monitor", "--refresh"))])
        is_good = _closing(out, forge, folder / "results")
        if keep is not None:
            _tell(out, [f"Everything is in {folder}. What a run did, turn by turn:"])
            _tell(out, [f"  sprint --config {config} show {REPO}#{number}" for number in _issues(forge)])
        else:
            _tell(out, ["To look further, turn by turn: sprint demo --keep DIR"])
        seconds = time.monotonic() - started
        turns = len(model.asked)
    _tell(out, [f"{seconds:.1f} s, {turns} answers of the scripted model, no account, no key, no network."])
    return 0 if is_good else 1


@contextlib.contextmanager
def _stage(keep: Path | None) -> Iterator[Path]:
    """The folder that everything is in, gone afterwards unless it is to be kept."""
    if keep is not None:
        keep = keep.absolute()
        if keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
            raise ConfigError(
                f"--keep {keep}: there is something already; name a folder that is new or empty"
            )
        keep.mkdir(parents=True, exist_ok=True)
        yield keep
        return
    folder = Path(tempfile.mkdtemp(prefix="sprint-demo-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _workspaces() -> Iterator[Path]:
    """A folder that the unprivileged user of a run can get to, which a private or a kept one may not be."""
    folder = Path(tempfile.mkdtemp(prefix="sprint-demo-workspaces-"))
    try:
        folder.chmod(0o711)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sprint(config: Path, *args: str) -> Iterator[str]:
    """What the real command says, in a process of its own and a bare environment, as cron would start it."""
    home = config.parent / "home"
    home.mkdir(exist_ok=True)
    done = proc.run(
        [sys.executable, "-m", "sprint", "--config", str(config), *args],
        timeout=_COMMAND_SECONDS,
        cwd=config.parent,
        env=proc.minimal_environment(
            HOME=str(home), PYTHONPATH=str(Path(sprint.__file__).absolute().parent.parent)
        ),
    )
    yield from _lines(done)


def _lines(done: Completed) -> Iterator[str]:
    yield from done.out.splitlines()
    yield from done.err.splitlines()
    if done.killed_by:
        yield f"(stopped after {_COMMAND_SECONDS:.0f} s)"
    elif done.exit_code:
        yield f"(exit code {done.exit_code})"


def _opening(forge: DemoForge, model: DemoModel, folder: Path) -> list[str]:
    return [
        "This is a demonstration on loopback. The forge is a small one that is part of sprint, and the model",
        "is SCRIPTED: its answers were written beforehand. All that lies between is real: picking, claiming,",
        "the sandbox, git over HTTP, the checks, the pull requests, results.csv.",
        "",
        f"forge      {forge.url} ({forge.kind})",
        f"model      {model.base_url} ({model.name})",
        f"folder     {folder}",
        "issues     " + "\n           ".join(_issue_line(issue) for issue in forge.issues(REPO)),
        "",
    ]


def _issue_line(issue: StoredIssue) -> str:
    labels = f" [{', '.join(issue.labels)}]" if issue.labels else ""
    return f"#{issue.number} {issue.title}{labels}"


def _closing(out: TextIO, forge: DemoForge, results: Path) -> bool:
    """Tell what there is now; True where it is what the demo is for."""
    pulls = forge.pulls(REPO)
    epic = next(issue for issue in forge.issues(REPO) if issue.title == EPIC)
    is_untouched = not epic.comments and epic.state == "open" and epic.updated_at == epic.created_at
    _tell(out, ["", "Pull requests:"])
    for issue in pulls:
        assert issue.pull is not None
        _tell(out, [f"  #{issue.number} {issue.title}   {issue.pull.head} -> {issue.pull.base}"])
    _tell(out, [f"The epic, #{epic.number}, {'is untouched' if is_untouched else 'WAS TOUCHED'}.", ""])
    rows = [row for row in ledger.read(results) if isinstance(row, LedgerRow)]
    _tell(out, ["results.csv:", *(f"  {_row_line(row)}" for row in rows), ""])
    is_good = len(pulls) == _TICKS and is_untouched and len(rows) == _TICKS
    if not is_good:
        _tell(
            out,
            [f"This is NOT what should be: {_TICKS} pull requests, {_TICKS} rows, the epic untouched.", ""],
        )
    return is_good


def _row_line(row: LedgerRow) -> str:
    cost = "cost unknown" if row.cost_usd is None else f"${row.cost_usd:.4f}"
    tokens = f"{row.prompt_tokens}+{row.completion_tokens} tokens"
    return (
        f"{row.repo}#{row.issue} {row.outcome} ({row.outcome.verdict}), {row.turns} turns, {tokens}, "
        f"{cost}, {row.duration_s:.1f} s"
    )


def _issues(forge: DemoForge) -> list[int]:
    """The numbers of the issues that the pull requests are for, by their branches."""
    heads = [issue.pull.head for issue in forge.pulls(REPO) if issue.pull]
    return [
        issue.number for issue in forge.issues(REPO) if any(h.endswith(f"-{issue.number}") for h in heads)
    ]


def _tell(out: TextIO, lines: list[str]) -> None:
    out.writelines(f"{line}\n" for line in lines)
    out.flush()
