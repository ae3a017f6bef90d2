"""`sprint run --dry-run`: what a tick would pick and say, with nothing written anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sprint import git
from sprint.clean_text import safe_line
from sprint.context import Context
from sprint.domain import Pick
from sprint.scope import task_for
from sprint.tick import new_run, pick_issue, why_not_now


@dataclass(frozen=True)
class Preview:
    """What would be done; `prompt` is empty where nothing would be picked."""

    repo: str
    pick: Pick
    prompt: str = ""

    def as_data(self) -> Mapping[str, Any]:
        issue = self.pick.issue
        return {
            "repo": self.repo,
            "would_pick": {"number": issue.number, "title": issue.title} if issue else None,
            "idle": self.pick.why_none,
            "passed_over": [
                {"number": p.number, "title": p.title, "reason": p.reason} for p in self.pick.passed_over
            ],
            "prompt": self.prompt,
        }

    def as_text(self) -> str:
        issue = self.pick.issue
        passed = [
            f"  passed over #{p.number} {safe_line(p.title)}: {safe_line(p.reason)}"
            for p in self.pick.passed_over
        ]
        if issue is None:
            return "\n".join([f"{self.repo}: would pick nothing: {safe_line(self.pick.why_none)}", *passed])
        head = f"{self.repo}: would pick #{issue.number} {safe_line(issue.title)}"
        return "\n".join([head, *passed, "", self.prompt])


def preview(context: Context, *, only: int | None, force: bool) -> Preview:
    """Pick and render. `context` must have been opened on a cache that is thrown away."""
    name = context.repository.name
    if reason := why_not_now(context):
        return Preview(name, Pick(None, why_none=reason))
    pick = pick_issue(context, context.claims.read(), only=only, force=force)
    if pick.issue is None:
        return Preview(name, pick)
    scratch = context.claims.git_dir
    git.fetch(scratch, context.remote, f"+refs/heads/{context.base}:refs/heads/base", depth=1)
    base_sha = git.resolve(scratch, "refs/heads/base") or ""
    run = replace(new_run(context, pick.issue), base_branch=context.base, base_sha=base_sha)
    task = task_for(context, run, pick.issue, scratch)
    prompt = context.worker(context.repo_config.worker).prompt(task)
    return Preview(name, pick, f"{prompt.system}\n\n{prompt.user}")
