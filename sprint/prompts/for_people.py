"""What people are told: in pull requests, commits and the one comment at an issue."""

from __future__ import annotations

from collections.abc import Sequence

from sprint.clean_text import code_block, inert, inert_block, safe_line
from sprint.domain import CheckComparison, CheckStatus, Outcome, Proof, ProofVerdict, Run
from sprint.prompts.templates import FAILURES_CAP, quiet_span, render, tests_of
from sprint.prompts.titles import pull_request_title

COMMENT_MARKER = "<!-- sprint:issue-"

SUMMARY_CAP = 4_000  # characters
LEFT_OUT_CAP = 10
_WIDTH = 100


def commit_message(title: str, issue: int, summary: str, run_id: str, labels: Sequence[str] = ()) -> str:
    """The runner's commit: the only issue that it closes is `issue`, the only trailer is our own."""
    return render(
        "commit",
        subject=pull_request_title(title, issue, labels),
        summary=inert_block(summary, 2_000, 72),
        run_id=run_id,
    )


def pull_request_body(run: Run) -> str:
    """The pull request's description, with the checks at the base and at the result."""
    result = run.result
    return render(
        "pull_request",
        run=run,
        summary=_quoted(result.summary) if result else "",
        proof=proof_line(run.proof or Proof()),
        comparisons=run.proof.comparisons if run.proof else (),
        words=_comparison,
        failures_cap=FAILURES_CAP,
        left_out=run.left_out[:LEFT_OUT_CAP],
        more_left_out=max(len(run.left_out) - LEFT_OUT_CAP, 0),
        unfinished=_quoted(result.detail) if result and result.ending == "limit" else "",
    )


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
    return f" ({inert(safe_line(note))})" if note else ""


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


def comment(run: Run, *, patch_kept: bool, patch_host: str) -> str:
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
    )


def _quoted(text: str) -> str:
    """A model's words as a code block: nobody is notified, nothing linked, closed or fetched.

    Inert as well, because a squash merge may copy the description into a commit's message.
    """
    block = inert_block(text, SUMMARY_CAP, _WIDTH)
    return code_block(block) if block else ""
