"""Dollars per day, kept across processes: results/spend/YYYY-MM-DD.jsonl (UTC), a line per model call.

A line is `{"at": ISO time, "run": run id, "usd": dollars}`. Calls whose price is unknown have no line: an
unknown price is not zero, and no ceiling in dollars can hold for it. What a run under way keeps of the day's
ceiling, before it is spent, is in its folder's kept.json.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

from msgspec import Struct

from sprint import files, json_file
from sprint.config import Config, ModelConfig, Price
from sprint.domain import Run

_KEPT = "kept.json"
A_TRIFLE = 1e-6  # dollars, by which two counts of the same may differ

_log = logging.getLogger(__name__)


def record(results: Path, run_id: str, usd: float) -> None:
    """Add what one call cost; processes may do so at once. Raises SprintError where it cannot be written."""
    now = datetime.now(UTC)
    path = _path(results, now.date())
    files.make_folder(path.parent)
    json_file.add_line(path, {"at": now.isoformat(timespec="milliseconds"), "run": run_id, "usd": usd})


def spent_today(results: Path) -> float:
    """Dollars recorded today (UTC) by every run that shares the results directory."""
    return Today(results).spent()


def kept(folder: Path) -> float | None:
    """Dollars that the run of that folder keeps, from its beginning; None for one that keeps none."""
    found = json_file.read_if_sound(folder / _KEPT, _Kept)
    return found.usd if found else None


def keep(folder: Path, usd: float) -> None:
    json_file.write(folder / _KEPT, _Kept(usd))


class _Kept(Struct, frozen=True):
    usd: float


class Today:
    """Today's spending, reading only what was added since it was last asked."""

    def __init__(self, results: Path) -> None:
        self._results = results
        self._day: date | None = None
        self._read = 0
        self._usd = 0.0

    def spent(self) -> float:
        """Dollars so far today (UTC). Raises SprintError where the file cannot be read."""
        today = datetime.now(UTC).date()
        if today != self._day:
            self._day, self._read, self._usd = today, 0, 0.0
        path = _path(self._results, today)
        try:
            with files.refusing("read", path, FileNotFoundError), path.open("rb") as file:
                file.seek(self._read)
                added = file.read()
        except FileNotFoundError:
            return self._usd
        whole = added[: added.rfind(b"\n") + 1]
        self._read += len(whole)
        self._usd += sum(_usd(line, path) for line in whole.splitlines())
        return self._usd


def _path(results: Path, day: date) -> Path:
    return results / "spend" / f"{day.isoformat()}.jsonl"


def _usd(line: bytes, path: Path) -> float:
    if not line.strip():
        return 0.0
    try:
        usd = float(json.loads(line)["usd"])
    except (ValueError, TypeError, KeyError):
        _log.warning("%s: a line that cannot be read counts as nothing: %.80r", path, line)
        return 0.0
    return max(usd, 0.0)


def has_price(config: Config, run: Run) -> bool:
    """Whether what each model costs that a run may ask is known."""
    prices = list(_prices(config, run))
    return bool(prices) and None not in prices


def _prices(config: Config, run: Run) -> Iterator[Price | None]:
    """Of the models that a run may ask, in turn; a worker's own stands in the first one's place."""
    models = list(_chain(config.model)) if config.model else []
    worker = config.worker(run.worker)
    own = getattr(worker, "model", "")
    if own and own not in [model.name for model in models]:
        yield getattr(worker, "price", None)
        models = models[1:]
    yield from (model.price for model in models)


def _chain(model: ModelConfig) -> Iterator[ModelConfig]:
    yield model
    for fallback in model.fallbacks:
        yield from _chain(fallback)
