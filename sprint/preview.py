"""`sprint run --dry-run`: what a tick would pick and say, with nothing written anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sprint import assign, git
from sprint.backlog import Backlog
from sprint.clean_text import safe_line
from sprint.context import Context
from sprint.domain import Pick
from sprint.environment import Recipe, found_in, of_commit
from sprint.scope import task_for
from sprint.tick import new_run, why_not_now


@dataclass(frozen=True)
class Preview:
    """What would be done; `prompt` is empty where nothing would be picked."""

    repo: str
    pick: Pick
    prompt: str = ""
    recipe: Recipe | None = None

    def as_data(self) -> Mapping[str, Any]:
        issue = self.pick.issue
        return {
            "repo": self.repo,
            "would_pick": {"number": issue.number, "title": issue.title} if issue else None,
            "idle": self.pick.why_none,
            "passed_over": [
                {"number": p.number, "title": p.title, "reason": p.reason} for p in self.pick.passed_over
            ],
            "setup": self.recipe.setup if self.recipe else (),
            "build": self.recipe.build if self.recipe else (),
            "checks": self.recipe.checks if self.recipe else (),
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
        return "\n".join([head, *passed, *self._commands(), "", self.prompt])

    def _commands(self) -> list[str]:
        """What would be run, and where each comes from."""
        recipe = self.recipe
        if recipe is None:
            return []
        given = {
            "set-up": (recipe.setup, recipe.is_found),
            "build": (recipe.build, recipe.is_build_found),
            "check": (recipe.checks, recipe.are_checks_found),
        }
        said = [
            f"  {what:6} {command}{'  (found)' if is_found else ''}"
            for what, (commands, is_found) in given.items()
            for command in commands
        ]
        none = [] if recipe.checks else ["  check  none: name them as `checks` in sprint.yaml"]
        return [*said, *none, *([f"  {recipe.note}"] if recipe.note else [])]


def preview(context: Context, *, only: int | None, force: bool) -> Preview:
    """Pick and render. `context` must have been opened on a cache that is thrown away."""
    name = context.repository.name
    if reason := why_not_now(context):
        return Preview(name, Pick(None, why_none=reason))
    board = context.claims.board()
    if board.pause:
        return Preview(name, Pick(None, why_none=board.pause.says(name)))
    pick = Backlog(context, only=only, force=force).pick(board.claims)
    if pick.issue is None:
        return Preview(name, pick)
    scratch = context.claims.git_dir
    git.fetch(scratch, context.remote, f"+refs/heads/{context.base}:refs/heads/base", depth=1)
    base_sha = git.resolve(scratch, "refs/heads/base") or ""
    worker = assign.wanted(context, pick.issue)
    run = replace(new_run(context, pick.issue, worker), base_branch=context.base, base_sha=base_sha)
    task = task_for(context, run, pick.issue, scratch)
    prompt = context.worker(worker).prompt(task)
    recipe = found_in(context.repo_config, of_commit(scratch, base_sha), context.sandbox)
    return Preview(name, pick, f"{prompt.system}\n\n{prompt.user}", recipe)
