"""What a worker is told about one piece of work: the record that each kind of worker makes its prompt of."""

from __future__ import annotations

from msgspec import Struct

from sprint.config import RepoConfig
from sprint.domain import CheckComparison, CheckResult, Claim, Comment, Issue, Occasion, Remark, Run


class CarriedWork(Struct, frozen=True):
    """What an earlier attempt had made when it ended.

    `patch` as `git apply` takes it, perhaps cut; `is_applied`: it is in the checkout already, but for the
    paths in `scratch`. `regressions` are the checks that it made worse.
    """

    run_id: str
    patch: str
    is_applied: bool
    scratch: tuple[str, ...] = ()
    regressions: tuple[CheckComparison, ...] = ()


class ClosedPull(Struct, frozen=True):
    """An earlier attempt's pull request that was closed unmerged, and what people with a say said at it."""

    number: int
    remarks: tuple[Remark, ...]


class Task(Struct, frozen=True):
    """All that any prompt needs. Texts of strangers are in it as they came: `prompts` cleans and fences them.

    `comments` are those of people with write access and `attempts` the claims of attempts that ended, both
    oldest first. `guide` is the repository's own AGENTS.md or the like, "" for none. `history` is what the
    runner found of earlier work (commits, branches, pull requests) and `layout` a map of the repository, a
    line each; empty where nobody looked. `setup` are the commands that made the environment, `checks` the
    results at the base, `tools` the interpreters and tools that are there. `forge_kind` chooses the skills
    that fit. `occasion` is what a follow-up answers. The issue of an operator's task has number 0.
    """

    run: Run
    config: RepoConfig
    issue: Issue
    comments: tuple[Comment, ...] = ()
    attempts: tuple[Claim, ...] = ()
    carried: CarriedWork | None = None
    guide: str = ""
    history: tuple[str, ...] = ()
    layout: tuple[str, ...] = ()
    setup: tuple[str, ...] = ()
    checks: tuple[CheckResult, ...] = ()
    tools: tuple[str, ...] = ()
    forge_kind: str = ""
    occasion: Occasion | None = None
    closed: ClosedPull | None = None
    root: str = "/work"  # the workspace as the worker sees it: the checkout is `repo` in it
