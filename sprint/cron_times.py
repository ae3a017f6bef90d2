"""The times that cron can keep from one hour, or day, to the next, and how they are written."""

from __future__ import annotations

from sprint.errors import ConfigError

DEFAULT_MINUTES = 10
_HOUR = 60
DAY = 24 * _HOUR
POSSIBLE_MINUTES = (
    *(minutes for minutes in range(1, _HOUR + 1) if _HOUR % minutes == 0),
    *(minutes for minutes in range(2 * _HOUR, DAY + 1, _HOUR) if DAY % minutes == 0),
)


def minutes_of(minutes: int | None, repo: str) -> int:
    """The minutes from tick to tick, 10 by default. Raises ConfigError for what cron cannot keep."""
    if minutes is None:
        return DEFAULT_MINUTES
    if minutes not in POSSIBLE_MINUTES:
        below = max((possible for possible in POSSIBLE_MINUTES if possible < minutes), default=1)
        above = min((possible for possible in POSSIBLE_MINUTES if possible > minutes), default=DAY)
        raise ConfigError(
            f"{repo}: every {minutes} minutes cannot be kept from hour to hour; take {below} or {above}"
        )
    return minutes


def times(every: int, offset: int) -> str:
    """cron's five fields for a start every `every` minutes, first `offset` minutes after midnight."""
    if every <= _HOUR:
        return f"{_steps(offset, every, _HOUR)} * * * *"
    hour = _steps(offset // _HOUR, every // _HOUR, DAY // _HOUR)
    return f"{offset % _HOUR} {hour} * * *"


def _steps(first: int, step: int, count: int) -> str:
    """A field for `first` and every `step` after it, of `count` values."""
    if step == count:
        return str(first)
    if step == 1:
        return "*"
    return f"*/{step}" if first == 0 else f"{first}-{count - 1}/{step}"
