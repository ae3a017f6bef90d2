"""Whether the work of a run is still wanted."""

from __future__ import annotations

from sprint.context import Context
from sprint.domain import Issue, PullRequest, Run
from sprint.errors import ForgeError
from sprint.pick import competing_pull

HANDS_OFF = "hands-off"  # the label by which people take a pull request of ours over


class Wanted:
    """Asks the forge again and again; each answer is a reason to stop, or "".

    Raises ForgeError where the forge does not tell.
    """

    def __init__(self, context: Context, run: Run) -> None:
        self._context = context
        self._run = run
        self._look = (
            context.forge.watch_issue(context.repository.name, run.issue) if run.issue is not None else None
        )

    def at_a_glance(self) -> str:
        """By the issue alone, which costs next to nothing while it does not change."""
        return self._of_issue()[1]

    def in_full(self) -> str:
        """Also by the pull requests of others."""
        issue, reason = self._of_issue()
        name, forge = self._context.repository.name, self._context.forge
        if not reason and self._run.pr_number is not None and self._run.is_follow_up:
            reason = reason_against(forge.pull(name, self._run.pr_number), self._run)
        if reason or issue is None or self._run.forced:
            return reason
        return competing_pull(self._run, issue, forge.open_pulls(name), name, forge.whoami())

    def _of_issue(self) -> tuple[Issue | None, str]:
        if self._look is None:  # a task is wanted until its operator stops it
            return None, ""
        try:
            issue = self._look()
        except ForgeError as error:
            if error.status in (404, 410):  # GitHub says 410 of a deleted one
                return None, "the issue is gone"
            raise
        return issue, self._reason(issue)

    def _reason(self, issue: Issue) -> str:
        if not issue.is_open:
            return "the issue was closed"
        if self._run.forced:  # what else may speak against it was known to whoever asked for it
            return ""
        if issue.locked:
            return "the issue was locked"
        me = self._context.forge.whoami().lower()
        if others := [name for name in issue.assignees if name.lower() != me]:
            return f"the issue was assigned to {', '.join(others)}"
        return ""


def reason_against(pull: PullRequest, run: Run) -> str:
    """Why a follow-up of the pull request is no longer wanted, or ""."""
    if not pull.is_open:
        return "its pull request was merged" if pull.merged_at else "its pull request was closed"
    if pull.head_sha not in (run.head_sha, run.commit):
        return "somebody pushed to its branch"
    if pull.base != run.base_branch:
        return "its pull request was given another base"
    if HANDS_OFF in (label.casefold() for label in pull.labels):
        return f"its pull request was labelled {HANDS_OFF}"
    return ""


def not_wanted(context: Context, run: Run) -> str:
    """Why the run's work is no longer wanted, or "". Raises ForgeError where the forge does not tell."""
    return Wanted(context, run).in_full()
