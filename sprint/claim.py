"""Who works on which issue: `refs/sprint/issue-N` on the forge's own git server, by compare-and-swap.

Each ref points at a small commit whose message is the state as JSON and whose parent is the state before,
so the history of an issue's attempts is on the server, for every host to read in one fetch.
"""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from msgspec import Struct, structs

from sprint import decoding, git, repo_pause
from sprint.domain import Claim, Followed, Trigger, replace
from sprint.errors import ForgeError
from sprint.outcomes import Outcome
from sprint.repo_pause import RepoPause

LEASE = timedelta(minutes=15)
MOST_ATTEMPTS = 1_000_000  # whatever somebody wrote into a claim

_log = logging.getLogger(__name__)
# Every state is a loose object, and after months they are many; so are refs, each a file of its own.
_TIDY = ("-c", "gc.auto=2000", "-c", "gc.autoDetach=false", "gc", "--auto", "--quiet")
_SAMPLE, _MANY_IN_IT = "objects/17", 2000 // 256  # git itself looks into this one of 256 folders
_MANY_LOOSE = 200
CLAIMS = "refs/sprint/issue-"
_PATTERNS = (f"{CLAIMS}*", f"{repo_pause.REF}*")
_BOARD = tuple(f"+{pattern}:{pattern}" for pattern in _PATTERNS)
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
    follow: Followed = msgspec.field(default_factory=Followed)
    tokens: int = 0
    usd: float = 0.0


class Board(Struct, frozen=True):
    """What the server says to all hosts: who works on which issue, and whether any may begin to."""

    claims: dict[int, Claim]
    pause: RepoPause | None = None


class Claims(Struct, frozen=True):
    """One repository's claims. `git_dir` is a bare repository of our own that holds nothing else."""

    git_dir: Path
    remote: git.Remote
    host: str

    def read(self) -> dict[int, Claim]:
        """Every claim on the server, by issue number. Raises ForgeError where the server fails."""
        return self.board().claims

    def board(self, watch: Callable[[], str] | None = None) -> Board:
        """Every claim and the pause, in one dialogue with the server, which `watch` may end by raising.

        Raises ForgeError where that fails.
        """
        try:
            refs = self._fetched(watch)
        except (git.GitError, git.Unexplained):
            shutil.rmtree(self.git_dir, ignore_errors=True)  # it holds nothing that the server does not
            refs = self._fetched(watch)
        # To git, any page that is not its own is a server without refs.
        if not refs and not git.ls_remote(self.remote, "refs/heads/*", watch=watch):
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

    def _fetched(self, watch: Callable[[], str] | None) -> dict[str, tuple[str, str]]:
        is_new = not (self.git_dir / "HEAD").is_file()
        git.init_bare(self.git_dir)
        if not (is_new and self._fetched_many(watch)):
            git.fetch(self.git_dir, self.remote, *_BOARD, prune=True, watch=watch)
        sample = self.git_dir / _SAMPLE
        if sample.is_dir() and len(list(sample.iterdir())) > _MANY_IN_IT:
            git.git(*_TIDY, git_dir=self.git_dir, watch=watch)
        git.pack_refs(self.git_dir, "refs/sprint", unless_fewer_than=_MANY_LOOSE)
        return git.read_refs(self.git_dir, "refs/sprint/")

    def _fetched_many(self, watch: Callable[[], str] | None) -> bool:
        return git.fetch_many(self.git_dir, self.remote, *_PATTERNS, fewest=_MANY_LOOSE, watch=watch)

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
                tokens=previous.tokens if previous else 0,
                usd=previous.usd if previous else 0.0,
            ),
            previous,
            now,
        )

    def take_up(self, released: Claim, run: str, trigger: Trigger, now: datetime) -> Claim | None:
        """Begin a round of a pull request's follow-up; None where another process was faster."""
        claimed = replace(
            released,
            state="claimed",
            run=run,
            host=self.host,
            expires=now + LEASE,
            not_before=None,
            paused=False,
            purpose="follow_up",
            rounds=released.rounds + 1,
            follow=released.follow.counted(trigger, 1),
        )
        return self._swap(claimed, released, now)

    def note(self, claim: Claim, follow: Followed, now: datetime) -> Claim | None:
        """Keep something of a pull request that nobody works on; None where another process was faster."""
        return self._swap(replace(claim, follow=follow), claim, now)

    def renew(
        self, claim: Claim, now: datetime, *, lease: timedelta = LEASE, paused: bool = False
    ) -> Claim | None:
        """Put off the expiry; None where the claim is no longer ours. `paused`: its run rests, and whoever
        takes the issue over when it expires all the same counts no attempt for it."""
        return self._swap(replace(claim, expires=now + lease, paused=paused), claim, now)

    def renew_with(
        self, claim: Claim, now: datetime, objects: Path, commit: str, branch: str, *, lease: timedelta
    ) -> Claim | None:
        """Renew, and make a branch at a commit that is in `objects`, in one dialogue: both or neither.

        None where that did not work or cannot be told; it is no answer, and each is to be tried by itself.
        """
        new = replace(claim, expires=now + lease, paused=False)
        sha = self._state(new, claim, now)
        moves = [(sha, ref_of(claim.issue), claim.sha), (commit, f"refs/heads/{branch}", "")]
        is_done = git.push_together(self.git_dir, self.remote, moves, more_objects=objects)
        return replace(new, sha=sha) if is_done else None

    def move(self, claim: Claim, now: datetime, *, lease: timedelta) -> Claim | None:
        """Have this host go on with another one's run; None where the claim has changed meanwhile."""
        return self._swap(replace(claim, host=self.host, expires=now + lease), claim, now)

    def release(
        self,
        claim: Claim,
        now: datetime,
        *,
        outcome: str,
        not_before: datetime | None = None,
        pr: int | None = None,
        counts: bool = True,
        follow: Followed | None = None,
        tokens: int = 0,
        usd: float = 0.0,
    ) -> Claim | None:
        """End the attempt and tell every host how it ended; None where the claim was no longer ours.

        `counts` False: it was no attempt, for it failed through no fault of the issue; a follow-up never is.
        `tokens` and `usd` are the run's. Everybody who can fetch reads it, so its words are our own: none of
        a server's or a model's.
        """
        released = replace(
            claim,
            state="released",
            paused=False,
            attempt=claim.attempt - (not counts and claim.purpose == "issue"),
            expires=now,
            outcome=outcome,
            detail=_words(outcome),
            not_before=not_before,
            pr=pr,
            follow=claim.follow if follow is None else follow,
            tokens=claim.tokens + tokens,
            usd=claim.usd + usd,
        )
        return self._swap(released, claim, now)

    def withdraw(self, claim: Claim, now: datetime, trigger: str = "") -> Claim | None:
        """Give an attempt (or a follow-up's round) back that never began, uncounted; None where the claim was
        no longer ours."""
        back = replace(claim, state="released", paused=False, expires=now)
        if claim.purpose == "issue":
            return self._swap(replace(back, attempt=claim.attempt - 1), claim, now)
        return self._swap(
            replace(back, rounds=claim.rounds - 1, follow=uncounted(claim, trigger)), claim, now
        )

    def history(self, issue: int) -> list[Claim]:
        """How the earlier attempts at an issue ended, oldest first, as last read from the server."""
        states = [_parse(issue, sha, message) for sha, message in git.log(self.git_dir, ref_of(issue))]
        return [
            state
            for state in reversed(states)
            if state.state == "released" and state.outcome and state.purpose == "issue"
        ]

    def forget(self, claim: Claim) -> None:
        """Remove an issue's ref: for issues that are closed."""
        git.delete_ref(self.git_dir, self.remote, ref_of(claim.issue), expected=claim.sha)

    def _swap(self, new: Claim, old: Claim | None, now: datetime) -> Claim | None:
        if (made := self._try(new, old, now)) is not None:
            return made
        # It may be our own push that was faster: done, though its answer never came.
        there = self.read().get(new.issue)
        if there is None or (there.state, there.run, there.host) != ("claimed", new.run, new.host):
            return None
        return self._try(new, there, now)

    def _try(self, new: Claim, old: Claim | None, now: datetime) -> Claim | None:
        sha = self._state(new, old, now)
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

    def _state(self, new: Claim, old: Claim | None, now: datetime) -> str:
        """A commit that says so, and which state it follows."""
        git.init_bare(self.git_dir)
        fields = {key: value for key, value in structs.asdict(new).items() if key not in ("sha", "issue")}
        said, who = msgspec.json.encode(fields).decode(), ("sprint", "sprint@localhost")
        try:
            parents = [old.sha] if old else []
            return git.commit_tree(self.git_dir, git.EMPTY_TREE, parents, said, *who, now)
        except git.GitError:
            if old is None or git.resolve(self.git_dir, old.sha):
                raise
            return self._state(new, None, now)  # what somebody put there is no commit


def uncounted(claim: Claim, trigger: str) -> Followed:
    """What is kept of a pull request, without the round that was begun for that trigger."""
    if trigger not in [known.value for known in Trigger]:
        return claim.follow
    return claim.follow.counted(Trigger(trigger), -1)


def _words(outcome: str) -> str:
    known = {one.value: one.facts.means for one in Outcome}
    return known.get(outcome, "")


def _attempts(previous: Claim | None, seen: str) -> int:
    """Attempts that count: an issue that people changed since the last one starts anew."""
    if previous is None or (previous.state == "released" and previous.seen != seen):
        return 0
    is_unended = previous.state == "claimed" and previous.paused and previous.purpose == "issue"
    return max(previous.attempt - is_unended, 0)


def _parse(number: int, sha: str, message: str) -> Claim:
    try:
        state = decoding.decode(message, _State)
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
        follow=state.follow,
        tokens=max(state.tokens, 0),
        usd=max(state.usd, 0.0),
        sha=sha,
    )
