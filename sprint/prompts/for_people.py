"""What people are told: in pull requests, commits and the one comment at an issue."""

from __future__ import annotations

from collections.abc import Sequence

from sprint.clean_text import code_block, inert_block
from sprint.domain import Outcome, Run
from sprint.prompts.templates import FAILURES_CAP, render
from sprint.prompts.titles import pull_request_title

COMMENT_MARKER = "<!-- sprint:issue-"

SUMMARY_CAP = 4_000  # characters
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
        comparisons=run.proof.comparisons if run.proof else (),
        failures_cap=FAILURES_CAP,
        unfinished=_quoted(result.detail) if result and result.ending == "limit" else "",
    )


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
