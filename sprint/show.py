"""`sprint show RUN`: what a run did, for a person."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TextIO

import msgspec

from sprint import references, transcript
from sprint.clean_text import safe_line
from sprint.config import Config
from sprint.domain import Phase, Run
from sprint.runs import RunStore
from sprint.settle import row_of
from sprint.view import words


def show(
    config: Config,
    reference: str,
    out: TextIO,
    html: Path | None = None,
    *,
    follows: bool = False,
    as_json: bool = False,
) -> int:
    """Print one run: its outcome, its checks and its transcript; with `html`, write them there as a page.

    `follows`: go on with what happens until the run is over, and then its outcome and its checks once more.
    `as_json`: its facts as one object, without the transcript.

    Raises SprintError where there is no such run, or the page cannot be written.
    """
    store = RunStore(config.paths.results)
    run = references.run(config, store, reference)
    folder = store.folder(run.id)
    if html is not None:
        from sprint.monitor.html.run_page import write_run

        write_run(html, folder, run)
        print(f"wrote {html}", file=out)
        return 0
    if as_json:
        print(msgspec.json.encode(_facts(run, folder)).decode(), file=out)
        return 0
    for line in _head(run):
        print(line, file=out)
    if (folder / transcript.RAW).exists():
        print(f"output     {folder / transcript.RAW}", file=out)
    if (folder / "patch.diff").exists():
        print(f"patch      {folder / 'patch.diff'}", file=out)
    print(file=out)
    if follows and run.phase is not Phase.SETTLED:
        return _follow(store, run, out)
    width = shutil.get_terminal_size().columns if out.isatty() else 100
    for line in words.in_full(transcript.read(folder), width=width, colour=out.isatty()):
        print(line, file=out)
    return 0


def _follow(store: RunStore, run: Run, out: TextIO) -> int:
    from sprint.view.onlooker import follow

    follow(store, run, out)
    if store.exists(run.id):
        run = store.load(run.id)
    if run.phase is Phase.SETTLED:
        print("", *_head(run), sep="\n", file=out)
    return 0


def _facts(run: Run, folder: Path) -> Mapping[str, object]:
    """The ledger's columns, and what a run's files say besides; `outcome` null while it is under way."""
    return {
        "version": 1,
        **msgspec.structs.asdict(row_of(run)),
        "outcome": run.outcome,
        "phase": run.phase,
        "title": run.title,
        "issue_url": run.issue_url,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "paused_why": run.paused_why if run.paused_since else "",
        "proof_reason": run.proof.reason if run.proof else "",
        "checks": [
            {"command": one.command, "base": one.base.status, "result": one.result.status}
            for one in (run.proof.comparisons if run.proof else ())
        ],
        "folder": str(folder),
        "patch": str(folder / "patch.diff") if (folder / "patch.diff").exists() else None,
    }


def _head(run: Run) -> Iterator[str]:
    row = row_of(run)
    cost = "unknown" if row.cost_usd is None else f"${row.cost_usd:.4f}"
    yield f"run        {run.id}"
    of = f"task       {run.repo}" if run.issue is None else f"issue      {run.repo}#{run.issue}"
    yield f"{of} {safe_line(run.title)}"
    rests = f"rests: {safe_line(run.paused_why, 500)}" if run.paused_since else ""
    outcome = run.outcome or rests or f"under way ({run.phase})"
    yield f"outcome    {outcome}{f': {safe_line(run.detail)}' if run.detail else ''}"
    if run.pr_url:
        yield f"pull       {run.pr_url}"
    began = f"{run.started_at:%Y-%m-%d %H:%M} UTC"
    yield f"attempt    {run.attempt} on {run.host}, {began}, {row.duration_s:.0f} s"
    tokens = f"{row.prompt_tokens:,} + {row.completion_tokens:,} tokens"
    used = f": {row.turns} turns, {tokens}, cost {cost}" if run.result else ""  # else not known yet
    yield f"worker     {f'{run.worker} {row.model}'.rstrip()}{used}"
    if run.environment and run.environment.says:
        yield f"environ    {safe_line(run.environment.says)}"
    if run.proof:
        why = f": {safe_line(run.proof.reason)}" if run.proof.reason else ""
        yield f"proof      {run.proof.verdict}{why}"
    for check in run.proof.comparisons if run.proof else ():
        yield f"check      {check.command}: {check.base.status} before, {check.result.status} after"
