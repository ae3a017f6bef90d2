"""What workers are told: the task, and what the checks say of their work."""

from __future__ import annotations

import secrets

from sprint.clean_text import clean, fence
from sprint.domain import Prompt, Proof
from sprint.prompts.templates import FAILURES_CAP, render
from sprint.resources import offered_skills
from sprint.task import Task

BODY_CAP = 20_000  # characters
COMMENT_CAP = 4_000
COMMENTS_CAP = 20  # the newest
GUIDE_CAP = 20_000
ATTEMPTS_CAP = 5  # the newest
TAIL_CAP = 4_000


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
