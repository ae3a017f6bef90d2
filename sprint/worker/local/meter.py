"""The ceilings of one run: what is left, when to tell the model, when to stop."""

from __future__ import annotations

import time
from pathlib import Path

from sprint import prompts
from sprint.budget import Budget
from sprint.config import Limits
from sprint.domain import Usage
from sprint.sharing import Sharing
from sprint.worker.local.conversation import Conversation

_SHARE_LEFT = 0.1  # of a limit: time to come to an end
_TURNS_LEFT = 3  # at least, where a tenth is hardly a turn


class Meter:
    """Counts on from where the conversation stands: a run that is taken up again has what was left."""

    def __init__(
        self,
        limits: Limits,
        conversation: Conversation,
        results: Path,
        run_id: str,
        sharing: Sharing | None = None,
    ) -> None:
        self._limits = limits
        self._conversation = conversation
        self._budget = Budget(limits, results, run_id, sharing)
        self._before = conversation.seconds
        self._began = time.monotonic()
        self._warned = False

    @property
    def deadline(self) -> float:
        """When the run's time is over, as a time of time.monotonic()."""
        return self._began + self._limits.minutes * 60 - self._before

    def seconds_left(self) -> float:
        return self.deadline - time.monotonic()

    def count(self, turn: Usage) -> str:
        """Add a turn's cost, to the day's spending too; returns, once, why no limit in dollars can hold.

        Raises SprintError where the spending cannot be recorded.
        """
        self._conversation.known_usd += turn.cost_usd or 0.0
        return self._budget.count(turn.cost_usd)

    def tick(self) -> None:
        """Write into the conversation how long the run has taken."""
        self._conversation.seconds = self._before + time.monotonic() - self._began

    def exceeded(self) -> str:
        """The limit that is reached, with its key, or ""."""
        limits, usage = self._limits, self._conversation.usage
        if usage.turns >= limits.turns:
            return f"limits.turns: {limits.turns} turns are used"
        if self.seconds_left() <= 0:
            return f"limits.minutes: {limits.minutes:g} minutes are over"
        return self._budget.exceeded(
            usage.prompt_tokens + usage.completion_tokens, self._conversation.known_usd
        )

    def warning(self) -> str:
        """Once, near the end: what the model should know; otherwise ""."""
        if self._warned:
            return ""
        limits, usage = self._limits, self._conversation.usage
        turns = limits.turns - usage.turns
        shares = [self.seconds_left() / (limits.minutes * 60)]
        if limits.tokens is not None:
            shares.append(1 - (usage.prompt_tokens + usage.completion_tokens) / limits.tokens)
        if limits.usd is not None:
            shares.append(1 - self._conversation.known_usd / limits.usd)
        few_turns = turns <= max(limits.turns * _SHARE_LEFT, _TURNS_LEFT)
        if not few_turns and min(shares) > _SHARE_LEFT:
            return ""
        self._warned = True
        left = f"{turns} turns" if few_turns else f"{max(min(shares), 0):.0%} of this run's budget"
        return prompts.wrap_up(left).strip()
