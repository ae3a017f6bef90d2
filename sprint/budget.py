"""The ceilings of one run in tokens and in dollars, and the day's: one meter for whoever asks a model."""

from __future__ import annotations

import logging
from pathlib import Path

from sprint import spend
from sprint.config import Limits
from sprint.sharing import Sharing

UNKNOWN_PRICE = "the model's price is unknown: limits in dollars cannot hold; set the model's `price`"

_log = logging.getLogger(__name__)


class Budget:
    """Knows the limits and the day's spending; what the run itself has used, whoever asks tells."""

    def __init__(self, limits: Limits, results: Path, run_id: str, sharing: Sharing | None = None) -> None:
        self._sharing = sharing
        self._limits = limits
        self._results = results
        self._run_id = run_id
        self._today = spend.Today(results)
        self._said_unknown_price = False

    def count(self, usd: float | None) -> str:
        """Add what one answer cost to the day's spending; returns, once, why no limit in dollars can hold.

        Raises SprintError where the spending cannot be recorded.
        """
        if usd is not None:
            spend.record(self._results, self._run_id, usd)
        elif not self._said_unknown_price and (self._limits.usd or self._limits.usd_per_day):
            self._said_unknown_price = True
            _log.info(UNKNOWN_PRICE)
            return UNKNOWN_PRICE
        return ""

    def exceeded(self, tokens: int, usd: float) -> str:
        """The limit that is reached, with its key, or ""; `usd` is what is known to be spent of the run's.

        Raises SprintError where what other hosts spend cannot be told.
        """
        limits = self._limits
        if limits.tokens is not None and tokens >= limits.tokens:
            return f"limits.tokens: {tokens} of {limits.tokens} tokens are used"
        if limits.usd is not None and usd >= limits.usd:
            return f"limits.usd: ${usd:.4f} of ${limits.usd:g} are spent"
        if limits.usd_per_day is not None and (spent := self._today.spent()) >= limits.usd_per_day:
            return f"limits.usd_per_day: ${spent:.4f} of ${limits.usd_per_day:g} are spent today"
        if self._sharing is not None and limits.usd_per_day is not None:
            return self._sharing.more(self._run_id, usd, limits.usd_per_day)
        return ""
