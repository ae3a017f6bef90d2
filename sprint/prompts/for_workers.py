"""What workers are told: rules and a task that all share, and each worker's own tools and hand-over.

The rules are ours alone; the task holds what strangers wrote, between marks that carry the prompt's nonce.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from sprint.clean_text import clean, cut, fence, safe_line
from sprint.domain import (
    CheckResult,
    CheckStatus,
    DiffStat,
    Occasion,
    Prompt,
    Proof,
    Purpose,
    Refusal,
    Remark,
    Status,
)
from sprint.prompts.templates import FAILURES_CAP, render
from sprint.task import Task
from sprint.terminal_text import readable

# The first line of an agent's summary, before a commit's id, where the issue is fixed already.
ALREADY_FIXED = "ALREADY FIXED"

BODY_CAP = 20_000  # characters
COMMENT_CAP = 4_000
COMMENTS_CAP = 20  # the newest
REMARKS_CAP = 40  # the newest
HUNK_CAP = 600
GUIDE_CAP = 20_000
ATTEMPTS_CAP = 5  # the newest
PATCH_CAP = 8_000
TAIL_CAP = 4_000
PROTECTED_CAP = 12  # paths
REFUSALS_CAP = 10
CHANGES_CAP = 40

# The template of a task, by what its run is for.
_TASKS = {Purpose.ISSUE: "issue", Purpose.FOLLOW_UP: "follow_up", Purpose.TASK: "task"}


class SharedRules(Struct, frozen=True):
    """What every worker is told: where it works and what is refused, and the task itself."""

    rules: str
    task: str


class OwnWords(Struct, frozen=True):
    """What an operator wants where no issue does. `ralph`: the agent is begun again until it says that it is
    done."""

    text: str = ""
    ralph: bool = False


_NO_WORDS = OwnWords()


def shared_rules(task: Task, own: OwnWords = _NO_WORDS) -> SharedRules:
    """The part of a prompt that does not depend on who does the work. It names no tool."""
    nonce = secrets.token_hex(8)
    return SharedRules(_rules(task, nonce), _task(task, nonce, own))


def loop_prompt(task: Task, tools: Sequence[Mapping[str, Any]]) -> Prompt:
    """For our own loop: it acts through `tools`, definitions in the shape of the API, and ends by one."""
    shared = shared_rules(task)
    names = [tool["function"]["name"] for tool in tools]
    system = render("loop", rules=shared.rules.strip(), tools=names, limits=task.config.limits)
    return Prompt(system=system, user=shared.task)


def agent_prompt(task: Task, *, summary_file: str, question_file: str, own: OwnWords = _NO_WORDS) -> Prompt:
    """For a coding agent or a command: it hands over by two files, whose paths are as it sees them.

    What it must read is in both parts of the prompt, in this order; who takes one text only joins them.
    """
    shared = shared_rules(task, own)
    system = render(
        "agent",
        is_task=task.run.purpose is Purpose.TASK,
        rules=shared.rules.strip(),
        limits=task.config.limits,
        summary_file=summary_file,
        question_file=question_file,
        already_fixed=ALREADY_FIXED,
    )
    return Prompt(system=system, user=shared.task)


def _rules(task: Task, nonce: str) -> str:
    run, config = task.run, task.config
    return render(
        "rules",
        run=run,
        nonce=nonce,
        root=task.root,
        is_sandboxed=config.sandbox.is_confined,
        has_network=config.sandbox.network == "host",
        setup=task.setup,
        tools=task.tools,
        publish=config.publish,
        protected=config.publish.protected[:PROTECTED_CAP],
    )


def _task(task: Task, nonce: str, own: OwnWords) -> str:
    issue, carried = task.issue, task.carried

    def fenced(text: str, what: str, limit: int) -> str:
        return fence(clean(text, limit) or "(empty)", what, nonce)

    found = "\n\n".join("\n".join(lines) for lines in (task.history, task.layout) if lines)
    return render(
        _TASKS[task.run.purpose],
        run=task.run,
        text=own.text.strip(),
        ralph=own.ralph,
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
        carried=carried,
        patch=fence(cut(readable(carried.patch), PATCH_CAP), "an earlier patch", nonce) if carried else "",
        guide=fenced(task.guide, "the repository's guide", GUIDE_CAP) if task.guide.strip() else "",
        found=fenced(found, "what there is", GUIDE_CAP) if found else "",
        checks=task.checks,
        commands=task.config.checks,
        failures_cap=FAILURES_CAP,
        closed=task.closed.number if task.closed else None,
        closed_remarks=[_said(remark, nonce) for remark in task.closed.remarks[-COMMENTS_CAP:]]
        if task.closed
        else [],
        **(_occasion(task, task.occasion, nonce) if task.occasion else {}),
    )


def _said(remark: Remark, nonce: str) -> str:
    line = f" line {remark.line}" if remark.line else ""
    line = line or (f" line {remark.old_line} of the old file" if remark.old_line else "")
    about = f"at {remark.path}{line}" if remark.path else ""
    hunk = f"\n\nThe lines that it is about:\n{remark.hunk[-HUNK_CAP:]}" if remark.hunk else ""
    asks = "changes requested" if remark.asks else "said"
    text = clean(f"{about}\n{remark.body}{hunk}".strip(), COMMENT_CAP) or "(empty)"
    return fence(text, f"{asks} by {_name(remark.author)}", nonce)


def _occasion(task: Task, occasion: Occasion, nonce: str) -> dict[str, Any]:
    """What a follow-up answers: words of others, each between marks of its own."""

    def fenced(text: str, what: str, limit: int = COMMENT_CAP) -> str:
        return fence(clean(text, limit) or "(empty)", what, nonce)

    def failed(status: Status) -> str:
        lines = (status.context, status.description, _tail(status.log))
        return fenced("\n".join(filter(None, lines)), "a check of the forge's", 2 * TAIL_CAP)

    worse = [check for check in task.run.start_checks if check.status is not CheckStatus.PASSED]
    return {
        "remarks": [_said(remark, nonce) for remark in occasion.remarks[-REMARKS_CAP:]],
        "remarks_left_out": max(len(occasion.remarks) - REMARKS_CAP, 0),
        "failures": [failed(status) for status in occasion.failures[:FAILURES_CAP]],
        "conflicts": occasion.conflicts[:CHANGES_CAP],
        "start_checks": task.run.start_checks,
        "tails": [fence(_tail(check.tail), "output of a check", nonce) for check in worse[:3] if check.tail],
    }


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


def setup_failed(failed: CheckResult) -> str:
    """What set-up says against the manifests of the work so far."""
    tail = fence(_tail(f"{failed.tail}\n{failed.note}"), "output of set-up", secrets.token_hex(8))
    return render("setup_failed", failed=failed, tail=tail)


def _tail(text: str) -> str:
    cleaned = clean(text, len(text))
    return cleaned if len(cleaned) <= TAIL_CAP else f"[...]\n{cleaned[-TAIL_CAP:]}"


def policy_refused(refusals: Sequence[Refusal]) -> str:
    """Why the policy does not let the work be published, for the worker to put right."""
    shown = [_printable(refusal) for refusal in refusals[:REFUSALS_CAP]]
    return render("policy_refused", refusals=shown, more=max(len(refusals) - REFUSALS_CAP, 0))


def review(
    changes: Sequence[DiffStat],
    *,
    scratch: Sequence[str],
    unreferenced: Sequence[str],
    refusals: Sequence[Refusal],
    checks: Sequence[tuple[str, str]],
    confirm: str,
) -> str:
    """What a reviewer would see of the work. `checks` are commands, and whether each ran since the last edit;
    `confirm` is how the work is handed in for good."""
    lines = [change.lines for change in changes if change.lines]
    return render(
        "review",
        changes=changes[:CHANGES_CAP],
        more=max(len(changes) - CHANGES_CAP, 0),
        count=len(changes),
        added=sum(added for added, _ in lines),
        deleted=sum(deleted for _, deleted in lines),
        tracked=any(change.status != "A" for change in changes),
        scratch=scratch[:CHANGES_CAP],
        unreferenced=unreferenced,
        refusals=[_printable(refusal) for refusal in refusals[:REFUSALS_CAP]],
        checks=checks,
        confirm=confirm,
    )


def _printable(refusal: Refusal) -> Refusal:
    return Refusal(refusal.path, safe_line(refusal.reason, 300))


def wrap_up(left: str) -> str:
    """A warning that a limit is near. `left` says how much there is: "5 turns", "2 minutes", "$0.10"."""
    return render("wrap_up", left=left)
