"""What people are told: in pull requests, commits and the one comment at an issue."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from sprint.clean_text import clean, inert, inert_block, literal, quote_block, safe_line
from sprint.domain import (
    CheckComparison,
    CheckStatus,
    Claim,
    DiffStat,
    Ending,
    Outcome,
    PassedOver,
    Proof,
    ProofVerdict,
    Remark,
    Run,
    Trigger,
)
from sprint.prompts.templates import FAILURES_CAP, quiet_span, render, tests_of
from sprint.prompts.titles import pull_request_title

OWN_MARKER = "<!-- sprint:"
COMMENT_MARKER = f"{OWN_MARKER}issue-"

DASHBOARD_MARKER = f"{OWN_MARKER}dashboard -->"
DASHBOARD_TITLE = "What sprint does here"

SUMMARY_CAP = 4_000  # characters
LEFT_OUT_CAP = 10
FILES_CAP = 10
TEMPLATE_CAP = 8_000

# What a draft says of a run that did not come to its end.
_UNFINISHED = {
    Ending.LIMIT: "The run hit a limit",
    Ending.OFF_RAILS: "The run was stopped because it no longer got anywhere",
    Ending.ERROR: "The worker failed",
    Ending.INTERRUPTED: "The run was cut short",
    Ending.CANCELLED: "The run was stopped by hand",
}
# A follow-up's commit in the imperative, and what the pull request is told of it.
_ANSWERS = {
    Trigger.REVIEWS: ("take up the review", "takes up the review"),
    Trigger.CI: ("make CI pass", "is meant to make CI pass"),
    Trigger.CONFLICT: ("merge the base", "merges the base, and resolves the conflicts with it"),
    Trigger.UPDATE: ("merge the base", "merges the base"),
}
_TABLE = "## Checks\n"
_SIGNED = "\nMade by sprint, run "
_PROOF = re.compile(r"\*\*(?:Proven|Not proven|Unproven)\*\*: .*")
_TOLD = (Ending.LIMIT, Ending.OFF_RAILS)  # of the others the detail may name servers


def commit_message(
    title: str,
    issue: int | None,
    summary: str,
    run_id: str,
    labels: Sequence[str] = (),
    *,
    trigger: str = "",
    signed_off_by: str = "",
) -> str:
    """The runner's commit: the only issue that it closes is `issue`, the only trailers are our own.

    `issue` None: a task. `trigger`: what a follow-up answers; "" for the first commit. `signed_off_by`:
    `NAME <ADDRESS>`, or "".
    """
    followed = f"fix: {_ANSWERS[Trigger(trigger)][0]} (refs #{issue})" if trigger else ""
    return render(
        "commit",
        subject=followed or pull_request_title(title, issue, labels),
        summary=inert_block(summary, 2_000, 72),
        run_id=run_id,
        signed_off_by=signed_off_by,
    )


class PullRequestFacts(Struct, frozen=True):
    """What a pull request tells besides its run: each changed path, the seconds it took, how many requests
    the gateway refused, the address of the run's page, and the repository's own template."""

    changes: Sequence[DiffStat] = ()
    seconds: float = 0.0
    refused: int = 0
    page: str = ""
    template: str = ""


_NO_FACTS = PullRequestFacts()


def pull_request_body(run: Run, facts: PullRequestFacts = _NO_FACTS) -> str:
    """The pull request's description, with the checks at the base and at the result."""
    result = run.result
    largest = sorted(facts.changes, key=lambda change: -sum(change.lines or (0, 0)))
    return render(
        "pull_request",
        run=run,
        facts=facts,
        took=_took(facts.seconds),
        added=sum(change.lines[0] for change in facts.changes if change.lines),
        deleted=sum(change.lines[1] for change in facts.changes if change.lines),
        largest=largest[:FILES_CAP],
        more_files=max(len(largest) - FILES_CAP, 0),
        template=inert(clean(facts.template, TEMPLATE_CAP)),
        summary=_quoted(result.summary) if result else "",
        proof=proof_line(run.proof or Proof()),
        comparisons=run.proof.comparisons if run.proof else (),
        words=_comparison,
        failures_cap=FAILURES_CAP,
        left_out=run.left_out[:LEFT_OUT_CAP],
        more_left_out=max(len(run.left_out) - LEFT_OUT_CAP, 0),
        unfinished=_UNFINISHED.get(result.ending, "") if result else "",
        ended_by=_quoted(result.detail) if result and result.ending in _TOLD else "",
    )


def _took(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{max(seconds, 1.0):.0f} second{'s' if seconds >= 1.5 else ''}"
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


def renewed_body(body: str, run: Run) -> str:
    """A pull request's description with the newest proof and table of checks, where both are still there as
    we wrote them; else as it is."""
    text = body.replace("\r\n", "\n")
    fresh = pull_request_body(run)
    if _TABLE not in text or _SIGNED not in text[text.rindex(_TABLE) :] or not _PROOF.match(text):
        return body
    kept = _PROOF.sub(lambda _: proof_line(run.proof or Proof()), text[: text.rindex(_TABLE)], count=1)
    return kept + fresh[fresh.rindex(_TABLE) :]


def follow_up_marker(run: Run, remark: Remark | None) -> str:
    """The hidden text by which what a follow-up has said is known: in a thread, or of the whole round."""
    return f"{OWN_MARKER}follow-up {run.id} {remark.id if remark else 'all'} -->"


def follow_up_answer(run: Run, remark: Remark | None, marker: str) -> str:
    """What is said of a follow-up's commit, in the thread of a remark or (None) at the pull request."""
    result = run.result
    return render(
        "follow_up_answer",
        run=run,
        marker=marker,
        in_thread=remark is not None,
        commit=run.commit,
        words=_ANSWERS[Trigger(run.trigger)][1],
        summary=_quoted(result.summary) if result and result.summary else "",
        proof=proof_line(run.proof or Proof()),
    )


class DashboardFacts(Struct, frozen=True):
    """What a repository's dashboard tells. `pulls`: number and what it waits for; `asking`: issues whose
    question is open; `usd` and the counts are of this month; `address` is where runs have their pages."""

    at: datetime
    idle: str = ""
    running: Sequence[Claim] = ()
    pulls: Sequence[tuple[int, str]] = ()
    asking: Sequence[int] = ()
    passed_over: Sequence[PassedOver] = ()
    more: int = 0
    runs: int = 0
    passed: int = 0
    usd: float = 0.0
    unpriced: int = 0
    address: str = ""


def dashboard(facts: DashboardFacts) -> str:
    """The one issue that says what is done in a repository. What it passes over it does not refer to: each
    reference would be an event at that issue."""
    return render("dashboard", marker=DASHBOARD_MARKER, facts=facts)


def is_dashboard(body: str) -> bool:
    """Whether an issue of our own account is one."""
    return body.lstrip().startswith(DASHBOARD_MARKER)


def needs_human(claim: Claim, reason: str) -> str:
    """What a pull request is told where a person is needed; the first line marks this very occasion."""
    marker = f"{OWN_MARKER}needs-human {claim.run} -->"
    return render("needs_human", marker=marker, reason=inert(safe_line(reason)))


def proof_line(proof: Proof) -> str:
    """What the checks say for a change, in one line of Markdown."""
    if proof.verdict is ProofVerdict.PROVEN:
        tests = [c.result.ran for c in proof.proving if c.result.ran]
        ran = f" ({tests_of(sum(tests))})" if tests else ""
        count = len(proof.proving)
        checks = "one check passes" if count == 1 else f"{count} checks pass"
        return f"**Proven**: {checks} at the base and with this change{ran}."
    if proof.verdict is ProofVerdict.NONE:
        return "**Not proven**: this repository has no checks that sprint knows of."
    return f"**Unproven**: {_why_unproven(proof)}."


def _why_unproven(proof: Proof) -> str:
    if proof.reason:
        return quiet_span(proof.reason)
    why = [f"{quiet_span(c.command)} {_no_proof(c)}" for c in proof.comparisons if c not in proof.proving]
    more = f", and {len(why) - 3} more" if len(why) > 3 else ""
    return "; ".join(why[:3]) + more


def _no_proof(pair: CheckComparison) -> str:
    """Why one check proves nothing, after its name."""
    if pair.is_regression:
        return "got worse"
    if pair.result.status is CheckStatus.NOT_RUN:
        return f"could not run{_in_brackets(pair.result.note)}"
    if pair.base.status is CheckStatus.NOT_RUN:
        return f"could not run at the base{_in_brackets(pair.base.note)}"
    if pair.base.status is not CheckStatus.PASSED:
        return (
            "did not pass at the base either"
            if pair.result.status is not CheckStatus.PASSED
            else ("passes, and did not at the base")
        )
    return "ran no test"


def _in_brackets(note: str) -> str:
    return f" ({literal(inert(safe_line(note)))})" if note else ""


def _comparison(pair: CheckComparison) -> str:
    """What the table of a pull request says of a check: only what ran twice has no new failures."""
    if pair.is_regression:
        return "**new failures**"
    if pair.result.status is CheckStatus.NOT_RUN or pair.base.status is CheckStatus.NOT_RUN:
        return "proves nothing"
    return "ok" if pair.result.status is CheckStatus.PASSED else "no new failures"


def comment_marker(issue: int) -> str:
    """The hidden text by which later runs find the one comment they edit."""
    return f"{COMMENT_MARKER}{issue} -->"


class Receipt(Struct, frozen=True):
    """What an issue has cost so far: attempts, follow-ups, tokens, and dollars where known."""

    attempts: int
    follow_ups: int
    tokens: int
    usd: float

    @property
    def says(self) -> str:
        def count(number: int, what: str) -> str:
            return f"{number:,} {what}{'s' if number != 1 else ''}"

        parts = [count(max(self.attempts, 1), "attempt"), count(self.follow_ups, "follow-up")]
        parts += [count(self.tokens, "token")] if self.tokens else []
        parts += [f"${self.usd:.2f}"] if self.usd else []
        return ", ".join(parts)


def comment(run: Run, *, patch_kept: bool, patch_host: str, receipt: Receipt | None = None) -> str:
    """The one comment at the issue, in the state that the run is in: under way, or how it ended."""
    result = run.result
    return render(
        "comment",
        marker=comment_marker(run.number),
        run=run,
        outcome=run.outcome,
        Outcome=Outcome,
        commit=result.commit if result else "",
        summary=_quoted(result.summary) if result and result.summary else "",
        detail=_quoted(run.detail) if run.detail else "",
        patch_kept=patch_kept,
        patch_host=patch_host,
        receipt=receipt.says if receipt else "",
    )


def _quoted(text: str) -> str:
    """A model's words as a quotation: nobody is notified, nothing linked, closed or fetched.

    Also where a squash merge copies the description into a commit's message.
    """
    return quote_block(text, SUMMARY_CAP) if clean(text, SUMMARY_CAP) else ""
