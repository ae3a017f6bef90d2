"""Who works on which issue: `refs/sprint/issue-N` on the forge's own git server, by compare-and-swap.

Each ref points at a small commit whose message is the state as JSON and whose parent is the state before,
so the history of an issue's attempts is on the server, for every host to read in one fetch.
"""

from __future__ import annotations

import logging
import re
import shutil
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from sprint import git, repo_pause
from sprint.domain import Claim
from sprint.errors import ForgeError
from sprint.outcomes import Outcome
from sprint.repo_pause import RepoPause

LEASE = timedelta(minutes=15)
MOST_ATTEMPTS = 1_000_000  # whatever somebody wrote into a claim

_log = logging.getLogger(__name__)
# Every state is a loose object, and after months they are many; so are refs, each a file of its own.
_TIDY = ("-c", "gc.auto=2000", "-c", "gc.autoDetach=false", "gc", "--auto", "--quiet")
_MANY_LOOSE = 200
CLAIMS = "refs/sprint/issue-"
_BOARD = (f"+{CLAIMS}*:{CLAIMS}*", f"+{repo_pause.REF}*:{repo_pause.REF}*")
_REF = re.compile(rf"{CLAIMS}([1-9][0-9]{{0,17}})")


def ref_of(issue: int) -> str:
    return f"{CLAIMS}{issue}"


def copy_path(cache: Path, forge: str, repo: str) -> Path:
    """Where this host keeps its copy of the claims of a repository (OWNER/REPO)."""
    owner, name = repo.split("/")
    return cache / "claims" / forge / owner / f"{name}.git"


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
    purpose: str = "issue"
    rounds: int = 0


@dataclass(frozen=True)
class Board:
    """What the server says to all hosts: who works on which issue, and whether any may begin to."""

    claims: dict[int, Claim]
    pause: RepoPause | None = None


@dataclass(frozen=True)
class Claims:
    """One repository's claims. `git_dir` is a bare repository of our own that holds nothing else."""

    git_dir: Path
    remote: git.Remote
    host: str

    def read(self) -> dict[int, Claim]:
        """Every claim on the server, by issue number. Raises ForgeError where the server fails."""
        return self.board().claims

    def board(self) -> Board:
        """Every claim and the pause, in one dialogue with the server. Raises ForgeError where that fails."""
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
        paused = refs.get(repo_pause.REF)
        return Board(claims, repo_pause.parse(paused[1]) if paused else None)

    def _fetched(self) -> dict[str, tuple[str, str]]:
        git.init_bare(self.git_dir)
        git.fetch(self.git_dir, self.remote, *_BOARD, prune=True)
        git.git(*_TIDY, git_dir=self.git_dir)
        git.pack_refs(self.git_dir, "refs/sprint", unless_fewer_than=_MANY_LOOSE)
        return git.read_refs(self.git_dir, "refs/sprint/")

    def take(
        self,
        issue: int,
        run: str,
        seen: str,
        previous: Claim | None,
        now: datetime,
        *,
        lease: timedelta = LEASE,
    ) -> Claim | None:
        """Begin the next attempt; None where another process was faster."""
        return self._swap(
            Claim(
                issue=issue,
                state="claimed",
                run=run,
                host=self.host,
                attempt=_attempts(previous, seen) + 1,
                expires=now + lease,
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
        not_before: datetime | None = None,
        pr: int | None = None,
        seen: str = "",
        counts: bool = True,
    ) -> Claim | None:
        """End the attempt and tell every host how it ended; None where the claim was no longer ours.

        `counts` False: it was no attempt, for it failed through no fault of the issue. Everybody who can
        fetch reads it, so its words are our own: none of a server's or a model's.
        """
        released = replace(
            claim,
            state="released",
            paused=False,
            attempt=claim.attempt - (not counts),
            expires=now,
            outcome=outcome,
            detail=_words(outcome),
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


def _words(outcome: str) -> str:
    known = {one.value: one.facts.means for one in Outcome}
    return known.get(outcome, "")


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
        purpose=state.purpose,
        rounds=max(state.rounds, 0),
        sha=sha,
    )
