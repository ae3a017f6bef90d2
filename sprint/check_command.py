"""`sprint check`: set-up and checks of a repository as it is, without a model and without a claim."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from sprint import environment, git, verify, workspace
from sprint.clean_text import safe_line
from sprint.config import Config, resolve
from sprint.context import Context, open_context
from sprint.domain import CheckResult, CheckStatus, Finding, Grade
from sprint.errors import ConfigError
from sprint.surroundings import Surroundings
from sprint.terminal_text import fitted, readable

_SHOWN_LINES = 25  # of what a command said that failed
_REMEDY = "set `setup` and `checks` of it in sprint.yaml"


def check_command(config: Config, name: str, ref: str, around: Surroundings) -> int:
    """Print what comes of it, line by line; returns 0 where a change could be proven, else 1."""
    context = open_context(config, resolve(config, name), around)
    is_provable = False
    for finding in examine(context, ref, ended=lambda result: _show(result, around.out)):
        line = f"{finding.what:12}  {finding.says}"
        print(fitted(line, around.out, indent=14), file=around.out, flush=True)
        is_provable = finding.grade is Grade.OK
    return 0 if is_provable else 1


def _show(result: CheckResult, out: TextIO) -> None:
    """A command that has ended; the end of what it said where that went wrong."""
    print(f"  {result.seconds:7.1f} s  {result.command}", file=out, flush=True)
    if result.status is not CheckStatus.PASSED:
        for line in readable(result.tail).splitlines()[-_SHOWN_LINES:]:
            print(f"             | {line}", file=out, flush=True)
        if result.note:
            print(f"             {safe_line(result.note)}", file=out, flush=True)


def examine(
    context: Context, ref: str = "", *, ended: Callable[[CheckResult], None] = lambda result: None
) -> Iterator[Finding]:
    """Set up and check a repository at a branch, tag or commit (default: its base), a finding at a time.

    The last one says whether a change could be proven; a fault is what would stop a tick. `ended` hears of
    each command. Raises SprintError where it cannot even be begun, or there is no such `ref`.
    """
    context.sandbox.probe()
    config, paths = context.repo_config, context.config.paths
    mirror, base = workspace.update_mirror(
        paths.cache, config.forge, context.repository.name, context.remote, branch=context.base
    )
    commit = _commit(mirror, ref, context) if ref else base
    yield Finding(Grade.OK, "commit", f"{commit[:12]} of {ref or context.base}")
    tools = environment.tools(context.sandbox, config.sandbox, paths.cache)
    yield Finding(Grade.OK, "tools", ", ".join(tools))
    watching = verify.Watching(ended)
    with (
        _project(context, mirror, base) as project,
        _prepared(project, commit, context.base, watching) as prepared,
    ):
        yield from _of_environment(prepared)
        if prepared.failed:
            return
        results = verify.run_checks(
            context.sandbox,
            prepared.workspace,
            prepared.checks,
            timeout=config.limits.check_minutes * 60,
            watching=watching,
            why_missing=prepared.use.why_missing,
        )
    yield from (_of_check(result) for result in results)
    yield _provable(results)


def _commit(mirror: Path, ref: str, context: Context) -> str:
    for name in (f"refs/heads/{ref}", f"refs/tags/{ref}", ref):
        if (commit := git.resolve(mirror, name)) is not None:
            return commit
    raise ConfigError(f"{context.repository.name} has no branch, tag or commit {safe_line(ref)!r}")


@contextmanager
def _project(context: Context, mirror: Path, base: str) -> Iterator[environment.Project]:
    config, paths = context.repo_config, context.config.paths
    with tempfile.TemporaryDirectory(prefix="sprint-check-") as folder:
        yield environment.Project(
            config.forge,
            context.repository.name,
            config,
            paths,
            mirror,
            context.sandbox,
            lambda is_base: context.setup_gateway(Path(folder), mirror, base, at_base=is_base),
        )


@contextmanager
def _prepared(
    project: environment.Project, commit: str, branch: str, watching: verify.Watching
) -> Iterator[environment.Prepared]:
    name = f"check-{secrets.token_hex(4)}"
    checkout = environment.Checkout(name, commit, branch, f"sprint-{name}")
    prepared = environment.prepare(project, checkout, watching=watching)
    try:
        yield prepared
    finally:
        workspace.remove(prepared.workspace.root)


def _of_environment(prepared: environment.Prepared) -> Iterator[Finding]:
    use = prepared.use
    origin = "found" if use.is_found else "configured"
    for what, commands in (("set-up", use.setup), ("build", use.build)):
        if commands:
            yield Finding(Grade.OK, what, f"{origin}: {'; '.join(commands)}")
    if use.says and not prepared.failed:
        yield Finding(Grade.WARNING if use.note else Grade.OK, "environment", use.says)
    if prepared.failed:
        says = f"{environment.failure(prepared.failed)}; mend it, or `setup` in the configuration"
        yield Finding(Grade.FAULT, "set-up", says)


def _of_check(result: CheckResult) -> Finding:
    tests = f", {result.ran} test{'s' if result.ran > 1 else ''}" if result.ran else ""
    failed = f", {result.failed} of them fail" if result.failed else ""
    note = f" ({safe_line(result.note)})" if result.note else ""
    says = f"{result.command}: {result.status.value.replace('_', ' ')}{tests}{failed}{note}"
    return Finding(Grade.OK if result.status is CheckStatus.PASSED else Grade.WARNING, "check", says)


def _provable(results: Sequence[CheckResult]) -> Finding:
    """Whether a change that is as good as the base would be proven."""
    if verify.compare(results, results).proving:
        return Finding(Grade.OK, "proof", "a change can be proven")
    if not results:
        return Finding(Grade.WARNING, "proof", f"none: no checks were found; {_REMEDY}")
    if any(result.status is CheckStatus.NOT_RUN for result in results):
        return Finding(Grade.WARNING, "proof", f"no change can be proven: the checks cannot run; {_REMEDY}")
    return Finding(Grade.WARNING, "proof", "no change can be proven: no check passes as it is")
