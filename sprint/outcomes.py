"""How a run can end: a closed set, one per ledger row, and in ONE table all that follows from each."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Verdict(StrEnum):
    """How an outcome counts in a pass rate."""

    PASSED = "passed"
    FAILED = "failed"
    NEITHER = "neither"


class Retry(StrEnum):
    """When an issue may be tried again."""

    NEVER = "never"  # before somebody has said something new at it
    BACKOFF = "backoff"
    AT_ONCE = "at_once"


class Outcome(StrEnum):
    PR_OPENED = "pr_opened"
    PR_UPDATED = "pr_updated"
    ALREADY_FIXED = "already_fixed"
    NO_CHANGE = "no_change"
    CHECKS_FAILED = "checks_failed"
    POLICY_REFUSED = "policy_refused"
    LIMIT = "limit"
    OFF_RAILS = "off_rails"
    WORKER_LOST = "worker_lost"
    ERROR = "error"
    NEEDS_HUMAN = "needs_human"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"

    @property
    def facts(self) -> Facts:
        return FACTS[self]

    @property
    def verdict(self) -> Verdict:
        return FACTS[self].verdict


class Facts(Struct, frozen=True):
    """What follows from an outcome.

    `means` is the line of README's table. `says` heads the comment on the issue. `is_told`: it gets one; the
    others are for the operator, unless work of theirs is kept. `is_public`: its detail may be read there too,
    being ours, the worker's or the checks'; else it may be a server's or this machine's. `why_over` is the
    reason for which the issue is passed over until somebody says something new (with Retry.NEVER).
    """

    verdict: Verdict
    means: str
    says: str
    is_told: bool = True
    is_public: bool = True
    retry: Retry = Retry.BACKOFF
    counts: bool = True  # as an attempt
    why_over: str = ""


_OUTSIDE = "The run failed for reasons that lie outside this issue; its operator can see them."

FACTS: dict[Outcome, Facts] = {
    Outcome.PR_OPENED: Facts(
        Verdict.PASSED,
        means="checks no worse than before, pull request open",
        says="Pull request:",
        retry=Retry.NEVER,
        why_over="its pull request was closed or merged",
    ),
    Outcome.PR_UPDATED: Facts(
        Verdict.PASSED,
        means="a follow-up pushed to its pull request: checks no worse than before",
        says="Pull request:",
        retry=Retry.NEVER,
        why_over="its pull request was closed or merged",
    ),
    Outcome.ALREADY_FIXED: Facts(
        Verdict.PASSED,
        means="the commit that did it is named, and is in the base branch",
        says="This seems to be fixed already",
        retry=Retry.NEVER,
        why_over="it was found to be fixed already",
    ),
    Outcome.NO_CHANGE: Facts(
        Verdict.FAILED,
        means="the worker ended without changing anything",
        says="The run ended without a change.",
    ),
    Outcome.CHECKS_FAILED: Facts(
        Verdict.FAILED,
        means="checks that passed at the base fail at the result",
        says="The change makes checks fail that pass without it, so it was not proposed:",
    ),
    Outcome.POLICY_REFUSED: Facts(
        Verdict.FAILED,
        means="protected paths, secrets, links, submodules, size, or the server's refusal",
        says="The change could not be proposed:",
    ),
    Outcome.LIMIT: Facts(
        Verdict.FAILED,
        means="turns, minutes, tokens or dollars ran out; what is sound is handed in as a draft pull request",
        says="The run hit a limit before it was done:",
    ),
    Outcome.OFF_RAILS: Facts(
        Verdict.FAILED,
        means="the model repeated itself or stopped making sense",
        says="The run was stopped because it no longer got anywhere:",
    ),
    Outcome.WORKER_LOST: Facts(
        Verdict.FAILED,
        means="a remote worker did not answer before its deadline",
        says=_OUTSIDE,
        is_told=False,
        is_public=False,
        counts=False,
    ),
    Outcome.ERROR: Facts(
        Verdict.FAILED, means="the worker itself failed", says=_OUTSIDE, is_told=False, is_public=False
    ),
    Outcome.NEEDS_HUMAN: Facts(
        Verdict.NEITHER,
        means="the worker asked a question, which is on the issue",
        says="A question has to be answered by a person first:",
        retry=Retry.NEVER,
        why_over="a question to a person is open",
    ),
    Outcome.CANCELLED: Facts(
        Verdict.NEITHER,
        means="the issue was closed, or somebody else's pull request came first, or a person stopped it",
        says="The run was cancelled:",
        is_told=False,
        retry=Retry.AT_ONCE,
        counts=False,
    ),
    Outcome.INTERRUPTED: Facts(
        Verdict.NEITHER,
        means="paused for more than a day, or its process died again and again without progress",
        says=_OUTSIDE,
        is_told=False,
        is_public=False,
        counts=False,
    ),
}
