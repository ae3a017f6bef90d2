"""`sprint show RUN`: what a run did, for a person."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from sprint import transcript
from sprint.clean_text import safe_line
from sprint.config import Config
from sprint.domain import Run
from sprint.runs import RunStore
from sprint.settle import row_of


def show(config: Config, reference: str, out: TextIO, html: Path | None = None) -> int:
    """Print one run: its outcome, its checks and its transcript; with `html`, write them there as a page.

    Raises SprintError where there is no such run, or the page cannot be written.
    """
    store = RunStore(config.paths.results)
    run = store.find(reference)
    folder = store.folder(run.id)
    if html is not None:
        from sprint.monitor.html.run_page import write_run

        write_run(html, folder, run)
        print(f"wrote {html}", file=out)
        return 0
    for line in _head(run):
        print(line, file=out)
    if (folder / "patch.diff").exists():
        print(f"patch      {folder / 'patch.diff'}", file=out)
    print(file=out)
    width = shutil.get_terminal_size().columns if out.isatty() else 100
    for line in transcript.render(folder, width=width, colour=out.isatty()):
        print(line, file=out)
    return 0


def _head(run: Run) -> Iterator[str]:
    row = row_of(run)
    cost = "unknown" if row.cost_usd is None else f"${row.cost_usd:.4f}"
    yield f"run        {run.id}"
    yield f"issue      {run.repo}#{run.issue} {safe_line(run.title)}"
    outcome = run.outcome or f"under way ({run.phase})"
    yield f"outcome    {outcome}{f': {safe_line(run.detail)}' if run.detail else ''}"
    if run.pr_url:
        yield f"pull       {run.pr_url}"
    began = f"{run.started_at:%Y-%m-%d %H:%M} UTC"
    yield f"attempt    {run.attempt} on {run.host}, {began}, {row.duration_s:.0f} s"
    tokens = f"{row.prompt_tokens} + {row.completion_tokens} tokens"
    yield f"worker     {run.worker} {row.model}: {row.turns} turns, {tokens}, cost {cost}"
    if run.environment and run.environment.says:
        yield f"environ    {safe_line(run.environment.says)}"
    if run.proof:
        why = f": {safe_line(run.proof.reason)}" if run.proof.reason else ""
        yield f"proof      {run.proof.verdict}{why}"
    for check in run.proof.comparisons if run.proof else ():
        yield f"check      {check.command}: {check.base.status} before, {check.result.status} after"
