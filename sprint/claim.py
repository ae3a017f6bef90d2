"""Who works on which issue: `refs/sprint/issue-N` on the forge's own git server, by compare-and-swap.

Each ref points at a small commit whose message is the state as JSON and whose parent is the state before,
so the history of an issue's attempts is on the server, for every host to read in one fetch.
"""

from __future__ import annotations

import logging
import re
import shutil
import threading
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import TracebackType

import msgspec

from sprint import git
from sprint.domain import Claim
from sprint.errors import ForgeError, SprintError

LEASE = timedelta(minutes=15)
MOST_ATTEMPTS = 1_000_000  # whatever somebody wrote into a claim
RENEW_SECONDS = 240.0  # two renewals may fail before the lease runs out

_log = logging.getLogger(__name__)
# Every state is a loose object, and after months they are many.
_TIDY = ("-c", "gc.auto=2000", "-c", "gc.autoDetach=false", "gc", "--auto", "--quiet")
_REF = re.compile(r"refs/sprint/issue-([1-9][0-9]{0,17})")


def ref_of(issue: int) -> str:
    return f"refs/sprint/issue-{issue}"


class _State(msgspec.Struct, frozen=True):
    """The JSON of a claim's commit, as any version of sprint may have written it."""

    state: str
    run: str
    host: str
    attempt: int
    expires: datetime
    not_before: datetime | None = None
    outcome: str = ""
    detail: str = ""
    pr: int | None = None
    seen: str = ""
    paused: bool = False


@dataclass(frozen=True)
class Claims:
    """One repository's claims. `git_dir` is a bare repository of our own that holds nothing else."""

    git_dir: Path
    remote: git.Remote
    host: str

    def read(self) -> dict[int, Claim]:
        """Every claim on the server, by issue number. Raises ForgeError where the server fails."""
        try:
            refs = self._fetched()
        except (git.GitError, git.Unexplained):
            shutil.rmtree(self.git_dir, ignore_errors=True)  # it holds nothing that the server does not
            refs = self._fetched()
        # To git, any page that is not its own is a server without refs.
        if not refs and not git.ls_remote(self.remote, "refs/heads/*"):
            raise ForgeError(
                f"{self.remote.url} shows git no branches; "
                "check the address, and whether a login page is in the way"
            )
        claims = {}
        for ref, (sha, message) in refs.items():
            if match := _REF.fullmatch(ref):
                number = int(match[1])
                claims[number] = _parse(number, sha, message)
        return claims

    def _fetched(self) -> dict[str, tuple[str, str]]:
        git.init_bare(self.git_dir)
        git.fetch(self.git_dir, self.remote, "+refs/sprint/issue-*:refs/sprint/issue-*", prune=True)
        git.git(*_TIDY, git_dir=self.git_dir)
        return git.read_refs(self.git_dir, "refs/sprint/")

    def take(self, issue: int, run: str, seen: str, previous: Claim | None, now: datetime) -> Claim | None:
        """Begin the next attempt; None where another process was faster."""
        return self._swap(
            Claim(
                issue=issue,
                state="claimed",
                run=run,
                host=self.host,
                attempt=_attempts(previous, seen) + 1,
                expires=now + LEASE,
                seen=seen,
            ),
            previous,
            now,
        )

    def renew(
        self, claim: Claim, now: datetime, *, lease: timedelta = LEASE, paused: bool = False
    ) -> Claim | None:
        """Put off the expiry; None where the claim is no longer ours. `paused`: its run rests, and whoever
        takes the issue over when it expires all the same counts no attempt for it."""
        return self._swap(replace(claim, expires=now + lease, paused=paused), claim, now)

    def release(
        self,
        claim: Claim,
        now: datetime,
        *,
        outcome: str,
        detail: str = "",
        not_before: datetime | None = None,
        pr: int | None = None,
        seen: str = "",
        counts: bool = True,
    ) -> Claim | None:
        """End the attempt and tell every host how it ended; None where the claim was no longer ours.

        `counts` False: it was no attempt, for it failed through no fault of the issue."""
        released = replace(
            claim,
            state="released",
            paused=False,
            attempt=claim.attempt - (not counts),
            expires=now,
            outcome=outcome,
            detail=detail[:500],
            not_before=not_before,
            pr=pr,
            seen=seen or claim.seen,
        )
        return self._swap(released, claim, now)

    def withdraw(self, claim: Claim, now: datetime) -> Claim | None:
        """Give an attempt back that never began, uncounted; None where the claim was no longer ours."""
        back = replace(claim, state="released", paused=False, expires=now, attempt=claim.attempt - 1)
        return self._swap(back, claim, now)

    def history(self, issue: int) -> list[Claim]:
        """How the earlier attempts at an issue ended, oldest first, as last read from the server."""
        if (tip := git.resolve(self.git_dir, ref_of(issue))) is None:
            return []
        states = [_parse(issue, sha, message) for sha, message in git.log(self.git_dir, tip)]
        return [state for state in reversed(states) if state.state == "released" and state.outcome]

    def forget(self, claim: Claim) -> None:
        """Remove an issue's ref: for issues that are closed."""
        git.delete_ref(self.git_dir, self.remote, ref_of(claim.issue), expected=claim.sha)

    def _swap(self, new: Claim, old: Claim | None, now: datetime) -> Claim | None:
        if (made := self._try(new, old, now)) is not None:
            return made
        # It may be our own push that was faster: done, though its answer never came.
        there = self.read().get(new.issue)
        if there is None or (there.state, there.run) != ("claimed", new.run):
            return None
        return self._try(new, there, now)

    def _try(self, new: Claim, old: Claim | None, now: datetime) -> Claim | None:
        git.init_bare(self.git_dir)
        fields = {key: value for key, value in asdict(new).items() if key not in ("sha", "issue")}
        sha = git.commit_tree(
            self.git_dir,
            git.empty_tree(self.git_dir),
            [old.sha] if old and git.resolve(self.git_dir, old.sha) else [],  # not what is no commit
            msgspec.json.encode(fields).decode(),
            "sprint",
            "sprint@localhost",
            when=now,
        )
        result, why = git.push(
            self.git_dir, self.remote, sha, ref_of(new.issue), expected=old.sha if old else ""
        )
        if result is git.PushResult.LOST_RACE:
            return None
        if result is git.PushResult.REJECTED:
            raise git.GitError(
                f"{self.remote.url} refuses the claim on issue #{new.issue}: {why}; "
                "give the token's account write access to the repository"
            )
        return replace(new, sha=sha)


def _attempts(previous: Claim | None, seen: str) -> int:
    """Attempts that count: an issue that people changed since the last one starts anew."""
    if previous is None or (previous.state == "released" and previous.seen != seen):
        return 0
    return max(previous.attempt - (previous.state == "claimed" and previous.paused), 0)


def _parse(number: int, sha: str, message: str) -> Claim:
    try:
        state = msgspec.json.decode(message, type=_State)
    except msgspec.MsgspecError as error:
        _log.warning("the claim on issue #%d is unreadable (%s) and counts as none", number, error)
        return Claim(number, "released", "", "", 0, datetime.fromtimestamp(0, UTC), sha=sha)
    expires = state.expires if state.expires.tzinfo else state.expires.replace(tzinfo=UTC)
    not_before = state.not_before
    if not_before is not None and not_before.tzinfo is None:
        not_before = not_before.replace(tzinfo=UTC)
    return Claim(
        issue=number,
        state=state.state,
        run=state.run,
        host=state.host,
        attempt=min(max(state.attempt, 0), MOST_ATTEMPTS),
        expires=expires,
        not_before=not_before,
        outcome=state.outcome,
        detail=state.detail,
        pr=state.pr,
        seen=state.seen,
        paused=state.paused,
        sha=sha,
    )


class Lease:
    """Renews a claim in the background while a run is worked on, and watches for reasons to stop.

    `still_wanted` is asked at each renewal and returns a reason to stop, or ""; `length` says how long each
    renewal is to hold. Failing to reach the forge
    is no such reason: the lease outlives two failures, and publishing looks again.
    """

    def __init__(
        self,
        claims: Claims,
        claim: Claim,
        still_wanted: Callable[[], str],
        length: Callable[[], timedelta] = lambda: LEASE,
    ) -> None:
        self._claims = claims
        self._claim = claim
        self._still_wanted = still_wanted
        self._length = length
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
            return self._claim

    def __enter__(self) -> Lease:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def _keep(self) -> None:
        while not self._done.wait(RENEW_SECONDS):
            self.renew()

    def renew(self) -> None:
        """One renewal now, if the forge answers."""
        try:
            self.confirm()
        except SprintError as error:
            _log.warning("cannot renew the claim on issue #%d: %s", self._claim.issue, error)

    def confirm(self) -> None:
        """One renewal now. Raises SprintError where the forge does not tell whether to go on."""
        with self._lock:
            renewed = self._claims.renew(self._claim, datetime.now(UTC), lease=self._length())
            if renewed is not None:
                self._claim = renewed
        self._reason = self._still_wanted() if renewed else "another host has taken the issue over"

    def rest(self, lease: timedelta) -> None:
        """Have the claim of a run that rests last so long. Raises SprintError where the forge is away."""
        with self._lock:
            renewed = self._claims.renew(self._claim, datetime.now(UTC), lease=lease, paused=True)
            if renewed is not None:
                self._claim = renewed
