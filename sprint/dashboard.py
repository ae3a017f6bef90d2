"""One issue in a repository that says what sprint does there, edited in place, at most hourly by all hosts.

`refs/sprint/dashboard` says which issue it is and when it was written last: whoever moves that ref on writes.
A person who closes the issue has no dashboard any more; opening it again brings it back.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import msgspec

from sprint import decoding, git, heartbeat, json_file, prompts
from sprint.context import Context
from sprint.domain import Claim, PublicText, PullRequest
from sprint.errors import ForgeError, SprintError
from sprint.monitor import tally
from sprint.pick import own_branch
from sprint.settle.public_text import public_without_run
from sprint.tick_report import TickReport

REF = "refs/sprint/dashboard"
_EVERY = timedelta(hours=1)
_SHOWN = 50  # lines of a list

_log = logging.getLogger(__name__)


class _State(msgspec.Struct, frozen=True):
    """`issue` 0: it is being made. `told`: when somebody last set out to write it."""

    issue: int = 0
    told: heartbeat.Moment = datetime.min.replace(tzinfo=UTC)


class _Tried(msgspec.Struct, frozen=True):
    """When this host last looked, so that most ticks ask nothing."""

    at: heartbeat.Moment


def is_due(results: Path, forge: str, repo: str, now: datetime) -> bool:
    tried = json_file.read_if_sound(_path(results, forge, repo), _Tried)
    return tried is None or not now - _EVERY < tried.at <= now


def _path(results: Path, forge: str, repo: str) -> Path:
    return results / "dashboard" / quote(forge, safe="") / f"{quote(repo.lower(), safe='')}.json"


def keep(context: Context, report: TickReport, now: datetime | None = None) -> None:
    """Write the dashboard where it is due. A failure is logged: no tick fails for it, and none tries again
    within the hour."""
    now = now or datetime.now(UTC)
    results, name = context.config.paths.results, context.repository.name
    if not is_due(results, context.repo_config.forge, name, now):
        return
    try:
        json_file.write(_path(results, context.repo_config.forge, name), _Tried(now), durable=False)
        _write(context, report, now)
    except SprintError as error:
        _log.warning("the dashboard of %s is not written: %s", name, error)


def _write(context: Context, report: TickReport, now: datetime) -> None:
    sha, state = _read(context)
    if sha and now - _EVERY < state.told <= now:
        return  # by another host
    taken = _move(context, _State(state.issue, now), sha)
    if taken is None:
        return
    forge, name = context.forge, context.repository.name
    text = _text(context, report, now)
    number = state.issue or _made_before(context)
    if number:
        if _is_open(context, number):
            forge.edit_issue(name, number, text)
    else:
        number = forge.create_issue(name, _public(context, prompts.DASHBOARD_TITLE), text).number
    if number != state.issue:
        _move(context, _State(number, now), taken)


def _read(context: Context) -> tuple[str, _State]:
    store, remote = context.claims.git_dir, context.remote
    git.init_bare(store)
    sha = git.ls_remote(remote, REF).get(REF, "")
    if not sha:
        return "", _State()
    git.fetch(store, remote, f"+{REF}:{REF}")
    try:
        return sha, decoding.decode(git.log(store, sha, limit=1)[0][1], _State)
    except (msgspec.MsgspecError, UnicodeError):
        return sha, _State()


def _move(context: Context, state: _State, expected: str) -> str | None:
    """Move the ref on to a state; None where somebody else was faster."""
    store = context.claims.git_dir
    message = msgspec.json.encode(state).decode()
    sha = git.commit_tree(store, git.EMPTY_TREE, [], message, "sprint", "sprint@localhost", state.told)
    result, said = git.push(store, context.remote, sha, REF, expected=expected)
    if result is git.PushResult.REJECTED:
        raise ForgeError(f"{context.remote.url} refuses {REF}: {said}; give the account write access")
    return sha if result is git.PushResult.OK else None


def _made_before(context: Context) -> int:
    """One that a tick made and could not note; 0 for none."""
    found = context.forge.recent_own_issues(context.repository.name)
    return next((issue.number for issue in found if prompts.is_dashboard(issue.body)), 0)


def _is_open(context: Context, number: int) -> bool:
    try:
        issue = context.forge.issue(context.repository.name, number)
    except ForgeError as error:
        if error.status in (404, 410):
            _log.info("the dashboard #%d is gone; it is not made again", number)
            return False
        raise
    me = context.forge.whoami()
    return issue.is_open and issue.author.lower() == me.lower() and prompts.is_dashboard(issue.body)


def _public(context: Context, text: str) -> PublicText:
    return public_without_run(context, text)


def _text(context: Context, report: TickReport, now: datetime) -> PublicText:
    name, claims = context.repository.name, context.claims.read()
    month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    counted = tally.figures(context.config.paths.results, now, since=month, repos={name})
    decided = {one.number: one.reason for one in report.followed}
    pulls = [(pull.number, decided.get(pull.number, "")) for pull in _own_pulls(context)]
    body = prompts.dashboard(
        prompts.DashboardFacts(
            at=now,
            idle=report.idle.partition(": ")[0],  # behind it are words of servers, and names of machines
            running=[claim for claim in claims.values() if _is_running(claim, now)][:_SHOWN],
            pulls=pulls[:_SHOWN],
            asking=[n for n, claim in sorted(claims.items()) if _is_question(claim)][:_SHOWN],
            passed_over=report.passed_over[:_SHOWN],
            more=max(len(report.passed_over) - _SHOWN, 0),
            runs=counted.windows[-1].total.runs if counted.windows else 0,
            passed=counted.windows[-1].total.passed if counted.windows else 0,
            usd=counted.spend_usd,
            unpriced=counted.unpriced,
            address=context.config.monitor.address,
        )
    )
    return _public(context, body)


def _own_pulls(context: Context) -> list[PullRequest]:
    name, me, pattern = context.repository.name, context.forge.whoami(), context.repo_config.publish.branch
    return [
        pull
        for pull in context.forge.open_pulls(name)
        if own_branch(pull, name, pattern, me) is not None and pull.author.lower() == me.lower()
    ]


def _is_running(claim: Claim, now: datetime) -> bool:
    return claim.state == "claimed" and claim.expires > now


def _is_question(claim: Claim) -> bool:
    return claim.state != "claimed" and claim.outcome == "needs_human"
