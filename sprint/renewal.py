"""Keeps a claim while its run is worked on."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextvars import copy_context
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import TracebackType

from sprint.claim import LEASE, Claims
from sprint.domain import Claim
from sprint.errors import SprintError

RENEW_SECONDS = 240.0  # two renewals may fail before the lease runs out
GLANCE_SECONDS = 30.0

_log = logging.getLogger(__name__)


class Lease:
    """Renews a claim in the background while a run is worked on, and watches for reasons to stop.

    `still_wanted` is asked at each renewal and returns a reason to stop, or ""; `glance` is the same question
    as far as it costs next to nothing, asked in between. `length` says how long each renewal is to hold.
    Failing to reach the forge is no reason to stop: the lease outlives two failures, and publishing looks
    again. A task has no claim (None): nothing is renewed, and only `still_wanted` may speak against it.
    """

    def __init__(
        self,
        claims: Claims,
        claim: Claim | None,
        still_wanted: Callable[[], str],
        length: Callable[[], timedelta] = lambda: LEASE,
        glance: Callable[[], str] = lambda: "",
    ) -> None:
        self._claims = claims
        self._claim = claim
        self._still_wanted = still_wanted
        self._length = length
        self._glance = glance
        self._reason = ""
        self._done = threading.Event()
        self._lock = threading.Lock()
        keep = partial(copy_context().run, self._keep)  # what it logs is about the run, too
        self._thread = threading.Thread(target=keep, name="claim-lease", daemon=True)

    def reason_to_stop(self) -> str:
        return self._reason

    @property
    def claim(self) -> Claim:
        with self._lock:
            assert self._claim is not None, "a task has no claim"
            return self._claim

    def __enter__(self) -> Lease:
        if self._claim is not None:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _keep(self) -> None:
        renewed = time.monotonic()
        while not self._done.wait(min(GLANCE_SECONDS, RENEW_SECONDS)):
            if time.monotonic() - renewed < RENEW_SECONDS:
                self.glance()
            else:
                self.renew()
                renewed = time.monotonic()

    def glance(self) -> None:
        """One look at the issue now, if the forge answers; what a renewal found speaks as long as it does."""
        try:
            self._reason = self._glance() or self._reason
        except SprintError as error:
            _log.info("issue #%d: whether it is still open is not told: %s", self.claim.issue, error)

    def renew(self) -> None:
        """One renewal now, if the forge answers."""
        try:
            self.confirm()
        except SprintError as error:
            _log.warning("cannot renew the claim on issue #%d: %s", self.claim.issue, error)

    def confirm(self) -> None:
        """One renewal now. Raises SprintError where the forge does not tell whether to go on."""
        if self._claim is None:
            self._reason = self._still_wanted()
            return
        with self._lock:
            renewed = self._claims.renew(self._claim, datetime.now(UTC), lease=self._length())
            if renewed is not None:
                self._claim = renewed
        self._reason = self._still_wanted() if renewed else "another host has taken the issue over"

    def confirm_with(self, objects: Path, commit: str, branch: str) -> bool:
        """Where the work is wanted still: one renewal, and the branch made at the commit, in one dialogue.

        False where that did not come off, for whatever reason: `confirm` tells. Raises SprintError likewise.
        """
        self._reason = self._still_wanted()
        if self._reason or self._claim is None:
            return False
        with self._lock:
            now = datetime.now(UTC)
            renewed = self._claims.renew_with(self._claim, now, objects, commit, branch, lease=self._length())
            if renewed is not None:
                self._claim = renewed
        return renewed is not None

    def rest(self, lease: timedelta) -> None:
        """Have the claim of a run that rests last so long. Raises SprintError where the forge is away."""
        if self._claim is None:
            return
        with self._lock:
            renewed = self._claims.renew(self._claim, datetime.now(UTC), lease=lease, paused=True)
            if renewed is not None:
                self._claim = renewed
