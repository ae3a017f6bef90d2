"""`sprint demo`: the main job, twice, on an embedded forge and with a scripted model."""

from __future__ import annotations

import contextlib
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import sprint
from sprint import ledger, proc
from sprint.demo.demo_gitea import DemoGitea
from sprint.demo.model import ScriptedModel
from sprint.demo.scenario import EPIC, REPO, build, policy, write_config
from sprint.demo.store import StoredIssue
from sprint.domain import LedgerRow
from sprint.errors import ConfigError

_TICKS = 2
_MOST_TICKS, _BETWEEN_TICKS = 30, 1.0  # with a sprite
_COMMAND_SECONDS = 120.0


def run_demo(keep: Path | None, out: TextIO, *, on_sprite: bool = False) -> int:
    """Play the demo and tell it; returns 0 where it ends with two pull requests and an untouched epic.

    `on_sprite`: the work is done on a sprite that is a folder here, while ticks come and go.
    With `keep`, a folder that is new or empty, everything stays in it. Raises ConfigError where it is not.
    """
    started = time.monotonic()
    with (
        _stage(keep) as folder,
        _folder("sprint-demo-workspaces-") as workspaces,
        DemoGitea(folder / "forge") as forge,
        ScriptedModel(policy) as model,
    ):
        workspaces.chmod(0o711)  # the unprivileged user of a run has to get there
        build(forge)
        config = write_config(folder, forge, model, workspaces, on_sprite=on_sprite)
        _tell(out, *_opening(forge, model, folder))
        if on_sprite:
            _tell(out, *_on_sprite(config))
        for number in range(1, _TICKS + 1 if not on_sprite else 1):
            _tell(out, f"$ sprint run {REPO}          # tick {number} of {_TICKS}")
            _tell(out, *_sprint(config, "run", REPO))
        _tell(out, "$ sprint monitor", *_sprint(config, "monitor", "--refresh"))
        rows = [row for row in ledger.read(folder / "results") if isinstance(row, LedgerRow)]
        is_good = _closing(out, forge, rows)
        if keep is not None:
            _tell(out, f"Everything is in {folder}. What a run did, turn by turn:")
            show = f"{_called()} --config {shlex.quote(str(config))} show"
            _tell(out, *(f"  {show} {row.repo}#{row.issue}" for row in rows))
        else:
            _tell(out, f"To look further, turn by turn: {_called()} demo --keep DIR")
    seconds = time.monotonic() - started
    _tell(
        out,
        f"{seconds:.1f} s, {model.answers} answers of the scripted model, no account, no key, no network.",
    )
    return 0 if is_good else 1


def _called() -> str:
    """What calls sprint in this shell: from a virtual environment that is not on the PATH, its path."""
    return "sprint" if shutil.which("sprint") else shlex.quote(sys.argv[0])


@contextlib.contextmanager
def _stage(keep: Path | None) -> Iterator[Path]:
    """The folder that everything is in, gone afterwards unless it is to be kept."""
    if keep is None:
        with _folder("sprint-demo-") as folder:
            yield folder
        return
    if keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        raise ConfigError(f"--keep {keep}: there is something already; name a folder that is new or empty")
    keep.mkdir(parents=True, exist_ok=True)
    yield keep.absolute()


@contextlib.contextmanager
def _folder(prefix: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _sprint(config: Path, *args: str) -> Iterator[str]:
    """What the real command says, in a process of its own and a bare environment, as cron would start it."""
    home = config.parent / "home"
    home.mkdir(exist_ok=True)
    source = Path(sprint.__file__).absolute().parent.parent
    done = proc.run(
        [sys.executable, "-m", "sprint", "--config", str(config), *args],
        timeout=_COMMAND_SECONDS,
        cwd=config.parent,
        env=proc.minimal_environment(HOME=str(home), PYTHONPATH=str(source)),
    )
    yield from (f"  {line}" for line in [*done.out.splitlines(), *done.err.splitlines()])
    if done.killed_by:
        yield f"  (stopped after {_COMMAND_SECONDS:.0f} s)"
    elif done.exit_code:
        yield f"  (exit code {done.exit_code})"


def _on_sprite(config: Path) -> Iterator[str]:
    """Ticks until there is a row for each issue: one begins the work and leaves, a later one takes it in."""
    yield "The agent works on the sprite bramble, a folder here, in the sandbox; it is SCRIPTED, too."
    for number in range(1, _MOST_TICKS + 1):
        yield f"$ sprint run {REPO}          # tick {number}"
        yield from _sprint(config, "run", REPO)
        if number == 1:
            yield "$ sprint sprite status"
            yield from _sprint(config, "sprite", "status")
        if len(list(ledger.read(config.parent / "results"))) >= _TICKS:
            return
        time.sleep(_BETWEEN_TICKS)


def _opening(forge: DemoGitea, model: ScriptedModel, folder: Path) -> Iterator[str]:
    yield f"""\
This is a demonstration on loopback. The forge is a small one that is part of sprint, and the model
is SCRIPTED: its answers were written beforehand. All that lies between is real: picking, claiming,
the sandbox, git over HTTP, the checks, the pull requests, results.csv.

forge      {forge.url} ({forge.kind})
model      {model.base_url} ({model.name})
folder     {folder}"""
    for number, issue in enumerate(forge.issues(REPO)):
        labels = ", ".join(issue.labels)
        yield f"{'' if number else 'issues':<10} #{issue.number} {issue.title} [{labels}]"
    yield ""


def _closing(out: TextIO, forge: DemoGitea, rows: list[LedgerRow]) -> bool:
    """Tell what there is now; True where it is what the demo is for."""
    pulls = forge.pulls(REPO)
    epic = next(issue for issue in forge.issues(REPO) if issue.title == EPIC)
    is_untouched = not epic.comments and epic.state == "open" and epic.updated_at == epic.created_at
    _tell(out, "", "Pull requests:", *(f"  {_pull_line(issue)}" for issue in pulls))
    _tell(out, f"The epic, #{epic.number}, {'is untouched' if is_untouched else 'WAS TOUCHED'}.", "")
    _tell(out, "results.csv:", *(f"  {_row_line(row)}" for row in rows), "")
    is_good = len(pulls) == _TICKS and is_untouched and len(rows) == _TICKS
    if not is_good:
        _tell(
            out, f"This is NOT what should be: {_TICKS} pull requests, {_TICKS} rows, the epic untouched.", ""
        )
    return is_good


def _pull_line(issue: StoredIssue) -> str:
    assert issue.pull is not None
    return f"#{issue.number} {issue.title}   {issue.pull.head} -> {issue.pull.base}"


def _row_line(row: LedgerRow) -> str:
    cost = "cost unknown" if row.cost_usd is None else f"${row.cost_usd:.4f}"
    tokens = f"{row.prompt_tokens:,} + {row.completion_tokens:,} tokens"
    return (
        f"{row.repo}#{row.issue} {row.outcome} ({row.outcome.verdict}), {row.turns} turns, {tokens}, "
        f"{cost}, {row.duration_s:.1f} s"
    )


def _tell(out: TextIO, *lines: str) -> None:
    out.writelines(f"{line}\n" for line in lines)
    out.flush()
