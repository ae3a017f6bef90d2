"""Whether the work of a run is still wanted."""

from __future__ import annotations

from sprint.context import Context
from sprint.domain import Issue, Run
from sprint.errors import ForgeError
from sprint.pick import competing_pull


class Wanted:
    """Asks the forge again and again; each answer is a reason to stop, or "".

    Raises ForgeError where the forge does not tell.
    """

    def __init__(self, context: Context, run: Run) -> None:
        self._context = context
        self._run = run
        self._look = context.forge.watch_issue(context.repository.name, run.number)

    def at_a_glance(self) -> str:
        """By the issue alone, which costs next to nothing while it does not change."""
        return self._of_issue()[1]

    def in_full(self) -> str:
        """Also by the pull requests of others."""
        issue, reason = self._of_issue()
        if reason or issue is None or self._run.forced:
            return reason
        name = self._context.repository.name
        return competing_pull(self._run, issue, self._context.forge.open_pulls(name), name)

    def _of_issue(self) -> tuple[Issue | None, str]:
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


def not_wanted(context: Context, run: Run) -> str:
    """Why the run's work is no longer wanted, or "". Raises ForgeError where the forge does not tell."""
    return Wanted(context, run).in_full()
