"""Renders prompts/: everything that a model or a person is told.

Text of strangers, models and checks is cleaned here before it gets into a template, so that a template can
put in whatever it is given. For a model it is fenced with a nonce; for a forge it is made inert.
"""

from __future__ import annotations

import secrets
from functools import cache
from typing import TYPE_CHECKING, Any

from sprint.clean_text import (
    clean,
    code_block,
    code_span,
    fence,
    inert,
    inert_block,
    safe_line,
    title_line,
)
from sprint.domain import (
    CheckResult,
    CheckStatus,
    Outcome,
    Prompt,
    Proof,
    Run,
)
from sprint.resources import folder, offered_skills
from sprint.task import Task

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = [
    "COMMENT_MARKER",
    "Prompt",
    "checks_failed",
    "comment",
    "comment_marker",
    "commit_message",
    "implement",
    "pull_request_body",
    "pull_request_title",
    "render",
    "wrap_up",
]

COMMENT_MARKER = "<!-- sprint:issue-"

BODY_CAP = 20_000  # characters
COMMENT_CAP = 4_000
COMMENTS_CAP = 20  # the newest
GUIDE_CAP = 20_000
ATTEMPTS_CAP = 5  # the newest
FAILURES_CAP = 20
TAIL_CAP = 4_000
SUMMARY_CAP = 4_000
_WIDTH = 100

_STATUS = {
    CheckStatus.PASSED: "passed",
    CheckStatus.FAILED: "failed",
    CheckStatus.TIMED_OUT: "timed out",
    CheckStatus.NOT_RUN: "not run",
}


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(folder("prompts")),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 - Markdown and plain text, where HTML escapes would be shown
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(span=code_span, quiet_span=_quiet_span, state=_state)
    return environment


def render(name: str, **context: Any) -> str:
    """The template prompts/NAME.j2. Raises jinja2's errors for a value that is missing: a defect of ours."""
    return _environment().get_template(f"{name}.j2").render(**context).strip() + "\n"


def _quiet_span(text: str) -> str:
    """A code span in which a forge finds nothing to act on, wherever it may copy it."""
    return code_span(inert(safe_line(text)))


def _state(check: CheckResult) -> str:
    """A check's status in words: `failed (exit 1, 3 of 41 tests)`."""
    facts = []
    if check.status is CheckStatus.FAILED and check.exit_code is not None:
        facts.append(f"exit {check.exit_code}")
    failed = len(check.failures) if check.failed is None else check.failed
    if failed:
        facts.append(f"{failed} of {check.ran} tests" if check.ran else _tests(failed))
    elif check.ran:
        facts.append(_tests(check.ran))
    if check.note:
        facts.append(safe_line(inert(check.note)).replace("|", "¦"))
    return f"{_STATUS[check.status]} ({', '.join(facts)})" if facts else _STATUS[check.status]


def _tests(count: int) -> str:
    return f"{count} test{'s' if count != 1 else ''}"


# --- to the model ------------------------------------------------------------------------------


def implement(task: Task) -> Prompt:
    """What the local worker is told."""
    nonce = secrets.token_hex(8)
    run, config, issue = task.run, task.config, task.issue

    def fenced(text: str, what: str, limit: int) -> str:
        return fence(clean(text, limit) or "(empty)", what, nonce)

    user = render(
        "task",
        run=run,
        config=config,
        issue=fenced(f"{clean(issue.title, 500)}\n\n{issue.body}", f"issue {issue.number}", BODY_CAP),
        comments=[
            fenced(said.body, f"comment by {_name(said.author)}", COMMENT_CAP)
            for said in task.comments[-COMMENTS_CAP:]
        ],
        comments_left_out=max(len(task.comments) - COMMENTS_CAP, 0),
        attempts=[
            fenced(f"{claim.outcome}: {claim.detail}", f"attempt {claim.attempt}", 1_000)
            for claim in task.attempts[-ATTEMPTS_CAP:]
        ],
        guide=fenced(task.guide, "the repository's guide", GUIDE_CAP) if task.guide.strip() else "",
        base_checks=task.checks,
        failures_cap=FAILURES_CAP,
        skills=offered_skills().values(),
    )
    # Without a sandbox the paths are the machine's own; a dry run has no workspace yet.
    root = run.workspace if config.sandbox.kind == "none" and run.workspace else "/work"
    return Prompt(system=render("system", run=run, config=config, nonce=nonce, root=root), user=user)


def _name(login: str) -> str:
    return "".join(character for character in login if character.isalnum() or character in "-_.[]")[:60]


def checks_failed(proof: Proof) -> str:
    """What the checks say against the work so far: only what is new since the base."""
    nonce = secrets.token_hex(8)
    tails = {
        regression.command: fence(_tail(regression.result.tail), "output of a check", nonce)
        for regression in proof.regressions
    }
    return render("checks_failed", regressions=proof.regressions, tails=tails, failures_cap=FAILURES_CAP)


def _tail(text: str) -> str:
    cleaned = clean(text, len(text))
    return cleaned if len(cleaned) <= TAIL_CAP else f"[...]\n{cleaned[-TAIL_CAP:]}"


def wrap_up(left: str) -> str:
    """A warning that a limit is near. `left` says how much there is: "5 turns", "2 minutes", "$0.10"."""
    return render("wrap_up", left=left)


# --- to people ---------------------------------------------------------------------------------


def pull_request_title(title: str, issue: int) -> str:
    """Also the commit's first line: `fix: TITLE (closes #N)`."""
    line = title_line(title)
    line = line[4:].strip() or "untitled" if line.lower().startswith("fix:") else line
    return f"fix: {line} (closes #{issue})"


def commit_message(title: str, issue: int, summary: str, run_id: str) -> str:
    """The runner's commit: the only issue that it closes is `issue`, the only trailer is our own."""
    return render(
        "commit",
        subject=pull_request_title(title, issue),
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
