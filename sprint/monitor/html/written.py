"""`sprint monitor --html FILE` and `--share DIR`: the report, all runs, and each run, as files."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from sprint import files
from sprint.config import ForgeConfig
from sprint.domain import Phase, Run
from sprint.errors import SprintError
from sprint.monitor.figures import Report
from sprint.monitor.gather import Scope
from sprint.monitor.html import page, report_page, run_page, runs_page
from sprint.runs import RunStore
from sprint.transcript import NAME as TRANSCRIPT

_INDEX, _RUNS = "index.html", "runs.html"
_SHARED_RUNS = 1_000  # folders of runs that a shared report keeps: pull requests link to them
_LARGEST_FILE = 20_000_000  # bytes
_OURS = re.compile(r"[0-9]{8}T[0-9]{6}Z-")  # how runs are called
_PUBLIC_FILE, _PUBLIC_FOLDER = 0o644, 0o755  # a web server is another user


def write_report(path: Path, report: Report, forges: Mapping[str, ForgeConfig], scope: Scope) -> None:
    """Write the report to `path`, the list of all runs beside it, and pages of runs into their folders, where
    those are new.

    `forges` as configured, for links to issues. Raises SprintError where `path` cannot be written.
    """
    store, beside = RunStore(Path(report.results)), path.absolute().parent
    runs = path.with_name(f"{path.stem}-runs{path.suffix}")

    def page_of(run: Run) -> str:
        return _page_in_folder(store, run, beside)

    listed = runs_page.values(report, forges, page_of, quote(path.name), scope.repos)
    runs_page.write_runs(runs, **listed)
    page.write(path, "report", **report_page.values(report, forges, page_of, quote(runs.name)))


def _page_in_folder(store: RunStore, run: Run, beside: Path) -> str:
    """The run's page, made where it is missing or old; the bare transcript where it cannot be."""
    folder = store.folder(run.id)
    target = folder / TRANSCRIPT
    if run.phase is Phase.SETTLED:
        with suppress(SprintError):
            target = run_page.cached_page(folder, run)
    return quote(os.path.relpath(target.absolute(), beside)) if target.exists() else ""


def write_share(folder: Path, report: Report, forges: Mapping[str, ForgeConfig], scope: Scope) -> None:
    """Write the report as a folder that a web server may read, or that is copied: links in it are relative.

    Runs that have a page there keep it, the newest 1,000. Raises SprintError where it cannot be written.
    """
    shared = _Shared(RunStore(Path(report.results)), folder / "runs")
    for one in (folder, shared.runs):
        _make_public(one)
    listed = runs_page.values(report, forges, shared.page_of, _INDEX, scope.repos)
    runs_page.write_runs(folder / _RUNS, _PUBLIC_FILE, **listed)
    shown = report_page.values(report, forges, shared.page_of, _RUNS)
    page.write(folder / _INDEX, "report", mode=_PUBLIC_FILE, **shown)
    shared.remove_old()


@dataclass(frozen=True)
class _Shared:
    """Runs of a store as folders in `runs`, each with its page and the files that the page links to."""

    store: RunStore
    runs: Path

    def page_of(self, run: Run) -> str:
        """The page's address from the report; made where it is missing or old."""
        source, target = self.store.folder(run.id), self.runs / run.id
        with suppress(SprintError):  # a page that cannot be made is not linked
            if not run_page.is_current(target / _INDEX, source):
                _make_public(target)
                shown = run_page.values(
                    source, run, lambda name: _copied(source, name, target), f"../../{_INDEX}"
                )
                page.write(target / _INDEX, "run", mode=_PUBLIC_FILE, **shown)
        return f"runs/{quote(run.id)}/{_INDEX}" if (target / _INDEX).is_file() else ""

    def remove_old(self) -> None:
        """Only what is a run's page of ours."""
        named = sorted(path for path in self.runs.iterdir() if _OURS.match(path.name))
        for folder in named[:-_SHARED_RUNS]:
            if (folder / _INDEX).is_file():
                shutil.rmtree(folder, ignore_errors=True)


def _make_public(folder: Path) -> None:
    if not folder.is_dir():
        files.make_folder(folder, mode=_PUBLIC_FOLDER)
        with files.refusing("open to a web server", folder):  # the umask may have closed it
            folder.chmod(_PUBLIC_FOLDER)


def _copied(source: Path, name: str, target: Path) -> str:
    """A run's file beside its shared page; "" where there is none, or where it is too large to be shared."""
    found = run_page.file_in(source, name)
    if found is None or found.stat().st_size > _LARGEST_FILE:
        return ""
    for folder in _between(target, target / name):
        _make_public(folder)
    files.replace(target / name, found.read_bytes(), mode=_PUBLIC_FILE, durable=False)
    return quote(name)


def _between(top: Path, path: Path) -> list[Path]:
    """The folders from `top`, left out, down to the one that `path` is in."""
    return [path.parents[back] for back in reversed(range(len(path.relative_to(top).parts) - 1))]
