"""`sprint run --dry-run`: what a tick would pick and say, with nothing written anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sprint import assign, follow, git
from sprint.backlog import Backlog
from sprint.capacity import why_not_now
from sprint.clean_text import safe_line
from sprint.context import Context
from sprint.domain import Claim, Issue, Pick, replace
from sprint.environment import Recipe, found_in, of_commit
from sprint.new_run import new_run
from sprint.scope import task_for


@dataclass(frozen=True)
class Preview:
    """What would be done; `prompt` is empty where nothing would be picked, or it is not asked for."""

    repo: str
    pick: Pick
    prompt: str = ""
    recipe: Recipe | None = None
    followed: tuple[follow.Decided, ...] = ()

    def as_data(self) -> Mapping[str, Any]:
        issue = self.pick.issue
        return {
            "repo": self.repo,
            "would_pick": {"number": issue.number, "title": issue.title} if issue else None,
            "idle": self.pick.why_none,
            "pull_requests": [
                {"number": one.number, "issue": one.issue, "decision": one.step, "reason": one.reason}
                for one in self.followed
            ],
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
        passed = [f"  {safe_line(one.says)}" for one in self.followed]
        passed += [
            f"  passed over #{p.number} {safe_line(p.title)}: {safe_line(p.reason)}"
            for p in self.pick.passed_over
            if not self.pick.why_none.startswith(f"#{p.number}: ")
        ]
        if issue is None:
            return "\n".join([f"{self.repo}: would pick nothing: {safe_line(self.pick.why_none)}", *passed])
        head = f"{self.repo}: would pick #{issue.number} {safe_line(issue.title)}"
        shown = ["", self.prompt] if self.prompt else []
        return "\n".join([head, *passed, *self._commands(), *shown])

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


def preview(
    context: Context, *, only: int | None, force: bool, pull: int | None = None, with_prompt: bool = False
) -> Preview:
    """Pick and render. `context` must have been opened on a cache that is thrown away."""
    name = context.repository.name
    if reason := why_not_now(context.sharing, context.repo_config, context.repository):
        return Preview(name, Pick(None, why_none=reason))
    board = context.claims.board()
    if board.pause:
        return Preview(name, Pick(None, why_none=board.pause.says(name)))
    backlog = Backlog(context, only=only, force=force)
    followed = _followed(context, board.claims, backlog, pull)
    if pull is not None:
        return Preview(name, Pick(None, why_none=f"only #{pull} was asked for"), followed=followed)
    pick = backlog.pick(board.claims)
    if pick.issue is None:
        return Preview(name, pick, followed=followed)
    scratch = context.claims.git_dir
    git.fetch(scratch, context.remote, f"+refs/heads/{context.base}:refs/heads/base", depth=1)
    base_sha = git.resolve(scratch, "refs/heads/base") or ""
    prompt = _prompt(context, pick.issue, base_sha) if with_prompt else ""
    recipe = found_in(context.repo_config, of_commit(scratch, base_sha), context.sandbox)
    return Preview(name, pick, prompt, recipe, followed)


def _prompt(context: Context, issue: Issue, base_sha: str) -> str:
    worker = assign.wanted(context, issue)
    run = replace(new_run(context, issue, worker), base_branch=context.base, base_sha=base_sha)
    prompt = context.worker(worker).prompt(task_for(context, run, issue, context.claims.git_dir))
    return f"{prompt.system}\n\n{prompt.user}"


def _followed(
    context: Context, claims: Mapping[int, Claim], backlog: Backlog, pull: int | None
) -> tuple[follow.Decided, ...]:
    if backlog.only or not (context.repo_config.follow.enabled or pull):
        return ()
    found = follow.look(context, claims, backlog.open_pulls, only=pull, is_kept=False).decisions
    backlog.waits_for_us = {one.number: one.waits_for_us for one in found}
    return found
