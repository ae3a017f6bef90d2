"""Asking again for what failed and may pass: how often, how long, and what the server says about it."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, TypeVar

from sprint.errors import ForgeError

if TYPE_CHECKING:
    import tenacity

_log = logging.getLogger(__name__)

T = TypeVar("T")

ATTEMPTS = 5
PATIENCE = 60.0  # seconds that one request may take with all its waiting

NO_HOST = "no host has this name"
NO_DNS = "no DNS answers here; check the network and /etc/resolv.conf"


class PassingFault(ForgeError):
    """A fault that may be gone in a while.

    `wait`: seconds that the server asked for, None where it did not say. `maybe_done`: the request may have
    taken effect all the same.
    """

    def __init__(
        self, message: str, *, status: int | None = None, wait: float | None = None, maybe_done: bool = False
    ) -> None:
        super().__init__(message, status=status)
        self.wait = wait
        self.maybe_done = maybe_done


def repeat(attempt: Callable[[], T], *, patience: float = PATIENCE, even_if_maybe_done: bool = True) -> T:
    """What `attempt` returns, called again after each PassingFault while `patience` (seconds) lasts.

    Raises ForgeError that says when to come back where it does not pass in time, or may have been done and
    that is not to be risked twice; whatever else `attempt` raises comes through at once.
    """

    def is_passing(error: BaseException) -> bool:
        return isinstance(error, PassingFault) and (even_if_maybe_done or not error.maybe_done)

    started = time.monotonic()
    try:
        try:
            return attempt()
        except PassingFault as fault:
            if not is_passing(fault):
                raise
            left = patience - (time.monotonic() - started)
            return _again(attempt, fault, is_passing, left)
    except PassingFault as fault:
        again = datetime.now(UTC) + timedelta(seconds=min(fault.wait or 0.0, 1e8))
        when = f"after {again:%Y-%m-%d %H:%M:%S} UTC" if fault.wait else "later"
        raise ForgeError(f"{fault}; try again {when}", status=fault.status) from fault


def _again(
    attempt: Callable[[], T],
    first: PassingFault,
    is_passing: Callable[[BaseException], bool],
    patience: float,
) -> T:
    """The same after a first fault; only now is imported what waits."""
    import tenacity

    pending = [first]

    def next_attempt() -> T:
        if pending:
            raise pending.pop()
        return attempt()

    growing = tenacity.wait_exponential_jitter(initial=1.0, max=20.0, jitter=1.0)

    def told_or_growing(state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, PassingFault) and error.wait is not None:
            return error.wait
        return growing(state)

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(is_passing),
        wait=told_or_growing,
        stop=tenacity.stop_any(tenacity.stop_after_attempt(ATTEMPTS), tenacity.stop_before_delay(patience)),
        before_sleep=_say_waiting,
        reraise=True,
    )
    return retrying(next_attempt)


def told_wait(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks to wait, None where it does not say. Its own clock counts, not ours."""
    known = {name.lower(): value.strip() for name, value in headers.items()}
    now = date(known.get("date")) or datetime.now(UTC)
    retry_after = known.get("retry-after", "")
    if retry_after.isdecimal():
        return float(retry_after[:9])
    if (until := date(retry_after)) is not None:
        return max((until - now).total_seconds(), 0.0)
    reset = known.get("x-ratelimit-reset", "")
    if known.get("x-ratelimit-remaining") == "0" and reset.isdecimal():
        return max(float(reset[:12]) - now.timestamp(), 0.0) + 1.0
    return None


def date(text: str | None) -> datetime | None:
    """The moment that a Date or Retry-After header names; None where it names none."""
    try:
        moment = parsedate_to_datetime(text or "")
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def is_no_host(error: BaseException | None) -> bool:
    """Whether the DNS says that there is no host of that name. A DNS that does not answer is none of this."""
    return isinstance(error, socket.gaierror) and error.errno in (socket.EAI_NONAME, socket.EAI_NODATA)


def is_limit(headers: Mapping[str, str], message: str) -> bool:
    """Whether a 403 means "slow down" rather than "you may not"."""
    known = {name.lower(): value.strip() for name, value in headers.items()}
    words = message.lower()
    return (
        known.get("x-ratelimit-remaining") == "0"
        or "retry-after" in known
        or "rate limit" in words
        or "abuse detection" in words
    )


def _say_waiting(state: tenacity.RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    _log.info("%s; waiting %.1f s", error, state.upcoming_sleep)
